/** Unix sockets on plain descriptors, against Node's own and against each other. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { HUNG_UP, Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import * as sock from '../../osdep/os/sock.ts';

let dir: string;
let poller: Poller;
const open: number[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sock-'));
  poller = new Poller();
});
afterEach(() => {
  poller.close();
  for (const fd of open.splice(0)) sock.close(fd);
  rmSync(dir, { recursive: true, force: true });
});

function keep(fd: number): number {
  open.push(fd);
  return fd;
}

function listening(name = 'socket'): { path: string; fd: number } {
  const path = join(dir, name);
  return { path, fd: keep(sock.listen({ path })) };
}

/** Resolves with the readiness of a descriptor, once. */
function ready(fd: number, interest: number): Promise<number> {
  return new Promise((resolve) => {
    poller.add(fd, interest, (events) => {
      poller.remove(fd);
      resolve(events);
    });
  });
}

test('a client of Node and our server exchange bytes', async () => {
  const { path, fd } = listening();
  const client = createConnection(path);
  await ready(fd, READABLE);
  const server = keep(sock.accept(fd));
  expect(server).toBeGreaterThan(0);
  expect(sock.accept(fd)).toBe(sock.WOULD_BLOCK);
  const buffer = Buffer.alloc(64);
  expect(sock.recv(server, buffer)).toBe(sock.WOULD_BLOCK);

  client.write('hello');
  await ready(server, READABLE);
  expect(sock.recv(server, buffer)).toBe(5);
  expect(buffer.toString('latin1', 0, 5)).toBe('hello');

  const answer = new Promise<string>((resolve) => client.once('data', (data) => resolve(data.toString())));
  expect(sock.send(server, Buffer.from('worldly'), 5)).toBe(5);
  expect(await answer).toBe('world');

  client.destroy();
  expect((await ready(server, READABLE)) & HUNG_UP).toBe(HUNG_UP);
  expect(sock.recv(server, buffer)).toBe(0);
  expect(sock.send(server, buffer)).toBe(-Errno.EPIPE);
});

test('a socket is made with the mode asked for', () => {
  const path = join(dir, 'mode');
  keep(sock.listen({ path, mode: 0o660 }));
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(statSync(listening('default').path).mode & 0o777).toBe(0o600);
});

test('a stale socket is taken over, a served one and another file are refused', () => {
  const { path, fd } = listening();
  expect(() => sock.listen({ path })).toThrow(expect.objectContaining({ errno: Errno.EADDRINUSE }));
  sock.close(fd);
  open.splice(open.indexOf(fd), 1);
  expect(existsSync(path)).toBe(true);
  keep(sock.listen({ path }));

  const file = join(dir, 'file');
  writeFileSync(file, 'precious');
  expect(() => sock.listen({ path: file })).toThrow(expect.objectContaining({ errno: Errno.EADDRINUSE }));
  expect(existsSync(file)).toBe(true);
});

test('what cannot be connected to says why', () => {
  expect(() => sock.connect(join(dir, 'absent'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  expect(() => sock.connect(join(dir, 'x'.repeat(200)))).toThrow(/at most 107/);
});

test('an abstract socket works like a path', () => {
  const path = `@stubdom0-test-${process.pid}`;
  const fd = keep(sock.listen({ path }));
  keep(sock.connect(path));
  keep(sock.accept(fd));
  expect(open[2]).toBeGreaterThan(0);
});

test('a full socket takes what fits and is writable again once read', async () => {
  const [near, far] = sock.pair();
  keep(near);
  keep(far);
  const block = Buffer.alloc(65536, 1);
  let sent = 0;
  for (;;) {
    const count = sock.send(near, block);
    if (count < 0) {
      expect(count).toBe(sock.WOULD_BLOCK);
      break;
    }
    sent += count;
  }
  let received = 0;
  const writable = ready(near, WRITABLE);
  poller.add(far, READABLE, () => {
    received += Math.max(0, sock.recv(far, block));
  });
  await writable;
  expect(sock.shutdown(near, 'send')).toBe(0);
  while (received < sent) await new Promise((resolve) => setImmediate(resolve));
  expect(received).toBe(sent);
});

test('the peer of a connection is known', () => {
  const { path, fd } = listening();
  keep(sock.connect(path));
  const server = keep(sock.accept(fd));
  expect(sock.peerCredentials(server)).toEqual({
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
});

test('the limit of open files goes up and never down', () => {
  const now = sock.raiseOpenFiles(16);
  expect(now).toBeGreaterThanOrEqual(16);
  expect(sock.raiseOpenFiles(now)).toBe(now);
});
