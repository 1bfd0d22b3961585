/**
 * struct virtio_net_hdr (virtio 1.2, 5.1.6), the ten bytes in front of each frame of a TAP device, to and from what packets say of themselves.
 * What the netif protocol has no words for is done here: a checksum that is not TCP's or UDP's own. Trusts neither side.
 */
import type { Header } from '../core/header.ts';
import { Gso, putU16, u16 } from '../core/netif.ts';
import { PacketFlag, type PacketPool } from '../core/packets.ts';
import { foldedSum, sumOf } from './checksum.ts';

const At = { FLAGS: 0, GSO_TYPE: 1, HEADER_LENGTH: 2, GSO_SIZE: 4, CSUM_START: 6, CSUM_OFFSET: 8 } as const;
const HEADER_BYTES = 10;
const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GsoType = { NONE: 0, TCPV4: 1, TCPV6: 4 } as const;
/** Where the checksum is, in a header of either kind. */
const TCP_FIELD = 16;
const UDP_FIELD = 6;
/** Data's place in a TCP header, in its upper half and in words. */
const TCP_DATA_OFFSET = 12;

/** The header at `at` is about the packet, whose length is known. False: it makes no sense. */
export function readVnet(
  memory: Uint8Array,
  at: number,
  pool: PacketPool,
  packet: number,
  header: Header,
): boolean {
  const start = pool.position(packet);
  const length = pool.lengths[packet]!;
  const flags = memory[at + At.FLAGS]!;
  const gsoType = memory[at + At.GSO_TYPE]!;
  if (gsoType === GsoType.TCPV4) pool.gsoTypes[packet] = Gso.TCPV4;
  else if (gsoType === GsoType.TCPV6) pool.gsoTypes[packet] = Gso.TCPV6;
  else if (gsoType !== GsoType.NONE) return false;
  if (gsoType !== GsoType.NONE) pool.gsoSizes[packet] = u16(memory, at + At.GSO_SIZE);
  if ((flags & NEEDS_CSUM) === 0) {
    if ((flags & DATA_VALID) !== 0) pool.flags[packet] = PacketFlag.VALIDATED;
    return true;
  }
  const from = start + u16(memory, at + At.CSUM_START);
  const field = from + u16(memory, at + At.CSUM_OFFSET);
  if (header.parse(memory, start, length) && isOwn(header, from, field)) {
    pool.flags[packet] = PacketFlag.CSUM_BLANK | PacketFlag.VALIDATED;
    return true;
  }
  // Of a packet within a packet; 0 would say that there is none.
  if (gsoType !== GsoType.NONE || field + 2 > start + length) return false;
  const checksum = ~foldedSum(sumOf(memory, from, start + length)) & 0xffff || 0xffff;
  memory[field] = checksum >> 8;
  memory[field + 1] = checksum;
  pool.flags[packet] = PacketFlag.VALIDATED;
  return true;
}

/** Writes the header of a packet that has been through a `Network` to `at`. */
export function writeVnet(
  memory: Uint8Array,
  at: number,
  pool: PacketPool,
  packet: number,
  header: Header,
): void {
  // Quicker than a call that fills.
  for (let i = 0; i < HEADER_BYTES; i++) memory[at + i] = 0;
  const start = pool.position(packet);
  const flags = pool.flags[packet]!;
  if ((flags & PacketFlag.CSUM_BLANK) === 0) {
    if ((flags & PacketFlag.VALIDATED) !== 0) memory[at + At.FLAGS] = DATA_VALID;
    return;
  }
  header.parse(memory, start, pool.lengths[packet]!);
  memory[at + At.FLAGS] = NEEDS_CSUM;
  putU16(memory, at + At.CSUM_START, header.ports - start);
  putU16(memory, at + At.CSUM_OFFSET, header.isTcp ? TCP_FIELD : UDP_FIELD);
  const gso = pool.gsoTypes[packet]!;
  if (gso === Gso.NONE) return;
  memory[at + At.GSO_TYPE] = gso === Gso.TCPV4 ? GsoType.TCPV4 : GsoType.TCPV6;
  putU16(memory, at + At.GSO_SIZE, pool.gsoSizes[packet]!);
  const headers = header.ports - start + (memory[header.ports + TCP_DATA_OFFSET]! >> 4) * 4;
  putU16(memory, at + At.HEADER_LENGTH, headers);
}

function isOwn(header: Header, from: number, field: number): boolean {
  return (
    header.ports !== 0 && from === header.ports && field === from + (header.isTcp ? TCP_FIELD : UDP_FIELD)
  );
}
