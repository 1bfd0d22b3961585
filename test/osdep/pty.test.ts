/** Terminals, seen from both ends, and by programs of the system that are users of one. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { HUNG_UP, Poller, READABLE } from '../../osdep/os/poll.ts';
import {
  closePty,
  openPty,
  openTerminal,
  type Pty,
  setMark,
  setWindow,
  waiting,
  windowOf,
} from '../../osdep/os/pty.ts';
import * as sock from '../../osdep/os/sock.ts';

const open: Pty[] = [];
const poller = new Poller();
poller.unref();

afterEach(() => {
  for (const pty of open.splice(0)) closePty(pty);
});

function pty(): Pty {
  const made = openPty();
  open.push(made);
  return made;
}

/** Waits for some bytes of a descriptor. */
function next(fd: number): Promise<string> {
  return new Promise((resolve, reject) => {
    poller.ref();
    poller.add(fd, READABLE, (events) => {
      poller.remove(fd);
      poller.unref();
      const bytes = Buffer.alloc(4096);
      const count = sock.read(fd, bytes);
      if (count < 0) reject(new Error(`${count}, events ${events}`));
      else resolve(bytes.toString('latin1', 0, count));
    });
  });
}

test('what is written at one end comes out at the other as it is', async () => {
  const { master, name } = pty();
  expect(name).toMatch(/^\/dev\/pts\/\d+$/);
  const user = openTerminal(name);
  try {
    sock.write(master, Buffer.from('a line\r\nand \x03 and \x04'));
    expect(await next(user)).toBe('a line\r\nand \x03 and \x04');
    sock.write(user, Buffer.from('x\n\r\x7f'));
    expect(await next(master)).toBe('x\n\r\x7f');
  } finally {
    sock.close(user);
  }
});

test('it outlives its users, and keeps for the next what none has read', async () => {
  const { master, slave, name } = pty();
  sock.close(openTerminal(name));
  sock.write(master, Buffer.from('for whoever comes'));
  const user = openTerminal(name);
  try {
    await expect.poll(() => waiting(slave)).toBe(17);
    expect(await next(user)).toBe('for whoever comes');
    expect(waiting(slave)).toBe(0);
  } finally {
    sock.close(user);
  }
});

test('a user is told that the other end has gone', async () => {
  const made = openPty();
  const user = openTerminal(made.name);
  const told = new Promise<number>((resolve) => {
    poller.ref();
    poller.add(user, READABLE, (events) => resolve(events));
  });
  closePty(made);
  expect((await told) & HUNG_UP).toBe(HUNG_UP);
  poller.remove(user);
  poller.unref();
  sock.close(user);
  expect(() => openTerminal(made.name)).toThrow(/opening|tcgetattr/);
});

test('what is no terminal by its name is not even opened', () => {
  for (const path of ['/dev/null', '/dev/ptmx', '/dev/pts/ptmx', '/dev/pts/../null', '/dev/pts/1\n', ''])
    expect(() => openTerminal(path)).toThrow(`${path} is no terminal's name`);
  expect(() => openTerminal('/dev/pts/999999')).toThrow('opening /dev/pts/999999');
});

test('one user at a time, and no terminal that is not ours', () => {
  const { slave, name } = pty();
  const user = openTerminal(name);
  expect(() => openTerminal(name)).toThrow(`${name} is joined by somebody else`);
  sock.close(user);
  sock.close(openTerminal(name));
  const fd = openSync(name, 'r+');
  spawnSync('stty', ['sane'], { stdio: [fd, 'ignore', 'inherit'] });
  closeSync(fd);
  expect(() => openTerminal(name)).toThrow(`${name} is somebody else's terminal`);
  expect(waiting(slave)).toBe(0);
});

test('a terminal is known from another of its name by its mark, whatever its size', () => {
  const made = pty();
  setMark(made, 0xdead_beef);
  setWindow(made.master, 80, 24);
  expect(() => openTerminal(made.name, 0xdead_beee)).toThrow("is somebody else's terminal");
  expect(() => openTerminal(made.name, 0xbeef)).toThrow("is somebody else's terminal");
  const user = openTerminal(made.name, 0xdead_beef);
  setWindow(user, 132, 50);
  sock.close(user);
  sock.close(openTerminal(made.name, 0xdead_beef));
  expect(windowOf(made.slave)).toEqual({ columns: 132, rows: 50 });
});

test('a program of the system finds a terminal of the size that was set', async () => {
  const { master, slave, name } = pty();
  setWindow(master, 97, 31);
  expect(windowOf(slave)).toEqual({ columns: 97, rows: 31 });
  const fd = openSync(name, 'r+');
  const child = spawn('sh', ['-c', 'tty && stty size && head -c 4'], { stdio: [fd, fd, 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  closeSync(fd);
  let said = '';
  while (!said.includes('31 97')) said += await next(master);
  expect(said).toContain(name);
  sock.write(master, Buffer.from('fine'));
  said = '';
  while (!said.includes('fine')) said += await next(master);
  await ended;
});
