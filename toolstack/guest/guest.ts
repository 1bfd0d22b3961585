/**
 * A small guest, as a program in a domain sees its life: it says in the store that it is there, greets those it was told of, answers to
 * `control/shutdown`, and writes how long it has been up when that changes. Knows the store by its client and nothing of rings or processes.
 * (docs/misc/xenstore-paths.pandoc: control/shutdown, data, attr)
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../osdep/clock.ts';
import { ShutdownReason } from '../../osdep/ctrl.ts';
import type { Client } from '../../xenstored/client/index.ts';

export interface GuestOptions {
  readonly store: Client;
  readonly clock: Clock;
  print(text: string): void;
  /** What it was told to do has begun: it is not said to be ready before. Never rejects. */
  readonly begun?: Promise<void>;
  /** Another guest may be heard; whoever it is may be looked up with `find`. Until the signal. */
  readonly onNeighbour?: (domid: string, find: Find, signal: AbortSignal) => Promise<void>;
}

/** Reads a node of another guest; undefined: absent, or not for us yet. */
export type Find = (key: string) => Promise<string | undefined>;

/** What those may read whom it greets. */
const OPEN = ['data/greeting', 'data/address'];

const MINUTE_MS = 60_000;

const reasons: Readonly<Record<string, number>> = {
  poweroff: ShutdownReason.POWEROFF,
  halt: ShutdownReason.POWEROFF,
  reboot: ShutdownReason.REBOOT,
};

export class Guest {
  readonly #store: Client;
  readonly #clock: Clock;
  readonly #print: (text: string) => void;
  readonly #begun: Promise<void>;
  readonly #ending = new AbortController();
  readonly #onNeighbour: NonNullable<GuestOptions['onNeighbour']>;
  #name = '';

  constructor({ store, clock, print, begun, onNeighbour = async () => {} }: GuestOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#print = print;
    this.#begun = begun ?? Promise.resolve();
    this.#onNeighbour = onNeighbour;
    // A watch for each neighbour listens to it, and Node takes more than ten for a mistake.
    setMaxListeners(0, this.#ending.signal);
  }

  /** Lives until it is told to shut down, or `end` is called, and answers with how (a ShutdownReason). */
  async run(): Promise<number> {
    const store = this.#store;
    this.#name = await store.readText('name');
    const uptime = this.#keepUptime();
    try {
      await store.write('control/feature-poweroff', '1');
      await store.write('control/feature-reboot', '1');
      await store.write('data/greeting', `hello from ${this.#name}`);
      await store.write('data/address', '');
      const lives = [this.#greet(), this.#obey()];
      void this.#begun.then(() => this.#print(`guest is ready: ${this.#name}`));
      // Whichever fails or ends takes the other with it.
      return (await Promise.race(lives)) ?? ShutdownReason.POWEROFF;
    } finally {
      this.end();
      uptime();
    }
  }

  end(): void {
    this.#ending.abort();
  }

  /** Lets each of those it was told of read its greeting, and hears theirs. */
  async #greet(): Promise<undefined> {
    const { signal } = this.#ending;
    const heard = new Set<string>();
    for await (const _ of this.#store.watch('vm-data/greets', { signal })) {
      const others = ((await this.#store.findText('vm-data/greets')) ?? '')
        .split(' ')
        .filter((id) => /^\d+$/.test(id));
      const own = Number(await this.#store.readText('domid'));
      const readers = others.map((id): `r${number}` => `r${Number(id)}`);
      for (const key of OPEN) await this.#store.setPerms(key, [`n${own}`, ...readers]);
      for (const other of others.filter((id) => !heard.has(id))) {
        heard.add(other);
        const find: Find = (key) => this.#tryRead(`/local/domain/${other}/${key}`);
        void this.#hear(other);
        this.#onNeighbour(other, find, signal).catch((error: unknown) => {
          if (!signal.aborted) this.#print(`domain ${other}: ${error}`);
        });
      }
    }
    return undefined;
  }

  /** What another guest says, below our own `data/heard`; may be refused or absent until it lets us. */
  async #hear(domid: string): Promise<void> {
    const path = `/local/domain/${domid}/data/greeting`;
    try {
      for await (const _ of this.#store.watch(path, { signal: this.#ending.signal })) {
        const greeting = await this.#tryRead(path);
        if (greeting === undefined || greeting === (await this.#store.findText(`data/heard/${domid}`)))
          continue;
        await this.#store.write(`data/heard/${domid}`, greeting);
        this.#print(`domain ${domid} says: ${greeting}`);
      }
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#print(`no longer listening to domain ${domid}: ${error}`);
    }
  }

  async #tryRead(path: string): Promise<string | undefined> {
    try {
      return await this.#store.findText(path);
    } catch (error) {
      if ((error as { code?: unknown }).code === 'EACCES') return undefined;
      throw error;
    }
  }

  /** The toolstack writes what it wants into control/shutdown; clearing it says that the guest has seen it. */
  async #obey(): Promise<number | undefined> {
    for await (const _ of this.#store.watch('control/shutdown', { signal: this.#ending.signal })) {
      const wanted = (await this.#store.findText('control/shutdown')) ?? '';
      if (wanted === '') continue;
      await this.#store.write('control/shutdown', '');
      const reason = reasons[wanted];
      this.#print(
        reason === undefined ? `cannot do what control/shutdown says: ${wanted}` : `shutting down: ${wanted}`,
      );
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** Minutes in `data/uptime`, written when they change. The result ends it. */
  #keepUptime(): () => void {
    const since = this.#clock.now();
    let cancel = (): void => {};
    const write = (): void => {
      const minutes = Math.round((this.#clock.now() - since) / MINUTE_MS);
      this.#store
        .write('data/uptime', `${minutes}`)
        .catch((error: unknown) => this.#print(`data/uptime: ${error}`));
      cancel = this.#clock.after(MINUTE_MS, write);
    };
    write();
    return () => cancel();
  }
}
