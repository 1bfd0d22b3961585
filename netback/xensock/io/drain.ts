/**
 * What a guest had put before it let go of its socket, on its way to the network from a copy: then the connection ends in order. A peer that takes
 * none of it for a while, or resets the connection, is not waited for. Knows no guest and no ring.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { Errno, OsError } from '../../../osdep/errno.ts';
import type { Descriptor } from '../../../osdep/os/ffi.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { IoMemory } from '../../../osdep/os/iomemory.ts';
import { EDGE, type Poller, WRITABLE } from '../../../osdep/os/poll.ts';
import type { PageBudget } from './dataring.ts';
import type { Descriptors } from './descriptors.ts';

/** Without progress. */
const PATIENCE_MS = 30_000;
const PAGE = 4096;
/** Of one guest: each is a descriptor, of which all guests together have a limited number, and is no longer among his sockets. */
const MOST_EACH = 1024;

export interface DrainsHost {
  readonly poller: Poller;
  readonly clock: Pick<Clock, 'after'>;
  readonly descriptors: Descriptors;
}

/** All that are on their way. */
export class Drains {
  readonly #host: DrainsHost;
  readonly #all = new Set<Drain>();
  readonly #counts = new Map<PageBudget | undefined, number>();

  constructor(host: DrainsHost) {
    this.#host = host;
  }

  /** `fd`: a connection that is watched by nobody, and counted; it is closed in the end. Breaks it off at once if the guest has too much kept already. */
  add(fd: Descriptor, bytes: Uint8Array, budget: PageBudget | undefined): void {
    const { poller, clock, descriptors } = this.#host;
    const pages = Math.ceil(bytes.length / PAGE);
    const others = this.#counts.get(budget) ?? 0;
    const kept = others < MOST_EACH && budget?.take(pages) !== false;
    if (kept) this.#counts.set(budget, others + 1);
    const onEnd = (): void => {
      if (kept) budget?.giveBack(pages);
      if (kept) this.#uncount(budget);
      descriptors.giveBack();
    };
    try {
      if (!kept) throw new OsError(Errno.ENOBUFS, 'keeping what was sent');
      const drain: Drain = new Drain({ poller, clock, fd, bytes, onEnd: () => this.#forget(drain, onEnd) });
      this.#all.add(drain);
    } catch (error) {
      inet.abort(fd);
      onEnd();
      if (!(error instanceof OsError)) throw error;
    }
  }

  #forget(drain: Drain, onEnd: () => void): void {
    this.#all.delete(drain);
    onEnd();
  }

  #uncount(budget: PageBudget | undefined): void {
    const left = this.#counts.get(budget)! - 1;
    if (left === 0) this.#counts.delete(budget);
    else this.#counts.set(budget, left);
  }

  /** Breaks all of them off. */
  close(): void {
    for (const drain of [...this.#all]) drain.abort();
  }
}

interface DrainOptions {
  readonly poller: Poller;
  readonly clock: Pick<Clock, 'after'>;
  readonly fd: Descriptor;
  readonly bytes: Uint8Array;
  /** Once, when nothing is left of it. */
  readonly onEnd: () => void;
}

class Drain {
  readonly #options: DrainOptions;
  readonly #memory: IoMemory;
  #sent = 0;
  #ended = false;
  #cancel: () => void = () => {};

  /** Throws OsError if the descriptor cannot be watched. */
  constructor(options: DrainOptions) {
    this.#options = options;
    this.#memory = new IoMemory(options.bytes);
    options.poller.add(options.fd, (WRITABLE | EDGE) >>> 0, () => this.#send());
    this.#wait();
  }

  /** Breaks the connection off. */
  abort(): void {
    this.#end(inet.abort);
  }

  #send(): void {
    const { fd, bytes } = this.#options;
    while (this.#sent < bytes.length) {
      const count = inet.send(fd, this.#memory.address + this.#sent, bytes.length - this.#sent);
      if (count <= 0) {
        if (!inet.isLater(count)) this.#end(inet.closeInOrder);
        return;
      }
      this.#sent += count;
      this.#wait();
    }
    this.#end(inet.closeInOrder);
  }

  #wait(): void {
    this.#cancel();
    this.#cancel = this.#options.clock.after(PATIENCE_MS, () => this.abort());
  }

  #end(close: (fd: number) => void): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancel();
    const { poller, fd, onEnd } = this.#options;
    poller.remove(fd);
    close(fd);
    onEnd();
  }
}
