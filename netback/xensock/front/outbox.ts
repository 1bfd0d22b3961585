/** What a stream's writer has handed over and the driver has not taken yet: one write of Node's streams at a time, in one part or many. */
import { Errno } from '../../../osdep/errno.ts';
import { failure, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';

export class Outbox {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #done: ((error?: Error | null) => void) | undefined;
  /** Bytes of writes that are done. */
  sent = 0;

  get waits(): boolean {
    return this.#done !== undefined;
  }

  /** Only when nothing waits. */
  fill(parts: Uint8Array[], done: (error?: Error | null) => void): void {
    this.#parts = parts;
    this.#bytes = 0;
    for (const { length } of parts) this.#bytes += length;
    this.#done = done;
  }

  /** As far as the driver goes. true: some bytes went. */
  flush(handle: SocketHandle | undefined): boolean {
    if (this.#done === undefined) return false;
    if (handle === undefined) {
      this.fail(new SocketError('Socket is closed', 'ERR_SOCKET_CLOSED'));
      return false;
    }
    let some = false;
    while (this.#parts.length > 0) {
      const [first] = this.#parts;
      const count = this.#parts.length === 1 ? handle.send(first!) : handle.sendmsg({ parts: this.#parts });
      if (count === -Errno.EAGAIN) return some;
      if (count < 0) {
        this.fail(failure('write', count));
        return some;
      }
      some = true;
      this.#went(count);
    }
    this.sent += this.#bytes;
    this.#finish();
    return some;
  }

  fail(error: Error): void {
    this.#finish(error);
  }

  #went(count: number): void {
    let whole = 0;
    let rest = count;
    while (whole < this.#parts.length && rest >= this.#parts[whole]!.length)
      rest -= this.#parts[whole++]!.length;
    if (whole > 0) this.#parts.splice(0, whole);
    if (rest > 0) this.#parts[0] = this.#parts[0]!.subarray(rest);
  }

  #finish(error?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    this.#parts = [];
    done?.(error);
  }
}
