/**
 * What a domain's process tells the hypervisor without waiting for an answer: ports to ring and to unmask. Gathered, and sent together with what is asked for
 * next, or when the running callback is over: to wake the hypervisor's process costs more than all that is said. Knows no ports.
 */
import type { Descriptor } from '../os/ffi.ts';
import { sendAll } from '../os/sock.ts';
import { encodePairFrame, PAIR_FRAME_BYTES } from './protocol.ts';

const FRAMES = 256;

/** All that are open. What a process said that ends by itself is sent. */
const open = new Set<Posts>();
process.once('exit', () => {
  for (const posts of open) posts.send();
});

const now = Promise.resolve();

export class Posts {
  readonly #fd: Descriptor;
  readonly #onFailure: () => void;
  readonly #bytes: Buffer = Buffer.alloc(FRAMES * PAIR_FRAME_BYTES);
  #end = 0;
  readonly #later = (): void => {
    if (this.send() < 0) this.#onFailure();
  };

  /** @param onFailure what was to be sent cannot be, and nobody is there to be told by a result */
  constructor(fd: Descriptor, onFailure: () => void) {
    this.#fd = fd;
    this.#onFailure = onFailure;
    open.add(this);
  }

  add(kind: number, first: number, second: number): void {
    if (this.#end === 0) void now.then(this.#later);
    this.#put(kind, first, second);
  }

  /** Sends what there is: 0, or minus an error number. */
  send(): number {
    if (this.#end === 0) return 0;
    const length = this.#end;
    this.#end = 0;
    return sendAll(this.#fd, this.#bytes, length);
  }

  /** As `send`, with one message more behind it. */
  sendWith(kind: number, first: number, second: number): number {
    this.#put(kind, first, second);
    return this.send();
  }

  /** Sends what there is, for the last time. */
  close(): void {
    this.send();
    open.delete(this);
  }

  #put(kind: number, first: number, second: number): void {
    encodePairFrame(this.#bytes, this.#end, kind, first, second);
    this.#end += PAIR_FRAME_BYTES;
    if (this.#end === this.#bytes.length && this.send() < 0) this.#onFailure();
  }
}
