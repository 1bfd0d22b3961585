/**
 * What `stubdom0 doctor` says: the findings on the machine, those on how Xen's daemons are started there, and the sum of it. Knows no file.
 */

export interface Finding {
  readonly verdict: 'ok' | 'warn' | 'bad';
  readonly subject: string;
  readonly text: string;
}

/** How a host starts its store. */
export interface Installed {
  readonly launcher: 'init script' | 'launch-xenstore';
  readonly settings:
    | { readonly file: string; readonly xenstored: string | undefined; readonly type: string | undefined }
    | undefined;
  /** The directory of Xen's tools; `undefined`: there are none. */
  readonly xl: string | undefined;
  /** The path of our daemon, for the setting. */
  readonly program: string;
  /** Whether Debian's init script would find node. */
  readonly nodeOnInitPath: boolean;
}

export function findingsOn({ launcher, settings, xl, program, nodeOnInitPath }: Installed): Finding[] {
  const findings: Finding[] = [
    xl === undefined
      ? warn(
          'tools',
          "Xen's tools (xl, xenconsoled) were not found: install the distribution's (Debian: xen-system-amd64)",
        )
      : ok('tools', xl),
    startOf(settings, program),
  ];
  if (launcher === 'init script' && !nodeOnInitPath) {
    findings.push(
      warn('start', '/etc/init.d/xen does not find node: ln -s "$(command -v node)" /usr/bin/node'),
    );
  }
  return findings;
}

function startOf(settings: Installed['settings'], program: string): Finding {
  if (settings === undefined) {
    return warn(
      'start',
      `no settings file was found: the script that starts Xen's daemons must start ${program}`,
    );
  }
  const { file, xenstored, type } = settings;
  if (type === 'domain') return warn('start', `${file} starts a stub domain (XENSTORETYPE=domain)`);
  if (xenstored === program) return ok('start', `${file} starts ours at boot`);
  const now = xenstored ?? "Xen's own";
  return warn('start', `${file} starts ${now} at boot: for ours, XENSTORED=${program} there, and reboot`);
}

/** Lines for a terminal, the sum of it last. */
export function report(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.map(
    ({ verdict, subject, text }) => `${verdict.padEnd(4)}  ${subject.padEnd(width)}  ${text}`,
  );
  return [
    ...lines,
    '',
    canServe(findings) ? 'xenstored can run here.' : 'xenstored cannot run here: see "bad" above.',
  ];
}

export function canServe(findings: readonly Finding[]): boolean {
  return findings.every(({ verdict }) => verdict !== 'bad');
}

function ok(subject: string, text: string): Finding {
  return { verdict: 'ok', subject, text };
}

function warn(subject: string, text: string): Finding {
  return { verdict: 'warn', subject, text };
}
