/**
 * Joins whoever runs a command and the console of a domain, as xenconsole does: the terminal that a node of the store names, followed when its server is
 * started again and names another; Ctrl-] leaves, and the domain's end ends it. At a shell or over SSH. Knows no ring.
 */
import { OsError } from '../../osdep/errno.ts';
import { markNode } from '../core/console.ts';
import { Fault } from '../io/fault.ts';
import { type JoinedTerminal, joinTerminal } from '../io/terminal.ts';
import type { Session } from './session.ts';

export interface ConsoleChoice {
  readonly type: 'pv' | 'serial';
  readonly number: number;
  /** What leaves it together with Ctrl; default: `]`. */
  readonly escape?: string;
}

/** How often the node is looked at. */
const LOOK_MS = 200;
/** For a terminal to be named: a console's server may be on its way, as xenconsole has it. */
const PATIENCE_MS = 5000;
/** For the last words of a domain that is gone. */
const LAST_WORDS_MS = 2500;

/** 0: it was left, or the domain ended. Throws Fault: there is no such console, or somebody else has joined it. */
export async function joinConsole(session: Session, domain: string, choice: ConsoleChoice): Promise<number> {
  const node = await session.toolstack.consoleNode(domain, choice.type, choice.number);
  const joining = new Joining(session, node, (choice.escape ?? ']').charCodeAt(0) & 0x1f);
  try {
    await joining.run();
  } finally {
    joining.close();
  }
  return 0;
}

class Joining {
  readonly #session: Session;
  readonly #node: string;
  readonly #escape: number;
  readonly #left: Promise<void>;
  #leave = (): void => {};
  #wake = (): void => {};
  #terminal: JoinedTerminal | undefined;
  /** Of the terminal that is joined, or was. */
  #name = '';
  #begun = false;
  #over = false;

  constructor(session: Session, node: string, leavesBy: number) {
    this.#session = session;
    this.#node = node;
    this.#escape = leavesBy;
    this.#left = new Promise((resolve) => {
      this.#leave = resolve;
    });
  }

  async run(): Promise<void> {
    const { signal, stdio } = this.#session;
    // Who went away while his console was looked for must not keep it.
    if (signal.aborted || stdio.destroyed) return;
    signal.addEventListener('abort', this.#leave, { once: true });
    stdio.once('close', this.#leave);
    await Promise.race([this.#follow(), this.#left]);
  }

  close(): void {
    const { stdio, terminal, signal } = this.#session;
    signal.removeEventListener('abort', this.#leave);
    this.#over = true;
    this.#wake();
    this.#terminal?.close();
    stdio.off('close', this.#leave);
    if (!this.#begun) return;
    stdio.off('data', this.#onTyped).off('drain', this.#onDrain).off('end', this.#leave).pause();
    terminal?.setRaw(false);
  }

  /** Until the domain is gone. */
  async #follow(): Promise<void> {
    for (let waitedMs = 0; !this.#over; waitedMs += LOOK_MS) {
      const name = await this.#session.toolstack.readNode(this.#node);
      if (this.#over) return;
      if (name === undefined) {
        if (!this.#begun) throw new Fault(`could not read tty from store: there is no ${this.#node}`);
        break;
      }
      if (name !== '' && (name !== this.#name || this.#terminal === undefined))
        this.#join(name, await this.#readMark());
      if (!this.#begun && waitedMs >= PATIENCE_MS)
        throw new Fault(`could not read tty from store: ${this.#node} names no terminal that is there`);
      await this.#pause(LOOK_MS);
    }
    const until = performance.now() + LAST_WORDS_MS;
    while (!this.#over && this.#terminal !== undefined && performance.now() < until)
      await this.#pause(LOOK_MS);
  }

  /** undefined: there is none, its server is xenconsoled. */
  async #readMark(): Promise<number | undefined> {
    const mark = await this.#session.toolstack.readNode(markNode(this.#node));
    return mark === undefined ? undefined : Number(mark);
  }

  #join(name: string, mark: number | undefined): void {
    const { stdio, terminal } = this.#session;
    const joined = this.#over ? undefined : this.#open(name, mark);
    if (joined === undefined) return;
    this.#terminal?.close();
    this.#terminal = joined;
    this.#name = name;
    if (terminal !== undefined) joined.resize(terminal.columns, terminal.rows);
    if (!this.#begun) {
      this.#begun = true;
      terminal?.setRaw(true);
      // Without a terminal, the end of what is typed in is not the end of what is to be seen.
      stdio.on('data', this.#onTyped).on('drain', this.#onDrain);
      if (terminal !== undefined) stdio.once('end', this.#leave);
    }
    stdio.resume();
  }

  #open(name: string, mark: number | undefined): JoinedTerminal | undefined {
    let joined: JoinedTerminal | undefined;
    const isThis = (): boolean => joined !== undefined && this.#terminal === joined;
    try {
      joined = joinTerminal(name, mark, {
        bytes: (bytes) => {
          if (isThis() && !this.#session.stdio.write(bytes)) joined?.listen('off');
        },
        drained: () => {
          if (isThis()) this.#session.stdio.resume();
        },
        gone: () => {
          joined?.close();
          if (!isThis()) return;
          this.#terminal = undefined;
          // Nobody takes what is typed until there is another.
          this.#session.stdio.pause();
          this.#wake();
        },
      });
      return joined;
    } catch (error) {
      // One that its server has left behind, whose name is another's now.
      if (error instanceof OsError && error.code === 'EPERM') return undefined;
      if (error instanceof OsError && error.code === 'EBUSY')
        throw new Fault('somebody else has joined this console');
      throw error;
    }
  }

  readonly #onTyped = (bytes: Uint8Array): void => {
    const at = this.#session.terminal === undefined ? -1 : bytes.indexOf(this.#escape);
    const typed = at < 0 ? bytes : bytes.subarray(0, at);
    if (typed.length > 0 && this.#terminal?.write(typed) === false) this.#session.stdio.pause();
    if (at >= 0) this.#leave();
  };

  readonly #onDrain = (): void => this.#terminal?.listen('on');

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
