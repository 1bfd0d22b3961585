// The store's domain, as far as it can be seen without Xen: the kernel's note is hidden, the archive unpacks, init's shell scripts read the
// kernel's command line, and the console is never filled.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cpio } from '../../xenstored/stubdom/cpio.ts';
import { withoutPvh } from '../../xenstored/stubdom/elf.ts';

const scripts = new URL('../../xenstored/stubdom/', import.meta.url).pathname;
const busybox = spawnSync('busybox', ['true']).status === 0;
let folder: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stubdom-test-'));
});

afterEach(() => {
  child?.kill();
  child = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function note(owner: string, type: number, description: string): Buffer {
  const filled = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  const header = Buffer.alloc(12);
  header.writeUInt32LE(owner.length + 1, 0);
  header.writeUInt32LE(description.length, 4);
  header.writeUInt32LE(type, 8);
  return Buffer.concat([header, filled(Buffer.from(`${owner}\0`)), filled(Buffer.from(description))]);
}

/** An ELF file of notes alone, in two segments. */
function elfWith(...segments: readonly Buffer[]): Buffer {
  const elf = Buffer.alloc(64 + 56 * segments.length);
  elf.write('\x7fELF\x02\x01', 0, 'latin1');
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(segments.length, 56);
  let offset = elf.length;
  for (const [index, bytes] of segments.entries()) {
    const header = 64 + 56 * index;
    elf.writeUInt32LE(4, header);
    elf.writeBigUInt64LE(BigInt(offset), header + 8);
    elf.writeBigUInt64LE(BigInt(bytes.length), header + 32);
    offset += bytes.length;
  }
  return Buffer.concat([elf, ...segments]);
}

test("the kernel's PVH entry is hidden, and nothing else is touched", () => {
  const [os, pvh, other] = [note('Xen', 6, 'linux'), note('Xen', 18, 'entry'), note('Linux', 18, 'odd')];
  const kernel = elfWith(note('GNU', 3, 'id'), Buffer.concat([os, pvh, other]));
  const before = Buffer.from(kernel);
  const after = withoutPvh(kernel);
  expect(kernel).toEqual(before);
  const expected = Buffer.from(kernel);
  expected.writeUInt32LE(0x7f12, kernel.indexOf(pvh) + 8);
  expect(after).toEqual(expected);
  expect(withoutPvh(after)).toEqual(after);
});

test('what is no kernel is refused, and a note that ends too late is let be', () => {
  expect(() => withoutPvh(Buffer.from('MZ'))).toThrow(/not a 64-bit ELF/);
  const cut = elfWith(note('Xen', 18, 'entry')).subarray(0, -8);
  expect(withoutPvh(cut)).toHaveLength(cut.length);
});

test.skipIf(!busybox)('the archive is what cpio takes for one (needs busybox)', () => {
  const archive = cpio([
    { kind: 'folder', path: 'etc' },
    { kind: 'file', path: 'etc/words', bytes: Buffer.from('odd') },
    { kind: 'file', path: 'init', bytes: Buffer.from('#!/bin/sh\n'), program: true },
    { kind: 'link', path: 'lib', to: 'etc' },
  ]);
  execFileSync('busybox', ['cpio', '-id'], {
    cwd: folder,
    input: archive,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  expect(readFileSync(join(folder, 'lib/words'), 'utf8')).toBe('odd');
  expect(statSync(join(folder, 'init')).mode & 0o777).toBe(0o755);
  expect(statSync(join(folder, 'lib/words')).mode & 0o777).toBe(0o644);
});

function understood(...lines: readonly string[]): string {
  const read =
    'cd /; for line; do read_cmdline "$line"; done; printf "%s|%s|%s" "$event" "$shell" "$(echo $arguments)"';
  return execFileSync('sh', ['-c', `. "$0"; ${read}`, join(scripts, 'cmdline.sh'), ...lines], {
    encoding: 'utf8',
  });
}

test.each([
  ['--event 14 loglevel=1', '14|0|'],
  ['--event 14 loglevel=1 shell', '14|1|'],
  ['--event=7 quiet -- --quota nodes=2000 -T /run/trace', '7|0|--quota nodes=2000 -T /run/trace'],
  // What follows the lone -- is not init's, even if it looks so.
  ['--event 3 -- shell --event 9', '3|0|shell --event 9'],
  ['--event', '|0|'],
  ['--event x', '|0|'],
  ['--event 3 * -- -T /run/*', '3|0|-T /run/*'],
  ['console=hvc0 shells', '|0|'],
  ['--event 5 --', '5|0|'],
])('%s', (line, expected) => {
  expect(understood(line)).toBe(expected);
});

test('words of the image and of the command line add up', () => {
  expect(understood('shell -- -E 5', '--event 2 loglevel=1 -- -W 9')).toBe('2|1|-E 5 -W 9');
});

test('the console gets no more than has room, and more when somebody reads', async () => {
  const [console_, log, interrupts] = ['console', 'log', 'interrupts'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const read = (times: number) =>
    writeFileSync(interrupts, `      CPU0\n  6:    ${times}  xen-dyn-lateeoi  -event  hvc_console\n`);
  read(0);
  child = spawn('sh', [join(scripts, 'console.sh')], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { PATH: process.env.PATH, CONSOLE: console_, LOG: log, INTERRUPTS: interrupts },
  });
  const write = async (lines: readonly string[]) => {
    child!.stdin!.write(lines.map((line) => `${line}\n`).join(''));
    await vi.waitFor(() => expect(readFileSync(log, 'utf8')).toContain(`${lines.at(-1)}\n`), 5000);
  };
  await write(Array.from({ length: 200 }, (_, index) => `line ${index}`));
  const shown = () => readFileSync(console_, 'utf8');
  // Each line is as long again as a carriage return on a terminal.
  const bytes = () => shown().length + shown().split('\n').length;
  expect(shown()).toMatch(/^line 0\nline 1\n/);
  expect(bytes()).toBeLessThan(1024);
  const missed = 200 - shown().trim().split('\n').length;

  read(1);
  await write(['x'.repeat(5000), 'the end']);
  expect(shown()).toContain(
    `(${missed} lines had no room here: they are in ${log})\n${'x'.repeat(400)}...\nthe end\n`,
  );
  expect(bytes()).toBeLessThan(2048);
});
