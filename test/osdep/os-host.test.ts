/** Pid file, background, readiness and log signal, seen from outside of the process that uses them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import * as ffi from '../../osdep/os/ffi.ts';
import { hostOf } from '../../osdep/os/host.ts';
import * as sock from '../../osdep/os/sock.ts';

let dir: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'host-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/** A program that has `host`, as built. */
function program(body: string): string {
  const built = new URL('../../dist/osdep/os/host.js', import.meta.url).href;
  const path = join(dir, `program-${Math.floor(performance.now() * 1e6)}.mjs`);
  writeFileSync(path, `import { hostOf } from '${built}';\nconst host = hostOf('host');\n${body}`);
  return path;
}

/** Starts it and resolves with its first words on stdout. */
async function start(body: string, env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program(body)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('exit', () => reject(new Error('it ended without a word')));
  });
  return child;
}

test('a pid file is private, and locked for as long as its daemon lives', async () => {
  const pidFile = join(dir, 'daemon.pid');
  writeFileSync(pidFile, '1234567890 of a daemon long gone\n');
  rmSync(pidFile);
  const stay = `console.log(host.takePidFile('${pidFile}')); setInterval(() => {}, 1000);`;
  const first = await start(stay);
  expect(readFileSync(pidFile, 'latin1')).toBe(`${first.pid}\n`);
  expect(statSync(pidFile).mode & 0o777).toBe(0o600);

  const refused = spawnSync(process.execPath, [program(`console.log(host.takePidFile('${pidFile}'));`)]);
  expect(refused.stdout.toString()).toBe('locked\n');
  expect(readFileSync(pidFile, 'latin1')).toBe(`${first.pid}\n`);

  const ended = new Promise((resolve) => first.once('exit', resolve));
  first.kill('SIGKILL');
  await ended;
  const third = await start(stay);
  expect(readFileSync(pidFile, 'latin1')).toBe(`${third.pid}\n`);
});

test('in the background: the starter leaves when the daemon is ready, which goes on', () => {
  const result = spawnSync(process.execPath, [
    program(`
      import { writeFileSync } from 'node:fs';
      await host.daemonise();
      writeFileSync('${dir}/pid', String(process.pid));
      console.error('starting');
      host.finishDaemonise();
      console.error('nobody hears this');
      setInterval(() => {}, 1000);`),
  ]);
  const pid = Number(readFileSync(join(dir, 'pid'), 'latin1'));
  try {
    expect(result.status).toBe(0);
    expect(result.stderr.toString()).toBe('starting\n');
    expect(pid).not.toBe(result.pid);
    expect(process.kill(pid, 0)).toBe(true);
    expect(readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[5]).toBe(String(pid));
  } finally {
    process.kill(pid, 'SIGKILL');
  }
});

test('in the background: a daemon that fails to start ends its starter the same way', () => {
  const result = spawnSync(process.execPath, [
    program(`await host.daemonise(); console.error('no such thing'); process.exit(3);`),
  ]);
  expect(result.status).toBe(3);
  expect(result.stderr.toString()).toBe('no such thing\n');
});

test('a service manager is told once, and children are not told whom to tell', () => {
  for (const path of [join(dir, 'notify'), `@stubdom0-notify-${process.pid}`]) {
    const socket = datagramSocket(path);
    const body = `host.notifyReady(); host.notifyReady(); if ('NOTIFY_SOCKET' in process.env) process.exit(1);`;
    const daemon = spawnSync(process.execPath, [program(body)], {
      env: { ...process.env, NOTIFY_SOCKET: path },
    });
    expect(daemon.status).toBe(0);
    const words = Buffer.alloc(100);
    const count = sock.recv(socket, words);
    expect(words.toString('latin1', 0, count)).toBe(`READY=1\nMAINPID=${daemon.pid}`);
    expect(sock.recv(socket, words)).toBe(sock.WOULD_BLOCK);
    sock.close(socket);
  }
});

/** What a service manager listens on. */
function datagramSocket(path: string): number {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  const address = Buffer.concat([Buffer.from([1, 0]), name]);
  const fd = ffi.socket(1, 2, 0);
  expect(ffi.bind(fd, address, address.length)).toBe(0);
  return fd;
}

test('SIGHUP asks for logs to be opened anew', async () => {
  const child = await start(`
    host.onReopenLogs(() => { console.log('reopen'); process.exit(0); });
    console.log('waiting'); setInterval(() => {}, 1000);`);
  const line = new Promise((resolve) => child.stdout?.once('data', (data) => resolve(String(data))));
  child.kill('SIGHUP');
  expect(await line).toBe('reopen\n');
});

test('a stub domain has none of it, and says yes', async () => {
  const host = hostOf('stub domain');
  expect(host.takePidFile('/nowhere/at/all')).toBe('taken');
  await host.daemonise();
  host.finishDaemonise();
  host.notifyReady();
  host.onReopenLogs(() => {})();
  expect(host.lockMemory()).toBe(0);
  expect(host.unlockMemory()).toBe(0);
  host.xenbus.notifyRunning();
});
