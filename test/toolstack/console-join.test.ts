/** Joining a console, as a session at a shell or over SSH does: raw, left by Ctrl-], ended by the domain's end, going on when the console's server does. */
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { joinConsole } from '../../toolstack/cli/console.ts';
import type { Session } from '../../toolstack/cli/session.ts';
import { terminalNode } from '../../toolstack/core/console.ts';
import { ConsoleFront } from '../../toolstack/guest/console.ts';
import type { Toolstack } from '../../toolstack/io/toolstack.ts';
import { type ConsoleGuest, ConsoleHost } from './consolehost.ts';

let host: ConsoleHost;

beforeEach(async () => {
  host = await ConsoleHost.start();
});
afterEach(() => host.stop());

/** Whoever sits in front of it. */
class Person {
  seen = '';
  readonly raw: boolean[] = [];
  readonly ending = new AbortController();
  readonly stdio: Duplex;
  /** It is shown no more than this, until somebody takes it. */
  takes: 'all' | 'nothing' = 'all';
  #taken = (): void => {};

  constructor() {
    this.stdio = new Duplex({
      highWaterMark: 16_384,
      read() {},
      write: (bytes: Buffer, _encoding, done) => {
        this.seen += bytes.toString('latin1');
        if (this.takes === 'all') done();
        else this.#taken = done;
      },
    });
  }

  type(text: string): void {
    this.stdio.push(Buffer.from(text, 'latin1'));
  }

  takeAll(): void {
    this.takes = 'all';
    this.#taken();
  }

  async sees(wanted: string): Promise<void> {
    await expect.poll(() => this.seen).toContain(wanted);
  }

  session(how: 'terminal' | 'pipes'): Session {
    const { stdio, raw, ending } = this;
    const toolstack: Pick<Toolstack, 'consoleNode' | 'readNode'> = {
      consoleNode: async (domain, type, number) => terminalNode(Number(domain), type, number),
      readNode: (path) => host.dom0.findText(path),
    };
    return {
      toolstack: toolstack as Toolstack,
      role: 'operator',
      guest: undefined,
      who: 'test',
      out: () => {},
      err: () => {},
      readFile: async () => '',
      directory: '/',
      terminal: how === 'terminal' ? { columns: 80, rows: 24, setRaw: (to) => void raw.push(to) } : undefined,
      stdio,
      signal: ending.signal,
    };
  }

  join(guest: ConsoleGuest, how: 'terminal' | 'pipes' = 'terminal'): Promise<number> {
    return joinConsole(this.session(how), String(guest.domid), { type: 'pv', number: 0 });
  }
}

function boot(guest: ConsoleGuest): { write(text: string): void; heard: string } {
  const end = { write: (text: string) => driver!.write(text), heard: '' };
  const driver = ConsoleFront.open(guest.platform, (bytes) => {
    end.heard += Buffer.from(bytes).toString('latin1');
  });
  return end;
}

test('a person sees what the guest says, is heard, and leaves with Ctrl-]', async () => {
  const alice = await host.guest('alice');
  const console = boot(alice);
  console.write('login: ');
  const person = new Person();
  const joined = person.join(alice);
  await person.sees('login: ');
  person.type('root\r');
  await expect.poll(() => console.heard).toBe('root\r');
  person.type('ab\x1dcd');
  expect(await joined).toBe(0);
  await expect.poll(() => console.heard).toBe('root\rab');
  expect(person.raw).toEqual([true, false]);
  // Whoever comes next finds it free.
  const next = new Person();
  const again = next.join(alice);
  console.write('still here\r\n');
  await next.sees('still here\r\n');
  next.ending.abort();
  expect(await again).toBe(0);
});

test('the end of the domain ends it, after its last words', async () => {
  const alice = await host.guest('alice');
  const console = boot(alice);
  console.write('up\r\n');
  const person = new Person();
  const joined = person.join(alice, 'pipes');
  await person.sees('up\r\n');
  console.write('reboot: Power down\r\n');
  await host.destroy(alice);
  expect(await joined).toBe(0);
  expect(person.seen).toBe('up\r\nreboot: Power down\r\n');
});

test('a server that is started again is followed to its new terminal', async () => {
  const alice = await host.guest('alice');
  const console = boot(alice);
  const person = new Person();
  const joined = person.join(alice);
  console.write('one\r\n');
  await person.sees('one\r\n');
  await host.stopServing();
  console.write('two\r\n');
  person.type('meanwhile\r');
  await host.serve();
  await person.sees('two\r\n');
  await expect.poll(() => console.heard).toBe('meanwhile\r');
  person.type('\x1d');
  expect(await joined).toBe(0);
});

test('a second person is told that somebody is there, and one without a console that there is none', async () => {
  const alice = await host.guest('alice');
  boot(alice).write('here\r\n');
  const first = new Person();
  const joined = first.join(alice);
  await first.sees('here\r\n');
  await expect(new Person().join(alice)).rejects.toThrow('somebody else has joined this console');
  first.type('\x1d');
  await joined;
  await expect(
    joinConsole(new Person().session('pipes'), String(alice.domid), { type: 'serial', number: 0 }),
  ).rejects.toThrow(`could not read tty from store: there is no /local/domain/${alice.domid}/serial/0/tty`);
});

test('one who takes nothing costs the guest nothing, and finds what there was room for', async () => {
  const alice = await host.guest('alice');
  const console = boot(alice);
  const person = new Person();
  person.takes = 'nothing';
  const joined = person.join(alice, 'pipes');
  const text = Array.from({ length: 5000 }, (_, line) => `line ${line}\r\n`).join('');
  console.write(text);
  await expect.poll(() => host.logged('alice').length).toBe(text.length);
  expect(person.seen.length).toBeLessThan(40_000);
  person.takeAll();
  await person.sees('line 4999\r\n');
  expect(person.seen).toBe(text);
  await host.destroy(alice);
  expect(await joined).toBe(0);
});

test('one who has gone while his console was looked for does not keep it from others', async () => {
  const alice = await host.guest('alice');
  boot(alice).write('here\r\n');
  await host.terminal(alice);
  for (const goes of [(who: Person) => who.ending.abort(), (who: Person) => who.stdio.destroy()]) {
    const early = new Person();
    const found = early.join(alice);
    goes(early);
    expect(await found).toBe(0);
    expect(early.raw).toEqual([]);
  }
  const person = new Person();
  const joined = person.join(alice);
  await person.sees('here\r\n');
  person.stdio.destroy();
  expect(await joined).toBe(0);
});
