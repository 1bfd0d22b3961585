/** What the tests of netback's core share: slots by hand, frames, guests' pages, and copies carried out on plain memory. */
import { isIPv4 } from 'node:net';
import type { CopyBatch } from '../../netback/vif/core/copies.ts';
import { type PacketPool, PacketPool as Pool, type PoolSize } from '../../netback/vif/core/packets.ts';

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export interface TxSlot {
  readonly gref?: number;
  readonly offset?: number;
  readonly flags?: number;
  readonly id?: number;
  readonly size: number;
}

/** A request of the tx ring, 12 bytes. */
export function txSlot({ gref = 0, offset = 0, flags = 0, id = 0, size }: TxSlot): Buffer {
  const slot = Buffer.alloc(12);
  slot.writeUInt32LE(gref, 0);
  slot.writeUInt16LE(offset, 4);
  slot.writeUInt16LE(flags, 6);
  slot.writeUInt16LE(id, 8);
  slot.writeUInt16LE(size, 10);
  return slot;
}

export function gsoExtra(size: number, type: number, more = 0): Buffer {
  return Buffer.from([1, more, size & 0xff, size >> 8, type, 0, 0, 0, 0, 0, 0, 0]);
}

export function mcastExtra(type: 2 | 3, mac: Uint8Array): Buffer {
  return Buffer.from([type, 0, ...mac, 0, 0, 0, 0]);
}

export function rxSlot(id: number, gref: number): Buffer {
  const slot = Buffer.alloc(8);
  slot.writeUInt16LE(id, 0);
  slot.writeUInt32LE(gref, 4);
  return slot;
}

export interface Stream {
  readonly source: string;
  readonly sourcePort: number;
  readonly to: string;
  readonly toPort: number;
  readonly vlan?: boolean;
  readonly protocol?: number;
  readonly fragment?: number;
  readonly fromMac?: Uint8Array;
  readonly toMac?: Uint8Array;
  /** Of the whole frame. */
  readonly length?: number;
}

function ip6(address: string): Buffer {
  const [front, back = ''] = address.split('::') as [string, string?];
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const missing = 8 - words(front).length - words(back).length;
  const all = [...words(front), ...Array.from({ length: missing }, () => '0'), ...words(back)];
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

/** An Ethernet frame with IP and the first of TCP in it. */
export function tcpFrame(stream: Stream): Uint8Array {
  const { source, sourcePort, to, toPort, vlan = false, protocol = 6, fragment = 0 } = stream;
  const four = isIPv4(source);
  const mac = Buffer.concat([stream.toMac ?? macOf(2), stream.fromMac ?? macOf(1)]);
  const tag = Buffer.from(vlan ? [0x81, 0, 0, 7] : []);
  const type = Buffer.from(four ? [0x08, 0x00] : [0x86, 0xdd]);
  const ports = Buffer.alloc(20);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(toPort, 2);
  const ip = four ? Buffer.alloc(20) : Buffer.alloc(40);
  if (four) {
    ip[0] = 0x45;
    ip.writeUInt16BE(fragment, 6);
    ip[9] = protocol;
    Buffer.from(source.split('.').map(Number)).copy(ip, 12);
    Buffer.from(to.split('.').map(Number)).copy(ip, 16);
  } else {
    ip[0] = 0x60;
    ip[6] = protocol;
    ip6(source).copy(ip, 8);
    ip6(to).copy(ip, 24);
  }
  const frame = Buffer.concat([mac, tag, type, ip, ports]);
  return Buffer.concat([frame, Buffer.alloc(Math.max(0, (stream.length ?? 0) - frame.length), 0x5a)]);
}

/** A locally administered address. */
export function macOf(number: number): Uint8Array {
  return Uint8Array.from([0x02, 0x16, 0x3e, number >> 16, number >> 8, number]);
}

export const BROADCAST: Uint8Array = new Uint8Array(6).fill(0xff);

/** A frame that is nothing but addresses and bytes. */
export function frameOf(to: Uint8Array, from: Uint8Array, length = 60, fill = 0): Uint8Array {
  const frame = new Uint8Array(length).fill(fill);
  frame.set(to, 0);
  frame.set(from, 6);
  frame.set([0x88, 0xb5], 12);
  return frame;
}

/** Packets' memory of the backend and the pages of all guests. */
export class Machine {
  readonly pool: PacketPool;
  readonly memory: Uint8Array;
  readonly #pages = new Map<string, Uint8Array>();
  #nextGref = 8;

  constructor(size: PoolSize = { small: 64, large: 16 }) {
    this.pool = new Pool(size);
    this.memory = new Uint8Array(this.pool.memoryBytes);
  }

  /** Grants a page with something in it; its reference. */
  grant(domid: number, bytes: Uint8Array = new Uint8Array(0), offset = 0): number {
    const page = new Uint8Array(4096);
    page.set(bytes, offset);
    const gref = this.#nextGref++;
    this.#pages.set(`${domid}/${gref}`, page);
    return gref;
  }

  page(domid: number, gref: number): Uint8Array {
    return this.#pages.get(`${domid}/${gref}`)!;
  }

  revoke(domid: number, gref: number): void {
    this.#pages.delete(`${domid}/${gref}`);
  }

  /** As the hypervisor does it; what is not granted, or not within a page, fails. */
  carryOut(copies: CopyBatch): void {
    for (let i = 0; i < copies.count; i++) {
      const page = this.#pages.get(`${copies.domids[i]}/${copies.grefs[i]}`);
      const offset = copies.offsets[i]!;
      const position = copies.positions[i]!;
      const length = copies.lengths[i]!;
      if (page === undefined) copies.statuses[i] = -3;
      else if (length === 0 || offset + length > 4096) copies.statuses[i] = -10;
      else if (copies.toGuest[i] === 1) page.set(this.memory.subarray(position, position + length), offset);
      else this.memory.set(page.subarray(offset, offset + length), position);
    }
  }

  /** A packet of the backend's own with something in it. */
  packet(bytes: Uint8Array): number {
    const packet = this.pool.take(bytes.length);
    this.memory.set(bytes, this.pool.position(packet));
    return packet;
  }

  bytes(packet: number): Uint8Array {
    const position = this.pool.position(packet);
    return this.memory.slice(position, position + this.pool.lengths[packet]!);
  }
}
