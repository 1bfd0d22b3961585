// The trace, as those know it who read the C daemon's: one line per message and object, switches, other files, all through CONTROL too.
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Link } from '../conformance/link.ts';
import { SimHost } from '../conformance/simhost.ts';
import { ask, next } from './daemonprocess.ts';

const STAMP = '\\d{8} \\d\\d:\\d\\d:\\d\\d';

let host: SimHost;
let client: Link;
let file: string;

async function begin(...args: string[]): Promise<void> {
  host = await SimHost.start(['--database', 'memory', ...args]);
  client = await host.connect();
  file = join(host.directory, 'trace');
}

beforeEach(() => begin());
afterEach(() => host.stop());

const lines = (): string[] => readFileSync(file, 'latin1').split('\n').slice(0, -1);

async function restart(...args: string[]): Promise<void> {
  await host.stop();
  await begin(...args);
}

test('a message, its answer and its event, with who and when; NULs are blanks', async () => {
  await ask(client, 'CONTROL', `logfile|${file}|`);
  await ask(client, 'WATCH', '/a|token|');
  await next(client);
  await ask(client, 'WRITE', '/a/b|some value');
  await next(client);
  await ask(client, 'READ', '/none|');
  const [opened, ...trace] = lines().slice(1);
  expect(opened).toBe('***');
  const expected = [
    'io: OUT .* CONTROL \\(OK \\)',
    'io: IN .* WATCH \\(/a token \\)',
    'obj: CREATE watch 0x[0-9a-f]+',
    'io: OUT .* WATCH \\(OK \\)',
    'io: OUT .* WATCH_EVENT \\(/a token \\)',
    'io: IN .* WRITE \\(/a/b some value\\)',
    'io: OUT .* WATCH_EVENT \\(/a/b token \\)',
    'io: OUT .* WRITE \\(OK \\)',
    'io: IN .* READ \\(/none \\)',
    'io: OUT .* ERROR \\(ENOENT \\)',
  ];
  expect(trace).toHaveLength(expected.length);
  for (const [i, pattern] of expected.entries()) {
    expect(trace[i]).toMatch(new RegExp(`^${pattern.replace('.*', `0x[0-9a-f]+ \\(d0\\) ${STAMP}`)}$`));
  }
});

test('a guest is told apart from the control domain', async () => {
  await host.addDomain(5);
  await ask(client, 'CONTROL', `logfile|${file}|`);
  await ask(client, 'INTRODUCE', '5|1|1|');
  await ask(host.ring(5), 'READ', '/|');
  expect(lines().filter((line) => line.includes('(d5)'))).toEqual([
    expect.stringMatching(/^io: IN .* READ \(\/ \)$/),
    expect.stringMatching(/^io: OUT .* ERROR \(EACCES \)$/),
  ]);
});

test('off, on, and switch by switch', async () => {
  await ask(client, 'CONTROL', `logfile|${file}|`);
  expect(await ask(client, 'CONTROL', 'log|off|')).toBe('OK|');
  const before = lines().length;
  await ask(client, 'READ', '/|');
  expect(lines()).toHaveLength(before);
  expect(await ask(client, 'CONTROL', 'log|on|')).toBe('OK|');
  expect(await ask(client, 'CONTROL', 'log|-io|')).toBe('OK|');
  await ask(client, 'READ', '/secret|');
  await ask(client, 'WATCH', '/w|t|');
  expect(lines().slice(before)).toEqual([
    '',
    '***',
    expect.stringMatching(/^io: OUT .* CONTROL \(OK \)$/),
    expect.stringMatching(/^io: IN .* CONTROL \(log -io \)$/),
    expect.stringMatching(/^obj: CREATE watch 0x/),
  ]);
});

test('the switches are shown, and an unknown one is refused', async () => {
  await restart('--trace-control=+acc');
  expect(await ask(client, 'CONTROL', 'log|')).toBe(
    'Log switch settings:\nobj     : on\nio      : on\nwrl     : off\nacc     : on\ntdb     : off\n|',
  );
  expect(await ask(client, 'CONTROL', 'log|+xyz|')).toBe('!EINVAL');
});

test('a file that cannot be opened is told in the log; the daemon goes on without a trace', async () => {
  expect(await ask(client, 'CONTROL', `logfile|${host.directory}/none/trace|`)).toBe('OK|');
  expect(host.log).toEqual([expect.stringMatching(/^Could not open tracefile: ENOENT/)]);
  expect(await ask(client, 'READ', '/|')).toBe('');
});

test('memreport goes to a file of its own, or to the trace; without either it is refused', async () => {
  expect(await ask(client, 'CONTROL', 'memreport|')).toBe('!EINVAL');
  const report = join(host.directory, 'report');
  expect(await ask(client, 'CONTROL', `memreport|${report}|`)).toBe('OK|');
  expect(readFileSync(report, 'latin1')).toMatch(/heapUsed +: \d+/);
  await ask(client, 'CONTROL', `logfile|${file}|`);
  expect(await ask(client, 'CONTROL', 'memreport|')).toBe('OK|');
  expect(readFileSync(file, 'latin1')).toMatch(/heapUsed +: \d+/);
});

test('-T traces from the first connection on', async () => {
  const own = join(tmpdir(), `xenstored-trace-${process.pid}`);
  await restart('-T', own);
  await ask(client, 'READ', '/|');
  const text = readFileSync(own, 'latin1');
  rmSync(own);
  expect(text).toMatch(/obj: CREATE connection 0x[\s\S]*io: IN .* READ \(\/ \)/);
});
