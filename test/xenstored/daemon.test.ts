// The built daemon, alone on its socket: Xen's own clients find what they expect, and no client, however slow, silent or greedy, costs another
// one anything.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Framer } from '../../xenstored/wire/frame.ts';
import type { Link } from '../conformance/link.ts';
import { ask, next, request, Scene, xenClients } from './daemonprocess.ts';

const testXenstore = '/usr/lib/xen-4.17/bin/test-xenstore';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});
afterEach(() => scene.clean());

describe.skipIf(!xenClients)("Debian's clients (needs xenstore-utils)", () => {
  beforeEach(async () => {
    await scene.serve();
  });

  test('write, read, list, ls, chmod, rm, exists', () => {
    expect(scene.xenstore('write', '/a/b', 'one', '/a/c', 'two')).toMatchObject({ status: 0, stderr: '' });
    expect(scene.xenstore('read', '/a/b', '/a/c').stdout).toBe('one\ntwo\n');
    expect(scene.xenstore('list', '/a').stdout).toBe('b\nc\n');
    expect(scene.xenstore('chmod', '/a/b', 'n0', 'r3').status).toBe(0);
    expect(scene.xenstore('ls', '-fp', '/a').stdout).toMatch(
      /^\/a\/b = "one" .*\(n0,r3\)\n\/a\/c = "two" .*\(n0\)\n$/,
    );
    expect(scene.xenstore('rm', '/a').status).toBe(0);
    expect(scene.xenstore('exists', '/a').status).toBe(1);
  });

  test('watch', async () => {
    const watcher = spawn(`${xenClients}/xenstore-watch`, ['-n', '2', '/a'], {
      env: { ...process.env, ...scene.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    const first = new Promise<void>((resolve) => {
      watcher.stdout.on('data', (text: Buffer) => {
        lines.push(...text.toString().split('\n').filter(Boolean));
        resolve();
      });
    });
    await first;
    scene.xenstore('write', '/a/b', 'x');
    await new Promise((resolve) => watcher.once('close', resolve));
    expect(lines).toEqual(['/a', '/a/b']);
  });
});

test.skipIf(!existsSync(testXenstore))(
  "Xen's test-xenstore runs to the end (needs xen-utils-4.17)",
  async () => {
    await scene.serve();
    const { status, stdout } = spawnSync(testXenstore, ['-i', '20'], {
      env: { ...process.env, ...scene.env },
      encoding: 'utf8',
    });
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining('ta err') });
  },
  30_000,
);

describe('clients beside each other', () => {
  let other: Link;
  beforeEach(async () => {
    await scene.serve('--database', 'memory');
    other = await scene.connect();
  });

  const served = async (): Promise<void> => expect(await ask(other, 'WRITE', '/alive|yes')).toBe('OK|');

  test('one that stops in the middle of a request', async () => {
    const link = await scene.connect();
    const bytes = request('WRITE', '/half|value');
    link.send(bytes.subarray(0, 20));
    await served();
    link.send(bytes.subarray(20));
    expect(await next(link)).toBe('OK|');
  });

  test('one that asks without end and reads nothing is held back, and gets every answer when it reads', async () => {
    const value = 'v'.repeat(2000);
    await ask(other, 'WRITE', `/large|${value}`);
    const socket = connect(scene.socketPath);
    await new Promise((resolve) => socket.once('connect', resolve));
    const wanted = 5000;
    const asks = Buffer.concat(Array.from({ length: wanted }, () => request('READ', '/large|')));
    socket.write(asks);
    for (let i = 0; i < 200; i++) await served();
    const framer = new Framer();
    let answers = 0;
    for await (const bytes of socket) {
      framer.push(bytes);
      while (framer.next() === 'message') answers += framer.end - framer.start === value.length ? 1 : 0;
      if (answers === wanted) break;
    }
    expect(answers).toBe(wanted);
  });

  test('one that closes its side gets the answers that are due, then the end', async () => {
    const socket = connect({ path: scene.socketPath, allowHalfOpen: true });
    const asks = Array.from({ length: 300 }, (_, i) => request('WRITE', `/due/${i}|x`));
    socket.end(Buffer.concat(asks));
    let bytes = 0;
    for await (const piece of socket) bytes += piece.length;
    expect(bytes).toBe(300 * (16 + 'OK|'.length));
    expect(await ask(other, 'READ', '/due/299|')).toBe('x');
  });

  test('one that breaks the protocol is closed after what was due', async () => {
    const link = await scene.connect();
    const oversize = Buffer.alloc(16);
    oversize.writeUInt32LE(4097, 12);
    link.send(Buffer.concat([request('WRITE', '/before|x'), oversize]));
    expect(await next(link)).toBe('OK|');
    await expect(next(link)).rejects.toThrow();
    await served();
  });

  test('one that watches and never reads is let go in the end', async () => {
    const socket = connect(scene.socketPath);
    await new Promise((resolve) => socket.once('connect', resolve));
    for (let i = 0; i < 40; i++) socket.write(request('WATCH', `/loud|${i}-${'t'.repeat(1900)}|`));
    const gone = new Promise((resolve) => socket.once('close', resolve));
    await expect.poll(() => ask(other, 'CONTROL', 'connections|')).toContain('watches=40');
    const path = `/loud/${'x'.repeat(2000)}`;
    for (let i = 0; i < 500; i++) expect(await ask(other, 'WRITE', `${path}/${i}|`)).toBe('OK|');
    expect(await ask(other, 'CONTROL', 'connections|')).not.toContain('watches=40');
    socket.on('error', () => {}).resume();
    await gone;
  });

  test('one that vanishes with watches set and an event on its way', async () => {
    const link = await scene.connect();
    await ask(link, 'WATCH', '/alive|t|');
    expect(await next(link)).toBe('EVENT /alive|t|');
    link.close();
    await served();
    await served();
  });

  test('a watcher is told before the writer has its answer', async () => {
    await ask(other, 'WATCH', '/w|t|');
    await next(other);
    expect(await ask(other, 'WRITE', '/w|x')).toBe('EVENT /w|t|');
    expect(await next(other)).toBe('OK|');
  });
});

const tools = ['prlimit', 'setpriv'].every((tool) => spawnSync(tool, ['--version']).status === 0);

test.skipIf(!tools)(
  'more connections than descriptors: the rest waits, at no cost, until some are free',
  async () => {
    const limited = ['prlimit', '--nofile=64:64', 'setpriv', '--bounding-set=-sys_resource'];
    const daemon = scene.spawn(['-N', '--database', 'memory'], {}, limited);
    await daemon.says('xenstored is ready');
    const links = await Promise.all(Array.from({ length: 80 }, () => scene.connect()));
    await daemon.says('no descriptor left');
    expect(await ask(links[0]!, 'READ', '/|')).toBe('');
    const before = cpuTicks(daemon.child.pid!);
    for (let i = 0; i < 20; i++) expect(await ask(links[i]!, 'READ', '/|')).toBe('');
    const last = links.at(-1)!;
    const answer = ask(last, 'READ', '/|');
    for (const link of links.slice(0, 40)) link.close();
    expect(await answer).toBe('');
    expect(cpuTicks(daemon.child.pid!) - before).toBeLessThan(50);
    for (const link of links) link.close();
  },
);

/** Processor time of a process, in hundredths of a second. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
