/**
 * Mapped memory and its lifetime: the only maker of views of memory that is not JavaScript's own. Knows nothing of
 * who shares it. See mmap(2).
 *
 * A view of a mapping outlives `munmap`, and touching it then ends the process. So three things happen here. `bytes`
 * is empty from the moment of `unmap` on. Whoever has I/O in flight holds the area, and it stays until the last one
 * lets go. And the pages are then not simply taken away but replaced by private zeroed ones, in one step; the address
 * is given back when nothing of JavaScript refers to it any more. What somebody forgot to hold can therefore reach
 * neither the shared memory nor somebody else's.
 */
import { OsError } from '../errno.ts';
import { type Descriptor, errno, mmap, munmap, viewOf } from './ffi.ts';

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const PAGE = 4096;
const NOTHING = new Uint8Array(0);

/** Part of an area, in bytes, a multiple of the page size each. `fd` undefined: a hole, private and zero. */
export interface Piece {
  readonly fd: Descriptor | undefined;
  readonly offset: number;
  readonly length: number;
}

export type Protection = 'r' | 'rw';

interface Span {
  readonly address: bigint;
  readonly length: number;
}

/** Gives addresses back once their last view is collected. Areas never unmapped go the same way. */
const collected = new FinalizationRegistry<Span>(({ address, length }) => {
  munmap(address, length);
});

/** Which area a view is of. */
const areas = new WeakMap<ArrayBufferLike, MappedArea>();

/** The area that these bytes, or what they are a part of, were taken from; undefined: memory of JavaScript's own. */
export function areaOf(bytes: Uint8Array): MappedArea | undefined {
  return areas.get(bytes.buffer);
}

export class MappedArea {
  readonly length: number;
  readonly writable: boolean;
  #bytes: Uint8Array;
  readonly #span: Span;
  #holds = 0;
  #unmapped = false;
  #gone = false;
  #whenGone: (() => void) | undefined;

  /** For `mapPieces`. */
  constructor(address: bigint, length: number, protection: Protection) {
    this.length = length;
    this.writable = protection === 'rw';
    this.#span = { address, length };
    const buffer = viewOf(address, length);
    collected.register(buffer, this.#span);
    this.#bytes = new Uint8Array(buffer);
    areas.set(buffer, this);
  }

  /** The area; of length 0 once unmapped. Storing into a read-only one ends the process. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** How many operations on the area are in flight. */
  get inFlight(): number {
    return this.#holds;
  }

  /** Where the area starts; for ioctls that name memory by address. */
  get address(): bigint {
    return this.#span.address;
  }

  /** For the time of an operation that works on `bytes` by itself (a file read, say). The result ends it. */
  hold(): () => void {
    this.retain();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.release();
    };
  }

  /** As `hold`, for who counts by itself and calls `release` as often: nothing is allocated. */
  retain(): void {
    this.#holds += 1;
  }

  release(): void {
    this.#holds -= 1;
    this.#leaveIfIdle();
  }

  /**
   * Takes the area away: from `bytes` at once, from the address space when nothing is in flight on it any more, which
   * is when `whenGone` is called (perhaps before this returns). Idempotent.
   */
  unmap(whenGone?: () => void): void {
    if (this.#unmapped) return;
    this.#unmapped = true;
    this.#bytes = NOTHING;
    this.#whenGone = whenGone;
    this.#leaveIfIdle();
  }

  #leaveIfIdle(): void {
    if (!this.#unmapped || this.#holds > 0 || this.#gone) return;
    this.#gone = true;
    const { address, length } = this.#span;
    place(address, { fd: undefined, offset: 0, length }, 'rw');
    this.#whenGone?.();
  }
}

/** Maps pieces of files side by side, shared. Throws OsError; the descriptors may be closed afterwards. */
export function mapPieces(pieces: readonly Piece[], protection: Protection): MappedArea {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const only = pieces.length === 1 ? pieces[0] : undefined;
  if (only?.fd !== undefined) {
    return new MappedArea(map(null, only, protection, 0), length, protection);
  }
  // The whole range first, so that the pieces have a place that is theirs.
  const address = map(null, { fd: undefined, offset: 0, length }, 'rw', 0);
  let at = address;
  for (const piece of pieces) {
    try {
      if (piece.fd !== undefined) place(at, piece, protection);
    } catch (error) {
      munmap(address, length);
      throw error;
    }
    at += BigInt(piece.length);
  }
  return new MappedArea(address, length, protection);
}

/** Words that the kernel has mapped by itself, at an address that it gave. Whoever ends that does not look at them afterwards. */
export function kernelWords(address: bigint, count: number): Int32Array {
  return new Int32Array(viewOf(address, count * 4));
}

/** Maps one stretch of a file or device, shared. */
export function mapDescriptor(
  fd: Descriptor,
  offset: number,
  length: number,
  protection: Protection,
): MappedArea {
  return mapPieces([{ fd, offset, length }], protection);
}

function place(address: bigint, piece: Piece, protection: Protection): void {
  map(address, piece, protection, MAP_FIXED);
}

function map(address: bigint | null, piece: Piece, protection: Protection, flags: number): bigint {
  const { fd, offset, length } = piece;
  if (length <= 0 || length % PAGE !== 0 || offset % PAGE !== 0) {
    throw new RangeError(`a mapping of ${length} bytes at ${offset}: not whole pages`);
  }
  const access = protection === 'rw' ? PROT_READ | PROT_WRITE : PROT_READ;
  const kind = fd === undefined ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
  const mapped = mmap(address, length, access, kind | flags, fd ?? -1, offset);
  if (mapped === MAP_FAILED) throw new OsError(errno(), `mmap of ${length} bytes`);
  return mapped;
}
