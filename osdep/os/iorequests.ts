/**
 * Disk requests that have been begun and not yet answered, as columns of numbers: a request is a slot, its number the tag
 * by which the kernel and the caller name it. Nothing is allocated for a request. Knows how struct iovec lies in memory and
 * nothing of who carries requests out.
 */
import type { DiskFile } from './diskfile.ts';
import { addressOf } from './ffi.ts';
import type { IoMemory } from './iomemory.ts';

/** What a slot asks for. NOTHING: refused before the kernel saw it, `mode` says why. */
export const Op = { READ: 0, WRITE: 1, FLUSH: 2, FALLOCATE: 3, IOCTL: 4, NOTHING: 5 } as const;

/** struct iovec: u64 address, u64 length. */
const IOV_BYTES = 16;
const IOV_WORDS = 4;

/** What goes through one request at most; the kernel's own limit for one call is a page short of 2 GiB. */
const LENGTH_MAX = 1 << 30;

export const TWO_32 = 0x1_0000_0000;

export class IoRequests {
  readonly depth: number;
  readonly maxVectors: number;
  readonly op: Uint8Array;
  /** Bytes into the file; moves on when part of a request is done. */
  readonly offset: Float64Array;
  /** Bytes in all, and how many of them are done. */
  readonly length: Float64Array;
  readonly done: Float64Array;
  /** fallocate's mode, an ioctl's number, or an error number. */
  readonly mode: Int32Array;
  /** The vectors still to do: from `first` up to `end`, within the slot's own. */
  readonly first: Uint16Array;
  readonly end: Uint16Array;
  readonly files: (DiskFile | undefined)[];
  /** All slots' struct iovec's, `maxVectors` each. */
  readonly iov: Uint32Array;
  readonly #iovAddress: number;
  readonly #memories: (IoMemory | undefined)[];
  readonly #free: Uint16Array;
  #freeCount: number;

  constructor(depth: number, maxVectors: number) {
    this.depth = depth;
    this.maxVectors = maxVectors;
    this.op = new Uint8Array(depth);
    this.offset = new Float64Array(depth);
    this.length = new Float64Array(depth);
    this.done = new Float64Array(depth);
    this.mode = new Int32Array(depth);
    this.first = new Uint16Array(depth);
    this.end = new Uint16Array(depth);
    this.files = new Array<DiskFile | undefined>(depth).fill(undefined);
    this.iov = new Uint32Array(depth * maxVectors * IOV_WORDS);
    this.#iovAddress = Number(addressOf(this.iov));
    this.#memories = new Array<IoMemory | undefined>(depth * maxVectors).fill(undefined);
    this.#free = Uint16Array.from({ length: depth }, (_, i) => depth - 1 - i);
    this.#freeCount = depth;
  }

  /** Slots that nobody has. */
  get room(): number {
    return this.#freeCount;
  }

  /** A slot; undefined behaviour without room. */
  take(op: number, file: DiskFile, offset: number, mode: number): number {
    const slot = this.#free[--this.#freeCount]!;
    this.op[slot] = op;
    this.offset[slot] = offset;
    this.length[slot] = 0;
    this.done[slot] = 0;
    this.mode[slot] = mode;
    this.first[slot] = 0;
    this.end[slot] = 0;
    this.files[slot] = file;
    return slot;
  }

  /** The slot can be taken again; what it referred to is let go. */
  give(slot: number): void {
    const from = slot * this.maxVectors;
    const end = from + this.end[slot]!;
    for (let i = from; i < end; i++) {
      this.#memories[i]!.release();
      this.#memories[i] = undefined;
    }
    this.files[slot] = undefined;
    this.#free[this.#freeCount++] = slot;
  }

  /** Appends memory to a slot, merged with what it follows. False: it takes no more vectors. */
  add(slot: number, memory: IoMemory, offset: number, length: number): boolean {
    if (!(offset >= 0 && length > 0 && offset + length <= memory.bytes.length)) {
      throw new RangeError(`${length} bytes at ${offset} of a memory of ${memory.bytes.length}`);
    }
    const total = this.length[slot]! + length;
    if (total > LENGTH_MAX) return false;
    const address = memory.address + offset;
    const count = this.end[slot]!;
    const index = slot * this.maxVectors + count;
    if (count > 0 && this.#memories[index - 1] === memory) {
      const last = index - 1;
      const lastLength = this.iov[last * IOV_WORDS + 2]!;
      if (this.address(last) + lastLength === address) {
        this.iov[last * IOV_WORDS + 2] = lastLength + length;
        this.length[slot] = total;
        return true;
      }
    }
    if (count === this.maxVectors) return false;
    memory.retain();
    this.#memories[index] = memory;
    this.end[slot] = count + 1;
    this.length[slot] = total;
    this.aim(index, address, length);
    return true;
  }

  /** Where a vector starts. `index`: among all slots' vectors. */
  address(index: number): number {
    return this.iov[index * IOV_WORDS]! + this.iov[index * IOV_WORDS + 1]! * TWO_32;
  }

  vectorLength(index: number): number {
    return this.iov[index * IOV_WORDS + 2]!;
  }

  memory(index: number): IoMemory {
    return this.#memories[index]!;
  }

  aim(index: number, address: number, length: number): void {
    const at = index * IOV_WORDS;
    this.iov[at] = address;
    this.iov[at + 1] = address / TWO_32;
    this.iov[at + 2] = length;
    this.iov[at + 3] = 0;
  }

  /** A slot's first vector that is still to do, and how many there are. */
  firstVector(slot: number): number {
    return slot * this.maxVectors + this.first[slot]!;
  }

  vectorsLeft(slot: number): number {
    return this.end[slot]! - this.first[slot]!;
  }

  /** Where the struct iovec's of what is still to do lie. */
  iovAddress(slot: number): number {
    return this.#iovAddress + this.firstVector(slot) * IOV_BYTES;
  }

  /** So many bytes more are done. */
  advance(slot: number, bytes: number): void {
    this.done[slot]! += bytes;
    this.offset[slot]! += bytes;
    let left = bytes;
    while (left > 0) {
      const index = this.firstVector(slot);
      const length = this.vectorLength(index);
      if (length > left) {
        this.aim(index, this.address(index) + left, length - left);
        return;
      }
      left -= length;
      this.first[slot]! += 1;
    }
  }
}

/** Who carries requests out. `push` gathers, `submit` hands over all that was gathered. */
export interface IoEngine {
  /** Whether this slot is for it. */
  accepts(slot: number): boolean;
  push(slot: number): void;
  submit(): void;
  /** Hands over what was gathered, then tells of what is done: bytes, or minus an error number. */
  reap(): void;
  /** Whether `reap` would tell of something; a look at memory. */
  readonly ready: boolean;
  /** False: whoever `reap`s looks by himself, and need not be woken by the descriptor; where that can be told to the kernel. */
  waking(wanted: boolean): void;
  /** With nothing in flight. */
  close(): void;
}

/** What an engine is given. */
export interface IoOwner {
  readonly requests: IoRequests;
  /** Written to when something is done. */
  readonly eventFd: number;
  /** Of a request that is done; from `reap` only. May push. */
  complete(slot: number, result: number): void;
  /** The same, from anywhere: told in the next turn. */
  settle(slot: number, result: number): void;
  /** There will be a next turn soon, in which `reap` is called. */
  kick(): void;
}
