/**
 * Fills in a checksum that a guest left blank: of TCP or UDP over IPv4 or IPv6, where the field has the sum of the pseudo-header in it
 * (RFC 1071). Reads the packet it is given, and knows no guest.
 */
import { Header } from '../core/header.ts';

const TCP_FIELD = 16;
const UDP_FIELD = 6;

const header = new Header();

/** The packet is `length` bytes from `start` on. False: there is no place for a checksum in it. */
export function fillChecksum(memory: Uint8Array, start: number, length: number): boolean {
  if (!header.parse(memory, start, length) || header.ports === 0) return false;
  const first = header.ports;
  const ip = header.addresses - (header.ipVersion === 4 ? 12 : 8);
  const size = header.ipVersion === 4 ? word(memory, ip + 2) : 40 + word(memory, ip + 4);
  // What comes after the packet's end by its own account is padding.
  const end = Math.min(start + length, ip + size);
  const field = first + (header.isTcp ? TCP_FIELD : UDP_FIELD);
  if (field + 2 > end) return false;
  let sum = 0;
  for (let at = first; at + 1 < end; at += 2) sum += word(memory, at);
  if ((end - first) % 2 === 1) sum += memory[end - 1]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  // Of UDP 0 would say that there is none.
  const checksum = ~sum & 0xffff || (header.isTcp ? 0 : 0xffff);
  memory[field] = checksum >> 8;
  memory[field + 1] = checksum;
  return true;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
