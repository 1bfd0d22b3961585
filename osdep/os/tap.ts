/**
 * TAP devices: a network device of this machine whose other end is a descriptor of ours. Each frame comes and goes with a struct virtio_net_hdr in
 * front (virtio 1.2, 5.1.6), so that checksums and the cutting up of large TCP packets are left to whoever does them best. Reads and writes
 * frames in memory that it is given, one system call a frame, and allocates nothing for them. Knows nothing of what is in a frame, nor of
 * bridges and addresses (netdev.ts). See Documentation/networking/tuntap.rst and linux/if_tun.h.
 */
import { Errno, OsError } from '../errno.ts';
import type { Descriptor } from './ffi.ts';
import * as ffi from './ffi.ts';
import { IoMemory } from './iomemory.ts';
import { checkName, IFREQ_BYTES, nameOf } from './netdev.ts';

/** Bytes of the header in front of each frame, both ways. */
export const VNET_HEADER_BYTES = 10;

const DEVICE = '/dev/net/tun';
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const TUNSETIFF = 0x4004_54ca;
const TUNSETPERSIST = 0x4004_54cb;
const TUNSETOFFLOAD = 0x4004_54d0;
const TUNGETIFF = 0x8004_54d2;
const TUNSETVNETHDRSZ = 0x4004_54d8;
const TUNSETVNETLE = 0x4004_54dc;
const TUNSETCARRIER = 0x4004_54e2;
const IFF_TAP = 0x2;
const IFF_NO_CARRIER = 0x40;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;
const [TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6] = [1, 2, 4];

const FLAGS_AT = 16;
/** An iovec, in 32-bit words. */
const VECTOR_WORDS = 4;
const WORD = 0x1_0000_0000;

export interface TapOptions {
  /** At most 15 bytes. */
  readonly name: string;
  /** `new`: EBUSY if there is a device of that name. `any`: one that nobody has open is taken over. */
  readonly which: 'new' | 'any';
  /** In which frames are. */
  readonly memory: Uint8Array;
}

/** What the machine may send without finishing it: blank checksums, large TCP packets of either kind. The latter need the first. */
export interface TapOffload {
  readonly csum: boolean;
  readonly tso4: boolean;
  readonly tso6: boolean;
}

export class Tap {
  /** Readable when there are frames. */
  readonly fd: Descriptor;
  readonly #memory: IoMemory;
  /** Of its address. */
  readonly #low: number;
  readonly #high: number;
  readonly #vectors: Uint32Array;
  readonly #vectorsAddress: number;
  #closed = false;

  /** It has no carrier. Throws OsError: ENOENT and ENODEV without the driver, EPERM without the right, EBUSY if somebody has it, EINVAL if it is no TAP. */
  constructor({ name, which, memory }: TapOptions) {
    checkName(name);
    this.#memory = new IoMemory(memory);
    this.#low = this.#memory.address % WORD;
    this.#high = Math.floor(this.#memory.address / WORD);
    const vectors = IoMemory.allocate(2 * VECTOR_WORDS * 4);
    this.#vectors = new Uint32Array(vectors.bytes.buffer, vectors.bytes.byteOffset, 2 * VECTOR_WORDS);
    this.#vectorsAddress = vectors.address;
    this.fd = ffi.open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
    if (this.fd < 0) throw new OsError(ffi.errno(), `opening ${DEVICE}`);
    const request = Buffer.alloc(IFREQ_BYTES);
    request.write(name, 'latin1');
    const exclusive = which === 'new' ? IFF_TUN_EXCL : 0;
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_NO_CARRIER | exclusive, FLAGS_AT);
    try {
      this.#ioctl(TUNSETIFF, request, `network device ${name}`);
      // Kernels before 6.0 have the carrier on by themselves.
      this.setCarrier(false);
      this.#ioctl(TUNSETVNETHDRSZ, word(VNET_HEADER_BYTES), 'TUNSETVNETHDRSZ');
      this.#ioctl(TUNSETVNETLE, word(1), 'TUNSETVNETLE');
      this.setOffload({ csum: false, tso4: false, tso6: false });
    } catch (error) {
      ffi.close(this.fd);
      throw error;
    }
  }

  /** Its name of now; others may rename it. */
  get name(): string {
    const request = Buffer.alloc(IFREQ_BYTES);
    this.#ioctl(TUNGETIFF, request, 'TUNGETIFF');
    return nameOf(request);
  }

  /** Whether it outlives this process. */
  setPersistent(persistent: boolean): void {
    // The argument is the number itself.
    this.#ioctl(TUNSETPERSIST, persistent ? 1n : null, 'TUNSETPERSIST');
  }

  /** Whether there is anybody at the other end; without a carrier the machine sends nothing. */
  setCarrier(carrier: boolean): void {
    this.#ioctl(TUNSETCARRIER, word(carrier ? 1 : 0), 'TUNSETCARRIER');
  }

  setOffload({ csum, tso4, tso6 }: TapOffload): void {
    const flags = (csum ? TUN_F_CSUM : 0) | (csum && tso4 ? TUN_F_TSO4 : 0) | (csum && tso6 ? TUN_F_TSO6 : 0);
    this.#ioctl(TUNSETOFFLOAD, flags === 0 ? null : BigInt(flags), 'TUNSETOFFLOAD');
  }

  /**
   * The next frame, header in front: its beginning to `position` in the memory, what is more than `length` of it to `restPosition`, and what is
   * more than that nowhere. Its bytes, or minus an error number: EAGAIN when there is none, EBADFD when the device is gone.
   */
  read(position: number, length: number, restPosition: number, restLength: number): number {
    this.#vector(0, position, length);
    this.#vector(1, restPosition, restLength);
    const count = ffi.readvAt(this.fd, this.#vectorsAddress, 2);
    return count < 0 ? -ffi.errno() : count;
  }

  /** A frame, header in front. Its bytes, or minus an error number: EIO while the device is down, EINVAL if header and frame don't go together. */
  write(position: number, length: number): number {
    const count = ffi.writeFrom(this.fd, this.#memory.address + position, length);
    return count < 0 ? -ffi.errno() : count;
  }

  /** The device goes, unless it is persistent. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    ffi.close(this.fd);
  }

  #vector(index: number, position: number, length: number): void {
    const low = this.#low + position;
    const carry = low >= WORD ? 1 : 0;
    const at = index * VECTOR_WORDS;
    this.#vectors[at] = low - carry * WORD;
    this.#vectors[at + 1] = this.#high + carry;
    this.#vectors[at + 2] = length;
  }

  #ioctl(request: number, argument: ffi.Pointer, what: string): void {
    if (ffi.ioctl(this.fd, request, argument) < 0) throw new OsError(ffi.errno(), what);
  }
}

/** Removes a persistent TAP that nobody has open. False: there is none of that name, or it is another kind of device. */
export function removeTap(name: string): boolean {
  const memory = new Uint8Array(1);
  try {
    // Were there none, a new one would be made and go with its descriptor.
    const tap = new Tap({ name, which: 'any', memory });
    tap.setPersistent(false);
    tap.close();
    return true;
  } catch (error) {
    if (error instanceof OsError && error.errno === Errno.EINVAL) return false;
    throw error;
  }
}

function word(value: number): Uint32Array {
  return Uint32Array.of(value);
}
