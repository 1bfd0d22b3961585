/** Generators of the socket bench, seen from the bench: processes of their own (sock-load-main.ts), plain ones and guests. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import type { Service, SockOrder, SockPlace, SockWord } from './sock-load-main.ts';

export interface Rate {
  readonly bytes: number;
  readonly seconds: number;
}

type Answer<W extends SockWord['what']> = Extract<SockWord, { what: W }>;

/** Enough for rings of the largest order, many of them. */
const GUEST_PAGES = 40_000;

export class SockLoad {
  readonly #child: ChildProcess;
  readonly #said: SockWord[] = [];
  #onWord: () => void = () => {};

  private constructor(args: readonly string[]) {
    this.#child = fork(join(import.meta.dirname, 'sock-load-main.js'), args);
    this.#child.on('message', (word: SockWord) => {
      this.#said.push(word);
      this.#onWord();
    });
    this.#child.once('exit', () => this.#onWord());
  }

  /** Over Node's own sockets. */
  static async plain(): Promise<SockLoad> {
    const load = new SockLoad(['plain']);
    await load.#word('ready');
    return load;
  }

  /** Over ours, with data rings of this order. */
  static async guest(machine: Machine, order: number): Promise<SockLoad> {
    const { domid, token } = await machine.guest(GUEST_PAGES);
    const load = new SockLoad(['guest', machine.run, token, `${order}`]);
    await machine.attach({
      device: { backendDomid: 0, kind: 'pvcalls', frontendDomid: domid, devid: 0 },
      backend: {},
      frontend: {},
      frontendReadOnly: {},
    });
    await load.#word('ready');
    return load;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async serve(service: Service, at: SockPlace): Promise<SockPlace> {
    return (await this.#ask({ what: 'serve', service, at }, 'serving')).at;
  }

  async send(to: SockPlace, streams: number, bytes: number): Promise<void> {
    await this.#ask({ what: 'send', to, streams, bytes }, 'sending');
  }

  async stop(): Promise<void> {
    await this.#ask({ what: 'stop' }, 'stopped');
  }

  /** What its sinks have had, and when, by a clock of its own. */
  async count(): Promise<Answer<'counted'>> {
    return this.#ask({ what: 'count' }, 'counted');
  }

  async ask(to: SockPlace, ms: number): Promise<readonly number[]> {
    return (await this.#ask({ what: 'ask', to, ms }, 'asked')).microseconds;
  }

  /** Connections a second. */
  async dial(to: SockPlace, ms: number, depth: number): Promise<number> {
    const { connections, seconds } = await this.#ask({ what: 'dial', to, ms, depth }, 'dialled');
    return connections / seconds;
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  async #ask<W extends SockWord['what']>(order: SockOrder, what: W): Promise<Answer<W>> {
    this.#child.send(order);
    return this.#word(what);
  }

  async #word<W extends SockWord['what']>(what: W): Promise<Answer<W>> {
    for (;;) {
      const word = this.#said.shift();
      if (word?.what === what) return word as Answer<W>;
      if (word?.what === 'failed') throw new Error(`a generator: ${word.why}`);
      if (word !== undefined) throw new Error(`a generator says ${word.what}`);
      if (this.#child.exitCode !== null) throw new Error('a generator has ended');
      await new Promise<void>((resolve) => {
        this.#onWord = resolve;
      });
    }
  }
}
