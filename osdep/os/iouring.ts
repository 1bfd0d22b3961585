/**
 * Disk requests through io_uring: two rings shared with the kernel, one system call for any number of requests. Knows slots
 * (iorequests.ts) and the rings. See io_uring(7), io_uring_setup(2), io_uring_enter(2), linux/io_uring.h.
 */
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';
import { type IoEngine, type IoOwner, type IoRequests, Op, TWO_32 } from './iorequests.ts';
import { type MappedArea, mapDescriptor } from './mmap.ts';

/** The same numbers on all machines. */
const [SETUP, ENTER, REGISTER] = [425, 426, 427];

const SETUP_SUBMIT_ALL = 1 << 7;
const SETUP_COOP_TASKRUN = 1 << 8;
const SETUP_TASKRUN_FLAG = 1 << 9;
const SETUP_SINGLE_ISSUER = 1 << 12;
const SETUP_DEFER_TASKRUN = 1 << 13;

/** Linux 6.1; 5.19; any. With the first, the kernel finishes requests when we come for them, not when it likes. */
const SETUPS = [
  SETUP_SUBMIT_ALL | SETUP_TASKRUN_FLAG | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN,
  SETUP_SUBMIT_ALL | SETUP_TASKRUN_FLAG | SETUP_COOP_TASKRUN,
  0,
];

const FEAT_SINGLE_MMAP = 1 << 0;
/** Came with Linux 5.6, as did the operations used here. */
const FEAT_RW_CUR_POS = 1 << 3;

const REGISTER_EVENTFD = 4;
const ENTER_GETEVENTS = 1;
const SQ_CQ_OVERFLOW = 1 << 1;
const SQ_TASKRUN = 1 << 2;
const CQ_EVENTFD_DISABLED = 1;
const FSYNC_DATASYNC = 1;

const OFFSET_RINGS = 0;
const OFFSET_SQES = 0x1000_0000;

const [READV, WRITEV, FSYNC, FALLOCATE, READ, WRITE] = [1, 2, 3, 17, 22, 23];

// struct io_uring_sqe is 64 bytes: u8 opcode, u8 flags, u16 priority; s32 fd; u64 offset; u64 address; u32 length;
// u32 flags of the operation; u64 user data. struct io_uring_cqe is 16: u64 user data, s32 result, u32 flags.
const SQE_WORDS = 16;
const CQE_WORDS = 4;

/** Words of struct io_uring_params. */
const Params = {
  SQ_ENTRIES: 0,
  CQ_ENTRIES: 1,
  FLAGS: 2,
  FEATURES: 5,
  SQ_HEAD: 10,
  SQ_TAIL: 11,
  SQ_MASK: 12,
  SQ_FLAGS: 14,
  SQ_ARRAY: 16,
  CQ_HEAD: 20,
  CQ_TAIL: 21,
  CQ_MASK: 22,
  CQ_CQES: 25,
  CQ_FLAGS: 26,
  WORDS: 30,
} as const;

export class UringEngine implements IoEngine {
  readonly #owner: IoOwner;
  readonly #requests: IoRequests;
  readonly #fd: ffi.Descriptor;
  readonly #areas: MappedArea[] = [];
  readonly #rings: Int32Array;
  readonly #sqes: Uint32Array;
  readonly #sqMask: number;
  readonly #cqMask: number;
  /** Where in `#rings` these words are. */
  readonly #sqTailAt: number;
  readonly #sqFlagsAt: number;
  readonly #cqHeadAt: number;
  readonly #cqTailAt: number;
  readonly #cqesAt: number;
  /** 0: the kernel, before Linux 5.8, has no such word. */
  readonly #cqFlagsAt: number;
  /** Up to where entries are written, and how many of them the kernel has not taken. */
  #sqTail: number;
  #waiting = 0;
  #waking = true;

  /** Throws OsError where the kernel does not have it, or refuses it (EPERM, ENOSYS: containers do). */
  constructor(owner: IoOwner) {
    this.#owner = owner;
    this.#requests = owner.requests;
    const params = new Uint32Array(Params.WORDS);
    this.#fd = setUp(owner.requests.depth, params);
    try {
      const word = (at: number): number => params[at]! >> 2;
      const sqEntries = params[Params.SQ_ENTRIES]!;
      const ringsEnd = Math.max(
        params[Params.SQ_ARRAY]! + sqEntries * 4,
        params[Params.CQ_CQES]! + params[Params.CQ_ENTRIES]! * CQE_WORDS * 4,
      );
      this.#rings = new Int32Array(this.#map(OFFSET_RINGS, ringsEnd));
      this.#sqes = new Uint32Array(this.#map(OFFSET_SQES, sqEntries * SQE_WORDS * 4));
      this.#sqMask = this.#rings[word(Params.SQ_MASK)]!;
      this.#cqMask = this.#rings[word(Params.CQ_MASK)]!;
      this.#sqTailAt = word(Params.SQ_TAIL);
      this.#sqFlagsAt = word(Params.SQ_FLAGS);
      this.#cqHeadAt = word(Params.CQ_HEAD);
      this.#cqTailAt = word(Params.CQ_TAIL);
      this.#cqesAt = word(Params.CQ_CQES);
      this.#cqFlagsAt = word(Params.CQ_FLAGS);
      this.#sqTail = this.#rings[this.#sqTailAt]!;
      // Entry i of the ring is always submission i: the array between them stays as it is.
      const array = word(Params.SQ_ARRAY);
      for (let i = 0; i < sqEntries; i++) this.#rings[array + i] = i;
      if (ffi.ioUringRegister(REGISTER, this.#fd, REGISTER_EVENTFD, Int32Array.of(owner.eventFd), 1) < 0) {
        throw new OsError(ffi.errno(), 'io_uring_register');
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  accepts(slot: number): boolean {
    return this.#requests.op[slot]! <= Op.FALLOCATE;
  }

  /** The ring has an entry for every slot there is: it is never full. */
  push(slot: number): void {
    const { op, offset, length, mode } = this.#requests;
    const sqes = this.#sqes;
    const at = (this.#sqTail & this.#sqMask) * SQE_WORDS;
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
    return this.#behind() || rings[this.#cqHeadAt]! !== Atomics.load(rings, this.#cqTailAt);
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
      let head = rings[this.#cqHeadAt]!;
      for (let tail = Atomics.load(rings, this.#cqTailAt); head !== tail; ) {
        const at = this.#cqesAt + (head & this.#cqMask) * CQE_WORDS;
        const slot = rings[at]!;
        const result = rings[at + 2]!;
        head = (head + 1) | 0;
        Atomics.store(rings, this.#cqHeadAt, head);
        this.#owner.complete(slot, result);
        if (head === tail) tail = Atomics.load(rings, this.#cqTailAt);
      }
      if (!this.#behind() && this.#waiting === 0) return;
      // The kernel may set it behind work that has just been done, and clears it with work alone: left to it, we would enter for ever.
      Atomics.and(rings, this.#sqFlagsAt, ~SQ_TASKRUN);
      if (!this.#enter(ENTER_GETEVENTS)) return;
    }
  }

  /** Whether the kernel has answers that it gives when it is entered. */
  #behind(): boolean {
    return (Atomics.load(this.#rings, this.#sqFlagsAt) & (SQ_TASKRUN | SQ_CQ_OVERFLOW)) !== 0;
  }

  #quiet(flags: number): void {
    if (this.#cqFlagsAt !== 0) Atomics.store(this.#rings, this.#cqFlagsAt, flags);
  }

  /** False: the kernel has no room or time now, another turn is on its way. */
  #enter(flags: number): boolean {
    Atomics.store(this.#rings, this.#sqTailAt, this.#sqTail);
    let taken: number;
    do {
      taken = ffi.ioUringEnter(ENTER, this.#fd, this.#waiting, 0, flags, null, 0);
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
    for (const area of this.#areas) area.unmap();
    ffi.close(this.#fd);
  }

  #map(offset: number, length: number): ArrayBufferLike {
    const area = mapDescriptor(this.#fd, offset, Math.ceil(length / 4096) * 4096, 'rw');
    this.#areas.push(area);
    return area.bytes.buffer;
  }
}

function setUp(entries: number, params: Uint32Array): ffi.Descriptor {
  let errno = 0;
  for (const flags of SETUPS) {
    params.fill(0);
    params[Params.FLAGS] = flags;
    const fd = ffi.ioUringSetup(SETUP, entries, params);
    if (fd >= 0) {
      const wanted = FEAT_SINGLE_MMAP | FEAT_RW_CUR_POS;
      if ((params[Params.FEATURES]! & wanted) === wanted) return fd;
      ffi.close(fd);
      throw new OsError(Errno.ENOSYS, 'io_uring of this kernel is too old');
    }
    errno = ffi.errno();
    // A flag that this kernel does not know.
    if (errno !== Errno.EINVAL) break;
  }
  throw new OsError(errno, 'io_uring_setup');
}
