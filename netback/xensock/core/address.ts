/**
 * Addresses of sockets: as 28 bytes of a command (struct sockaddr of Linux: family u16, port and address in network order), as text, and as
 * bytes to compare. `plain` makes one of an IPv4 address and the same one written as IPv6 (::ffff:10.0.0.1), so that no rule is walked around.
 * (xen/docs/misc/pvcalls.pandoc, "Socket families and address format")
 */

/** Of a socket; the protocol's own numbers, which are Linux's. AF_UNIX is reserved and not spoken. */
export const Family = { UNIX: 1, INET: 2, INET6: 10 } as const;
/** RAW is reserved and not spoken; DGRAM needs the extension. */
export const SocketType = { STREAM: 1, DGRAM: 2, RAW: 3 } as const;

/** Room for an address in a command. */
export const ADDRESS_BYTES = 28;
const INET_BYTES = 16;
/** What stands before IPv6's scope, which Linux lets be absent. */
const INET6_BYTES_LEAST = 24;

export interface InetAddress {
  readonly family: 2 | 10;
  /** 4 or 16 bytes, in network order. */
  readonly ip: Uint8Array;
  readonly port: number;
  /** Of a link-local IPv6 address: the number of the interface; otherwise 0. */
  readonly scope: number;
}

/** An address out of a command. `length`: what the frontend says of it. undefined: EINVAL. */
export function decodeAddress(bytes: Uint8Array, length: number): InetAddress | undefined {
  if (length > ADDRESS_BYTES || length < INET_BYTES || bytes.length < length) return undefined;
  const family = bytes[0]! | (bytes[1]! << 8);
  const port = (bytes[2]! << 8) | bytes[3]!;
  if (family === Family.INET) return { family, ip: bytes.slice(4, 8), port, scope: 0 };
  if (family !== Family.INET6 || length < INET6_BYTES_LEAST) return undefined;
  const scope =
    length < ADDRESS_BYTES
      ? 0
      : (bytes[24]! | (bytes[25]! << 8) | (bytes[26]! << 16) | (bytes[27]! << 24)) >>> 0;
  return { family, ip: bytes.slice(8, 24), port, scope };
}

/** Writes 28 bytes, the rest of them zero. Answers how many count. */
export function encodeAddress({ family, ip, port, scope }: InetAddress, into: Uint8Array): number {
  into.fill(0, 0, ADDRESS_BYTES);
  into[0] = family;
  into[2] = port >>> 8;
  into[3] = port;
  into.set(ip, family === Family.INET ? 4 : 8);
  if (family === Family.INET) return INET_BYTES;
  for (let i = 0; i < 4; i++) into[24 + i] = scope >>> (8 * i);
  return ADDRESS_BYTES;
}

/** The IPv4 address that an IPv6 one stands for (::ffff:0:0/96), or the address itself. */
export function plain(address: InetAddress): InetAddress {
  if (address.family === Family.INET || !isMapped(address.ip)) return address;
  return { family: Family.INET, ip: address.ip.slice(12), port: address.port, scope: 0 };
}

function isMapped(ip: Uint8Array): boolean {
  return ip.subarray(0, 10).every((byte) => byte === 0) && ip[10] === 0xff && ip[11] === 0xff;
}

/** 127.0.0.0/8 or ::1, also as an IPv4 address in IPv6. */
export function isLoopback(address: InetAddress): boolean {
  const { family, ip } = plain(address);
  if (family === Family.INET) return ip[0] === 127;
  return ip[15] === 1 && ip.subarray(0, 15).every((byte) => byte === 0);
}

/** 0.0.0.0 or ::. */
export function isAny(address: InetAddress): boolean {
  return plain(address).ip.every((byte) => byte === 0);
}

/** `10.0.0.1`, `2001:db8::1`, `fe80::1%2`: without its port. */
export function formatIp({ family, ip, scope }: InetAddress): string {
  if (family === Family.INET) return ip.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (ip[2 * i]! << 8) | ip[2 * i + 1]!);
  const { start, length } = longestZeros(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  const text =
    length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
  return scope === 0 ? text : `${text}%${scope}`;
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function formatAddress(address: InetAddress): string {
  const ip = formatIp(address);
  return address.family === Family.INET ? `${ip}:${address.port}` : `[${ip}]:${address.port}`;
}

/** An address in text, IPv4 or IPv6, perhaps with `%` and a number. undefined: it is neither. */
export function parseIp(text: string, port = 0): InetAddress | undefined {
  const four = parseFour(text);
  if (four !== undefined) return { family: Family.INET, ip: four, port, scope: 0 };
  const [name = '', zone = '0', ...more] = text.split('%');
  const six = parseSix(name);
  if (six === undefined || more.length > 0 || !/^\d{1,9}$/.test(zone)) return undefined;
  return { family: Family.INET6, ip: six, port, scope: Number(zone) };
}

function parseFour(text: string): Uint8Array | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : undefined;
}

function parseSix(text: string): Uint8Array | undefined {
  const last = text.slice(text.lastIndexOf(':') + 1);
  if (last.includes('.')) {
    const four = parseFour(last);
    if (four === undefined) return undefined;
    const pair = (at: number): string => ((four[at]! << 8) | four[at + 1]!).toString(16);
    return parseSix(`${text.slice(0, -last.length)}${pair(0)}:${pair(2)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2 || !/^[0-9a-f:]+$/i.test(text)) return undefined;
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const given = (head?.length ?? 0) + (tail?.length ?? 0);
  if (tail === undefined ? given !== 8 : given > 7) return undefined;
  const groups = [...head!, ...Array.from({ length: 8 - given }, () => '0'), ...(tail ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  );
}

function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
