/**
 * The ports of a network of guests among themselves, for streams or for datagrams: who is bound where, who is found at an address, and which port
 * is free. Such a network has 127.0.0.0/8 and ::1 alone, as Linux's loopback interface does. Knows nothing of connections. (ip(7), ipv6(7))
 */
import { Family, formatIp, type InetAddress, isAny, isLoopback, plain } from './address.ts';
import type { Answer } from './hands.ts';

/** For who names none, both included. */
export interface EphemeralPorts {
  readonly first: number;
  readonly last: number;
}

/** Linux's (net.ipv4.ip_local_port_range). */
const EPHEMERAL: EphemeralPorts = { first: 32768, last: 60999 };

const EADDRINUSE = 98;
const EADDRNOTAVAIL = 99;

/** What a binding covers: `any`: both families, as `::` does unless it is told not to. */
type Where = 'any' | 'any4' | 'any6' | { readonly family: number; readonly ip: string };

/** Whoever is bound: `owner` is the caller's, and never looked into. */
export interface Binding<S> {
  readonly owner: S;
  /** With its port; the wildcard if it was bound to that. */
  readonly address: InetAddress;
  readonly where: Where;
}

export class Ports<S> {
  readonly #byPort = new Map<number, Binding<S>[]>();
  readonly #ephemeral: EphemeralPorts;
  #next: number;

  constructor(ephemeral: EphemeralPorts = EPHEMERAL) {
    this.#ephemeral = ephemeral;
    this.#next = ephemeral.first;
  }

  /** `address.port` 0: any that is free. `only6`: of `::`, no IPv4. EADDRNOTAVAIL, EADDRINUSE. */
  take(owner: S, address: InetAddress, only6: boolean): Answer<Binding<S>> {
    if (!isAny(address) && !isLoopback(address)) return { ok: false, errno: EADDRNOTAVAIL };
    const where = whereOf(address, only6);
    const port = address.port === 0 ? this.#free() : address.port;
    if (port === undefined) return { ok: false, errno: EADDRINUSE };
    const there = this.#byPort.get(port);
    if (there?.some((other) => overlap(other.where, where))) return { ok: false, errno: EADDRINUSE };
    const binding = { owner, address: { ...address, port }, where };
    if (there === undefined) this.#byPort.set(port, [binding]);
    else there.push(binding);
    return { ok: true, value: binding };
  }

  /** Idempotent. */
  drop(binding: Binding<S>): void {
    const { port } = binding.address;
    const there = this.#byPort.get(port);
    const at = there?.indexOf(binding) ?? -1;
    if (at < 0) return;
    there!.splice(at, 1);
    if (there!.length === 0) this.#byPort.delete(port);
  }

  /** The one whose binding fits best, among those that `serves`: the address itself, the wildcard of its family, that of both. */
  find(to: InetAddress, serves: (owner: S) => boolean): S | undefined {
    const there = this.#byPort.get(to.port)?.filter(({ owner }) => serves(owner)) ?? [];
    const own = whereOf(to, false);
    const wildcard = plain(to).family === Family.INET ? 'any4' : 'any6';
    for (const wanted of [own, wildcard, 'any'] as const) {
      const binding = there.find(({ where }) => same(where, wanted));
      if (binding !== undefined) return binding.owner;
    }
    return undefined;
  }

  /** Ports in turn, so that one is not soon somebody else's; `taken`: besides those that are bound. */
  ephemeral(taken: (port: number) => boolean): number | undefined {
    const { first, last } = this.#ephemeral;
    for (let tries = first; tries <= last; tries++) {
      const port = this.#next;
      this.#next = port === last ? first : port + 1;
      if (!this.#byPort.has(port) && !taken(port)) return port;
    }
    return undefined;
  }

  #free(): number | undefined {
    return this.ephemeral(() => false);
  }
}

function whereOf(address: InetAddress, only6: boolean): Where {
  const { family, ...rest } = plain(address);
  if (!isAny(address)) return { family, ip: formatIp({ family, ...rest, scope: 0 }) };
  if (family === Family.INET) return 'any4';
  return only6 ? 'any6' : 'any';
}

function overlap(a: Where, b: Where): boolean {
  if (a === 'any' || b === 'any') return true;
  if (typeof a === 'object' && typeof b === 'object') return same(a, b);
  return familyOf(a) === familyOf(b);
}

function familyOf(where: Exclude<Where, 'any'>): number {
  if (typeof where === 'object') return where.family;
  return where === 'any4' ? Family.INET : Family.INET6;
}

function same(a: Where, b: Where): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b;
  return a.family === b.family && a.ip === b.ip;
}
