/**
 * What a socket driver is: whoever can make sockets of a family, and the operations on them, after Unikraft's posix-socket. Calls about the
 * socket answer later; those that move bytes answer at once and never wait: a count, or minus an error number, and `onReady` tells when it is
 * worth asking again. So the same program runs over a ring to another domain, within one guest, or over whatever else registers.
 */
import type { InetAddress } from '../core/address.ts';

/** Bits of readiness, poll(2)'s. */
export const Ready = { IN: 0x1, OUT: 0x4, ERROR: 0x8, HANGUP: 0x10 } as const;

/** An address of any family; those of AF_INET and AF_INET6 are `InetAddress`, other families bring their own shape. */
export interface SocketAddress {
  readonly family: number;
}

/** Families and types are Linux's numbers: AF_INET 2, AF_INET6 10, AF_VSOCK 40; SOCK_STREAM 1, SOCK_DGRAM 2. */
export interface SocketKind {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
}

/** Memory as the driver's data path likes it best. */
export interface Allocator {
  /** For what is received; it becomes the program's, a piece at a time, and is not given back. */
  alloc(bytes: number): Uint8Array;
}

/** One message for `sendmsg` and `recvmsg`: parts side by side. */
export interface Message<A extends SocketAddress = InetAddress> {
  readonly parts: readonly Uint8Array[];
  /** To whom; from whom after `recvmsg`. undefined: the peer. */
  address?: A | undefined;
  /** After `recvmsg`: the datagram was longer. */
  truncated?: boolean;
}

/** 0 or minus an error number, later. */
export type Outcome = Promise<number>;

/** `S`: what the driver makes of a socket; `A`: addresses of its families, which nobody above looks into but for AF_INET's and AF_INET6's. */
export interface SocketDriver<S = unknown, A extends SocketAddress = InetAddress> {
  /** For messages and route tables: `xensock0`, `loopback`. */
  readonly name: string;
  /** Most often both of AF_INET and AF_INET6. */
  readonly families: readonly number[];
  readonly allocator: Allocator;
  /**
   * `onReady`: bits of `Ready` that have come up, at the latest after a call answered -EAGAIN and has a reason no more; the stream's end and a
   * connection that waits are IN; never called from within a call. A number: minus an error number (a socket is an object).
   */
  create(kind: SocketKind, onReady: (bits: number) => void): S | number;
  bind(socket: S, address: A): Outcome;
  listen(socket: S, backlog: number): Outcome;
  /** Settles when the connection stands, or does not. */
  connect(socket: S, address: A): Outcome;
  /** -EAGAIN: nobody waits. `onReady`: of the new socket. */
  accept(socket: S, onReady: (bits: number) => void): S | number;
  shutdown(socket: S, how: 'read' | 'write' | 'both'): Outcome;
  /** 0: the end of the stream. */
  recv(socket: S, into: Uint8Array): number;
  recvfrom(socket: S, into: Uint8Array): { readonly count: number; readonly from?: A };
  recvmsg(socket: S, message: Message<A>): number;
  send(socket: S, bytes: Uint8Array): number;
  sendto(socket: S, bytes: Uint8Array, to: A): number;
  sendmsg(socket: S, message: Message<A>): number;
  getpeername(socket: S): Promise<A | number>;
  getsockname(socket: S): Promise<A | number>;
  getsockopt(socket: S, level: number, name: number): Promise<Uint8Array | number>;
  setsockopt(socket: S, level: number, name: number, value: Uint8Array): Outcome;
  /** What is ready now. */
  poll(socket: S): number;
  /** What was sent is still delivered. Settles when nothing of the socket is left. */
  close(socket: S): Promise<void>;
}
