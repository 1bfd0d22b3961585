/**
 * Readiness of any number of descriptors (sockets, TAP, /dev/xen/evtchn): one epoll descriptor for all of them,
 * watched by one handle of Node's own loop and drained without waiting, so that timers and everything else of
 * Node go on. Knows nothing of what the descriptors are; level-triggered, as epoll(7) has it.
 *
 *     const poller = new Poller();
 *     poller.add(fd, READABLE, (events) => { ... });
 *     poller.onTurn(() => { ... });      // once after all callbacks of one wake-up: the place to commit and send
 */
import { OsError } from '../errno.ts';
import {
  close,
  type Descriptor,
  epollCreate1,
  epollCtl,
  epollWait,
  errno,
  type Watch,
  watchReadable,
} from './ffi.ts';

/** Bits of interest and of readiness; `FAILED` and `HUNG_UP` come unasked. */
export const READABLE = 0x1;
export const WRITABLE = 0x4;
/** Of a stream of TCP: the peer has marked a place in it, at which a read stops though there is more behind it. */
export const URGENT = 0x2;
export const FAILED = 0x8;
export const HUNG_UP = 0x10;
/** Of a stream: the peer sends no more. */
export const PEER_DONE = 0x2000;
/** With an interest: tell only of what arrived since. Whoever asks for it takes all there is each time. */
export const EDGE = 0x8000_0000;

const EPOLL_CLOEXEC = 0o2000000;
const [ADD, DEL, MOD] = [1, 2, 3];

// struct epoll_event is packed on x86-64 alone: u32 events, then u64 data.
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
const DATA_WORD = process.arch === 'x64' ? 1 : 2;

/** Events taken in one wake-up. More wait for the next turn of the loop, so that timers get theirs. */
const EVENTS_PER_TURN = 256;

/** `events` is a mask of the bits above. May add and remove anything, itself included. */
export type ReadyCallback = (events: number, fd: Descriptor) => void;

export interface PollerOptions {
  /**
   * How long to look out for the next event before sleeping (us), where events have come singly and in quick succession: falling
   * asleep and waking costs more than the whole of a small request. 0, the default: not at all.
   */
  readonly spinUs?: number;
}

/** So many wake-ups with so few events each, and each so soon after the one before, are a client that asks, waits and asks again. */
const SPIN_AFTER_TURNS = 8;
const FEW_EVENTS = 2;
const SOON_MS = 0.15;
/** Looked out in vain: not again for this long. */
const SPIN_PAUSE_MS = 5;
/** Node's own loop has its turn at least this often. */
const SPIN_TOTAL_MS = 2;

interface Entry {
  readonly fd: Descriptor;
  readonly callback: ReadyCallback;
  /** Told apart from an earlier entry of the same number, whose event may still lie in this turn's list. */
  readonly generation: number;
}

/**
 * All that are open, closed when the process ends by itself: Node turns its loop once more after JavaScript is gone, and
 * a watch that fires then aborts the process.
 */
const openPollers = new Set<Poller>();
process.once('exit', () => {
  for (const poller of openPollers) poller.close();
});

export class Poller {
  readonly #epfd: Descriptor;
  /** Kept here on purpose: a watch that nothing refers to is collected and silently stops. */
  #watch: Watch | undefined;
  readonly #entries: (Entry | undefined)[] = [];
  readonly #turnCallbacks: (() => void)[] = [];
  readonly #events: Uint32Array = new Uint32Array(EVENTS_PER_TURN * EVENT_WORDS);
  readonly #event: Uint32Array = new Uint32Array(EVENT_WORDS);
  readonly #spinMs: number;
  #generation = 0;
  /** Turns in a row with few events; when the last ended, and from when on it is worth looking out again (ms). */
  #streak = 0;
  #endedAt = 0;
  #spinFrom = 0;

  constructor({ spinUs = 0 }: PollerOptions = {}) {
    this.#spinMs = spinUs / 1000;
    this.#epfd = epollCreate1(EPOLL_CLOEXEC);
    if (this.#epfd < 0) throw new OsError(errno(), 'epoll_create1');
    try {
      this.#watch = watchReadable(this.#epfd, () => this.#turn());
    } catch (error) {
      close(this.#epfd);
      throw error;
    }
    openPollers.add(this);
  }

  /** Watches a descriptor. One entry a descriptor; whoever closes it removes it first. */
  add(fd: Descriptor, interest: number, callback: ReadyCallback): void {
    this.#generation = (this.#generation + 1) >>> 0;
    const entry = { fd, callback, generation: this.#generation };
    this.#control(ADD, entry, interest);
    this.#entries[fd] = entry;
  }

  /** Changes what is waited for; 0 still reports `FAILED` and `HUNG_UP`. */
  modify(fd: Descriptor, interest: number): void {
    const entry = this.#entries[fd];
    if (entry !== undefined) this.#control(MOD, entry, interest);
  }

  /**
   * As `remove`, for a descriptor of which there is no other copy and that is closed next: the kernel then forgets it by itself.
   */
  forget(fd: Descriptor): void {
    this.#entries[fd] = undefined;
  }

  /** Stops watching; no callback comes for it any more, not even in the running turn. Idempotent. */
  remove(fd: Descriptor): void {
    const entry = this.#entries[fd];
    if (entry === undefined) return;
    this.#entries[fd] = undefined;
    this.#control(DEL, entry, 0);
  }

  /** `callback` runs once after all the callbacks of a wake-up, in order of registration. */
  onTurn(callback: () => void): void {
    this.#turnCallbacks.push(callback);
  }

  /** Whether watching keeps the process alive: it does, from the start, until `unref`. */
  ref(): void {
    this.#watch?.ref();
  }

  unref(): void {
    this.#watch?.unref();
  }

  /** Ends all watching; the descriptors stay open, they are their owners'. Idempotent. */
  close(): void {
    const watch = this.#watch;
    if (watch === undefined) return;
    this.#watch = undefined;
    openPollers.delete(this);
    this.#entries.length = 0;
    watch.close();
    close(this.#epfd);
  }

  #control(operation: number, entry: Entry, interest: number): void {
    if (this.#watch === undefined) return;
    this.#event[0] = interest;
    this.#event[DATA_WORD] = entry.fd;
    this.#event[DATA_WORD + 1] = entry.generation;
    if (epollCtl(this.#epfd, operation, entry.fd, this.#event) < 0 && operation !== DEL) {
      throw new OsError(errno(), `epoll_ctl of descriptor ${entry.fd}`);
    }
  }

  /** One wake-up: a turn, and those that follow so closely that sleeping between them would cost more. */
  #turn(): void {
    let count = this.#wait();
    if (this.#spinMs === 0) {
      this.#serve(count);
      return;
    }
    let now = performance.now();
    const until = now + SPIN_TOTAL_MS;
    const spin = this.#streak >= SPIN_AFTER_TURNS && now - this.#endedAt < SOON_MS && now >= this.#spinFrom;
    while (count > 0) {
      this.#serve(count);
      this.#streak = count > FEW_EVENTS ? 0 : this.#streak + 1;
      now = performance.now();
      this.#endedAt = now;
      if (!spin || this.#streak === 0 || now > until) return;
      count = this.#lookOut(now + this.#spinMs);
    }
  }

  /** How many events there are as soon as there are some; 0: none came in time. */
  #lookOut(until: number): number {
    while (this.#watch !== undefined) {
      const count = this.#wait();
      if (count > 0) return count;
      const now = performance.now();
      if (now > until) {
        this.#spinFrom = now + SPIN_PAUSE_MS;
        break;
      }
    }
    return 0;
  }

  #wait(): number {
    return epollWait(this.#epfd, this.#events, EVENTS_PER_TURN, 0);
  }

  /** What a callback throws goes to Node as an uncaught exception: in here it would end the loop. */
  #serve(count: number): void {
    const events = this.#events;
    for (let i = 0, at = 0; i < count; i++, at += EVENT_WORDS) {
      const entry = this.#entries[events[at + DATA_WORD]!];
      if (entry === undefined || entry.generation !== events[at + DATA_WORD + 1]) continue;
      try {
        entry.callback(events[at]!, entry.fd);
      } catch (error) {
        rethrowLater(error);
      }
    }
    if (count <= 0) return;
    for (const callback of this.#turnCallbacks) {
      try {
        callback();
      } catch (error) {
        rethrowLater(error);
      }
    }
  }
}

function rethrowLater(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
