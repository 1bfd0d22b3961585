/**
 * Frames of the few protocols that a simulated guest's host speaks: Ethernet, ARP, IPv4 without options, ICMP echo, UDP. Made and
 * taken apart; what is not whole or has a wrong checksum is nothing. (RFC 826, 791, 792, 768.)
 */
import { sum, view } from './checksum.ts';

export const EtherType = { IPV4: 0x0800, ARP: 0x0806, IPV6: 0x86dd } as const;
export const Protocol = { ICMP: 1, UDP: 17 } as const;
export const ArpOp = { REQUEST: 1, REPLY: 2 } as const;
export const Echo = { REPLY: 0, REQUEST: 8 } as const;

const ETHERNET = 14;
const IPV4 = 20;
const TRANSPORT = 8;
const TTL = 64;
const MORE_FRAGMENTS = 0x2000;

export interface Arp {
  readonly op: number;
  readonly senderMac: Uint8Array;
  readonly sender: string;
  readonly target: string;
}

/** What is in an IPv4 packet. */
export interface Ipv4 {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Of a larger packet of this number: which bytes, and whether there are more behind them. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
}

export interface Udp {
  readonly fromPort: number;
  readonly toPort: number;
  readonly data: Uint8Array;
}

/** Identifier and sequence number in one number of 32 bits. */
export interface IcmpEcho {
  readonly type: number;
  readonly id: number;
  readonly data: Uint8Array;
}

export function ethernet(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(Math.max(60, ETHERNET + payload.length));
  frame.set(to, 0);
  frame.set(from, 6);
  view(frame).setUint16(12, type);
  frame.set(payload, ETHERNET);
  return frame;
}

/** A frame's type and what follows; undefined: too short. */
export function openEthernet(frame: Uint8Array): { type: number; payload: Uint8Array } | undefined {
  if (frame.length < ETHERNET) return undefined;
  return { type: view(frame).getUint16(12), payload: frame.subarray(ETHERNET) };
}

export function arp({ op, senderMac, sender, target }: Arp, targetMac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(28);
  bytes.set([0, 1, 8, 0, 6, 4, 0, op]);
  bytes.set(senderMac, 8);
  bytes.set(bytesOf(sender), 14);
  bytes.set(targetMac, 18);
  bytes.set(bytesOf(target), 24);
  return bytes;
}

export function openArp(bytes: Uint8Array): Arp | undefined {
  if (bytes.length < 28) return undefined;
  if (![0, 1, 8, 0, 6, 4, 0].every((byte, at) => bytes[at] === byte)) return undefined;
  return {
    op: bytes[7]!,
    senderMac: bytes.slice(8, 14),
    sender: textOf(bytes.subarray(14, 18)),
    target: textOf(bytes.subarray(24, 28)),
  };
}

export function ipv4({ from, to, protocol, payload, fragment }: Ipv4): Uint8Array {
  const bytes = new Uint8Array(IPV4 + payload.length);
  const words = view(bytes);
  bytes[0] = 0x45;
  words.setUint16(2, bytes.length);
  if (fragment !== undefined) {
    words.setUint16(4, fragment.id);
    words.setUint16(6, (fragment.offset >> 3) | (fragment.more ? MORE_FRAGMENTS : 0));
  }
  bytes[8] = TTL;
  bytes[9] = protocol;
  bytes.set(bytesOf(from), 12);
  bytes.set(bytesOf(to), 16);
  words.setUint16(10, sum(bytes.subarray(0, IPV4), 0));
  bytes.set(payload, IPV4);
  return bytes;
}

export function openIpv4(bytes: Uint8Array): Ipv4 | undefined {
  if (bytes.length < IPV4 || bytes[0] !== 0x45 || sum(bytes.subarray(0, IPV4), 0) !== 0) return undefined;
  const words = view(bytes);
  const length = words.getUint16(2);
  if (length < IPV4 || length > bytes.length) return undefined;
  const place = words.getUint16(6);
  const more = (place & MORE_FRAGMENTS) !== 0;
  const offset = (place & 0x1fff) << 3;
  const fragment = more || offset > 0 ? { fragment: { id: words.getUint16(4), offset, more } } : {};
  return {
    from: textOf(bytes.subarray(12, 16)),
    to: textOf(bytes.subarray(16, 20)),
    protocol: bytes[9]!,
    payload: bytes.subarray(IPV4, length),
    ...fragment,
  };
}

export function icmpEcho({ type, id, data }: IcmpEcho): Uint8Array {
  const bytes = new Uint8Array(TRANSPORT + data.length);
  bytes[0] = type;
  view(bytes).setUint32(4, id);
  bytes.set(data, TRANSPORT);
  view(bytes).setUint16(2, sum(bytes, 0));
  return bytes;
}

export function openIcmpEcho(bytes: Uint8Array): IcmpEcho | undefined {
  if (bytes.length < TRANSPORT || bytes[1] !== 0 || sum(bytes, 0) !== 0) return undefined;
  return { type: bytes[0]!, id: view(bytes).getUint32(4), data: bytes.slice(TRANSPORT) };
}

export function udp({ fromPort, toPort, data }: Udp, from: string, to: string): Uint8Array {
  const bytes = new Uint8Array(TRANSPORT + data.length);
  const words = view(bytes);
  words.setUint16(0, fromPort);
  words.setUint16(2, toPort);
  words.setUint16(4, bytes.length);
  bytes.set(data, TRANSPORT);
  // 0 would say that there is none.
  words.setUint16(6, udpChecksum(bytes, from, to) || 0xffff);
  return bytes;
}

/** @param check whether its checksum, if it has one, has to be right: not where it is blank */
export function openUdp({ payload, from, to }: Ipv4, check: boolean): Udp | undefined {
  if (payload.length < TRANSPORT) return undefined;
  const words = view(payload);
  if (words.getUint16(4) !== payload.length) return undefined;
  if (check && words.getUint16(6) !== 0 && udpChecksum(payload, from, to) !== 0) return undefined;
  return { fromPort: words.getUint16(0), toPort: words.getUint16(2), data: payload.slice(TRANSPORT) };
}

function udpChecksum(bytes: Uint8Array, from: string, to: string): number {
  const pseudo = Uint8Array.from([...bytesOf(from), ...bytesOf(to)]);
  // The complement of the one is where the other begins.
  return sum(bytes, ~sum(pseudo, Protocol.UDP + bytes.length) & 0xffff);
}

/** Four bytes of `10.0.0.1`. */
export function bytesOf(address: string): readonly number[] {
  return address.split('.').map(Number);
}

export function textOf(address: Uint8Array): string {
  return address.join('.');
}
