/**
 * A network of guests among themselves: who listens where, who waits to be accepted, and what each end is called. It does not touch the machine's
 * own. A connection stands as soon as it is in a listener's queue, as TCP's does; who finds the queue full waits until there is room, and how long
 * is the caller's. Sockets are objects of the caller's, never looked into; bytes do not come this way.
 */
import { Family, type InetAddress, isAny, isLoopback, plain } from './address.ts';
import type { Answer } from './hands.ts';
import { type Binding, type EphemeralPorts, Ports } from './localports.ts';

const Errno = {
  EAGAIN: 11,
  EINVAL: 22,
  EDESTADDRREQ: 89,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  EISCONN: 106,
  ENOTCONN: 107,
  ECONNREFUSED: 111,
  EINPROGRESS: 115,
} as const;

/** Whatever a frontend asks for: no queue is longer. */
const MOST_BACKLOG = 4096;

/** Of an accepted connection. */
export interface Accepted<S> {
  readonly client: S;
  readonly own: InetAddress;
  readonly peer: InetAddress;
  /** Who waited for room, and has it now: its connection stands. */
  readonly admitted: S | undefined;
}

/** Whom it concerns that a socket has left. */
export interface Left<S> {
  /** It had waited for room, and has it now. */
  readonly admitted: S | undefined;
  /** They stood: ECONNRESET. */
  readonly reset: readonly S[];
  /** They waited for room: ECONNREFUSED. */
  readonly refused: readonly S[];
}

interface Listening<S> {
  backlog: number;
  readonly queue: S[];
  readonly waiting: S[];
}

interface Entry<S> {
  binding?: Binding<S>;
  own?: InetAddress;
  peer?: InetAddress;
  listening?: Listening<S>;
  /** Whose queue it is in, or waits for. */
  at?: Listening<S>;
  /** Of its connection, while it holds a port by that. */
  pair?: number;
}

const nobody: Left<never> = { admitted: undefined, reset: [], refused: [] };

export class LocalNet<S extends object> {
  readonly #streams: Ports<S>;
  readonly #datagrams: Ports<S>;
  readonly #entries = new Map<S, Entry<S>>();
  /** Ports of connections: that of who connects, times 65536, and the other's. */
  readonly #pairs = new Set<number>();

  constructor(ephemeral?: EphemeralPorts) {
    this.#streams = new Ports(ephemeral);
    this.#datagrams = new Ports(ephemeral);
  }

  get empty(): boolean {
    return this.#entries.size === 0;
  }

  /** `only6`: `::` is not `0.0.0.0` as well. Answers what it is called now. EINVAL: bound already; EADDRINUSE, EADDRNOTAVAIL. */
  bind(socket: S, address: InetAddress, only6 = false): Answer<InetAddress> {
    return this.#bind(this.#streams, socket, address, only6);
  }

  /** Once more: another backlog. EDESTADDRREQ: not bound; EINVAL: connected. */
  listen(socket: S, backlog: number): number {
    const entry = this.#entries.get(socket);
    if (entry?.binding === undefined) return Errno.EDESTADDRREQ;
    if (entry.peer !== undefined) return Errno.EINVAL;
    const most = Math.min(Math.max(backlog, 1), MOST_BACKLOG);
    if (entry.listening === undefined) entry.listening = { backlog: most, queue: [], waiting: [] };
    else entry.listening.backlog = most;
    return 0;
  }

  /** 0: it stands, and is the last in the listener's queue; EINPROGRESS: it waits for room. ECONNREFUSED, ENETUNREACH, EISCONN, EADDRNOTAVAIL. */
  connect(socket: S, address: InetAddress): number {
    const to = destination(address);
    if (to === undefined) return Errno.ENETUNREACH;
    const entry = this.#entries.get(socket) ?? {};
    if (entry.peer !== undefined) return Errno.EISCONN;
    if (entry.listening !== undefined) return Errno.EINVAL;
    const listener = this.#streams.find(to, (owner) => this.#entries.get(owner)?.listening !== undefined);
    const listening = listener && this.#entries.get(listener)?.listening;
    if (listening === undefined) return Errno.ECONNREFUSED;
    const port = entry.binding?.address.port ?? this.#streams.ephemeral((one) => this.#isPair(one, to.port));
    if (port === undefined || this.#isPair(port, to.port)) return Errno.EADDRNOTAVAIL;
    entry.pair = pairOf(port, to.port);
    this.#pairs.add(entry.pair);
    entry.own = entry.own !== undefined && !isAny(entry.own) ? entry.own : sourceFor(to, port);
    entry.peer = to;
    entry.at = listening;
    this.#entries.set(socket, entry);
    if (listening.queue.length < listening.backlog) {
      listening.queue.push(socket);
      return 0;
    }
    listening.waiting.push(socket);
    return Errno.EINPROGRESS;
  }

  /** Who listens where this one's connection stands or waits; undefined: it was accepted, or never made. */
  listenerOf(client: S): S | undefined {
    const entry = this.#entries.get(client);
    if (entry?.at === undefined) return undefined;
    return this.#streams.find(entry.peer!, (owner) => this.#entries.get(owner)?.listening === entry.at);
  }

  /** How many connections stand and are not accepted. */
  queued(listener: S): number {
    return this.#entries.get(listener)?.listening?.queue.length ?? 0;
  }

  /** The first in the queue becomes `into`'s peer. EAGAIN: there is none; EINVAL: nobody listens, or `into` is something already. */
  accept(listener: S, into: S): Answer<Accepted<S>> {
    const { listening, own: bound } = this.#entries.get(listener) ?? {};
    if (listening === undefined || this.#entries.has(into)) return { ok: false, errno: Errno.EINVAL };
    const client = listening.queue.shift();
    if (client === undefined) return { ok: false, errno: Errno.EAGAIN };
    const theirs = this.#entries.get(client)!;
    delete theirs.at;
    const own = as(bound!.family, theirs.peer!);
    const peer = as(bound!.family, theirs.own!);
    this.#entries.set(into, { own, peer });
    return { ok: true, value: { client, own, peer, admitted: admit(listening) } };
  }

  /** The socket is no more, or its waiting is: all it had here is free. Tells whose connections go with it. */
  leave(socket: S): Left<S> {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return nobody;
    this.#entries.delete(socket);
    if (entry.binding !== undefined) {
      this.#streams.drop(entry.binding);
      this.#datagrams.drop(entry.binding);
    }
    this.#unpair(entry);
    const admitted = entry.at && withdraw(entry.at, socket);
    if (entry.listening === undefined) return admitted === undefined ? nobody : { ...nobody, admitted };
    const { queue: reset, waiting: refused } = entry.listening;
    for (const client of [...reset, ...refused]) this.#forgetConnection(client);
    return { admitted, reset, refused };
  }

  /** A connect that waited for room is given up: it may be tried again. */
  giveUp(socket: S): void {
    const entry = this.#entries.get(socket);
    if (entry?.at === undefined || !entry.at.waiting.includes(socket)) return;
    remove(entry.at.waiting, socket);
    this.#forgetConnection(socket);
  }

  own(socket: S): InetAddress | undefined {
    return this.#entries.get(socket)?.own;
  }

  /** ENOTCONN: undefined. */
  peer(socket: S): InetAddress | undefined {
    return this.#entries.get(socket)?.peer;
  }

  /** As `bind`, in the datagrams' own space of ports. */
  bindDatagram(socket: S, address: InetAddress, only6 = false): Answer<InetAddress> {
    return this.#bind(this.#datagrams, socket, address, only6);
  }

  /** The peer for what is sent without an address, and the only one to hear from. Somebody need not be there. ENETUNREACH, EADDRINUSE. */
  connectDatagram(socket: S, address: InetAddress): number {
    const to = destination(address);
    if (to === undefined) return Errno.ENETUNREACH;
    const own = this.#source(socket, to);
    if (!own.ok) return own.errno;
    const entry = this.#entries.get(socket)!;
    entry.peer = to;
    if (isAny(own.value)) entry.own = sourceFor(to, own.value.port);
    return 0;
  }

  /**
   * Who gets a datagram to `address` (undefined: the peer), and from whom it is. Who sends without a port has one from now on. ECONNREFUSED: nobody is
   * there, or he hears another alone; EDESTADDRREQ, ENETUNREACH.
   */
  deliver(
    socket: S,
    address: InetAddress | undefined,
  ): Answer<{ readonly to: S; readonly from: InetAddress }> {
    const wanted = address ?? this.#entries.get(socket)?.peer;
    if (wanted === undefined) return { ok: false, errno: Errno.EDESTADDRREQ };
    const to = destination(wanted);
    if (to === undefined) return { ok: false, errno: Errno.ENETUNREACH };
    const own = this.#source(socket, to);
    if (!own.ok) return own;
    const from = isAny(own.value) ? sourceFor(to, own.value.port) : own.value;
    const receiver = this.#datagrams.find(to, () => true);
    const theirs = receiver && this.#entries.get(receiver);
    if (receiver === undefined || (theirs?.peer !== undefined && !equal(theirs.peer, from)))
      return { ok: false, errno: Errno.ECONNREFUSED };
    return { ok: true, value: { to: receiver, from: as(theirs!.own!.family, from) } };
  }

  #bind(ports: Ports<S>, socket: S, address: InetAddress, only6: boolean): Answer<InetAddress> {
    if (this.#entries.has(socket)) return { ok: false, errno: Errno.EINVAL };
    const taken = ports.take(socket, address, only6);
    if (!taken.ok) return taken;
    const binding = taken.value;
    this.#entries.set(socket, { binding, own: binding.address });
    return { ok: true, value: binding.address };
  }

  #source(socket: S, to: InetAddress): Answer<InetAddress> {
    const own = this.own(socket);
    return own === undefined ? this.bindDatagram(socket, sourceFor(to, 0)) : { ok: true, value: own };
  }

  #isPair(from: number, to: number): boolean {
    return this.#pairs.has(pairOf(from, to));
  }

  #forgetConnection(client: S): void {
    const entry = this.#entries.get(client);
    if (entry === undefined) return;
    this.#unpair(entry);
    const { binding } = entry;
    if (binding === undefined) this.#entries.delete(client);
    else this.#entries.set(client, { binding, own: binding.address });
  }

  #unpair(entry: Entry<S>): void {
    if (entry.pair !== undefined) this.#pairs.delete(entry.pair);
    delete entry.pair;
  }
}

function pairOf(from: number, to: number): number {
  return from * 65536 + to;
}

/** Where a connection goes: to a wildcard means to oneself, as on Linux. undefined: it is not on such a network. */
function destination(address: InetAddress): InetAddress | undefined {
  const to = plain(address);
  if (isAny(to)) return sourceFor(to, to.port);
  return isLoopback(to) ? to : undefined;
}

/** 127.0.0.1 or ::1. */
function sourceFor({ family }: InetAddress, port: number): InetAddress {
  const ip = new Uint8Array(family === Family.INET ? 4 : 16);
  ip[ip.length - 1] = 1;
  if (family === Family.INET) ip[0] = 127;
  return { family, ip, port, scope: 0 };
}

/** For a socket of this family: IPv4's within IPv6, where it has both. */
function as(family: number, address: InetAddress): InetAddress {
  if (family === address.family || family === Family.INET) return plain(address);
  const ip = new Uint8Array(16);
  ip.fill(0xff, 10, 12);
  ip.set(address.ip, 12);
  return { family: Family.INET6, ip, port: address.port, scope: 0 };
}

function equal(a: InetAddress, b: InetAddress): boolean {
  const [one, other] = [plain(a), plain(b)];
  return (
    one.port === other.port && one.ip.length === other.ip.length && one.ip.every((x, i) => x === other.ip[i])
  );
}

/** Who waited longest has the room that there is. */
function admit<S>({ backlog, queue, waiting }: Listening<S>): S | undefined {
  if (queue.length >= backlog) return undefined;
  const admitted = waiting.shift();
  if (admitted !== undefined) queue.push(admitted);
  return admitted;
}

function withdraw<S>(listening: Listening<S>, socket: S): S | undefined {
  remove(listening.waiting, socket);
  if (!listening.queue.includes(socket)) return undefined;
  remove(listening.queue, socket);
  return admit(listening);
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}
