/**
 * What the machine of a frontend's sockets (`sockets.ts`) has done for it, and how it hears of what takes time. Sockets are numbers of ours here,
 * never the guest's ids, and a number is not used again for another socket while anything of the first may still be heard. Errors are
 * positive numbers of Linux, 0: done. All calls answer at once.
 */
import type { InetAddress } from './address.ts';
import type { Request, Response } from './pvcalls.ts';

/** Where an address is, after the policy has looked at it: the backend's real network, or a network of guests among themselves, by its name. */
export interface Place {
  readonly network: 'inet' | 'local';
  /** Of a local network. */
  readonly name: string;
  /** After mapping. */
  readonly address: InetAddress;
}

/** A value, or why there is none (positive). */
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly errno: number };

export interface Hands {
  /** Into the ring of commands, shown at the end of the turn. */
  respond(response: Response): void;
  /** A request that is never going to be answered: an accept of a frontend without the extension, whose listening socket it has released. */
  drop(request: Request): void;
  /** A socket, before anything else is done with it, but that `accept` makes its own. Costs nothing yet. */
  create(socket: number, family: 2 | 10, type: 1 | 2): void;
  /**
   * Maps the index page and data ring, binds the port; bytes begin to flow when the socket is connected. EFAULT, EINVAL (order), ENOMEM (also:
   * the guest has as many pages mapped as its `Account` allows).
   */
  attach(socket: number, ref: number, evtchn: number): number;
  /** EINPROGRESS: `connected` is called later. 0: it is there. */
  connect(socket: number, to: Place): number;
  /** More than one place: a wildcard address, on the real network and the guests' own. Either all are bound or none. Answers the port. */
  bind(socket: number, places: readonly Place[]): Answer<number>;
  /** At all places or at none. */
  listen(socket: number, backlog: number): number;
  /** The next connection that waits at `socket` becomes `into`'s, which is attached. EAGAIN: none; `waiting` is called when there is one. */
  accept(socket: number, into: number): number;
  /** Whether a connection waits at a listening socket now. If not, `waiting` is called when there is one. */
  waits(socket: number): boolean;
  /** What is in the ring is still sent. */
  shutdown(socket: number, how: number): number;
  name(socket: number, which: 'own' | 'peer'): Answer<InetAddress>;
  getOption(socket: number, level: number, name: number): Answer<Uint8Array>;
  setOption(socket: number, level: number, name: number, value: Uint8Array): number;
  /**
   * The socket is no more: what is in its ring is still sent, from a copy; the ring is let go of before this returns. `keep`: the guest is going
   * to attach the same index page again, so that it may stay mapped.
   */
  release(socket: number, ring: 'unmap' | 'keep'): void;
  /** It is broken off: the peer sees RST, the guest ECONNRESET in both directions; a listening one listens no more. It is still to be released. */
  reset(socket: number): void;
  /** Bytes from and to the guest so far. */
  traffic(socket: number): Traffic;
}

export interface Traffic {
  readonly inBytes: number;
  readonly outBytes: number;
  /** Of a connection: `inet`, or the name of the guests' network that they go by. */
  readonly network?: string;
}

/** What the hands tell the machine. */
export interface Heard {
  /** How a connect went; 0: it stands. */
  connected(socket: number, errno: number): void;
  /** Connections wait at a listening socket: told when the first one comes after `accept` found none. */
  waiting(socket: number): void;
  /** Whether a datagram socket may send there, and where that is: asked once for each address, and again now and then. */
  maySend(socket: number, to: InetAddress): Answer<Place>;
}
