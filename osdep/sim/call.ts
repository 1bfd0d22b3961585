/**
 * libxencall on the simulator: buffers have addresses of their own making, which pointers within other buffers may
 * hold. A restricted handle is as good as closed, as where its descriptor was replaced by /dev/null.
 */
import type { Call, CallArgument, CallBuffer } from '../call.ts';
import { Errno, OsError } from '../errno.ts';
import { PAGE_SIZE } from '../mapping.ts';
import type { HandleRegistry } from '../toolcore.ts';
import type { Buffers } from './hypercall/guestmemory.ts';
import { hypercall } from './hypercall.ts';
import type { Machine } from './machine.ts';

const FIRST_ADDRESS = 0x7f00_0000_0000n;
const NOTHING = new Uint8Array(0);

class SimCallBuffer implements CallBuffer {
  readonly address: bigint;
  bytes: Uint8Array;

  constructor(address: bigint, size: number) {
    this.address = address;
    this.bytes = new Uint8Array(size);
  }
}

export class SimCall implements Call, Buffers {
  readonly fd = -1;
  readonly buffersNeverFault = true;
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #buffers = new Set<SimCallBuffer>();
  #nextAddress = FIRST_ADDRESS;
  #usable = true;

  constructor(machine: Machine, handles: HandleRegistry) {
    this.#machine = machine;
    this.#handles = handles;
    handles.register(this);
  }

  hypercall(op: number, args: readonly CallArgument[]): number {
    if (!this.#usable) {
      throw new OsError(Errno.ENOTTY, 'hypercall');
    }
    const words = args.map((arg) => (typeof arg === 'object' ? arg.address : BigInt(arg)));
    return hypercall(this.#machine, this, op, words);
  }

  allocBuffer(sizeBytes: number): CallBuffer {
    if (!(sizeBytes > 0)) {
      throw new OsError(Errno.EINVAL, 'allocate a hypercall buffer');
    }
    const pages = Math.ceil(sizeBytes / PAGE_SIZE);
    const buffer = new SimCallBuffer(this.#nextAddress, sizeBytes);
    // A page that belongs to nobody follows, so that an overrun is found.
    this.#nextAddress += BigInt((pages + 1) * PAGE_SIZE);
    this.#buffers.add(buffer);
    return buffer;
  }

  freeBuffer(buffer: CallBuffer): void {
    if (buffer instanceof SimCallBuffer && this.#buffers.delete(buffer)) {
      buffer.bytes = NOTHING;
    }
  }

  allocBufferPages(pages: number): CallBuffer {
    return this.allocBuffer(pages * PAGE_SIZE);
  }

  freeBufferPages(buffer: CallBuffer): void {
    this.freeBuffer(buffer);
  }

  find(address: bigint, length: number): Uint8Array | undefined {
    if (length === 0) {
      return NOTHING;
    }
    for (const buffer of this.#buffers) {
      const offset = address - buffer.address;
      if (offset >= 0n && offset + BigInt(length) <= BigInt(buffer.bytes.length)) {
        return buffer.bytes.subarray(Number(offset), Number(offset) + length);
      }
    }
    return undefined;
  }

  restrict(_domid: number): void {
    this.#usable = false;
  }

  close(): void {
    this.#usable = false;
    this.#handles.deregister(this);
    for (const buffer of [...this.#buffers]) {
      this.freeBuffer(buffer);
    }
  }
}
