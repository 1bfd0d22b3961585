/**
 * Consoles of a host that runs, joined by the command itself: by a program, by a person at a terminal; a server and a device model that are killed meanwhile.
 * Everything is real: processes, terminals, signals.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { program, stubdom0, UpHost } from './uphost.ts';

// A dozen processes, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
const PATIENCE = { timeout: 30_000 };

let host: UpHost;

beforeAll(async () => {
  host = new UpHost({ name: 'talk', console: {}, guests: [{ name: 'alice' }] });
  await host.isUp();
});
afterAll(async () => {
  await host.clear();
});

/** Somebody who has joined a console by the command. */
class Joined {
  seen = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(file: string, args: readonly string[]) {
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.on('data', (bytes: Buffer) => {
        this.seen += bytes.toString('latin1');
      });
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  async sees(wanted: string): Promise<void> {
    await expect.poll(() => this.seen, PATIENCE).toContain(wanted);
  }
}

function consoleOf(...words: string[]): string[] {
  return [program, 'console', ...words, '--run', host.run];
}

function joined(...words: string[]): Joined {
  return new Joined(process.execPath, consoleOf(...words));
}

function logged(name: string): string {
  return readFileSync(join(host.run, 'logs/console', `guest-${name}.log`), 'latin1');
}

/** The process of a program of this host's. */
function processOf(script: string): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (!words.includes(script)) continue;
      if (words.includes(host.run) || readFileSync(`/proc/${pid}/environ`, 'utf8').includes(host.run))
        return Number(pid);
    } catch {
      // It has ended.
    }
  }
  return undefined;
}

test('a console outlives its server: whoever has joined goes on, and the log has all that was said, once', async () => {
  const viewer = joined('alice');
  await viewer.sees('guest is ready: alice');
  viewer.type('echo o-n-e\r');
  await viewer.sees('\no-n-e\r\n');
  const server = processOf('toolstack/console/main.js')!;
  await host.kill('console');
  await expect.poll(() => processOf('toolstack/console/main.js') ?? server, PATIENCE).not.toBe(server);
  viewer.type('echo t-w-o\r');
  await viewer.sees('\nt-w-o\r\n');
  await expect.poll(() => logged('alice'), PATIENCE).toContain('\nt-w-o\r\n');
  for (const said of ['guest is ready: alice', '\no-n-e\r\n', '\nt-w-o\r\n'])
    expect(logged('alice').split(said)).toHaveLength(2);
  viewer.child.kill('SIGTERM');
  await viewer.ended;
});

test('a person at a terminal sees a prompt, and leaves with Ctrl-]', async () => {
  const words = [process.execPath, ...consoleOf('alice')].join(' ');
  const person = new Joined('script', ['-qec', words, '/dev/null']);
  person.type('\r');
  await person.sees('alice# ');
  person.type('uptime\r');
  await expect.poll(() => person.seen, PATIENCE).toMatch(/\nup 0:\d\d:\d\d\r\nalice# $/);
  person.type('\x1d');
  expect(await person.ended).toBe(0);
});

test('a guest has a serial port whose model may be killed; its end is the end of who has joined', async () => {
  const cfg = join(host.top, 'ser.cfg');
  writeFileSync(
    cfg,
    'name = "ser"\ntype = "hvm"\nkernel = "serial"\nmemory = 4\ndevice_model = "serial"\nserial = "pty"\n',
  );
  expect(await stubdom0('create', cfg, '--run', host.run)).toMatchObject({ code: 0 });
  const viewer = joined('-t', 'serial', 'ser');
  await viewer.sees('serial port at 0x3f8 is a 16550A');
  viewer.type('echo o-n-e\r');
  await viewer.sees('\no-n-e\r\n');
  const model = processOf('toolstack/model/main.js')!;
  process.kill(model, 'SIGKILL');
  await expect.poll(() => processOf('toolstack/model/main.js') ?? model, PATIENCE).not.toBe(model);
  viewer.type('echo t-w-o\r');
  await viewer.sees('\nt-w-o\r\n');
  // The same device: it was never looked for again.
  expect(viewer.seen.split('16550A')).toHaveLength(2);
  viewer.type('shutdown\r');
  expect(await viewer.ended).toBe(0);
  await expect.poll(() => processOf('toolstack/model/main.js'), PATIENCE).toBeUndefined();
  expect((await stubdom0('list', '--run', host.run)).stdout).not.toContain('ser');
});

test('a domain that is not there has no console', async () => {
  const nobody = joined('nobody');
  expect(await nobody.ended).not.toBe(0);
  expect(nobody.seen).toContain('nobody');
});
