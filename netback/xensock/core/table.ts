/**
 * The sockets that a frontend has, by its ids and by our numbers: made against the guest's account, noted in the ledger, let go of. And how requests are
 * answered. What the commands share; knows none of them.
 */
import type { Account } from './account.ts';
import { SocketType } from './address.ts';
import type { Ledger } from './entries.ts';
import { Errno } from './errno.ts';
import type { Answer, Hands } from './hands.ts';
import { isAbrupt, isOurs } from './options.ts';
import type { Request } from './pvcalls.ts';
import { entryOf, newSocket, type Socket } from './socket.ts';

export interface TableOptions {
  readonly hands: Hands;
  /** Of the guest, over all its devices. */
  readonly account: Account;
  /** The frontend asked for the extension. */
  readonly extended: boolean;
  /** Milliseconds. */
  readonly now: () => number;
  readonly ledger?: Ledger;
}

export class SocketTable {
  readonly options: TableOptions;
  readonly #byId = new Map<bigint, Socket>();
  readonly #byNumber = new Map<number, Socket>();
  #numbers = 0;
  #quiet = false;

  constructor(options: TableOptions) {
    this.options = options;
  }

  /** A copy: the table may change meanwhile. */
  get all(): readonly Socket[] {
    return [...this.#byId.values()];
  }

  find(id: bigint): Socket | undefined {
    return this.#byId.get(id);
  }

  numbered(number: number): Socket | undefined {
    return this.#byNumber.get(number);
  }

  /** EEXIST, EMFILE. */
  make(id: bigint, family: 2 | 10, type: 1 | 2, state: 'created' | 'accepting'): Answer<Socket> {
    const { hands, account, now } = this.options;
    if (this.#byId.has(id)) return { ok: false, errno: Errno.EEXIST };
    if (!account.take('sockets')) return { ok: false, errno: Errno.EMFILE };
    const socket = newSocket({ id, family, type, state, number: 0, sinceMs: now() });
    this.#byId.set(id, socket);
    this.#number(socket);
    if (state === 'created') hands.create(socket.number, family, type);
    this.note(socket);
    return { ok: true, value: socket };
  }

  /** Of a connection that did not come about the id is left, with its options: the guest may try again, with another ring. */
  makeAnew(socket: Socket): void {
    const { hands } = this.options;
    hands.release(socket.number, 'unmap');
    this.#byNumber.delete(socket.number);
    this.#number(socket);
    hands.create(socket.number, socket.family, socket.type);
    for (const option of socket.options) {
      const { level, name, value } = option;
      if (!isOurs(option)) hands.setOption(socket.number, level, name, value);
    }
    socket.ring = undefined;
    socket.own = undefined;
    socket.asked = undefined;
    socket.peer = undefined;
    socket.network = '';
    socket.state = 'created';
  }

  attach(socket: Socket, { ref, evtchn }: { readonly ref: number; readonly evtchn: number }): number {
    const errno = this.options.hands.attach(socket.number, ref, evtchn);
    if (errno === 0) socket.ring = { ref, evtchn };
    return errno;
  }

  /** It is cut; its id is left until the guest releases it. */
  lose(socket: Socket, errno: number): void {
    this.options.hands.reset(socket.number);
    this.#listensNoMore(socket);
    socket.state = 'lost';
    socket.errno = errno;
    this.note(socket);
  }

  destroy(socket: Socket, ring: 'unmap' | 'keep'): void {
    const { hands, account, ledger } = this.options;
    if (isAbrupt(socket.options)) hands.reset(socket.number);
    hands.release(socket.number, ring);
    this.#byNumber.delete(socket.number);
    this.#byId.delete(socket.id);
    account.give('sockets');
    this.#listensNoMore(socket);
    if (entryOf(socket) !== undefined) ledger?.remove(socket.id);
  }

  /** It has changed: a successor has to know. */
  note(socket: Socket): void {
    const entry = entryOf(socket);
    if (entry !== undefined && !this.#quiet) this.options.ledger?.put(entry);
  }

  /** What changes on the way is not noted. */
  quietly(act: () => void): void {
    this.#quiet = true;
    try {
      act();
    } finally {
      this.#quiet = false;
    }
  }

  /** `outcome`: an error's number, 0, or what is asked for. */
  respond({ reqId, command, id }: Request, outcome: number | Uint8Array): void {
    const { hands } = this.options;
    if (typeof outcome !== 'number') hands.respond({ reqId, command, id, ret: 0, data: outcome });
    else hands.respond({ reqId, command, id, ret: outcome === 0 ? 0 : -outcome });
  }

  #listensNoMore({ state }: Socket): void {
    if (state === 'passive') this.options.account.give('listening');
  }

  #number(socket: Socket): void {
    socket.number = ++this.#numbers;
    this.#byNumber.set(socket.number, socket);
  }
}

/** Whether it is one for datagrams. */
export function isDatagram({ type }: Socket): boolean {
  return type === SocketType.DGRAM;
}
