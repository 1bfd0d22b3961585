import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hostOf } from '../../osdep/os/host.ts';

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
  await new Promise((resolve) => child.stdout?.once('data', resolve));
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
  const socat = spawnSync('python3', [
    '-c',
    `
import socket, subprocess, sys
for path in sys.argv[1:3]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind('\\0' + path[1:] if path[0] == '@' else path)
    import os
    subprocess.run(sys.argv[3:], env={**os.environ, 'NOTIFY_SOCKET': path})
    print(s.recv(100).decode().split('\\n')[0])
    s.setblocking(False)
    try:
        print('again', s.recv(100))
    except BlockingIOError:
        pass
`,
    join(dir, 'notify'),
    `@stubdom0-notify-${process.pid}`,
    process.execPath,
    program(`host.notifyReady(); host.notifyReady(); if ('NOTIFY_SOCKET' in process.env) process.exit(1);`),
  ]);
  expect(socat.stdout.toString()).toBe('READY=1\nREADY=1\n');
});

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
