/**
 * The hypervisor's end of one event channel file: ports that fired, four bytes each, through a pipe whose other end the
 * domain waits on. The hypervisor never waits for a reader: what does not fit stays here, each port at most once, so
 * that a domain which does not read costs no more than its number of ports.
 */
import type { Descriptor } from '../os/ffi.ts';
import { type Poller, WRITABLE } from '../os/poll.ts';
import { close, pipe, WOULD_BLOCK, write } from '../os/sock.ts';

const PORT_BYTES = 4;

const bytes = Buffer.alloc(PORT_BYTES);

export class EventPipe {
  readonly #poller: Poller;
  readonly #writeEnd: Descriptor;
  /** For the domain; closed here once it is sent. */
  #readEnd: Descriptor | undefined;
  readonly #waiting = new Set<number>();
  #closed = false;

  constructor(poller: Poller) {
    this.#poller = poller;
    const { readEnd, writeEnd } = pipe();
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
  }

  get readEnd(): Descriptor {
    return this.#readEnd ?? -1;
  }

  /** The domain has its end now. */
  closeReadEnd(): void {
    if (this.#readEnd !== undefined) close(this.#readEnd);
    this.#readEnd = undefined;
  }

  fire(port: number): void {
    if (this.#closed) return;
    if (this.#waiting.size > 0) {
      this.#waiting.add(port);
    } else if (!this.#write(port)) {
      this.#waiting.add(port);
      this.#poller.add(this.#writeEnd, WRITABLE, () => this.#drain());
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.remove(this.#writeEnd);
    close(this.#writeEnd);
    this.closeReadEnd();
  }

  /** False: full. A domain that has closed its end wants no events: they count as written. */
  #write(port: number): boolean {
    bytes.writeUInt32LE(port, 0);
    const count = write(this.#writeEnd, bytes);
    return count !== WOULD_BLOCK;
  }

  #drain(): void {
    for (const port of this.#waiting) {
      if (!this.#write(port)) return;
      this.#waiting.delete(port);
    }
    this.#poller.remove(this.#writeEnd);
  }
}
