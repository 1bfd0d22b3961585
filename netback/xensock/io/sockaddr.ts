/** Addresses as the kernel's calls want them, and back: for a socket of either family, which may be another than the address's. */
import * as inet from '../../../osdep/os/inet.ts';
import { decodeAddress, encodeAddress, Family, type InetAddress } from '../core/address.ts';

/** What `put` has filled in last, and what the kernel is asked to fill in. */
export const sockaddr: Uint8Array = new Uint8Array(inet.SOCKADDR_BYTES);

/**
 * An IPv4 address for an IPv6 socket becomes ::ffff:a.b.c.d, 0.0.0.0 too: :: would be more than the policy was asked about. Answers how many bytes
 * count; 0: an IPv4 socket has no such address.
 */
export function put(family: number, address: InetAddress, into: Uint8Array = sockaddr): number {
  if (address.family === family) return encodeAddress(address, into);
  if (address.family === Family.INET6) return 0;
  const ip = new Uint8Array(16);
  ip.fill(0xff, 10, 12);
  ip.set(address.ip, 12);
  return encodeAddress({ family: Family.INET6, ip, port: address.port, scope: 0 }, into);
}

/** A socket's own name or its peer's, or a positive error number. */
export function nameOf(fd: number, which: 'own' | 'peer'): InetAddress | number {
  const length = inet.name(fd, which, sockaddr);
  if (length < 0) return -length;
  return decodeAddress(sockaddr, length) ?? 95;
}
