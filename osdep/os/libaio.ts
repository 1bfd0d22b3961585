/**
 * Disk requests through Linux's older asynchronous I/O, for where io_uring is refused: reads and writes that bypass the page
 * cache. Anything else would make the call wait, so it is not for this engine. See io_submit(2), io_getevents(2),
 * linux/aio_abi.h.
 */
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';
import { type IoEngine, type IoOwner, type IoRequests, Op, TWO_32 } from './iorequests.ts';
import { kernelWords } from './mmap.ts';

const numbers: Partial<Record<string, readonly [number, number, number, number]>> = {
  x64: [206, 207, 208, 209],
  arm64: [0, 1, 4, 2],
};

const [PREADV, PWRITEV] = [7, 8];
const FLAG_RESFD = 1;

// struct iocb is 64 bytes: u64 data; u32 key, u32 flags; u16 operation, s16 priority; u32 fd; u64 buffer; u64 count;
// s64 offset; u64 reserved; u32 flags, u32 eventfd. struct io_event is 32: u64 data, u64 iocb, s64 result, s64 result 2.
const IOCB_WORDS = 16;
const IOCB_BYTES = 64;
const EVENT_WORDS = 8;

// A context's address is that of the ring of answers, struct aio_ring: u32 id, number, head, tail, magic.
const [RING_HEAD, RING_TAIL, RING_MAGIC, RING_WORDS] = [2, 3, 4, 8];
const MAGIC = 0xa10a_10a1 | 0;

export class AioEngine implements IoEngine {
  readonly #owner: IoOwner;
  readonly #requests: IoRequests;
  readonly #context: bigint;
  /** Undefined: of a kind that we do not know. */
  #ring: Int32Array | undefined;
  readonly #setup: number;
  readonly #destroy: number;
  readonly #getEvents: number;
  readonly #submit: number;
  /** A control block for each slot, where they lie, and the pointers to those that wait to be handed over. */
  readonly #blocks: Uint32Array;
  readonly #blocksAddress: number;
  readonly #pointers: Uint32Array;
  #waiting = 0;
  /** The kernel had no room for all of them. */
  #refused = false;
  readonly #events: Int32Array;
  #next = 0;
  #count = 0;

  /** Throws OsError where it is refused, or where the system's events (/proc/sys/fs/aio-max-nr) are used up. */
  constructor(owner: IoOwner) {
    this.#owner = owner;
    this.#requests = owner.requests;
    const { depth } = owner.requests;
    const known = numbers[process.arch];
    if (known === undefined) throw new OsError(Errno.ENOSYS, 'io_setup');
    [this.#setup, this.#destroy, this.#getEvents, this.#submit] = known;
    const context = new BigUint64Array(1);
    if (ffi.aioSetup(this.#setup, depth, context) < 0) throw new OsError(ffi.errno(), 'io_setup');
    this.#context = context[0]!;
    const ring = kernelWords(this.#context, RING_WORDS);
    this.#ring = ring[RING_MAGIC] === MAGIC ? ring : undefined;
    this.#blocks = new Uint32Array(depth * IOCB_WORDS);
    this.#blocksAddress = Number(ffi.addressOf(this.#blocks));
    this.#pointers = new Uint32Array(depth * 2);
    this.#events = new Int32Array(depth * EVENT_WORDS);
  }

  accepts(slot: number): boolean {
    return this.#requests.op[slot]! <= Op.WRITE && this.#requests.files[slot]!.direct;
  }

  push(slot: number): void {
    const requests = this.#requests;
    const blocks = this.#blocks;
    const at = slot * IOCB_WORDS;
    const address = requests.iovAddress(slot);
    const offset = requests.offset[slot]!;
    blocks.fill(0, at, at + IOCB_WORDS);
    blocks[at] = slot;
    blocks[at + 4] = requests.op[slot] === Op.WRITE ? PWRITEV : PREADV;
    blocks[at + 5] = requests.files[slot]!.fd;
    blocks[at + 6] = address;
    blocks[at + 7] = address / TWO_32;
    blocks[at + 8] = requests.vectorsLeft(slot);
    blocks[at + 10] = offset;
    blocks[at + 11] = offset / TWO_32;
    blocks[at + 14] = FLAG_RESFD;
    blocks[at + 15] = this.#owner.eventFd;
    this.#point(this.#waiting++, slot);
  }

  submit(): void {
    this.#refused = false;
    let done = 0;
    while (done < this.#waiting) {
      const pointers = done === 0 ? this.#pointers : this.#pointers.subarray(done * 2);
      const taken = ffi.aioSubmit(this.#submit, this.#context, this.#waiting - done, pointers);
      if (taken > 0) {
        done += taken;
        continue;
      }
      const errno = taken < 0 ? ffi.errno() : Errno.EAGAIN;
      if (errno === Errno.EAGAIN || errno === Errno.EINTR || errno === Errno.ENOMEM) {
        this.#owner.kick();
        this.#refused = true;
        break;
      }
      // The first of them is what the kernel will not have.
      this.#owner.settle(this.#slotAt(done), -errno);
      done += 1;
    }
    this.#pointers.copyWithin(0, done * 2, this.#waiting * 2);
    this.#waiting -= done;
  }

  get ready(): boolean {
    const ring = this.#ring;
    return ring !== undefined && Atomics.load(ring, RING_HEAD) !== Atomics.load(ring, RING_TAIL);
  }

  /** The descriptor belongs to the request here, whoever looks. */
  waking(): void {}

  reap(): void {
    const events = this.#events;
    do {
      if (this.#waiting > 0) this.submit();
      for (;;) {
        while (this.#next < this.#count) {
          const at = this.#next++ * EVENT_WORDS;
          this.#owner.complete(events[at]!, events[at + 4]!);
        }
        this.#next = 0;
        this.#count = 0;
        if (this.#ring !== undefined && !this.ready) break;
        const { depth } = this.#requests;
        const count = ffi.aioGetEvents(this.#getEvents, this.#context, 0, depth, events, null);
        if (count <= 0) break;
        this.#count = count;
      }
      // What is done in part is handed over again.
    } while (this.#waiting > 0 && !this.#refused);
  }

  close(): void {
    this.#ring = undefined;
    ffi.aioDestroy(this.#destroy, this.#context);
  }

  #point(index: number, slot: number): void {
    const address = this.#blocksAddress + slot * IOCB_BYTES;
    this.#pointers[index * 2] = address;
    this.#pointers[index * 2 + 1] = address / TWO_32;
  }

  #slotAt(index: number): number {
    const address = this.#pointers[index * 2]! + this.#pointers[index * 2 + 1]! * TWO_32;
    return (address - this.#blocksAddress) / IOCB_BYTES;
  }
}
