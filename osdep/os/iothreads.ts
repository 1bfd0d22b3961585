/**
 * Disk requests on Node's thread pool: what every kernel can do, and what no other engine takes. A few at a time, the rest in
 * order behind them, so that others who need the pool get their turn. Knows slots (iorequests.ts).
 */
import { Errno } from '../errno.ts';
import * as ffi from './ffi.ts';
import { type IoEngine, type IoOwner, type IoRequests, Op } from './iorequests.ts';

/** Node has four threads unless told otherwise. */
const AT_A_TIME = 8;

export class ThreadEngine implements IoEngine {
  readonly #owner: IoOwner;
  readonly #requests: IoRequests;
  /** Slots that wait, a ring. */
  readonly #waiting: Uint16Array;
  #head = 0;
  #count = 0;
  #running = 0;

  constructor(owner: IoOwner) {
    this.#owner = owner;
    this.#requests = owner.requests;
    this.#waiting = new Uint16Array(owner.requests.depth);
  }

  accepts(): boolean {
    return true;
  }

  push(slot: number): void {
    this.#waiting[(this.#head + this.#count++) % this.#waiting.length] = slot;
  }

  submit(): void {
    while (this.#count > 0 && this.#running < AT_A_TIME) {
      const slot = this.#waiting[this.#head]!;
      this.#head = (this.#head + 1) % this.#waiting.length;
      this.#count -= 1;
      this.#running += 1;
      this.#start(slot);
    }
  }

  /** Answers arrive by themselves. */
  get ready(): boolean {
    return false;
  }

  waking(): void {}

  reap(): void {
    this.submit();
  }

  close(): void {}

  #start(slot: number): void {
    const { op, offset, length, mode, files } = this.#requests;
    const { fd } = files[slot]!;
    const at = offset[slot]!;
    // Whatever the call needs in memory is kept by being named here.
    const range = BigUint64Array.of(BigInt(at), BigInt(length[slot]!));
    const answered = (error: unknown, result: number): void => {
      const outcome = error ? -Errno.EIO : result < 0 ? -ffi.errno() : result;
      range.fill(0n);
      this.#running -= 1;
      this.#owner.settle(slot, outcome);
      this.submit();
    };
    switch (op[slot]) {
      case Op.READ:
      case Op.WRITE: {
        const call = op[slot] === Op.WRITE ? ffi.pwritevLater : ffi.preadvLater;
        call(fd, BigInt(this.#requests.iovAddress(slot)), this.#requests.vectorsLeft(slot), at, answered);
        break;
      }
      case Op.FLUSH:
        ffi.fdatasyncLater(fd, answered);
        break;
      case Op.FALLOCATE:
        ffi.fallocateLater(fd, mode[slot]!, at, length[slot]!, answered);
        break;
      default:
        ffi.ioctlLater(fd, mode[slot]!, range, answered);
    }
  }
}
