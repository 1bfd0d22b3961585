/**
 * A timer for waits that are shorter than Node's, which begin at a millisecond: a descriptor among those that a `Poller` watches. It may be late, never early.
 * See timerfd_create(2).
 */
import { OsError } from '../errno.ts';
import { close, type Descriptor, errno, read, timerfdCreate, timerfdSettime } from './ffi.ts';
import { type Poller, READABLE } from './poll.ts';

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 0o4000;
const TFD_CLOEXEC = 0o2000000;

export class FineTimer {
  readonly #poller: Poller;
  readonly #fd: Descriptor;
  /** struct itimerspec: period and first time, each in seconds and nanoseconds. */
  readonly #spec: BigInt64Array = new BigInt64Array(4);
  readonly #fired: Uint8Array = new Uint8Array(8);
  #open = true;

  /** Throws OsError. */
  constructor(poller: Poller, onFire: () => void) {
    this.#poller = poller;
    this.#fd = timerfdCreate(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (this.#fd < 0) throw new OsError(errno(), 'timerfd_create');
    poller.add(this.#fd, READABLE, () => {
      if (read(this.#fd, this.#fired, 8) > 0) onFire();
    });
  }

  /** Fires once, in so many microseconds, more than 0 and less than a second. */
  arm(us: number): void {
    this.#spec[3] = BigInt(us * 1000);
    if (this.#open) timerfdSettime(this.#fd, 0, this.#spec, null);
  }

  /** Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poller.remove(this.#fd);
    close(this.#fd);
  }
}
