/**
 * What a guest may do with its sockets, and where its addresses are: pure decisions, each with its reason. The first rule that fits decides;
 * loopback addresses are a network of guests among themselves and never the backend's own; an address may stand for another one. Knows no
 * file and no socket. What the parts mean to an administrator is in README.md.
 */
import type { Limits } from './account.ts';
import { Family, formatAddress, type InetAddress, isAny, isLoopback, plain } from './address.ts';
import { Errno } from './errno.ts';
import type { Place } from './hands.ts';
import { contains, isMany, type Net, type PortRange } from './net.ts';

export type Direction = 'connect' | 'listen' | 'datagram';

export interface Rule {
  /** For reasons: `rule 2 of web (deny connect to 10.0.0.0/8)`. */
  readonly text: string;
  readonly allow: boolean;
  /** Empty: all, as below. */
  readonly directions: readonly Direction[];
  readonly nets: readonly Net[];
  readonly ports: readonly PortRange[];
}

/** `port` 0: every port, which stays what it is. */
export interface Mapping {
  readonly from: InetAddress;
  readonly to: InetAddress;
}

export interface GuestRules {
  /** Whose they are, for reasons. */
  readonly name: string;
  readonly rules: readonly Rule[];
  /** Where no rule fits. */
  readonly otherwise: 'allow' | 'deny';
  /** The network of guests that 127.0.0.0/8 and ::1 are; undefined: they are closed. */
  readonly localhost: string | undefined;
  readonly connectMap: readonly Mapping[];
  readonly listenMap: readonly Mapping[];
  readonly limits: Limits;
}

export interface Verdict {
  /** 0: it may. */
  readonly errno: number;
  readonly reason: string;
  /** Where that is: one, or for a wildcard address several. */
  readonly places: readonly Place[];
}

/** Ports below need a rule that names them. */
const PORT_FREE = 1024;

/** To whom a guest may connect; `datagram`: send. `address`: as the guest wrote it. */
export function judgePeer(
  guest: GuestRules,
  direction: 'connect' | 'datagram',
  address: InetAddress,
): Verdict {
  const asked = plain(address);
  // To connect to 0.0.0.0 is to connect to oneself.
  const wanted = isAny(asked) ? loopbackOf(asked) : asked;
  if (isMany(wanted)) return refused(`${formatAddress(wanted)} is not one peer`);
  const { allowed, reason } = rule(guest, direction, wanted);
  if (!allowed) return refused(reason);
  const mapped = mappedTo(guest.connectMap, wanted);
  if (mapped !== undefined) return granted(reason, [inet(mapped)]);
  if (!isLoopback(wanted)) return granted(reason, [inet(wanted)]);
  return guest.localhost === undefined
    ? refused(`localhost is closed for ${guest.name}`)
    : granted(reason, [local(guest.localhost, wanted)]);
}

/** Where a guest may be reached. `v6only`: what is said of :: is not said of 0.0.0.0. */
export function judgeOwn(guest: GuestRules, address: InetAddress, { v6only }: { v6only: boolean }): Verdict {
  const wanted = plain(address);
  if (isMany(wanted)) return refused(`${formatAddress(wanted)} is nobody's own`);
  const meant =
    isAny(wanted) && wanted.family === Family.INET6 && !v6only ? [wanted, fourOf(wanted)] : [wanted];
  let reason = '';
  for (const each of meant) {
    const ruling = rule(guest, 'listen', each);
    if (!ruling.allowed) return refused(ruling.reason);
    if (each.port > 0 && each.port < PORT_FREE && !ruling.namesPorts)
      return refused(`port ${each.port}: below ${PORT_FREE} only by a rule that names it (${ruling.reason})`);
    if (reason === '') reason = ruling.reason;
  }
  const mapped = placesApart(meant.flatMap((each) => mappedTo(guest.listenMap, each) ?? []));
  const outside = mapped.length > 0 ? mapped.map(inet) : [inet(wanted)];
  const inside = guest.localhost === undefined ? [] : [local(guest.localhost, wanted)];
  if (isAny(wanted)) return granted(reason, [...outside, ...inside]);
  if (!isLoopback(wanted) || mapped.length > 0) return granted(reason, outside);
  return inside.length > 0 ? granted(reason, inside) : refused(`localhost is closed for ${guest.name}`);
}

interface Ruling {
  readonly allowed: boolean;
  readonly reason: string;
  /** The rule does not speak of all ports. */
  readonly namesPorts: boolean;
}

function rule(guest: GuestRules, direction: Direction, address: InetAddress): Ruling {
  for (const candidate of guest.rules) {
    if (!fits(candidate, direction, address)) continue;
    return { allowed: candidate.allow, reason: candidate.text, namesPorts: candidate.ports.length > 0 };
  }
  const allowed = guest.otherwise === 'allow';
  return {
    allowed,
    reason: `no rule of ${guest.name} fits: ${allowed ? 'allowed' : 'denied'}`,
    namesPorts: false,
  };
}

function fits({ allow, directions, nets, ports }: Rule, direction: Direction, address: InetAddress): boolean {
  if (directions.length > 0 && !directions.includes(direction)) return false;
  if (ports.length > 0 && !ports.some(({ from, to }) => from <= address.port && address.port <= to))
    return false;
  if (nets.length === 0) return true;
  // Whoever listens at all addresses listens at the forbidden ones, too.
  const all = direction === 'listen' && isAny(address) && !allow;
  return nets.some((net) => (all ? net.family === address.family : contains(net, address)));
}

function mappedTo(map: readonly Mapping[], { ip, port, family }: InetAddress): InetAddress | undefined {
  const same = map.filter(({ from }) => isSameIp(from, { ip, family }));
  const found =
    same.find(({ from }) => from.port === port && port !== 0) ?? same.find(({ from }) => from.port === 0);
  return found && { ...found.to, port: found.to.port === 0 ? port : found.to.port };
}

/** Without those that another one is already: the kernel would have none of them twice. */
function placesApart(addresses: readonly InetAddress[]): readonly InetAddress[] {
  return addresses.filter((address, at) =>
    addresses.slice(0, at).every((before) => before.port !== address.port || !covers(before, address)),
  );
}

/** :: is 0.0.0.0, too. */
function covers(one: InetAddress, other: InetAddress): boolean {
  return (isAny(one) && isAny(other)) || isSameIp(one, other);
}

type Ip = Pick<InetAddress, 'family' | 'ip'>;

function isSameIp(one: Ip, other: Ip): boolean {
  return one.family === other.family && one.ip.every((byte, i) => byte === other.ip[i]);
}

function loopbackOf({ family, port }: InetAddress): InetAddress {
  const ip = new Uint8Array(family === Family.INET ? 4 : 16);
  if (family === Family.INET) ip[0] = 127;
  ip[ip.length - 1] = 1;
  return { family, ip, port, scope: 0 };
}

function fourOf({ port }: InetAddress): InetAddress {
  return { family: Family.INET, ip: new Uint8Array(4), port, scope: 0 };
}

function inet(address: InetAddress): Place {
  return { network: 'inet', name: '', address };
}

function local(name: string, address: InetAddress): Place {
  return { network: 'local', name, address };
}

function granted(reason: string, places: readonly Place[]): Verdict {
  return { errno: 0, reason, places };
}

function refused(reason: string): Verdict {
  return { errno: Errno.EACCES, reason, places: [] };
}
