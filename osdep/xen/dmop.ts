/**
 * Device model operations as privcmd takes them: a list of buffers named by address, of which the first is a structure of 32 bytes and what
 * follows is data. Knows no single operation. (xen/include/public/hvm/dm_op.h, linux/include/uapi/xen/privcmd.h)
 */
import { addressOf } from '../os/ffi.ts';
import { ioc } from './device.ts';
import type { Privcmd } from './privcmd.ts';

const DM_OP: number = ioc('P', 5, 16);
const OP_SIZE = 32;
const ARGUMENT_AT = 8;
/** struct privcmd_dm_op_buf: u64 address, u64 length. */
const BUFFER_WORDS = 2;

/** Writes the arguments of an operation, which start at byte 0 of the view. */
export type Fill = (argument: DataView) => void;

export class DmOperations {
  readonly #privcmd: Privcmd;
  /** What the kernel was given the addresses of, until the call is over: nothing else need refer to it any more. */
  readonly #named: ArrayBufferView[] = [];

  constructor(privcmd: Privcmd) {
    this.#privcmd = privcmd;
  }

  /** Buffers as they are; answers are written into them. Throws OsError. */
  run(domid: number, buffers: readonly Uint8Array[]): void {
    const list = new BigUint64Array(BUFFER_WORDS * buffers.length);
    for (const [index, bytes] of buffers.entries()) {
      list.set([addressOf(bytes), BigInt(bytes.length)], index * BUFFER_WORDS);
    }
    const request = new DataView(new ArrayBuffer(16));
    request.setUint16(0, domid, true);
    request.setUint16(2, buffers.length, true);
    request.setBigUint64(8, buffers.length === 0 ? 0n : addressOf(list), true);
    const what = `device model operation on domain ${domid}`;
    this.#named.push(list, ...buffers);
    try {
      this.#privcmd.control(DM_OP, new Uint8Array(request.buffer), what);
    } finally {
      this.#named.length = 0;
    }
  }

  /** The argument as answered. */
  call(domid: number, op: number, fill?: Fill, data?: Uint8Array): DataView {
    const structure = new Uint8Array(OP_SIZE);
    new DataView(structure.buffer).setUint32(0, op, true);
    const argument = new DataView(structure.buffer, ARGUMENT_AT);
    fill?.(argument);
    this.run(domid, data === undefined ? [structure] : [structure, data]);
    return argument;
  }
}
