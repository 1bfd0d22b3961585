/**
 * The Internet's checksum (RFC 1071), and a checksum that a guest left blank filled in: of TCP or UDP over IPv4 or IPv6, where the field has the
 * sum of the pseudo-header in it. Reads the packet it is given, and knows no guest.
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
  const sum = foldedSum(sumOf(memory, first, end));
  // Of UDP 0 would say that there is none.
  const checksum = ~sum & 0xffff || (header.isTcp ? 0 : 0xffff);
  memory[field] = checksum >> 8;
  memory[field + 1] = checksum;
  return true;
}

/** Of the words from `from` to `end`, not folded; an odd byte at the end counts as a word's first. At most some 64 KiB. */
export function sumOf(memory: Uint8Array, from: number, end: number): number {
  let sum = 0;
  let at = from;
  for (; at + 3 < end; at += 4)
    sum += ((memory[at]! + memory[at + 2]!) << 8) + memory[at + 1]! + memory[at + 3]!;
  for (; at + 1 < end; at += 2) sum += word(memory, at);
  return at < end ? sum + (memory[at]! << 8) : sum;
}

/** A sum as 16 bits, carries added again. */
export function foldedSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

export function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
