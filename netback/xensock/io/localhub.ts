/**
 * All the networks of guests among themselves in this process, and turns for their streams: who has something to move gets a limited part of it
 * moved, in a circle, and Node's loop has its turn in between. Knows neither bytes nor rings.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { LocalNet } from '../core/localnet.ts';

/** Something that moves bytes. */
export interface Mover {
  /** Moves a limited part. True: there is more that could be moved now. */
  move(): boolean;
  /** A mistake of ours in that: it costs this one alone. */
  failed(error: unknown): void;
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

export class LocalHub<S extends object> {
  readonly clock: Clock;
  readonly flush: () => void;
  /** For who wants to look again in a while. Undefined: it is told by events alone. */
  pauses: { add(mover: Mover): void } | undefined;
  readonly #soon: (callback: () => void) => void;
  readonly #nets = new Map<string, LocalNet<S>>();
  readonly #moving: Mover[] = [];
  readonly #among = new Set<Mover>();
  #planned = false;
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
    if (this.#moving.length === 0 && !moved(mover)) return;
    this.#among.add(mover);
    this.#moving.push(mover);
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#moving.length = 0;
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
    do {
      const { length } = this.#moving;
      if (length === 0) return;
      let kept = 0;
      for (let i = 0; i < length; i++) {
        const mover = this.#moving[i]!;
        if (moved(mover)) this.#moving[kept++] = mover;
        else this.#among.delete(mover);
      }
      // Those that came meanwhile stand behind.
      for (let i = length; i < this.#moving.length; i++) this.#moving[kept++] = this.#moving[i]!;
      this.#moving.length = kept;
      this.flush();
    } while (this.clock.now() < until);
    this.#plan();
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
