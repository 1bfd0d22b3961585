/**
 * libxencall on Linux: hypercalls through privcmd. Knows nothing of what the words mean.
 * (xen/tools/libs/call/linux.c, linux/include/uapi/xen/privcmd.h)
 */
import type { Call, CallArgument, CallBuffer } from '../call.ts';
import { PAGE_SIZE } from '../mapping.ts';
import type { HandleRegistry } from '../toolcore.ts';
import { CallBuffers } from './buffers.ts';
import { ioc } from './device.ts';
import { Privcmd } from './privcmd.ts';

/** struct privcmd_hypercall: the number and five words of 8 bytes each. */
const WORDS = 6;
const HYPERCALL: number = ioc('P', 0, WORDS * 8);

export class XenCall implements Call {
  readonly #handles: HandleRegistry;
  readonly #privcmd: Privcmd;
  readonly #buffers: CallBuffers;
  // One for all calls: a call is over before the next begins.
  readonly #words = new BigUint64Array(WORDS);
  readonly #argument = new Uint8Array(this.#words.buffer);

  constructor(handles: HandleRegistry) {
    this.#handles = handles;
    this.#privcmd = new Privcmd();
    try {
      this.#buffers = new CallBuffers();
    } catch (error) {
      this.#privcmd.close();
      throw error;
    }
    handles.register(this);
  }

  get fd(): number {
    return this.#privcmd.fd;
  }

  get buffersNeverFault(): boolean {
    return this.#buffers.neverFault;
  }

  hypercall(op: number, args: readonly CallArgument[]): number {
    const words = this.#words.fill(0n);
    words[0] = BigInt(op);
    for (const [index, arg] of args.entries()) {
      words[index + 1] = BigInt.asUintN(64, typeof arg === 'object' ? arg.address : BigInt(arg));
    }
    return this.#privcmd.control(HYPERCALL, this.#argument, `hypercall ${op}`);
  }

  allocBuffer(sizeBytes: number): CallBuffer {
    return this.#buffers.alloc(sizeBytes);
  }

  freeBuffer(buffer: CallBuffer): void {
    this.#buffers.free(buffer);
  }

  allocBufferPages(pages: number): CallBuffer {
    return this.#buffers.alloc(pages * PAGE_SIZE);
  }

  freeBufferPages(buffer: CallBuffer): void {
    this.#buffers.free(buffer);
  }

  /** A hypercall can act on any domain: none is left. */
  restrict(_domid: number): void {
    this.#privcmd.blind();
  }

  close(): void {
    this.#handles.deregister(this);
    this.#buffers.close();
    this.#privcmd.close();
  }
}
