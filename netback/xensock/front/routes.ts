/**
 * Which of several drivers an address is for: the longest prefix wins, of two that are as long the one that was added last. Loopback addresses
 * are the driver `loopback`'s from the start. Families that are not AF_INET or AF_INET6 have addresses that this does not look into: their
 * routes are for all of the family. Knows drivers by name alone, and a name that nobody bears is passed over.
 */
import { Family, type InetAddress, parseIp, plain } from '../core/address.ts';
import type { SocketAddress } from './driver.ts';

interface Route {
  readonly family: number;
  readonly ip: Uint8Array;
  /** Bits of the prefix. */
  readonly length: number;
  readonly driver: string;
}

export function isInet(address: SocketAddress): address is InetAddress {
  return address.family === Family.INET || address.family === Family.INET6;
}

export class RouteTable {
  /** The best first. */
  readonly #routes: Route[] = [];

  constructor() {
    this.add('127.0.0.0/8', 'loopback');
    this.add('::1/128', 'loopback');
  }

  /**
   * `to`: `10.0.0.0/8`, `fe80::/10`, one address, or the number of a family. Answers what takes the route away again. Throws RangeError for a
   * prefix that is none.
   */
  add(to: string | number, driver: string): () => void {
    const route = { ...parsePrefix(to), driver };
    const at = this.#routes.findIndex(({ length }) => length <= route.length);
    this.#routes.splice(at < 0 ? this.#routes.length : at, 0, route);
    return () => {
      const index = this.#routes.indexOf(route);
      if (index >= 0) this.#routes.splice(index, 1);
    };
  }

  /** Names of drivers, the best first. An IPv4 address written as IPv6 goes the way of the IPv4 address. */
  *find(address: SocketAddress): Generator<string> {
    const wanted = isInet(address) ? plain(address) : { family: address.family, ip: new Uint8Array() };
    for (const route of this.#routes)
      if (route.family === wanted.family && begins(wanted.ip, route)) yield route.driver;
  }
}

function begins(ip: Uint8Array, prefix: Route): boolean {
  const whole = prefix.length >> 3;
  for (let i = 0; i < whole; i++) if (ip[i] !== prefix.ip[i]) return false;
  const rest = prefix.length & 7;
  return rest === 0 || ((ip[whole]! ^ prefix.ip[whole]!) & (0xff00 >> rest)) === 0;
}

function parsePrefix(to: string | number): Omit<Route, 'driver'> {
  if (typeof to === 'number') return { family: to, ip: new Uint8Array(), length: 0 };
  const [text = '', bits, ...more] = to.split('/');
  const address = parseIp(text);
  const most = (address?.ip.length ?? 0) * 8;
  const length = bits === undefined ? most : Number(bits);
  if (address === undefined || more.length > 0 || !/^\d*$/.test(bits ?? '') || length > most)
    throw new RangeError(`${to}: neither an address nor a prefix such as 10.0.0.0/8`);
  return { family: address.family, ip: address.ip, length };
}
