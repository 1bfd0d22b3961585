/**
 * All the networks of guests among themselves in this process, and turns for their streams: who has something to move gets a limited part of it
 * moved, in a circle in which all guests are alike, however many streams each has, and Node's loop has its turn in between. Knows neither bytes
 * nor rings.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { LocalNet } from '../core/localnet.ts';

/** Something that moves bytes. */
export interface Mover {
  /** Moves a limited part. True: there is more that could be moved now. */
  move(): boolean;
  /** A mistake of ours in that: it costs this one alone. */
  failed(error: unknown): void;
  /** Whoever pays for it, who has one share of all turns. Default: itself. */
  readonly payer?: object | undefined;
}

export interface LocalHubOptions {
  readonly clock: Clock;
  /** Guests are told now of what they were rung for, while this process goes on. */
  readonly flush: () => void;
  /** When Node's loop has had its turn. Default: setImmediate. */
  readonly soon?: (callback: () => void) => void;
}

/** How long there are turns without one for Node's loop. */
const STRETCH_MS = 2;
/** Turns after which guests are told what they were rung for. */
const TURNS = 8;

export class LocalHub<S extends object> {
  readonly clock: Clock;
  readonly flush: () => void;
  /** For who wants to look again in a while. Undefined: it is told by events alone. */
  pauses: { add(mover: Mover): void } | undefined;
  readonly #soon: (callback: () => void) => void;
  readonly #nets = new Map<string, LocalNet<S>>();
  /** Who has turns, and for each those of his that wait, in their order. */
  readonly #payers: object[] = [];
  readonly #queues = new Map<object, Mover[]>();
  readonly #among = new Set<Mover>();
  #planned = false;
  #running = false;
  #closed = false;
  readonly #turn = (): void => this.#run();

  constructor({ clock, flush, soon = setImmediate }: LocalHubOptions) {
    this.clock = clock;
    this.flush = flush;
    this.#soon = soon;
  }

  /** Made when it is first named. */
  net(name: string): LocalNet<S> {
    let net = this.#nets.get(name);
    if (net === undefined) {
      net = new LocalNet();
      this.#nets.set(name, net);
    }
    return net;
  }

  /** Nothing of a network that nobody is in is kept. */
  left(name: string): void {
    if (this.#nets.get(name)?.empty) this.#nets.delete(name);
  }

  /** There is something to move: at once, if nobody else waits; the rest in turns. */
  stir(mover: Mover): void {
    if (this.#among.has(mover)) return;
    if (this.#payers.length === 0 && !this.#running && !moved(mover)) return;
    this.#among.add(mover);
    this.#queue(mover);
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#payers.length = 0;
    this.#queues.clear();
    this.#among.clear();
  }

  #plan(): void {
    if (this.#planned || this.#closed) return;
    this.#planned = true;
    this.#soon(this.#turn);
  }

  #run(): void {
    this.#planned = false;
    const until = this.clock.now() + STRETCH_MS;
    this.#running = true;
    do {
      for (let left = TURNS; left > 0 && this.#payers.length > 0; left--) this.#turnOf(this.#payers.shift()!);
      this.flush();
    } while (this.#payers.length > 0 && this.clock.now() < until);
    this.#running = false;
    if (this.#payers.length > 0) this.#plan();
  }

  #turnOf(payer: object): void {
    const queue = this.#queues.get(payer)!;
    const mover = queue.shift()!;
    const more = moved(mover);
    if (this.#closed) return;
    if (queue.length === 0) this.#queues.delete(payer);
    else this.#payers.push(payer);
    if (more) this.#queue(mover);
    else this.#among.delete(mover);
  }

  #queue(mover: Mover): void {
    const payer = mover.payer ?? mover;
    const queue = this.#queues.get(payer);
    if (queue !== undefined) {
      queue.push(mover);
      return;
    }
    this.#queues.set(payer, [mover]);
    this.#payers.push(payer);
  }
}

function moved(mover: Mover): boolean {
  try {
    return mover.move();
  } catch (error) {
    mover.failed(error);
    return false;
  }
}
