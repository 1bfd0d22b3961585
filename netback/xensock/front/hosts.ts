/**
 * Where a program wants to go: literal addresses and `localhost` are known here, other names are asked of the `lookup` that the program gives, which
 * has the signature of Node's `dns.lookup`. There is no resolver of our own.
 */
import { Family, formatIp, type InetAddress, parseIp } from '../core/address.ts';
import { SocketError } from './errors.ts';

export interface LookupOptions {
  readonly family?: number;
  readonly hints?: number;
  readonly all?: false;
}

export type Lookup = (
  hostname: string,
  options: LookupOptions,
  callback: (
    error: Error | null,
    address: string | readonly { readonly address: string; readonly family: number }[],
    family?: number,
  ) => void,
) => void;

export interface HostOptions {
  /** 4 or 6; 0: either. */
  readonly family?: number | undefined;
  readonly hints?: number | undefined;
  readonly lookup?: Lookup | undefined;
}

/** An address in text, or `localhost`; undefined: it is some other name. */
export function literal(host: string, port: number, family = 0): InetAddress | undefined {
  if (host !== 'localhost') return parseIp(host, port);
  return parseIp(family === 6 || family === Family.INET6 ? '::1' : '127.0.0.1', port);
}

/** Rejects with what the lookup says, or ENOTFOUND. */
export function lookUp(
  host: string,
  port: number,
  { family = 0, hints = 0, lookup }: HostOptions,
): Promise<InetAddress> {
  const unknown = (): Error =>
    Object.assign(new SocketError(`getaddrinfo ENOTFOUND ${host}`, 'ENOTFOUND', 'getaddrinfo'), {
      hostname: host,
    });
  if (lookup === undefined) return Promise.reject(unknown());
  return new Promise((resolve, reject) => {
    lookup(host, { family, hints, all: false }, (error, found) => {
      if (error) return reject(error);
      const text = typeof found === 'string' ? found : found[0]?.address;
      const address = text === undefined ? undefined : parseIp(text, port);
      if (address === undefined) reject(unknown());
      else resolve(address);
    });
  });
}

/** What `address()` of Node's sockets tells. */
export interface AddressInfo {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

export function infoOf(address: InetAddress): AddressInfo {
  const family = address.family === Family.INET ? 'IPv4' : 'IPv6';
  return { address: formatIp(address), family, port: address.port };
}
