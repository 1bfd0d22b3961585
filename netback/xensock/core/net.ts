/**
 * Sets of addresses and of ports, as policies name them: `10.0.0.0/8`, `::1`, `8000-8999`. An IPv4 address is the same one when it is
 * written as IPv6. Knows no rule and no socket.
 */
import { Family, type InetAddress, parseIp, plain } from './address.ts';

/** All addresses whose first `bits` bits are those of `ip`. */
export interface Net {
  readonly family: number;
  readonly ip: Uint8Array;
  readonly bits: number;
}

/** From one port to another, both of them in it. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** `::ffff:0:0/96`, in which IPv4 is written. */
const MAPPED_BITS = 96;

/** An address, perhaps with a slash and the number of its bits that count. undefined: it is none. */
export function parseNet(text: string): Net | undefined {
  const [ipText = '', bitsText, ...more] = text.split('/');
  const address = parseIp(ipText);
  if (address === undefined || more.length > 0 || address.scope !== 0) return undefined;
  const most = address.ip.length * 8;
  const bits = bitsText === undefined ? most : decimal(bitsText, most);
  if (bits === undefined) return undefined;
  const four = plain(address);
  if (four === address || bits < MAPPED_BITS) return { family: address.family, ip: address.ip, bits };
  return { family: four.family, ip: four.ip, bits: bits - MAPPED_BITS };
}

/** `80`, `8000-8999`. undefined: neither. */
export function parsePorts(text: string): PortRange | undefined {
  const [fromText = '', toText = fromText, ...more] = text.split('-');
  const from = decimal(fromText, 0xffff);
  const to = decimal(toText, 0xffff);
  if (from === undefined || to === undefined || from > to || more.length > 0) return undefined;
  return { from, to };
}

/** `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; the port is 0 where there is none. undefined: it is no address. */
export function parseAddress(text: string): InetAddress | undefined {
  const withPort = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  if (withPort === null) return parseIp(text.replace(/^\[(.*)\]$/, '$1'));
  const port = decimal(withPort[3]!, 0xffff);
  if (port === undefined || port === 0) return undefined;
  return parseIp(withPort[1] ?? withPort[2]!, port);
}

export function contains({ family, ip, bits }: Net, address: InetAddress): boolean {
  const wanted = plain(address);
  if (wanted.family !== family) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (wanted.ip[i] !== ip[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (wanted.ip[whole]! ^ ip[whole]!) >> (8 - rest) === 0;
}

/** Groups, everybody and what is reserved (224.0.0.0/3, ff00::/8): for no socket of one guest. */
export function isMany(address: InetAddress): boolean {
  const { family, ip } = plain(address);
  return family === Family.INET ? ip[0]! >= 224 : ip[0] === 0xff;
}

function decimal(text: string, most: number): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}
