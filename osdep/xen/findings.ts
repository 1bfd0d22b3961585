/**
 * What the facts of a machine mean for someone who wants to run xenstored on it: one line each, with the remedy in the same line. Pure, and
 * knows nothing of how facts were got.
 */
import type { HostFacts, Presence, XenFile } from './probe.ts';
import { KNOWN } from './versions.ts';

export interface Finding {
  /** `bad`: xenstored cannot serve this host as it is. */
  readonly verdict: 'ok' | 'warn' | 'bad';
  readonly subject: string;
  readonly text: string;
}

/** What has been run, not only compared with the headers. */
const RUN = { minor: 17, arch: 'x64' };
const NODE = [20, 19] as const;
const [OLDEST, NEWEST] = KNOWN;

export function findingsOf(facts: HostFacts): Finding[] {
  const findings = [nodeOf(facts)];
  if (facts.trials.library !== undefined) {
    findings.push(
      bad('library', `the C library cannot be called: ${facts.trials.library}; install again with npm`),
    );
  }
  if (facts.hypervisor === undefined) {
    return [
      ...findings,
      bad('hypervisor', 'none: boot this machine with Xen; without it there is the simulator (stubdom0 up)'),
    ];
  }
  if (facts.hypervisor !== 'xen') {
    return [
      ...findings,
      bad('hypervisor', `${facts.hypervisor}, which is not Xen; the simulator works here (stubdom0 up)`),
    ];
  }
  findings.push(versionOf(facts), domainOf(facts));
  if (facts.control === true) findings.push(...dom0Of(facts));
  return findings;
}

export function canServe(findings: readonly Finding[]): boolean {
  return findings.every(({ verdict }) => verdict !== 'bad');
}

function nodeOf({ node }: HostFacts): Finding {
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const enough = major > NODE[0] || (major === NODE[0] && minor >= NODE[1]);
  if (enough) return ok('Node', node);
  return bad(
    'Node',
    `${node} is too old: install ${NODE.join('.')} or newer (nodejs.org, or the NodeSource packages)`,
  );
}

function versionOf({ xen, arch, guestType }: HostFacts): Finding {
  if (xen === undefined) return warn('hypervisor', 'Xen of a version that the kernel does not tell');
  const text = `Xen ${xen.major}.${xen.minor}${xen.extra}`;
  if (xen.major !== 4 || xen.minor < OLDEST || xen.minor > NEWEST) {
    return bad('hypervisor', `${text}: only 4.${OLDEST} to 4.${NEWEST} are known; use one of them`);
  }
  if (xen.minor !== RUN.minor || arch !== RUN.arch) {
    return warn(
      'hypervisor',
      `${text} on ${arch}: known from its headers, tried on 4.${RUN.minor} on ${RUN.arch} alone`,
    );
  }
  return ok('hypervisor', guestType === undefined ? text : `${text}, dom0 is ${guestType}`);
}

function domainOf({ xenfs, control, files }: HostFacts): Finding {
  if (!xenfs) {
    const why =
      files.storePage === 'denied'
        ? 'run as root'
        : 'mount it (modprobe xenfs; mount -t xenfs xenfs /proc/xen)';
    return bad('domain', `xenfs is not at /proc/xen: ${why}`);
  }
  if (control) return ok('domain', 'the control domain');
  return bad(
    'domain',
    'a guest: its store is served from elsewhere; run this in dom0 (or xenstored as a stub domain)',
  );
}

function dom0Of(facts: HostFacts): Finding[] {
  const { root, files, trials } = facts;
  if (!root) return [bad('user', "not root: Xen's devices are root's; run as root"), ...servedBy(facts)];
  return [
    device(files.evtchn, '/dev/xen/evtchn', 'xen-evtchn', trials.evtchn),
    device(files.gntdev, '/dev/xen/gntdev', 'xen-gntdev', trials.gnttab),
    device(files.privcmd, '/dev/xen/privcmd', 'xen-privcmd', trials.control),
    ...storeFiles(files),
    ...lockdownOf(facts),
    ...servedBy(facts),
    runDirOf(facts),
  ];
}

function device(presence: Presence, path: string, module: string, refused: string | undefined): Finding {
  if (presence === 'missing')
    return bad('device', `${path} is missing: load its driver (modprobe ${module})`);
  if (presence === 'denied' || refused !== undefined)
    return bad('device', `${path} cannot be used: ${refused ?? 'run as root'}`);
  return ok('device', path);
}

function storeFiles(files: Readonly<Record<XenFile, Presence>>): Finding[] {
  if (files.storePage === 'there' && files.storePort === 'there')
    return [ok('store page', '/proc/xen/xsd_kva')];
  return [
    bad(
      'store page',
      'the kernel offers no /proc/xen/xsd_kva and xsd_port: it must be the first domain of this boot',
    ),
  ];
}

function lockdownOf({ lockdown }: HostFacts): Finding[] {
  if (lockdown === undefined || lockdown === 'none') return [];
  return [
    warn('lockdown', `${lockdown}: dom0 is not concerned, but in guests it keeps programs from hypercalls`),
  ];
}

function servedBy({ stores, trials: { storeDomid } }: HostFacts): Finding[] {
  if (storeDomid !== undefined) {
    return [
      bad(
        'store',
        `served by domain ${storeDomid}, for as long as this boot lasts: set XENSTORETYPE=daemon and reboot`,
      ),
    ];
  }
  return stores.length === 0
    ? [ok('store', 'nobody serves it yet')]
    : stores.map(({ pid, command, ours }) =>
        ours
          ? ok('store', `served by ours: ${command}, pid ${pid}`)
          : bad(
              'store',
              `served by ${command}, pid ${pid}, and cannot be taken over: set XENSTORED= to ours and reboot`,
            ),
      );
}

function runDirOf({ runDir: { path, filesystem, writable } }: HostFacts): Finding {
  if (!writable)
    return bad('directory', `${path} cannot be written: give the daemon another (XENSTORED_RUNDIR)`);
  if (filesystem !== 'tmpfs' && filesystem !== 'ramfs' && filesystem !== 'rootfs') {
    return warn(
      'directory',
      `${path} is on ${filesystem}: a tmpfs is faster, and its content ends with the boot as it should`,
    );
  }
  return ok('directory', `${path}, on ${filesystem}`);
}

function ok(subject: string, text: string): Finding {
  return { verdict: 'ok', subject, text };
}

function warn(subject: string, text: string): Finding {
  return { verdict: 'warn', subject, text };
}

function bad(subject: string, text: string): Finding {
  return { verdict: 'bad', subject, text };
}
