/**
 * Disk requests through io_uring: one system call for any number of requests. Knows slots (iorequests.ts) and what is said to the kernel of
 * them; the rings are another's (uring.ts). See io_uring(7), io_uring_enter(2), linux/io_uring.h.
 */
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';
import { type IoEngine, type IoOwner, type IoRequests, Op, TWO_32 } from './iorequests.ts';
import { CQE_WORDS, SetupFlag, SQE_WORDS, Uring } from './uring.ts';

/** Linux 6.1; 5.19; any. With the first, the kernel finishes requests when we come for them, not when it likes. */
const SETUPS = [
  SetupFlag.SUBMIT_ALL | SetupFlag.TASKRUN_FLAG | SetupFlag.SINGLE_ISSUER | SetupFlag.DEFER_TASKRUN,
  SetupFlag.SUBMIT_ALL | SetupFlag.TASKRUN_FLAG | SetupFlag.COOP_TASKRUN,
  0,
];

const REGISTER_EVENTFD = 4;
const ENTER_GETEVENTS = 1;
const SQ_CQ_OVERFLOW = 1 << 1;
const SQ_TASKRUN = 1 << 2;
const CQ_EVENTFD_DISABLED = 1;
const FSYNC_DATASYNC = 1;

const [READV, WRITEV, FSYNC, FALLOCATE, READ, WRITE] = [1, 2, 3, 17, 22, 23];

export class UringEngine implements IoEngine {
  readonly #owner: IoOwner;
  readonly #requests: IoRequests;
  readonly #ring: Uring;
  readonly #rings: Int32Array;
  readonly #sqes: Uint32Array;
  /** Up to where entries are written, and how many of them the kernel has not taken. */
  #sqTail: number;
  #waiting = 0;
  #waking = true;

  /** Throws OsError where the kernel does not have it, or refuses it (EPERM, ENOSYS: containers do). */
  constructor(owner: IoOwner) {
    this.#owner = owner;
    this.#requests = owner.requests;
    this.#ring = new Uring(owner.requests.depth, SETUPS);
    this.#rings = this.#ring.words;
    this.#sqes = this.#ring.sqes;
    this.#sqTail = this.#rings[this.#ring.sqTailAt]!;
    if (this.#ring.register(REGISTER_EVENTFD, Int32Array.of(owner.eventFd), 1) < 0) {
      const errno = ffi.errno();
      this.close();
      throw new OsError(errno, 'io_uring_register');
    }
  }

  accepts(slot: number): boolean {
    return this.#requests.op[slot]! <= Op.FALLOCATE;
  }

  /** The ring has an entry for every slot there is: it is never full. */
  push(slot: number): void {
    const { op, offset, length, mode } = this.#requests;
    const sqes = this.#sqes;
    const at = (this.#sqTail & this.#ring.sqMask) * SQE_WORDS;
    sqes.fill(0, at, at + SQE_WORDS);
    sqes[at + 1] = this.#requests.files[slot]!.fd;
    sqes[at + 2] = offset[slot]!;
    sqes[at + 3] = offset[slot]! / TWO_32;
    sqes[at + 8] = slot;
    switch (op[slot]) {
      case Op.READ:
      case Op.WRITE:
        this.#transfer(slot, at, op[slot] === Op.WRITE);
        break;
      case Op.FLUSH:
        sqes[at] = FSYNC;
        sqes[at + 7] = FSYNC_DATASYNC;
        break;
      default:
        // fallocate(2): the length goes where addresses go, the mode where lengths go.
        sqes[at] = FALLOCATE;
        sqes[at + 4] = length[slot]!;
        sqes[at + 5] = length[slot]! / TWO_32;
        sqes[at + 6] = mode[slot]!;
    }
    this.#sqTail = (this.#sqTail + 1) | 0;
    this.#waiting += 1;
  }

  #transfer(slot: number, at: number, isWrite: boolean): void {
    const requests = this.#requests;
    const sqes = this.#sqes;
    const count = requests.vectorsLeft(slot);
    if (count === 1) {
      const from = requests.firstVector(slot) * 4;
      sqes[at] = isWrite ? WRITE : READ;
      sqes[at + 4] = requests.iov[from]!;
      sqes[at + 5] = requests.iov[from + 1]!;
      sqes[at + 6] = requests.iov[from + 2]!;
      return;
    }
    const address = requests.iovAddress(slot);
    sqes[at] = isWrite ? WRITEV : READV;
    sqes[at + 4] = address;
    sqes[at + 5] = address / TWO_32;
    sqes[at + 6] = count;
  }

  submit(): void {
    if (this.#waiting > 0) this.#enter(0);
  }

  /** Whether an answer is there, or is when the kernel is entered. */
  get ready(): boolean {
    const rings = this.#rings;
    return this.#behind() || rings[this.#ring.cqHeadAt]! !== Atomics.load(rings, this.#ring.cqTailAt);
  }

  waking(wanted: boolean): void {
    this.#waking = wanted;
    this.#quiet(wanted ? 0 : CQ_EVENTFD_DISABLED);
  }

  /** While we look there is nothing to wake us for: the kernel would, for each answer that we come for. */
  reap(): void {
    do {
      this.#quiet(CQ_EVENTFD_DISABLED);
      try {
        this.#take();
      } finally {
        if (this.#waking) this.#quiet(0);
      }
    } while (this.ready);
  }

  #take(): void {
    const rings = this.#rings;
    for (;;) {
      let head = rings[this.#ring.cqHeadAt]!;
      for (let tail = Atomics.load(rings, this.#ring.cqTailAt); head !== tail; ) {
        const at = this.#ring.cqesAt + (head & this.#ring.cqMask) * CQE_WORDS;
        const slot = rings[at]!;
        const result = rings[at + 2]!;
        head = (head + 1) | 0;
        Atomics.store(rings, this.#ring.cqHeadAt, head);
        this.#owner.complete(slot, result);
        if (head === tail) tail = Atomics.load(rings, this.#ring.cqTailAt);
      }
      if (!this.#behind() && this.#waiting === 0) return;
      // The kernel may set it behind work that has just been done, and clears it with work alone: left to it, we would enter for ever.
      Atomics.and(rings, this.#ring.sqFlagsAt, ~SQ_TASKRUN);
      if (!this.#enter(ENTER_GETEVENTS)) return;
    }
  }

  /** Whether the kernel has answers that it gives when it is entered. */
  #behind(): boolean {
    return (Atomics.load(this.#rings, this.#ring.sqFlagsAt) & (SQ_TASKRUN | SQ_CQ_OVERFLOW)) !== 0;
  }

  #quiet(flags: number): void {
    if (this.#ring.cqFlagsAt !== 0) Atomics.store(this.#rings, this.#ring.cqFlagsAt, flags);
  }

  /** False: the kernel has no room or time now, another turn is on its way. */
  #enter(flags: number): boolean {
    Atomics.store(this.#rings, this.#ring.sqTailAt, this.#sqTail);
    let taken: number;
    do {
      taken = this.#ring.enter(this.#waiting, 0, flags);
      if (taken < 0) {
        const errno = ffi.errno();
        if (
          errno !== Errno.EAGAIN &&
          errno !== Errno.EBUSY &&
          errno !== Errno.EINTR &&
          errno !== Errno.ENOMEM
        )
          throw new OsError(errno, 'io_uring_enter');
        this.#owner.kick();
        return false;
      }
      this.#waiting -= taken;
      if (this.#waiting === 0) return true;
    } while (taken > 0);
    this.#owner.kick();
    return false;
  }

  close(): void {
    this.#ring.close();
  }
}
