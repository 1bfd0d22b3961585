/**
 * Memory that disk requests and sockets read into and write from: a mapping's bytes (granted pages, say) or a Buffer. Its address is
 * taken once, and while a request is in flight on a mapping, the mapping stays, whoever unmaps it. Knows no disk and no socket.
 */
import { addressOf } from './ffi.ts';
import { areaOf, type MappedArea } from './mmap.ts';

const PAGE = 4096;

export class IoMemory {
  readonly bytes: Uint8Array;
  /** Of the first byte. Below 2^53 on the machines that we know, so a number is exact. */
  readonly address: number;
  readonly #area: MappedArea | undefined;

  /** `bytes`: a mapping's or a part of them, or a Buffer's, kept alive as long as this is. Not empty. */
  constructor(bytes: Uint8Array) {
    if (bytes.length === 0) throw new RangeError('memory for disk requests is empty');
    this.bytes = bytes;
    this.#area = areaOf(bytes);
    this.address = Number(addressOf(bytes));
  }

  /** Zeroed memory of our own that starts at a page, as direct I/O likes it. */
  static allocate(length: number): IoMemory {
    const spacious = Buffer.alloc(length + PAGE);
    const start = PAGE - (Number(addressOf(spacious)) % PAGE);
    return new IoMemory(spacious.subarray(start, start + length));
  }

  /** One more request is in flight on it. */
  retain(): void {
    this.#area?.retain();
  }

  release(): void {
    this.#area?.release();
  }
}
