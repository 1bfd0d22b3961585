/**
 * One device's machine, run: events one at a time, each with its effects in order. An event is the answer to a job, or the present value
 * of a node that a watch has named, however often it did. What fails for the store's sake is done again from where it failed. Follows the
 * rules for performers in xenstored/xenbus/README.md; knows neither end.
 */
import { XenstoreError } from './error.ts';
import type { Client } from './store.ts';
import type { Taker, Turns } from './turns.ts';

export interface Machine<Event, Effect> {
  begin(): readonly Effect[];
  step(event: Event): readonly Effect[];
}

/** Where a device is run. */
export interface RunHost {
  readonly store: Client;
  readonly turns: Turns;
  /** One line for the log. */
  readonly log: (line: string) => void;
  /** The device is not there, and nothing has been heard of it since that was read. */
  readonly forget: (path: string) => void;
}

interface Chore {
  readonly work: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export abstract class DeviceRun<Event, Effect, Node extends string, M extends Machine<Event, Effect>>
  implements Taker
{
  /** The own directory. */
  readonly path: string;
  protected readonly host: RunHost;
  protected machine: M | undefined;
  #answers: Event[] = [];
  readonly #chores: Chore[] = [];
  /** Nodes to be read, the one that waits longest first. */
  readonly #dirty = new Set<Node>();
  #effects: readonly Effect[] = [];
  #job: Promise<void> = Promise.resolve();
  #halted = false;

  constructor(host: RunHost, path: string) {
    this.host = host;
    this.path = path;
  }

  /** Something has changed below the own directory; undefined: perhaps everything. */
  abstract changed(key: string | undefined): void;
  /** The service goes, the device stays as it is. */
  abstract stop(): Promise<void>;
  /** Reads what there is; undefined: no device. */
  protected abstract find(): Promise<M | undefined>;
  /** Reads a node's present value. */
  protected abstract look(node: Node): Promise<Event | undefined>;
  /** On a store's failure it is called again. */
  protected abstract perform(effect: Effect): Promise<void>;
  /** An event has been dealt with. */
  protected abstract settled(): void;

  async turn(): Promise<void> {
    if (this.#effects.length === 0) await this.#next();
    while (this.#effects.length > 0 && !this.#halted) {
      await this.perform(this.#effects[0]!);
      this.#effects = this.#effects.slice(1);
    }
    this.settled();
    const { machine } = this;
    const more = this.#dirty.size > 0 || this.#answers.length > 0 || this.#chores.length > 0;
    if (more) this.host.turns.soon(this);
    else if (machine === undefined) this.host.forget(this.path);
  }

  failed(error: unknown): void {
    this.say(`tried again: ${error instanceof Error ? error.message : String(error)}`);
  }

  protected say(line: string): void {
    this.host.log(`${this.path}: ${line}`);
  }

  protected mark(...nodes: readonly Node[]): void {
    for (const node of nodes) this.#dirty.add(node);
    this.host.turns.soon(this);
  }

  protected tell(event: Event): void {
    this.#answers.push(event);
    this.host.turns.soon(this);
  }

  /** Something to be done with the store between two events, again if the connection is lost in it. Rejects with what else fails. */
  protected chore(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#chores.push({ work, resolve, reject });
      this.host.turns.soon(this);
    });
  }

  /** Begins a job, whose outcome comes in as an event. */
  protected start(job: () => Promise<Event>, failed: (error: unknown) => Event): void {
    const outcome = Promise.resolve().then(job).catch(failed);
    this.#job = outcome.then((event) => this.tell(event));
  }

  /** Performs nothing any more but what it is at. */
  protected halt(): void {
    this.#halted = true;
  }

  /** What is being looked for is not wanted any more. */
  protected get halted(): boolean {
    return this.#halted;
  }

  /** Settles when no job is under way. */
  protected get idle(): Promise<void> {
    return this.#job;
  }

  /** The device is no more, or another of its name has come: looks once more for one. */
  protected reset(node: Node): void {
    this.machine = undefined;
    this.#answers = [];
    this.mark(node);
  }

  async #next(): Promise<void> {
    if (this.#chores.length > 0) await this.#work(this.#chores[0]!);
    if (this.machine === undefined) {
      this.#dirty.clear();
      this.#answers = [];
      this.machine = await this.find();
      this.#effects = this.machine?.begin() ?? [];
      return;
    }
    const { machine } = this;
    const event = this.#answers.shift() ?? (await this.#present());
    // It may have been reset meanwhile; then everything is read anew.
    if (event !== undefined && this.machine === machine) this.#effects = machine.step(event);
  }

  async #work({ work, resolve, reject }: Chore): Promise<void> {
    try {
      await work();
      resolve();
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ECONNRESET') throw error;
      reject(error);
    }
    this.#chores.shift();
  }

  async #present(): Promise<Event | undefined> {
    const [node] = this.#dirty;
    if (node === undefined) return undefined;
    this.#dirty.delete(node);
    try {
      return await this.look(node);
    } catch (error) {
      this.#dirty.add(node);
      throw error;
    }
  }
}
