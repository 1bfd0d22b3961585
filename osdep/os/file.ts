/**
 * Disk I/O, the one door: requests on any number of files and block devices, handed over in batches, answered through a
 * `Poller`, never waited for. Chooses at run time who carries them out, and says who does: io_uring, else libaio's system
 * calls, else Node's thread pool, which also takes what an engine cannot do. Knows nothing of what is on a disk, nor in which
 * order requests that touch the same bytes belong: those in flight together are carried out in any order.
 *
 *     const disk = new DiskFile('/dev/vg/guest', { direct: 'try' });
 *     const queue = new IoQueue({ poller, onDone: (tag, result) => { ... } });
 *     const memory = new IoMemory(mapping.bytes);      // once for a mapping
 *     const tag = queue.write(disk, sector * 512);     // a number below queue.depth, to remember things by
 *     queue.add(memory, 0, 4096);
 *     queue.submit();                                  // once a turn
 */
import { Errno, OsError } from '../errno.ts';
import {
  type DiskFile,
  discardRequest,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
} from './diskfile.ts';
import * as ffi from './ffi.ts';
import { Bounces } from './iobounce.ts';
import type { IoMemory } from './iomemory.ts';
import { type IoEngine, type IoOwner, IoRequests, Op } from './iorequests.ts';
import { ThreadEngine } from './iothreads.ts';
import { UringEngine } from './iouring.ts';
import { AioEngine } from './libaio.ts';
import { EDGE, type Poller, READABLE } from './poll.ts';

export type EngineName = 'io_uring' | 'libaio' | 'threads';

export interface IoQueueOptions {
  /** Closed after the queue, not before. */
  readonly poller: Poller;
  /** Requests that may be begun and not answered, 1 to 16384; default 256. */
  readonly depth?: number;
  /** Pieces of memory in one request, neighbours counted as one: 1 to 1024; default 256. */
  readonly maxVectors?: number;
  /** In order of preference; the first that this machine grants. Default: all, the fastest first. */
  readonly engines?: readonly EngineName[];
  /**
   * A request is done: bytes transferred (0 for those that transfer none), or minus an error number. Fewer bytes than asked for
   * only at the end of the file. The tag may be taken again from now on. Called in turns of the poller, by `advance` or by `reap`.
   */
  onDone(tag: number, result: number): void;
  /** So much for now: after one or several `onDone`. */
  onTold?(): void;
}

const ALL: readonly EngineName[] = ['io_uring', 'libaio', 'threads'];

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const ONE = new BigUint64Array([1n]);

const ZERO = FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE;
const PUNCH = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE;

export class IoQueue {
  readonly depth: number;
  /** Who carries out what it can; the thread pool does the rest (`engineOf`). */
  readonly engine: EngineName;
  /** Who was preferred and why it was not granted, as in `io_uring: EPERM`. */
  readonly refused: readonly string[];
  readonly #poller: Poller;
  readonly #onDone: (tag: number, result: number) => void;
  readonly #onTold: (() => void) | undefined;
  /** Something was told since `onTold`. */
  #told = false;
  readonly #requests: IoRequests;
  readonly #bounces: Bounces;
  readonly #eventFd: ffi.Descriptor;
  readonly #main: IoEngine;
  readonly #threads: ThreadEngine;
  /** Begun and not handed over. */
  readonly #pending: Uint16Array;
  #pendingCount = 0;
  /** Done, and to be told in the next turn. */
  readonly #settled: Uint16Array;
  readonly #results: Int32Array;
  #settledCount = 0;
  #reaping = false;
  #restarted = false;
  #waking = true;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;

  /** Throws OsError if none of the engines is granted. */
  constructor({ poller, depth = 256, maxVectors = 256, engines = ALL, onDone, onTold }: IoQueueOptions) {
    if (!(depth >= 1 && depth <= 16384)) throw new RangeError(`a queue ${depth} deep (1 to 16384)`);
    if (!(maxVectors >= 1 && maxVectors <= 1024)) throw new RangeError(`${maxVectors} vectors (1 to 1024)`);
    this.depth = depth;
    this.#poller = poller;
    this.#onDone = onDone;
    this.#onTold = onTold;
    this.#requests = new IoRequests(depth, maxVectors);
    this.#bounces = new Bounces(this.#requests);
    this.#pending = new Uint16Array(depth);
    this.#settled = new Uint16Array(depth);
    this.#results = new Int32Array(depth);
    this.#eventFd = ffi.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.#eventFd < 0) throw new OsError(ffi.errno(), 'eventfd');
    const owner: IoOwner = {
      requests: this.#requests,
      eventFd: this.#eventFd,
      complete: (slot, result) => this.#complete(slot, result),
      settle: (slot, result) => this.#settle(slot, result),
      kick: () => this.#kick(),
    };
    this.#threads = new ThreadEngine(owner);
    try {
      const chosen = choose(engines, owner, this.#threads);
      this.#main = chosen.engine;
      this.engine = chosen.name;
      this.refused = chosen.refused;
      // By edge: each completion is an event of its own, and nobody has to read the counter.
      poller.add(this.#eventFd, READABLE | EDGE, () => this.reap());
    } catch (error) {
      ffi.close(this.#eventFd);
      throw error;
    }
  }

  /** How many requests may still be begun. */
  get room(): number {
    return this.#requests.room;
  }

  /** Begun and not answered. */
  get inFlight(): number {
    return this.depth - this.#requests.room;
  }

  /** Who reads and writes this disk. */
  engineOf(disk: DiskFile): EngineName {
    return this.engine === 'libaio' && !disk.direct ? 'threads' : this.engine;
  }

  /** Begins reading at a byte offset: a tag, or -1 without room. What to read into is added next. */
  read(disk: DiskFile, offset: number): number {
    return this.#begin(Op.READ, disk, offset, 0, 0);
  }

  /** Begins writing; a file grows where it has to. EROFS: opened for reading. */
  write(disk: DiskFile, offset: number): number {
    return this.#begin(disk.readOnly ? Op.NOTHING : Op.WRITE, disk, offset, 0, Errno.EROFS);
  }

  /**
   * Memory for the request begun last, after what it has: false, it takes no more (a request takes `maxVectors` pieces, and
   * 1 GiB). RangeError: not within the memory.
   */
  add(memory: IoMemory, offset: number, length: number): boolean {
    if (this.#pendingCount === 0) throw new Error('memory for no request');
    return this.#requests.add(this.#pending[this.#pendingCount - 1]!, memory, offset, length);
  }

  /** What had been answered when this is submitted is on the medium when it is answered. A tag or -1. */
  flush(disk: DiskFile): number {
    return this.#begin(Op.FLUSH, disk, 0, 0, 0);
  }

  /**
   * The bytes are not needed any more; a file's read as zeros from then on, a device's as it likes. EOPNOTSUPP: not here
   * (`DiskFile.discard` tells). A tag or -1.
   */
  discard(disk: DiskFile, offset: number, length: number): number {
    return this.#discard(disk, offset, length, false);
  }

  /** The same, and nobody can get at them afterwards; block devices that can alone. */
  secureDiscard(disk: DiskFile, offset: number, length: number): number {
    return this.#discard(disk, offset, length, true);
  }

  /** The bytes are zeros from then on, without being sent if that goes. EOPNOTSUPP: write them. A tag or -1. */
  zero(disk: DiskFile, offset: number, length: number): number {
    if (disk.readOnly) return this.#begin(Op.NOTHING, disk, offset, length, Errno.EROFS);
    return this.#begin(Op.FALLOCATE, disk, offset, length, ZERO);
  }

  /** Hands over what was begun. Never calls back. */
  submit(): void {
    this.#startPending();
    this.#main.submit();
    if (this.#main !== this.#threads) this.#threads.submit();
  }

  /** Hands over what was begun and tells of what is done by then, in one call to the kernel: nobody is woken for what is done at once. */
  advance(): void {
    // From `onDone`, what is done by then is told behind it.
    if (this.#reaping) this.submit();
    this.#startPending();
    this.reap();
  }

  /** Whether `reap` would tell of something. Costs a look at memory: for those who look out for a while. */
  get ready(): boolean {
    return this.#settledCount > 0 || this.#main.ready;
  }

  /** False: whoever set it looks by himself for a while, and the poller need not wake him; then true, and one last look. */
  set waking(wanted: boolean) {
    this.#waking = wanted;
    this.#main.waking(wanted);
  }

  get waking(): boolean {
    return this.#waking;
  }

  /** Tells of what is done already, for who cannot wait for the poller's next turn. */
  reap(): void {
    if (this.#reaping) return;
    this.#reaping = true;
    let finished = false;
    try {
      if (this.#main !== this.#threads) this.#threads.submit();
      this.#main.reap();
      while (this.#settledCount > 0) {
        const last = --this.#settledCount;
        this.#complete(this.#settled[last]!, this.#results[last]!);
      }
      if (this.#restarted) {
        this.#restarted = false;
        this.#main.submit();
        this.#threads.submit();
      }
      finished = true;
    } finally {
      this.#reaping = false;
      // A callback threw: the rest is told in a turn of its own.
      if (!finished) this.#kick();
    }
    if (this.#told) {
      this.#told = false;
      this.#onTold?.();
    }
    this.#leaveIfIdle();
  }

  /**
   * Submits what was begun and resolves when all is answered: nothing touches memory any more. Disks stay open, they are their
   * owner's.
   */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.submit();
      this.#whenIdle = resolve;
      this.waking = true;
      this.#kick();
    });
    return this.#closing;
  }

  #begin(op: number, disk: DiskFile, offset: number, length: number, mode: number): number {
    if (this.#closing !== undefined) throw new Error('the disk queue is closed');
    const requests = this.#requests;
    if (requests.room === 0) return -1;
    const slot = disk.closing
      ? requests.take(Op.NOTHING, disk, offset, Errno.EBADF)
      : requests.take(op, disk, offset, mode);
    requests.length[slot] = op >= Op.FALLOCATE ? length : 0;
    disk.retain();
    this.#pending[this.#pendingCount++] = slot;
    return slot;
  }

  #discard(disk: DiskFile, offset: number, length: number, secure: boolean): number {
    if (disk.readOnly) return this.#begin(Op.NOTHING, disk, offset, length, Errno.EROFS);
    if (disk.kind === 'block') return this.#begin(Op.IOCTL, disk, offset, length, discardRequest(secure));
    if (secure) return this.#begin(Op.NOTHING, disk, offset, length, Errno.EOPNOTSUPP);
    return this.#begin(Op.FALLOCATE, disk, offset, length, PUNCH);
  }

  #startPending(): void {
    const count = this.#pendingCount;
    this.#pendingCount = 0;
    for (let i = 0; i < count; i++) this.#start(this.#pending[i]!);
  }

  #start(slot: number): void {
    const { op, end, mode } = this.#requests;
    if (op[slot] === Op.NOTHING) this.#settle(slot, -mode[slot]!);
    else if (op[slot]! <= Op.WRITE && end[slot] === 0) this.#settle(slot, 0);
    else {
      if (op[slot]! <= Op.WRITE && this.#bounces.wants(slot)) this.#bounces.begin(slot);
      this.#push(slot);
    }
  }

  #push(slot: number): void {
    (this.#main.accepts(slot) ? this.#main : this.#threads).push(slot);
  }

  /** Part of it, or a failed attempt at it, is behind us: the rest. */
  #restart(slot: number): void {
    this.#restarted = true;
    this.#push(slot);
  }

  #complete(slot: number, result: number): void {
    const requests = this.#requests;
    const op = requests.op[slot]!;
    if (result === -Errno.EINTR) this.#restart(slot);
    else if (op <= Op.WRITE) this.#transferred(slot, result);
    else if (op === Op.FALLOCATE && result === -Errno.EOPNOTSUPP && requests.mode[slot] === ZERO) {
      // tmpfs has holes and no other way to zeros; a device's holes may be no zeros.
      if (requests.files[slot]!.kind === 'block') this.#finish(slot, result);
      else {
        requests.mode[slot] = PUNCH;
        this.#restart(slot);
      }
    } else this.#finish(slot, Math.min(result, 0));
  }

  #transferred(slot: number, result: number): void {
    const requests = this.#requests;
    if (result > 0) {
      requests.advance(slot, result);
      const left = requests.done[slot]! < requests.length[slot]!;
      const atEnd =
        requests.op[slot] === Op.READ && requests.offset[slot]! >= requests.files[slot]!.sizeBytes;
      if (left && !atEnd) {
        this.#restart(slot);
        return;
      }
    }
    this.#finish(slot, result < 0 ? result : requests.done[slot]!);
  }

  #finish(slot: number, result: number): void {
    const disk = this.#requests.files[slot]!;
    this.#bounces.end(slot, result);
    this.#requests.give(slot);
    disk.release();
    this.#told = true;
    this.#onDone(slot, result);
  }

  #settle(slot: number, result: number): void {
    this.#settled[this.#settledCount] = slot;
    this.#results[this.#settledCount++] = result;
    this.#kick();
  }

  #kick(): void {
    ffi.write(this.#eventFd, ONE, 8);
  }

  #leaveIfIdle(): void {
    const whenIdle = this.#whenIdle;
    if (whenIdle === undefined || this.inFlight > 0) return;
    this.#whenIdle = undefined;
    this.#poller.remove(this.#eventFd);
    this.#main.close();
    ffi.close(this.#eventFd);
    whenIdle();
  }
}

function choose(
  engines: readonly EngineName[],
  owner: IoOwner,
  threads: ThreadEngine,
): { readonly engine: IoEngine; readonly name: EngineName; readonly refused: readonly string[] } {
  const refused: string[] = [];
  let errno: number = Errno.EINVAL;
  for (const name of engines) {
    try {
      const engine =
        name === 'io_uring' ? new UringEngine(owner) : name === 'libaio' ? new AioEngine(owner) : threads;
      return { engine, name, refused };
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      refused.push(`${name}: ${error.code}`);
      errno = error.errno;
    }
  }
  throw new OsError(errno, `no way of disk I/O (${refused.join(', ')})`);
}
