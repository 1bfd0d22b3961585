// What a person with a machine is told: whether xenstored can serve it, what is missing, and what to do about that, in the same line. The
// machines are made of files in a directory; the last one is this very machine, whatever it is.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Finding, findingsOf } from '../../osdep/xen/findings.ts';
import { type HostFacts, probeHost, untried } from '../../osdep/xen/probe.ts';
import { canServe, findingsOn, report } from '../../toolstack/core/doctor.ts';
import { lookInstalled } from '../../toolstack/io/installed.ts';
import { parseOptions } from '../../xenstored/io/options.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stubdom0-doctor-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** dom0 of Debian 12, as its files are after boot, before any daemon. */
const dom0: Readonly<Record<string, string>> = {
  'sys/hypervisor/type': 'xen\n',
  'sys/hypervisor/guest_type': 'PV\n',
  'sys/hypervisor/version/major': '4\n',
  'sys/hypervisor/version/minor': '17\n',
  'sys/hypervisor/version/extra': '.7\n',
  'proc/xen/capabilities': 'control_d\n',
  'proc/xen/xsd_kva': '',
  'proc/xen/xsd_port': '6',
  'proc/mounts': 'none / rootfs rw 0 0\n',
  'dev/xen/evtchn': '',
  'dev/xen/gntdev': '',
  'dev/xen/privcmd': '',
};

function put(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** The facts of dom0 above, less what is left out, with what is added. */
async function factsOf(change: {
  readonly without?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
}): Promise<HostFacts> {
  put({ ...dom0, ...change.files });
  for (const name of change.without ?? []) rmSync(join(root, name), { recursive: true });
  const facts = await probeHost({ root, tryDevices: async () => untried });
  return { ...facts, root: true, arch: 'x64' };
}

function lines(findings: readonly Finding[]): string[] {
  return findings.filter(({ verdict }) => verdict !== 'ok').map(({ verdict, text }) => `${verdict}: ${text}`);
}

async function toldOf(change: Parameters<typeof factsOf>[0]): Promise<string[]> {
  return lines(findingsOf(await factsOf(change)));
}

describe('a machine with Xen', () => {
  test('dom0 with everything there can be served', async () => {
    const findings = findingsOf(await factsOf({}));
    expect(lines(findings)).toEqual([]);
    expect(canServe(findings)).toBe(true);
    expect(report(findings).at(-1)).toBe('xenstored can run here.');
    expect(report(findings)).toContain('ok    hypervisor  Xen 4.17.7, dom0 is PV');
  });

  test.each([
    [['dev/xen/evtchn'], '/dev/xen/evtchn is missing: load its driver (modprobe xen-evtchn)'],
    [['dev/xen/privcmd'], '/dev/xen/privcmd is missing: load its driver (modprobe xen-privcmd)'],
    [['proc/xen'], 'xenfs is not at /proc/xen: mount it (modprobe xenfs; mount -t xenfs xenfs /proc/xen)'],
    [
      ['proc/xen/xsd_kva'],
      'the kernel offers no /proc/xen/xsd_kva and xsd_port: it must be the first domain of this boot',
    ],
  ])('without %s the remedy is in the line', async (without, told) => {
    expect(await toldOf({ without })).toEqual([`bad: ${told}`]);
  });

  test('a version that nobody knows is refused, one that was never tried is said to be that', async () => {
    expect(await toldOf({ files: { 'sys/hypervisor/version/minor': '15\n' } })).toEqual([
      'bad: Xen 4.15.7: only 4.16 to 4.22 are known; use one of them',
    ]);
    expect(await toldOf({ files: { 'sys/hypervisor/version/minor': '20\n' } })).toEqual([
      'warn: Xen 4.20.7 on x64: known from its headers, tried on 4.17 on x64 alone',
    ]);
  });

  test('a guest is not the place', async () => {
    expect(await toldOf({ files: { 'proc/xen/capabilities': '' }, without: ['proc/xen/xsd_kva'] })).toEqual([
      'bad: a guest: its store is served from elsewhere; run this in dom0 (or xenstored as a stub domain)',
    ]);
  });

  test('who is not root is told that, and nothing of devices', async () => {
    const facts = { ...(await factsOf({})), root: false };
    expect(lines(findingsOf(facts))).toEqual(["bad: not root: Xen's devices are root's; run as root"]);
  });

  test('what a device answers is told', async () => {
    const facts = await factsOf({});
    const trials = { ...untried, control: 'opening /dev/xen/privcmd: EPERM' };
    expect(lines(findingsOf({ ...facts, trials }))).toEqual([
      'bad: /dev/xen/privcmd cannot be used: opening /dev/xen/privcmd: EPERM',
    ]);
  });
});

describe('who serves the store now', () => {
  test("Xen's own daemon is in the way", async () => {
    const files = { 'proc/417/cmdline': '/usr/lib/xen-4.17/bin/oxenstored\0--pid-file\0/p\0' };
    expect(await toldOf({ files })).toEqual([
      'bad: served by /usr/lib/xen-4.17/bin/oxenstored, pid 417, and cannot be taken over: set XENSTORED= to ours and reboot',
    ]);
  });

  test('our own is not', async () => {
    const facts = await factsOf({ files: { 'proc/418/cmdline': 'node\0/opt/stubdom0/bin/xenstored\0-N\0' } });
    expect(facts.stores).toEqual([{ pid: 418, command: '/opt/stubdom0/bin/xenstored', ours: true }]);
    expect(canServe(findingsOf(facts))).toBe(true);
  });

  test('a stub domain is, until the machine is booted again', async () => {
    const facts = await factsOf({});
    expect(lines(findingsOf({ ...facts, trials: { ...untried, storeDomid: 1 } }))).toEqual([
      'bad: served by domain 1, for as long as this boot lasts: set XENSTORETYPE=daemon and reboot',
    ]);
  });
});

describe('what the next boot starts', () => {
  const startedAs = (): string => join(root, 'opt/bin/stubdom0');

  test("Debian's script: the line for its settings, and that it must find node", () => {
    put({ 'etc/init.d/xen': '', 'etc/default/xen': '#XENSTORED=/usr/sbin/oxenstored\nXENSTORED_ARGS=\n' });
    const installed = lookInstalled({ root, startedAs: startedAs() });
    const [, start, node] = findingsOn(installed);
    expect(start!.text).toBe(
      `/etc/default/xen starts Xen's own at boot: for ours, XENSTORED=${installed.program} there, and reboot`,
    );
    expect(node!.text).toContain('/etc/init.d/xen does not find node');
  });

  test("Xen's launcher with our daemon in its settings is in order", () => {
    const program = join(root, 'opt/bin/xenstored');
    put({ 'etc/default/xencommons': `XENSTORED="${program}"\n`, 'opt/bin/xenstored': '' });
    chmodSync(program, 0o755);
    symlinkSync('xenstored', startedAs());
    const findings = findingsOn(lookInstalled({ root, startedAs: startedAs() }));
    expect(findings[1]).toEqual({
      verdict: 'ok',
      subject: 'start',
      text: '/etc/default/xencommons starts ours at boot',
    });
  });
});

test('xenstored --check-host asks the same, and starts nothing', () => {
  expect(parseOptions(['--check-host'], {}).kind).toBe('check');
});

test('where the C library cannot be called, that is said in one line', () => {
  // As if the package were not there: dist/, which `npm test` builds, on this machine's Node.
  const hook =
    "export async function resolve(name, context, next) { if (name === 'koffi') throw new Error('gone'); return next(name, context); }";
  const preload = `import { register } from 'node:module'; register(${JSON.stringify(inUrl(hook))})`;
  const program = new URL('../../dist/xenstored/main.js', import.meta.url).pathname;
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--import', inUrl(preload), program, ...args], { encoding: 'utf8' });
  expect(run('--check-host')).toMatchObject({ stderr: '', stdout: expect.stringMatching(/this machine\n$/) });
  expect(run('-N', '--run', root)).toMatchObject({
    status: 1,
    stderr: 'FATAL: the C library cannot be called: gone; install again with npm\n',
  });
});

function inUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

test('without a hypervisor: there is the simulator', async () => {
  const findings = findingsOf(await probeHost({ root }));
  expect(lines(findings)).toEqual([
    'bad: none: boot this machine with Xen; without it there is the simulator (stubdom0 up)',
  ]);
  expect(report(findings).at(-1)).toBe('xenstored cannot run here: see "bad" above.');
});

test('this machine has a Node that will do', async () => {
  expect(findingsOf(await probeHost())[0]).toMatchObject({ verdict: 'ok', subject: 'Node' });
});
