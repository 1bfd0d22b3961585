/**
 * As much of IPv6 as is needed to be found on a link: addresses, packets without extension headers, ICMPv6 echo and neighbour discovery. Made and taken apart;
 * what is not whole or has a wrong checksum is nothing. (RFC 4291, 8200, 4443, 4861)
 */
import { sum, view } from './checksum.ts';

export const Icmp6 = { ECHO_REQUEST: 128, ECHO_REPLY: 129, SOLICITATION: 135, ADVERTISEMENT: 136 } as const;

const HEADER = 40;
const ICMP6 = 58;
/** Neighbour discovery is for the link alone: nothing that a router has passed on (RFC 4861, 7.1.1). */
const LINK_HOPS = 255;
const OptionType = { SOURCE_LINK_LAYER: 1, TARGET_LINK_LAYER: 2 } as const;
const SOLICITED_OVERRIDE = 0x60000000;

/** A packet of ICMPv6. */
export interface Icmp6Packet {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly type: number;
  /** What follows type, code and checksum. */
  readonly body: Uint8Array;
}

export interface Discovery {
  /** Whose link-layer address is asked for, or told. */
  readonly target: Uint8Array;
  readonly mac: Uint8Array | undefined;
}

/** An address that everyone on a link may give itself (RFC 4291, appendix A). */
export function linkLocal(mac: Uint8Array): Uint8Array {
  const [a, b, c, d, e, f] = mac as unknown as readonly [number, number, number, number, number, number];
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
}

/** Whom to ask for an address: a group that only a few are in. */
export function solicitedNode(address: Uint8Array): Uint8Array {
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
  group.set(address.subarray(13), 13);
  return group;
}

/** The Ethernet address of a group. */
export function groupMac(group: Uint8Array): Uint8Array {
  return Uint8Array.of(0x33, 0x33, group[12]!, group[13]!, group[14]!, group[15]!);
}

/** Undefined: it is no address. Without zones and embedded IPv4. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head!.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head!, ...new Array<string>(missing).fill('0'), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}

/** As RFC 5952 wants it. */
export function formatIpv6(address: Uint8Array): string {
  const words = view(address);
  const groups = Array.from({ length: 8 }, (_, i) => words.getUint16(i * 2).toString(16));
  const text = groups.join(':');
  const runs = text.match(/(?:^|:)0(?::0)+(?:$|:)/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest === '' ? text : text.replace(longest, '::');
}

export function icmp6({ from, to, type, body }: Icmp6Packet): Uint8Array {
  const bytes = new Uint8Array(HEADER + 4 + body.length);
  const words = view(bytes);
  bytes[0] = 0x60;
  words.setUint16(4, 4 + body.length);
  bytes[6] = ICMP6;
  bytes[7] = LINK_HOPS;
  bytes.set(from, 8);
  bytes.set(to, 24);
  bytes[HEADER] = type;
  bytes.set(body, HEADER + 4);
  words.setUint16(HEADER + 2, checksumOf(bytes));
  return bytes;
}

export function openIcmp6(bytes: Uint8Array): Icmp6Packet | undefined {
  if (bytes.length < HEADER + 4 || bytes[0]! >> 4 !== 6 || bytes[6] !== ICMP6) return undefined;
  const length = view(bytes).getUint16(4);
  const packet = bytes.subarray(0, HEADER + length);
  if (length < 4 || packet.length < HEADER + length || packet[HEADER + 1] !== 0 || checksumOf(packet) !== 0)
    return undefined;
  const type = packet[HEADER]!;
  const isDiscovery = type === Icmp6.SOLICITATION || type === Icmp6.ADVERTISEMENT;
  if (isDiscovery && packet[7] !== LINK_HOPS) return undefined;
  return { from: packet.slice(8, 24), to: packet.slice(24, 40), type, body: packet.slice(HEADER + 4) };
}

export function discovery(
  type: typeof Icmp6.SOLICITATION | typeof Icmp6.ADVERTISEMENT,
  { target, mac }: Discovery,
): Uint8Array {
  const bytes = new Uint8Array(28);
  const isAnswer = type === Icmp6.ADVERTISEMENT;
  view(bytes).setUint32(0, isAnswer ? SOLICITED_OVERRIDE : 0);
  bytes.set(target, 4);
  bytes[20] = isAnswer ? OptionType.TARGET_LINK_LAYER : OptionType.SOURCE_LINK_LAYER;
  bytes[21] = 1;
  bytes.set(mac ?? [], 22);
  return bytes;
}

export function openDiscovery({ type, body }: Icmp6Packet): Discovery | undefined {
  if (body.length < 20) return undefined;
  const wanted = type === Icmp6.ADVERTISEMENT ? OptionType.TARGET_LINK_LAYER : OptionType.SOURCE_LINK_LAYER;
  let mac: Uint8Array | undefined;
  for (let at = 20; at + 8 <= body.length; at += body[at + 1]! * 8) {
    // An option of no length has no end (RFC 4861, 4.6).
    if (body[at + 1] === 0) return undefined;
    if (body[at] === wanted) mac = body.slice(at + 2, at + 8);
  }
  return { target: body.slice(4, 20), mac };
}

/** Over a pseudo-header of addresses, length and protocol. */
function checksumOf(packet: Uint8Array): number {
  return sum(packet.subarray(8), packet.length - HEADER + ICMP6);
}
