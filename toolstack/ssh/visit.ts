/**
 * One session of a client: the command it asks for, or a prompt for many. Words are run by the toolstack's commands, which see a session as they see a
 * shell of this machine. Knows nothing of keys and connections.
 */
import { getEventListeners } from 'node:events';
import { constants, open } from 'node:fs/promises';
import type { ServerChannel } from 'ssh2';
import type { Session } from '../cli/session.ts';
import { currentDirectory } from '../io/directory.ts';
import { Fault, reasonOf } from '../io/fault.ts';
import { Cooked } from './cooked.ts';
import type { SessionHost, Visitor } from './host.ts';
import { Keyboard, type Taker } from './keyboard.ts';
import { type Line, Output } from './output.ts';
import { Prompt } from './prompt.ts';
import { Stdio } from './stdio.ts';
import { type ClientTerminal, withReturns } from './terminal.ts';
import { splitWords, wordsToComplete } from './words.ts';

export interface VisitWays {
  readonly channel: ServerChannel;
  readonly line: Line;
  readonly visitor: Visitor;
  readonly host: SessionHost;
  /** undefined: the client has none. */
  readonly terminal: ClientTerminal | undefined;
}

const FILE_MAX_BYTES = 1 << 20;
/** As shells do at Ctrl-C. */
const INTERRUPTED = 130;

export class Visit {
  readonly #ways: VisitWays;
  readonly #output: Output;
  readonly #keyboard: Keyboard;
  readonly #text = new TextEncoder();
  #running: AbortController | undefined;
  #leave = (): void => {};
  #prompt: Prompt | undefined;
  #gone = false;

  constructor(ways: VisitWays) {
    this.#ways = ways;
    this.#output = new Output(ways.channel, ways.line);
    this.#keyboard = new Keyboard(ways.channel);
  }

  /** A command is at work. */
  get busy(): boolean {
    return this.#running !== undefined;
  }

  /** Bytes that the client sent and nobody has read. */
  get unread(): number {
    return this.#ways.channel.readableLength;
  }

  /** What `ssh HOST WORDS` asks for. */
  exec(line: string): Promise<void> {
    return this.#session(() => this.#command(line));
  }

  shell(): Promise<void> {
    return this.#session(async () => {
      const { visitor, terminal } = this.#ways;
      if (visitor.role === 'console') return this.#command('');
      return terminal === undefined ? this.#script() : this.#interactive(terminal);
    });
  }

  /** The client asks for the command's end. */
  interrupt(): void {
    if (this.#running === undefined) return;
    const { signal } = this.#running;
    // A command that has nothing to take back is left where it is; one that listens is given the time, once.
    const patient = !signal.aborted && getEventListeners(signal, 'abort').length > 0;
    this.#running.abort(new Fault('interrupted', { exitCode: INTERRUPTED }));
    if (!patient) this.#leave();
  }

  /** The client is gone. */
  close(): void {
    this.#gone = true;
    this.#output.drop();
    this.interrupt();
    this.#prompt?.close();
    this.#keyboard.give(undefined);
  }

  async #session(run: () => Promise<number>): Promise<void> {
    let code = 1;
    try {
      code = await run();
    } catch (error) {
      this.#ways.host.log('mistake', { error: error instanceof Error ? error.stack : error });
    }
    await this.#output.flushed();
    if (this.#gone) return;
    this.#ways.channel.exit(code);
    this.#ways.channel.end();
  }

  async #interactive(terminal: ClientTerminal): Promise<number> {
    const prompt = new Prompt({
      keyboard: this.#keyboard,
      terminal,
      show: (bytes, seen) => this.#output.write('out', withReturns(bytes), seen),
      complete: async (line) => {
        const words = wordsToComplete(line);
        const hits = await this.#ways.host.commands.complete(words, this.#makeSession(new AbortController()));
        return hits.filter((hit) => hit.startsWith(words.at(-1) ?? ''));
      },
    });
    this.#prompt = prompt;
    const { visitor } = this.#ways;
    this.#say('out', `stubdom0, as ${visitor.role}. "help" lists the commands, Ctrl-D ends.\n`);
    let code = 0;
    while (!this.#gone) {
      const line = await prompt.ask();
      if (line === undefined) this.#say('out', '\n');
      if (line === undefined || isExit(line)) break;
      if (line.trim() !== '') code = await this.#command(line);
      // A prompt begins a line: what a console showed last may not have ended one.
      if (!this.#output.atLineStart) this.#say('out', '\n');
      await this.#output.flushed();
    }
    prompt.close();
    return code;
  }

  /** Lines without a terminal: one command after the other, no prompt. */
  async #script(): Promise<number> {
    let code = 0;
    for (;;) {
      const line = await this.#nextLine();
      if (line === undefined || isExit(line) || this.#gone) return code;
      if (line.trim() !== '') code = await this.#command(line);
      await this.#output.flushed();
    }
  }

  #nextLine(): Promise<string | undefined> {
    return new Promise((resolve) => {
      let text: Uint8Array = new Uint8Array(0);
      const done = (line: string | undefined): void => {
        this.#keyboard.give(undefined);
        resolve(line);
      };
      const take: Taker = (bytes) => {
        const end = bytes.indexOf(10);
        text = Buffer.concat([text, end < 0 ? bytes : bytes.subarray(0, end)]);
        if (end >= 0 || text.length > FILE_MAX_BYTES) done(Buffer.from(text).toString('utf8'));
        return end < 0 ? bytes.length : end + 1;
      };
      this.#keyboard.give(take, {
        end: () => done(text.length > 0 ? Buffer.from(text).toString('utf8') : undefined),
      });
    });
  }

  async #command(line: string): Promise<number> {
    const { visitor, host } = this.#ways;
    const { words, open: unfinished } = splitWords(line);
    const asked = visitor.guest === undefined ? words : ['console', visitor.guest];
    const begun = performance.now();
    let code: number;
    if (unfinished && visitor.guest === undefined) {
      this.#say('err', 'stubdom0: a quote is not closed\n');
      code = 2;
    } else {
      code = await this.#run(asked);
    }
    host.log('command', {
      ...whoIs(visitor),
      command: line.slice(0, 500),
      code,
      ms: Math.round(performance.now() - begun),
    });
    return code;
  }

  async #run(words: readonly string[]): Promise<number> {
    const abort = new AbortController();
    const { terminal, host } = this.#ways;
    this.#running = abort;
    const session = this.#makeSession(abort);
    const left = new Promise<number>((resolve) => {
      this.#leave = () => resolve(INTERRUPTED);
    });
    try {
      return await Promise.race([host.commands.run(words, session), left]);
    } catch (error) {
      if (!(error instanceof Fault))
        host.log('mistake', { words, error: error instanceof Error ? error.stack : error });
      this.#say('err', `stubdom0: ${reasonOf(error)}\n`);
      return error instanceof Fault ? error.exitCode : 1;
    } finally {
      await session.stdio.finish();
      terminal?.setRaw(false);
      this.#running = undefined;
      this.#keyboard.give(undefined);
      if (terminal !== undefined) terminal.rawChanged = () => {};
    }
  }

  #makeSession(abort: AbortController): Session & { readonly stdio: Stdio } {
    const { visitor, terminal, host } = this.#ways;
    const stdio = new Stdio({
      wanted: () => this.#keyboard.more(),
      write: (bytes, written) => this.#output.write('out', this.#shown(bytes), written),
    });
    if (this.#running === abort) this.#listen(stdio, terminal);
    return {
      toolstack: host.toolstack,
      role: visitor.role,
      guest: visitor.guest,
      who: `ssh:${visitor.user}@${visitor.address}`,
      // One that was left behind at Ctrl-C has nothing more to say.
      out: (text) => abort !== this.#running || this.#say('out', text),
      err: (text) => abort !== this.#running || this.#say('err', text),
      readFile: (path) => (path === '-' ? readAll(stdio) : readNamed(path, visitor)),
      get directory() {
        return currentDirectory();
      },
      terminal,
      stdio,
      signal: abort.signal,
    };
  }

  /** What the client types goes to the command, raw or line by line. */
  #listen(stdio: Stdio, terminal: ClientTerminal | undefined): void {
    const end = (): void => stdio.give(undefined);
    const raw: Taker = (bytes) => {
      if (!stdio.wants) return 0;
      stdio.give(bytes);
      return bytes.length;
    };
    if (terminal === undefined) {
      this.#keyboard.give(raw, { end });
      return;
    }
    const cooked = new Cooked({
      echo: (text) => this.#output.write('out', typeof text === 'string' ? this.#text.encode(text) : text),
      line: (bytes) => stdio.give(bytes),
    });
    const choose = (): void => {
      if (terminal.raw) this.#keyboard.give(raw, { end });
      else
        this.#keyboard.give((bytes) => (stdio.wants ? cooked.take(bytes) : 0), {
          end,
          interrupt: () => {
            this.#output.write('out', this.#text.encode('^C\r\n'));
            this.interrupt();
          },
        });
    };
    terminal.rawChanged = choose;
    choose();
  }

  #say(stream: 'out' | 'err', text: string): void {
    // A terminal is one for both.
    this.#output.write(
      this.#ways.terminal === undefined ? stream : 'out',
      this.#shown(this.#text.encode(text)),
    );
  }

  #shown(bytes: Uint8Array): Uint8Array {
    const { terminal } = this.#ways;
    return terminal === undefined || terminal.raw ? bytes : withReturns(bytes);
  }
}

export function whoIs({
  user,
  address,
  role,
  fingerprint,
  comment,
}: Visitor): Readonly<Record<string, string>> {
  return { user, from: address, role, key: fingerprint, comment };
}

function isExit(line: string): boolean {
  return /^\s*(exit|quit|logout)\s*$/.test(line);
}

async function readAll(stdio: Stdio): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stdio as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > FILE_MAX_BYTES) throw new Fault(`standard input has more than ${FILE_MAX_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function readNamed(path: string, { role }: Visitor): Promise<string> {
  if (role !== 'admin')
    throw new Fault(`${path}: files of this machine are read for admins only; send it: create - < FILE`);
  try {
    // A pipe that nobody writes to would be waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) throw new Fault('is no file');
    if (stat.size > FILE_MAX_BYTES) throw new Fault(`has more than ${FILE_MAX_BYTES} bytes`);
    return await file.readFile('utf8');
  } catch (error) {
    throw new Fault(`${path}: ${reasonOf(error)}`);
  }
}
