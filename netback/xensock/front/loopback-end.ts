/** One socket of the loopback driver: what it is, where, and who is at the other end. A record; what happens to it is elsewhere. */
import { Family, type InetAddress, plain, SocketType } from '../core/address.ts';
import type { Binding } from '../core/localports.ts';
import type { SocketKind } from './driver.ts';

export type Deferred = (work: () => void) => void;
export type Raise = (end: LoopbackEnd, bits: number) => void;

export class LoopbackEnd {
  readonly kind: SocketKind;
  readonly options: Map<number, Uint8Array> = new Map();
  onReady: (bits: number) => void;
  /** Bits that `onReady` is going to be told. */
  raised = 0;
  closed = false;
  binding: Binding<LoopbackEnd> | undefined;
  peerAddress: InetAddress | undefined;
  /** Of a connection, where it stands at this end. */
  at: InetAddress | undefined;
  listening = false;
  /** Told once, then forgotten; positive. */
  error = 0;

  constructor(kind: SocketKind, onReady: (bits: number) => void) {
    this.kind = kind;
    this.onReady = onReady;
  }

  get stream(): boolean {
    return this.kind.type === SocketType.STREAM;
  }

  get ownAddress(): InetAddress {
    const nowhere = {
      family: this.kind.family as 2 | 10,
      ip: new Uint8Array(addressBytes(this)),
      port: 0,
      scope: 0,
    };
    return this.at ?? this.binding?.address ?? nowhere;
  }

  /** An address as a socket of this family writes it: IPv4 in IPv6 if need be. */
  own(address: InetAddress): InetAddress {
    const { family, ip, port } = plain(address);
    if (family === this.kind.family || this.kind.family === Family.INET)
      return { family, ip, port, scope: 0 };
    const mapped = new Uint8Array(16).fill(0xff, 10, 12);
    mapped.set(ip, 12);
    return { family: Family.INET6, ip: mapped, port, scope: 0 };
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }
}

function addressBytes({ kind }: LoopbackEnd): number {
  return kind.family === Family.INET ? 4 : 16;
}

/** 127.0.0.1 or ::1. */
export function loopbackOf({ family }: { readonly family: number }, port: number): InetAddress {
  if (family === Family.INET) return { family, ip: Uint8Array.of(127, 0, 0, 1), port, scope: 0 };
  const ip = new Uint8Array(16);
  ip[15] = 1;
  return { family: Family.INET6, ip, port, scope: 0 };
}
