/**
 * What a stream's writer has handed over and the driver has not taken yet: one write of Node's streams at a time, in one part or many. How much all streams of
 * this process send in a turn of the loop has a limit.
 */
import { Errno } from '../../../osdep/errno.ts';
import { failure, SocketError } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { apart } from './thrown.ts';

/** A peer that takes bytes as fast as they come would have us do nothing else. */
const TURN_BYTES = 4 << 20;

let spent = 0;
let waiting: (() => void)[] = [];

function spend(bytes: number): void {
  if (spent === 0) setImmediate(nextTurn);
  spent += bytes;
}

function nextTurn(): void {
  spent = 0;
  const going = waiting;
  waiting = [];
  for (const go of going) apart(go);
}

export class Outbox {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #done: ((error?: Error | null) => void) | undefined;
  #queued = false;
  /** Bytes of writes that are done. */
  sent = 0;
  readonly #flushAgain: () => void;

  /** `flush`: calls this one's. */
  constructor(flush: () => void) {
    this.#flushAgain = () => {
      this.#queued = false;
      flush();
    };
  }

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
      if (spent >= TURN_BYTES) {
        this.#nextTurn();
        return some;
      }
      const count = this.#send(handle);
      if (count === -Errno.EAGAIN) return some;
      if (count < 0) {
        this.fail(failure('write', count));
        return some;
      }
      some = true;
      spend(count);
      this.#went(count);
    }
    this.sent += this.#bytes;
    this.#finish();
    return some;
  }

  fail(error: Error): void {
    this.#finish(error);
  }

  #send(handle: SocketHandle): number {
    const first = this.#parts[0]!;
    if (first.length > TURN_BYTES) return handle.send(first.subarray(0, TURN_BYTES));
    return this.#parts.length === 1 ? handle.send(first) : handle.sendmsg({ parts: this.#parts });
  }

  #nextTurn(): void {
    if (this.#queued) return;
    this.#queued = true;
    waiting.push(this.#flushAgain);
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
