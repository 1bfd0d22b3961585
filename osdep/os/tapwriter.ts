/**
 * Frames on their way to TAP devices, many of them in one system call where there is io_uring, and one by one where not. Each is written when
 * the call returns, and in order: nothing is kept of the memory that they are in. Knows nothing of what is in a frame. See io_uring_enter(2).
 */
import { OsError } from '../errno.ts';
import { IoMemory } from './iomemory.ts';
import type { Tap } from './tap.ts';
import { CQE_WORDS, SetupFlag, SQE_WORDS, Uring } from './uring.ts';

/** Frames in a call. */
const CAPACITY = 64;
/** Linux 5.19, by which a TAP that does not wait is written to right away. Older ones are not asked. */
const SETUPS = [SetupFlag.SUBMIT_ALL | SetupFlag.COOP_TASKRUN];
const ENTER_GETEVENTS = 1;
const WRITE = 23;
const WORD = 0x1_0000_0000;

/** What it needs of a device. */
export type Writable = Pick<Tap, 'fd' | 'write'>;

export interface TapWriterOptions {
  /** In which frames are, the same as the devices'. */
  readonly memory: Uint8Array;
  /** `try`, the default: many in a call where the kernel lets us. */
  readonly batches?: 'try' | 'no';
}

/** One for any number of devices. */
export class TapWriter {
  readonly capacity: number = CAPACITY;
  /** By frame, in the order in which they were added: its bytes, or minus an error number, as of `Tap.write`. */
  readonly results: Int32Array = new Int32Array(CAPACITY);
  readonly #positions: Uint32Array = new Uint32Array(CAPACITY);
  readonly #lengths: Uint32Array = new Uint32Array(CAPACITY);
  readonly #memory: IoMemory;
  readonly #low: number;
  readonly #high: number;
  #ring: Uring | undefined;
  #refused: string | undefined;
  #count = 0;
  #tail = 0;

  constructor({ memory, batches = 'try' }: TapWriterOptions) {
    this.#memory = new IoMemory(memory);
    this.#low = this.#memory.address % WORD;
    this.#high = Math.floor(this.#memory.address / WORD);
    if (batches === 'no') return;
    try {
      this.#ring = new Uring(CAPACITY, SETUPS);
      this.#tail = this.#ring.words[this.#ring.sqTailAt]!;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#refused = error.message;
    }
  }

  /** Why frames are written one by one, if they are though they need not have been. */
  get refused(): string | undefined {
    return this.#refused;
  }

  /** A frame, header in front; at most `capacity` until `write`. */
  add(position: number, length: number): void {
    this.#positions[this.#count] = position;
    this.#lengths[this.#count++] = length;
  }

  /** Writes those that were added: `results`. */
  write(tap: Writable): void {
    const count = this.#count;
    this.#count = 0;
    // By itself one is quicker without.
    let done = this.#ring === undefined || count < 2 ? 0 : this.#together(this.#ring, tap.fd, count);
    for (; done < count; done++) this.results[done] = tap.write(this.#positions[done]!, this.#lengths[done]!);
  }

  /** Idempotent. */
  close(): void {
    this.#ring?.close();
    this.#ring = undefined;
  }

  /** How many of them the kernel has taken, and so written. */
  #together(ring: Uring, fd: number, count: number): number {
    for (let i = 0; i < count; i++) this.#say(ring, fd, i);
    Atomics.store(ring.words, ring.sqTailAt, (this.#tail + count) | 0);
    const taken = Math.max(0, ring.enter(count, 0, 0));
    // What it has no room or time for now is as if it had not been said.
    this.#tail = (this.#tail + taken) | 0;
    if (taken < count) Atomics.store(ring.words, ring.sqTailAt, this.#tail);
    let written = this.#reap(ring);
    if (written === taken) return taken;
    // A kernel that writes them when it likes would change their order: this once, and not again.
    while (written < taken) {
      ring.enter(0, taken - written, ENTER_GETEVENTS);
      written += this.#reap(ring);
    }
    this.#refused = 'io_uring does not write to it at once';
    this.close();
    return taken;
  }

  #say({ sqes, sqMask }: Uring, fd: number, frame: number): void {
    const at = ((this.#tail + frame) & sqMask) * SQE_WORDS;
    const low = this.#low + this.#positions[frame]!;
    const carry = low >= WORD ? 1 : 0;
    sqes[at] = WRITE;
    sqes[at + 1] = fd;
    sqes[at + 4] = low - carry * WORD;
    sqes[at + 5] = this.#high + carry;
    sqes[at + 6] = this.#lengths[frame]!;
    sqes[at + 8] = frame;
  }

  #reap({ words, cqHeadAt, cqTailAt, cqesAt, cqMask }: Uring): number {
    const head = words[cqHeadAt]!;
    const tail = Atomics.load(words, cqTailAt);
    for (let next = head; next !== tail; next = (next + 1) | 0) {
      const at = cqesAt + (next & cqMask) * CQE_WORDS;
      this.results[words[at]!] = words[at + 2]!;
    }
    Atomics.store(words, cqHeadAt, tail);
    return (tail - head) | 0;
  }
}
