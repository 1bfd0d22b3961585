/**
 * Writing and reading runs of plain values in a buffer: little-endian, strings one byte a character, numbers that may pass 32 bits as
 * doubles. Knows no record. Reading past the end throws RangeError; nothing is ever written past it.
 */
import { readLatin1, writeLatin1 } from '../wire/latin1.ts';

const SMALL_BYTES = 64 * 1024;
const KEEP_BYTES = 1024 * 1024;

/** A buffer that grows, written from the front again for every commit. */
export class Encoder {
  bytes: Buffer = Buffer.allocUnsafeSlow(SMALL_BYTES);
  at = 0;
  #view: DataView = viewOf(this.bytes);

  /** Begins anew, leaving `room` bytes for the caller's own header. A buffer that one giant commit made is given back. */
  restart(room: number): void {
    if (this.bytes.length > KEEP_BYTES) {
      this.bytes = Buffer.allocUnsafeSlow(SMALL_BYTES);
      this.#view = viewOf(this.bytes);
    }
    this.at = room;
  }

  /** Makes room for `size` more bytes: whoever writes has asked for all of it before. */
  reserve(size: number): void {
    const needed = this.at + size;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  u8(value: number): void {
    this.#view.setUint8(this.at, value);
    this.at += 1;
  }

  u16(value: number): void {
    this.#view.setUint16(this.at, value, true);
    this.at += 2;
  }

  u32(value: number): void {
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  u64(value: bigint): void {
    this.#view.setBigUint64(this.at, value, true);
    this.at += 8;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  text(value: string): void {
    writeLatin1(this.bytes, value, this.at);
    this.at += value.length;
  }

  blob(value: Buffer): void {
    this.at += value.copy(this.bytes, this.at);
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
    this.#view = viewOf(larger);
  }
}

/** Reads one payload from its front. Buffer's own reads throw RangeError past the end; text and blob do the same here. */
export class Decoder {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  f64(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  text(length: number): string {
    const at = this.#take(length);
    return readLatin1(this.#bytes, at, at + length);
  }

  blob(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw new RangeError('a record is shorter than it says');
    this.#at = at + length;
    return at;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
