/**
 * One guest's ring, shared by the processes in the guest, as its kernel shares it: request ids and tokens are made each process's own, and what a
 * process leaves behind when it goes is taken down for it. Knows nothing of what is in a request beyond that.
 */
import type { Connector, Transport, TransportUser } from '../../xenstored/client/transport.ts';
import { encodeMessage, Framer } from '../../xenstored/wire/frame.ts';
import { readLatin1 } from '../../xenstored/wire/latin1.ts';
import { Op } from '../../xenstored/wire/ops.ts';

interface Asked {
  readonly member: Member;
  readonly reqId: number;
  readonly type: number;
}

export class RingShare {
  readonly #ring: Connector;
  readonly #framer = new Framer();
  readonly #members = new Map<number, Member>();
  readonly #asked = new Map<number, Asked>();
  #transport: Promise<Transport> | undefined;
  #nextMember = 1;
  #nextId = 1;

  constructor(ring: Connector) {
    this.#ring = ring;
  }

  /** A way for one process; `who` is its name. */
  connector(who: string): Connector {
    return {
      name: 'ring',
      connect: async (user) => {
        this.#transport ??= this.#open();
        const transport = await this.#transport;
        const member = new Member(this, transport, { who, id: this.#nextMember++ }, user);
        this.#members.set(member.id, member);
        return member;
      },
    };
  }

  /** Whose request or watch this is, as the store sees it; `undefined`: nobody's any more. */
  whoAsked(reqId: number): string | undefined {
    return this.#asked.get(reqId)?.member.who;
  }

  whoWatches(token: string): string | undefined {
    return this.#members.get(memberOf(token))?.who;
  }

  ask(member: Member, reqId: number, type: number): number {
    const id = this.#nextId++;
    this.#asked.set(id, { member, reqId, type });
    return id;
  }

  leave(member: Member): void {
    this.#members.delete(member.id);
  }

  #open(): Promise<Transport> {
    return this.#ring.connect({
      receive: (bytes) => this.#receive(bytes),
      closed: (reason) => {
        this.#transport = undefined;
        this.#framer.reset();
        this.#asked.clear();
        const members = [...this.#members.values()];
        this.#members.clear();
        for (const member of members) member.lost(reason);
      },
    });
  }

  #receive(bytes: Buffer): void {
    const framer = this.#framer;
    framer.push(bytes);
    while (framer.next() === 'message') {
      const { type, reqId, txId } = framer;
      const payload = readLatin1(framer.data, framer.start, framer.end);
      if (type === Op.WATCH_EVENT) this.#event(payload);
      else this.#answer({ type, reqId, txId }, payload);
    }
  }

  #event(payload: string): void {
    const [path = '', token = ''] = payload.split('\0');
    const own = `${path}\0${token.slice(token.indexOf(':') + 1)}\0`;
    this.#members.get(memberOf(token))?.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, own));
  }

  #answer(
    { type, reqId, txId }: { readonly type: number; readonly reqId: number; readonly txId: number },
    payload: string,
  ): void {
    const asked = this.#asked.get(reqId);
    this.#asked.delete(reqId);
    if (asked === undefined) return;
    asked.member.answered(asked.type, type, payload);
    asked.member.receive(encodeMessage(type, asked.reqId, txId, payload));
  }
}

function memberOf(token: string): number {
  return Number(token.slice(1, token.indexOf(':')));
}

class Member implements Transport {
  readonly id: number;
  readonly who: string;
  readonly #share: RingShare;
  readonly #transport: Transport;
  readonly #user: TransportUser;
  readonly #framer = new Framer();
  readonly #watches = new Set<string>();
  readonly #transactions = new Set<number>();
  #open = true;

  constructor(
    share: RingShare,
    transport: Transport,
    { who, id }: { readonly who: string; readonly id: number },
    user: TransportUser,
  ) {
    this.#share = share;
    this.#transport = transport;
    this.#user = user;
    this.who = who;
    this.id = id;
  }

  send(message: Buffer): void {
    if (!this.#open) return;
    const framer = this.#framer;
    framer.push(message);
    if (framer.next() !== 'message') throw new Error('not one whole message');
    const { type, txId } = framer;
    const payload = readLatin1(framer.data, framer.start, framer.end);
    const id = this.#share.ask(this, framer.reqId, type);
    if (type === Op.TRANSACTION_END) this.#transactions.delete(txId);
    this.#transport.send(encodeMessage(type, id, txId, this.#owned(type, payload)));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#share.leave(this);
    for (const txId of this.#transactions) this.#finally(Op.TRANSACTION_END, txId, 'F\0');
    for (const watch of this.#watches) this.#finally(Op.UNWATCH, 0, watch);
  }

  receive(message: Buffer): void {
    if (this.#open) this.#user.receive(message);
  }

  answered(asked: number, type: number, payload: string): void {
    if (asked !== Op.TRANSACTION_START || type !== asked) return;
    const txId = Number.parseInt(payload, 10);
    if (this.#open) this.#transactions.add(txId);
    else this.#finally(Op.TRANSACTION_END, txId, 'F\0');
  }

  lost(reason: Error): void {
    if (!this.#open) return;
    this.#open = false;
    this.#user.closed(reason);
  }

  /** Tokens carry their owner's number to the store. */
  #owned(type: number, payload: string): string {
    if (type !== Op.WATCH && type !== Op.UNWATCH) return payload;
    const [path = '', token = '', ...rest] = payload.split('\0');
    const watch = `${path}\0m${this.id}:${token}\0`;
    if (type === Op.WATCH) this.#watches.add(watch);
    else this.#watches.delete(watch);
    return watch + rest.join('\0');
  }

  #finally(type: number, txId: number, payload: string): void {
    const id = this.#share.ask(this, 0, type);
    this.#transport.send(encodeMessage(type, id, txId, payload));
  }
}
