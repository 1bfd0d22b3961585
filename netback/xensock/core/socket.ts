/**
 * One socket of a frontend, as the machine (`sockets.ts`) keeps it: its state, what was asked of it, and who waits for it. And the same as an
 * administrator and a successor see it.
 */
import { encodeAddress, Family, type InetAddress } from './address.ts';
import type { SocketEntry } from './entries.ts';
import { isV6only, type SocketOption } from './options.ts';
import type { Request } from './pvcalls.ts';

/**
 * `accepting`: the id that an accept has named, before a connection came; `lost`: it was cut by us, or by a kill of our predecessor, and the guest
 * has still to release it.
 */
export type State = 'created' | 'connecting' | 'active' | 'bound' | 'passive' | 'accepting' | 'lost';

export interface Socket {
  readonly id: bigint;
  readonly family: 2 | 10;
  readonly type: 1 | 2;
  /** Since when it is there, in milliseconds. */
  readonly sinceMs: number;
  /** Of ours, for the hands. */
  number: number;
  state: State;
  /** It has a data ring: by whom it is known. */
  ring: { readonly ref: number; readonly evtchn: number } | undefined;
  options: readonly SocketOption[];
  /** As the guest names them: where it wanted to be bound, the same with the port that it got, and whom it has connected to. */
  asked: InetAddress | undefined;
  own: InetAddress | undefined;
  peer: InetAddress | undefined;
  /** `inet`, or the name of the guests' network that it is in, or both with a plus; empty before it is known. */
  network: string;
  /** Where the listening socket is bound that accepted it: what the policy says of that is said of it. */
  listener: Pick<Socket, 'asked' | 'own' | 'options'> | undefined;
  backlog: number;
  /** What waits for an answer: CONNECT, or of an accepting socket its ACCEPT. */
  request: Request | undefined;
  /** Of a listening socket: those that its next connections become, and who wants to know of one. */
  readonly accepts: Socket[];
  poll: Request | undefined;
  /** Why it is lost. */
  errno: number;
}

/** For lists. */
export interface SocketView {
  readonly id: bigint;
  readonly family: number;
  readonly type: number;
  readonly state: State;
  readonly network: string;
  readonly own: InetAddress | undefined;
  readonly peer: InetAddress | undefined;
  readonly inBytes: number;
  readonly outBytes: number;
  readonly sinceMs: number;
}

export function newSocket(
  made: Pick<Socket, 'id' | 'family' | 'type' | 'sinceMs' | 'number' | 'state'>,
): Socket {
  return {
    ...made,
    ring: undefined,
    options: [],
    asked: undefined,
    own: undefined,
    peer: undefined,
    network: '',
    listener: undefined,
    backlog: 0,
    request: undefined,
    accepts: [],
    poll: undefined,
    errno: 0,
  };
}

/** What is to be made of it after a kill. undefined: its request is asked again, and makes it again. */
export function entryOf(socket: Socket): SocketEntry | undefined {
  const { id, family, type, state, own: address, asked, backlog, ring, options } = socket;
  const common = {
    id,
    family,
    type,
    address,
    backlog,
    ref: ring?.ref ?? 0,
    evtchn: ring?.evtchn ?? 0,
    ...(asked?.port === 0 && { anyPort: true as const }),
    ...(isV6only(options) && { only6: true as const }),
  };
  switch (state) {
    case 'accepting':
      return undefined;
    case 'connecting':
      return { ...common, state: address === undefined ? 'made' : 'bound', ref: 0, evtchn: 0 };
    case 'passive':
      return { ...common, state: 'listening' };
    case 'active':
    case 'lost':
      return { ...common, state: 'active' };
    case 'bound':
      return { ...common, state: ring === undefined ? 'bound' : 'active' };
    case 'created':
      return { ...common, state: ring === undefined ? 'made' : 'active' };
  }
}

/** An address as a socket of that family names it: IPv4 in IPv6 where it has to be. */
export function inFamily(family: number, address: InetAddress): InetAddress {
  if (family === address.family || family === Family.INET) return address;
  const ip = new Uint8Array(16);
  ip.fill(0xff, 10, 12);
  ip.set(address.ip, 12);
  return { family: Family.INET6, ip, port: address.port, scope: 0 };
}

/** No address yet. */
export function anyAddress(family: 2 | 10): InetAddress {
  return { family, ip: new Uint8Array(family === Family.INET ? 4 : 16), port: 0, scope: 0 };
}

/** As it stands in a response. */
export function addressBytes(address: InetAddress): Uint8Array {
  const bytes = new Uint8Array(28);
  return bytes.subarray(0, encodeAddress(address, bytes));
}
