/**
 * One connection: a socket client or a domain's ring, with all that ends when it ends: watches, transactions, half-read requests, unsent replies.
 * Knows what it holds, not what to do with it.
 */
import { Framer } from '../wire/frame.ts';
import type { Domain } from './domain.ts';
import { Outbox, type Settled } from './outbox.ts';
import { homePath } from './path.ts';
import type { Subject } from './perms.ts';
import type { Account } from './quota.ts';
import type { Transaction } from './transaction.ts';
import type { Watch } from './watch.ts';

export type LinkKind = 'socket' | 'ring';

export interface LinkOptions {
  readonly kind: LinkKind;
  readonly id: number;
  readonly domid: number;
  readonly privileged: boolean;
  /** A ring's domain. */
  readonly domain: Domain | undefined;
  readonly onSettled: Settled | undefined;
}

export class Link implements Subject {
  readonly kind: LinkKind;
  readonly id: number;
  /** A ring's own domain; a socket's is the domain that the store runs in. */
  readonly domid: number;
  readonly privileged: boolean;
  readonly domain: Domain | undefined;
  /** What relative names are relative to. */
  readonly home: string;
  readonly framer: Framer = new Framer();
  readonly outbox: Outbox;
  #transactions: Map<number, Transaction> | undefined = undefined;
  nextTxId = 1;
  /** By path and token, in order of registration. */
  #watches: Map<string, Watch> | undefined = undefined;
  /** Bytes taken off a ring since its last reset, or the ring's own index at the time it was attached. */
  consumed = 0;
  /** Requests served. */
  requests = 0;
  /** The peer broke the protocol: nothing more is read or written, but the domain stays known. */
  ignored = false;
  /** Nothing more is read; it closes as soon as the peer has what it is due. */
  closing = false;
  closed = false;
  /** How often the stream was started afresh. */
  resets = 0;
  /** io's own. */
  io: unknown = undefined;

  constructor({ kind, id, domid, privileged, domain, onSettled }: LinkOptions) {
    this.kind = kind;
    this.id = id;
    this.domid = domid;
    this.privileged = privileged;
    this.domain = domain;
    this.home = homePath(domid);
    this.outbox = new Outbox(onSettled);
  }

  // Many a link lives for one request: what most never hold is made when it is asked for.

  get transactions(): Map<number, Transaction> {
    this.#transactions ??= new Map();
    return this.#transactions;
  }

  get watches(): Map<string, Watch> {
    this.#watches ??= new Map();
    return this.#watches;
  }

  /** Is there anything of the link that others must let go of? */
  get holdsNothing(): boolean {
    return !this.#transactions?.size && !this.#watches?.size;
  }

  /** The account whose limits hold for it; none for the privileged, and for sockets. */
  get limited(): Account | undefined {
    return this.privileged ? undefined : this.domain?.account;
  }

  get targetDomid(): number {
    return this.domain?.target?.domid ?? -1;
  }
}

export function watchKey(path: string, token: string): string {
  return `${path}\0${token}`;
}
