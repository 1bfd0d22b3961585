/**
 * io_uring's two rings, shared with the kernel: set up, mapped, entered. What goes into them and what comes out is somebody else's. See
 * io_uring(7), io_uring_setup(2), linux/io_uring.h.
 */
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';
import { type MappedArea, mapDescriptor } from './mmap.ts';

/** The same numbers on all machines. */
const [SETUP, ENTER, REGISTER] = [425, 426, 427];

export const SetupFlag: Readonly<
  Record<'SUBMIT_ALL' | 'COOP_TASKRUN' | 'TASKRUN_FLAG' | 'SINGLE_ISSUER' | 'DEFER_TASKRUN', number>
> = {
  SUBMIT_ALL: 1 << 7,
  COOP_TASKRUN: 1 << 8,
  TASKRUN_FLAG: 1 << 9,
  SINGLE_ISSUER: 1 << 12,
  DEFER_TASKRUN: 1 << 13,
};

const FEAT_SINGLE_MMAP = 1 << 0;
/** Came with Linux 5.6, as did the operations used here. */
const FEAT_RW_CUR_POS = 1 << 3;

const OFFSET_RINGS = 0;
const OFFSET_SQES = 0x1000_0000;

// struct io_uring_sqe is 64 bytes: u8 opcode, u8 flags, u16 priority; s32 fd; u64 offset; u64 address; u32 length;
// u32 flags of the operation; u64 user data. struct io_uring_cqe is 16: u64 user data, s32 result, u32 flags.
export const SQE_WORDS = 16;
export const CQE_WORDS = 4;

/** Words of struct io_uring_params. */
const Params = {
  SQ_ENTRIES: 0,
  CQ_ENTRIES: 1,
  FLAGS: 2,
  FEATURES: 5,
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

export class Uring {
  /** Both rings; entry i of the submission ring is always submission i. */
  readonly words: Int32Array;
  readonly sqes: Uint32Array;
  readonly sqMask: number;
  readonly cqMask: number;
  /** Where in `words` these are. */
  readonly sqTailAt: number;
  readonly sqFlagsAt: number;
  readonly cqHeadAt: number;
  readonly cqTailAt: number;
  readonly cqesAt: number;
  /** 0: the kernel, before Linux 5.8, has no such word. */
  readonly cqFlagsAt: number;
  readonly #fd: ffi.Descriptor;
  readonly #areas: MappedArea[] = [];

  /**
   * @param setups flags, the best first; the first that the kernel knows is taken
   * Throws OsError where the kernel does not have it, or refuses it (EPERM, ENOSYS: containers do).
   */
  constructor(entries: number, setups: readonly number[]) {
    const params = new Uint32Array(Params.WORDS);
    this.#fd = setUp(entries, setups, params);
    try {
      const word = (at: number): number => params[at]! >> 2;
      const sqEntries = params[Params.SQ_ENTRIES]!;
      const ringsEnd = Math.max(
        params[Params.SQ_ARRAY]! + sqEntries * 4,
        params[Params.CQ_CQES]! + params[Params.CQ_ENTRIES]! * CQE_WORDS * 4,
      );
      this.words = new Int32Array(this.#map(OFFSET_RINGS, ringsEnd));
      this.sqes = new Uint32Array(this.#map(OFFSET_SQES, sqEntries * SQE_WORDS * 4));
      this.sqMask = this.words[word(Params.SQ_MASK)]!;
      this.cqMask = this.words[word(Params.CQ_MASK)]!;
      this.sqTailAt = word(Params.SQ_TAIL);
      this.sqFlagsAt = word(Params.SQ_FLAGS);
      this.cqHeadAt = word(Params.CQ_HEAD);
      this.cqTailAt = word(Params.CQ_TAIL);
      this.cqesAt = word(Params.CQ_CQES);
      this.cqFlagsAt = word(Params.CQ_FLAGS);
      const array = word(Params.SQ_ARRAY);
      for (let i = 0; i < sqEntries; i++) this.words[array + i] = i;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** How many submissions the kernel has taken; -1: none, and `ffi.errno()` says why. */
  enter(submissions: number, minComplete: number, flags: number): number {
    return ffi.ioUringEnter(ENTER, this.#fd, submissions, minComplete, flags, null, 0);
  }

  /** 0, or -1 with `ffi.errno()`. */
  register(operation: number, argument: ffi.Pointer, count: number): number {
    return ffi.ioUringRegister(REGISTER, this.#fd, operation, argument, count);
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

function setUp(entries: number, setups: readonly number[], params: Uint32Array): ffi.Descriptor {
  let errno = 0;
  for (const flags of setups) {
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
