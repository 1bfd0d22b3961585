/**
 * Memory that a hypercall's words point into: the buffers of one handle, by address. Whatever else an address may be,
 * it is EFAULT here.
 */
import { Errno, OsError } from '../../errno.ts';

export interface Buffers {
  /** `length` bytes at an address; undefined where no buffer has them all. */
  find(address: bigint, length: number): Uint8Array | undefined;
}

/** A structure of the hypervisor's interface, little-endian, in place: what is set here is what the caller sees. */
export class Struct {
  readonly #view: DataView;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  static at(buffers: Buffers, address: bigint, size: number): Struct {
    const bytes = buffers.find(address, size);
    if (bytes === undefined) {
      throw new OsError(Errno.EFAULT, 'hypercall argument');
    }
    return new Struct(bytes);
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  /** Signed: -1 is how "no limit" is written. */
  s32(offset: number): number {
    return this.#view.getInt32(offset, true);
  }

  address(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  /** As a number; EINVAL beyond 2^53, which nothing here can mean. */
  u64(offset: number): number {
    const value = this.address(offset);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new OsError(Errno.EINVAL, 'hypercall argument');
    }
    return Number(value);
  }

  set8(offset: number, value: number): void {
    this.#view.setUint8(offset, value);
  }

  set16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, true);
  }

  set32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }

  set64(offset: number, value: number | bigint): void {
    this.#view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
  }

  clear(offset: number, length: number): void {
    this.bytes.fill(0, offset, offset + length);
  }

  sub(offset: number, length: number): Struct {
    return new Struct(this.bytes.subarray(offset, offset + length));
  }
}

export function u64Array(buffers: Buffers, address: bigint, count: number): number[] {
  const array = Struct.at(buffers, address, count * 8);
  return Array.from({ length: count }, (_, index) => array.u64(index * 8));
}

/** 16 bytes as text of 36 characters. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

export function uuidBytes(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}
