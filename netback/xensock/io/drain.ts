/**
 * What a guest had put before it let go of its socket, on its way to the network from a copy: then the connection ends in order. A peer that takes
 * none of it for a while, or resets the connection, is not waited for. Knows no guest and no ring.
 */
import type { Clock } from '../../../osdep/clock.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { IoMemory } from '../../../osdep/os/iomemory.ts';
import { EDGE, type Poller, WRITABLE } from '../../../osdep/os/poll.ts';

/** Without progress. */
const PATIENCE_MS = 30_000;

export interface DrainOptions {
  readonly poller: Poller;
  readonly clock: Pick<Clock, 'after'>;
  /** Connected, watched by nobody; closed here. */
  readonly fd: number;
  readonly bytes: Uint8Array;
  /** Once, when nothing is left of it. */
  readonly onEnd: () => void;
}

export class Drain {
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
        if (!inet.isLater(count)) this.#end(inet.close);
        return;
      }
      this.#sent += count;
      this.#wait();
    }
    this.#end(inet.close);
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
