/**
 * The sockets of one frontend: commands go in, and what is to be done goes to the hands. Each socket has one state; what a state does not allow is
 * answered with an error number, as Linux's backend answers where it does at all. The policy is asked before anything is done. Whatever a frontend sends
 * ends in one response, or waits where few may wait. Knows no ring, no kernel's socket and no clock but the one it is given. The table of
 * commands, states and errors is in README.md. (xen/docs/misc/pvcalls.pandoc)
 */
import { decodeAddress, Family, type InetAddress, SocketType } from './address.ts';
import type { SocketEntry } from './entries.ts';
import { Errno } from './errno.ts';
import type { Answer, Heard, Place } from './hands.ts';
import { getOption, nameBytes, nameOf, nameTold, setOption, shutdown } from './inquiry.ts';
import { Listening } from './listening.ts';
import { isV6only, v6only } from './options.ts';
import { type GuestRules, judgeOwn, judgePeer, type Verdict } from './policy.ts';
import { type Call, Command, type Request } from './pvcalls.ts';
import type { Socket, SocketView } from './socket.ts';
import { isDatagram, SocketTable, type TableOptions } from './table.ts';

/** What the policy has said of a socket's wish, for whoever watches. */
export interface Decision extends Verdict {
  readonly direction: 'connect' | 'listen' | 'datagram';
  /** As the guest wrote it. */
  readonly address: InetAddress;
}

export interface SocketsOptions extends TableOptions {
  readonly rules: GuestRules;
  readonly onDecision?: (decision: Decision) => void;
}

/** A response's `ret` when it is an error's number; or its data; or none yet. */
type Outcome = number | Uint8Array | 'later';

type CallOf<C> = Extract<Call, { readonly command: C }>;

const TCP = 6;
const UDP = 17;

export class Sockets implements Heard {
  readonly #options: SocketsOptions;
  readonly #table: SocketTable;
  readonly #listening: Listening;
  #rules: GuestRules;

  constructor(options: SocketsOptions) {
    this.#options = options;
    this.#table = new SocketTable(options);
    this.#listening = new Listening(this.#table);
    this.#rules = options.rules;
  }

  /** One request, copied out of the ring. The response goes to the hands, now or later. */
  handle(request: Request): void {
    const { call, command } = request;
    const spoken = call !== undefined && (command <= Command.POLL || this.#options.extended);
    const outcome = spoken ? this.#carryOut(request, call) : Errno.ENOTSUP;
    if (outcome !== 'later') this.#table.respond(request, outcome);
  }

  connected(number: number, errno: number): void {
    const socket = this.#table.numbered(number);
    if (socket !== undefined && socket.state === 'connecting') this.#connectAnswered(socket, errno);
  }

  waiting(number: number): void {
    const socket = this.#table.numbered(number);
    if (socket !== undefined) this.#listening.waiting(socket);
  }

  maySend(number: number, to: InetAddress): Answer<Place> {
    const socket = this.#table.numbered(number);
    if (socket === undefined) return { ok: false, errno: Errno.EBADF };
    if (socket.family !== to.family) return { ok: false, errno: Errno.EAFNOSUPPORT };
    const { errno, places } = this.#judgePeer(socket, to);
    return errno === 0 ? { ok: true, value: places[0]! } : { ok: false, errno };
  }

  /** Other rules from now on. What they forbid is cut: connections are reset, listening sockets and whoever waits at them end with EACCES. */
  set rules(rules: GuestRules) {
    this.#rules = rules;
    for (const socket of this.#table.all) {
      const forbidden = this.#forbidden(socket);
      if (forbidden === undefined) continue;
      this.#options.onDecision?.(forbidden);
      this.#cut(socket);
    }
  }

  /**
   * The frontend is gone: everything is let go of, nothing is answered. `broken off`: we are going, and the frontend is not: its connections must
   * not look as if they had come to their end.
   */
  close(connections: 'in order' | 'broken off' = 'in order'): void {
    if (connections === 'broken off')
      for (const { state, number } of this.#table.all)
        if (state === 'active') this.#options.hands.reset(number);
    for (const socket of this.#table.all) this.#table.destroy(socket, 'unmap');
  }

  /**
   * Sockets of a predecessor's, as its ledger has them. Those that were active are lost, and their guest knows by their rings. The requests that
   * waited are handed in again after it.
   */
  restore(entries: Iterable<SocketEntry>): void {
    for (const entry of entries) {
      // Whoever is killed on the way leaves them as they were, and nothing of what is made again step by step.
      this.#table.quietly(() => this.#restore(entry));
      const socket = this.#table.find(entry.id);
      if (socket === undefined) this.#options.ledger?.remove(entry.id);
      else this.#table.note(socket);
    }
  }

  get list(): readonly SocketView[] {
    const { hands } = this.#options;
    return this.#table.all.map((socket) => {
      const { id, family, type, state, network, sinceMs, number } = socket;
      const own = nameOf(hands, socket, 'own');
      const peer = nameOf(hands, socket, 'peer');
      const names = { own: own.ok ? own.value : undefined, peer: peer.ok ? peer.value : undefined };
      return { id, family, type, state, network, sinceMs, ...names, ...hands.traffic(number) };
    });
  }

  #carryOut(request: Request, call: Call): Outcome {
    switch (call.command) {
      case Command.SOCKET:
        return this.#socket(request.id, call);
      case Command.CONNECT:
        return this.#connect(request, call);
      case Command.RELEASE:
        // Linux's frontend leaves in that byte what was in the slot before.
        return this.#release(request.id, call.reuse && this.#options.extended ? 'keep' : 'unmap');
      case Command.BIND:
        return this.#bind(request.id, call);
    }
    const socket = this.#table.find(request.id);
    if (socket === undefined) return call.command <= Command.POLL ? Errno.EINVAL : Errno.EBADF;
    const { hands } = this.#options;
    switch (call.command) {
      case Command.LISTEN:
        return this.#listening.listen(socket, call.backlog);
      case Command.ACCEPT:
        return this.#listening.accept(socket, request, call);
      case Command.POLL:
        return this.#listening.poll(socket, request);
      case Command.SHUTDOWN:
        return shutdown(hands, socket, call.how);
      case Command.GETSOCKNAME:
        return nameBytes(hands, socket, 'own');
      case Command.GETPEERNAME:
        return nameBytes(hands, socket, 'peer');
      case Command.GETSOCKOPT:
        return getOption(hands, socket, call);
      case Command.SETSOCKOPT:
        return setOption(hands, socket, call);
      case Command.ATTACH:
        return this.#attach(socket, call);
    }
  }

  #socket(id: bigint, { domain, type, protocol }: CallOf<0>): Outcome {
    if (domain !== Family.INET && domain !== Family.INET6) return Errno.ENOTSUP;
    const datagrams = type === SocketType.DGRAM && this.#options.extended;
    if (type !== SocketType.STREAM && !datagrams) return Errno.ENOTSUP;
    if (protocol !== 0 && protocol !== (datagrams ? UDP : TCP)) return Errno.ENOTSUP;
    const made = this.#table.make(id, domain, datagrams ? SocketType.DGRAM : SocketType.STREAM, 'created');
    return made.ok ? 0 : made.errno;
  }

  #connect(request: Request, call: CallOf<1>): Outcome {
    const found = this.#addressed(request.id, call);
    if (!found.ok) return found.errno;
    const { socket, address } = found.value;
    const wrong = connectError(socket, this.#options.extended);
    if (wrong !== 0) return wrong;
    const { errno, places } = this.#judgePeer(socket, address);
    if (errno !== 0) return errno;
    const { account, hands, now } = this.#options;
    if (!account.connect(now())) return Errno.EAGAIN;
    const refused = socket.ring === undefined ? this.#table.attach(socket, call) : 0;
    if (refused !== 0) return refused;
    const place = places[0]!;
    const outcome = hands.connect(socket.number, place);
    if (outcome === 0 || outcome === Errno.EINPROGRESS) {
      socket.peer = address;
      socket.network = networksOf(places);
    }
    if (outcome !== Errno.EINPROGRESS) {
      this.#connectEnded(socket, outcome);
      return outcome === 0 ? nameTold(this.#options, socket, 'own') : outcome;
    }
    socket.state = 'connecting';
    socket.request = request;
    return 'later';
  }

  #connectAnswered(socket: Socket, errno: number): void {
    const request = socket.request!;
    socket.request = undefined;
    this.#connectEnded(socket, errno);
    this.#table.respond(request, errno === 0 ? nameTold(this.#options, socket, 'own') : errno);
  }

  #connectEnded(socket: Socket, errno: number): void {
    if (errno === 0) socket.state = 'active';
    else if (!isDatagram(socket)) this.#table.makeAnew(socket);
    else if (socket.state === 'connecting') socket.state = socket.own === undefined ? 'created' : 'bound';
    this.#table.note(socket);
  }

  #release(id: bigint, ring: 'unmap' | 'keep'): Outcome {
    const socket = this.#table.find(id);
    // An id that an accept has named is no socket before a connection came.
    if (socket === undefined || socket.state === 'accepting') return 0;
    if (socket.request !== undefined) this.#table.respond(socket.request, Errno.EINTR);
    this.#listening.interrupt(socket, Errno.EINTR);
    this.#table.destroy(socket, ring);
    return 0;
  }

  #bind(id: bigint, call: CallOf<3>): Outcome {
    const found = this.#addressed(id, call);
    if (!found.ok) return found.errno;
    const { socket, address } = found.value;
    if (socket.state !== 'created') return Errno.EINVAL;
    const errno = this.#bindTo(socket, address, address.port);
    if (errno === 0) this.#table.note(socket);
    return errno;
  }

  /** `port`: the one that it had before, where any will do. */
  #bindTo(socket: Socket, address: InetAddress, port: number): number {
    const { errno, places } = this.#judgeOwn(socket, address);
    if (errno !== 0) return errno;
    const bound = this.#options.hands.bind(
      socket.number,
      places.map((place) => ({ ...place, address: { ...place.address, port: place.address.port || port } })),
    );
    if (!bound.ok) return bound.errno;
    socket.asked = address;
    // The port that it was asked for may stand for another one.
    socket.own = address.port === 0 ? { ...address, port: bound.value } : address;
    socket.network = networksOf(places);
    socket.state = 'bound';
    return 0;
  }

  #attach(socket: Socket, call: CallOf<0x105>): Outcome {
    if (!isDatagram(socket)) return Errno.EOPNOTSUPP;
    if (socket.ring !== undefined || socket.state === 'lost') return Errno.EINVAL;
    const errno = this.#table.attach(socket, call);
    if (errno === 0) this.#table.note(socket);
    return errno;
  }

  /** The address of a CONNECT or BIND, and its socket; one that was never made is, as with Linux's backend. */
  #addressed(
    id: bigint,
    call: CallOf<1> | CallOf<3>,
  ): Answer<{ readonly socket: Socket; readonly address: InetAddress }> {
    const address = decodeAddress(call.address, call.addressLength);
    if (address === undefined) return { ok: false, errno: Errno.EINVAL };
    const there = this.#table.find(id);
    if (there !== undefined && there.family !== address.family)
      return { ok: false, errno: Errno.EAFNOSUPPORT };
    if (there !== undefined) return { ok: true, value: { socket: there, address } };
    const made = this.#table.make(id, address.family, SocketType.STREAM, 'created');
    return made.ok ? { ok: true, value: { socket: made.value, address } } : made;
  }

  /** Why a socket may not be what it is. */
  #forbidden({ type, state, peer, asked, listener, options }: Socket): Decision | undefined {
    if (state === 'lost') return undefined;
    if (peer !== undefined) {
      const direction = type === SocketType.DGRAM ? 'datagram' : 'connect';
      const verdict = judgePeer(this.#rules, direction, peer);
      if (verdict.errno !== 0) return { ...verdict, direction, address: peer };
    }
    const where = listener ?? { asked, options };
    if (where.asked === undefined) return undefined;
    const verdict = judgeOwn(this.#rules, where.asked, { v6only: isV6only(where.options) });
    return verdict.errno === 0 ? undefined : { ...verdict, direction: 'listen', address: where.asked };
  }

  #cut(socket: Socket): void {
    if (socket.state === 'connecting') {
      this.#connectAnswered(socket, Errno.EACCES);
      return;
    }
    this.#listening.interrupt(socket, Errno.EACCES);
    this.#table.lose(socket, socket.state === 'active' ? Errno.ECONNRESET : Errno.EACCES);
  }

  #restore({ id, family, type, state, address, anyPort, only6, backlog }: SocketEntry): void {
    const made = this.#table.make(
      id,
      family === Family.INET ? Family.INET : Family.INET6,
      type === SocketType.STREAM ? SocketType.STREAM : SocketType.DGRAM,
      'created',
    );
    // A limit is another one now. It is as if it had never been.
    if (!made.ok) return;
    const socket = made.value;
    if (only6) setOption(this.#options.hands, socket, v6only);
    let errno = 0;
    if (state === 'active') errno = Errno.ECONNRESET;
    else if (address !== undefined)
      errno = this.#bindTo(socket, anyPort ? { ...address, port: 0 } : address, address.port);
    if (errno === 0 && state === 'listening') errno = this.#listening.listen(socket, backlog);
    if (errno !== 0) this.#table.lose(socket, errno);
  }

  #judgePeer(socket: Socket, address: InetAddress): Verdict {
    const direction = isDatagram(socket) ? 'datagram' : 'connect';
    const verdict = judgePeer(this.#rules, direction, address);
    this.#options.onDecision?.({ ...verdict, direction, address });
    return verdict;
  }

  #judgeOwn({ options }: Socket, address: InetAddress): Verdict {
    const verdict = judgeOwn(this.#rules, address, { v6only: isV6only(options) });
    this.#options.onDecision?.({ ...verdict, direction: 'listen', address });
    return verdict;
  }
}

/** `inet`, `host`, `inet+host`. */
function networksOf(places: readonly Place[]): string {
  return places.map(({ network, name }) => (network === 'inet' ? network : name)).join('+');
}

/** Why a socket in that state cannot connect; 0: it can. */
function connectError(socket: Socket, extended: boolean): number {
  switch (socket.state) {
    case 'created':
      return 0;
    case 'connecting':
      return Errno.EALREADY;
    case 'active':
      return isDatagram(socket) ? 0 : Errno.EISCONN;
    case 'bound':
      return extended ? 0 : Errno.EINVAL;
    default:
      return Errno.EINVAL;
  }
}
