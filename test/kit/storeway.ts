/**
 * One connection of a process to the store: each request is a step of the process, which waits for its answer; it is lost when somebody cuts it, with
 * the store, or with the process. Knows no message.
 */
import type { Connector, Transport, TransportUser } from '../../xenstored/client/transport.ts';
import { Framer } from '../../xenstored/wire/frame.ts';
import { Op } from '../../xenstored/wire/ops.ts';

export interface WayOwner {
  readonly dead: boolean;
  /** Takes a step; false: the process is dead, and this is not done. */
  step(): boolean;
  /** The step has been taken. */
  taken(): void;
  /** Somebody waits from now on, until the result is called. */
  waits(): () => void;
  /** A connection was lost that it had. */
  lost(): void;
  /** Runs something in the machine's order, unless the process is dead then. */
  soon(task: () => void): void;
}

export class StoreWay implements Transport {
  readonly #owner: WayOwner;
  readonly #user: TransportUser;
  /** Of those that it is one of as long as it is open. */
  readonly #ways: Set<StoreWay>;
  /** What waits for an answer, in order. */
  readonly #asked: (() => void)[] = [];
  readonly #framer = new Framer();
  #transport: Transport | undefined;
  #open = true;

  /** `ways`: those that are open, where it goes as well. Of one who is dead it never comes to be. */
  static async open(
    inner: Connector,
    owner: WayOwner,
    ways: Set<StoreWay>,
    user: TransportUser,
  ): Promise<StoreWay> {
    const way = new StoreWay(owner, ways, user);
    if (!owner.dead) way.#transport = await inner.connect(way.#listener());
    if (owner.dead) {
      way.#transport?.close();
      await new Promise(() => {});
    }
    ways.add(way);
    return way;
  }

  private constructor(owner: WayOwner, ways: Set<StoreWay>, user: TransportUser) {
    this.#owner = owner;
    this.#ways = ways;
    this.#user = user;
  }

  send(message: Buffer): void {
    if (!this.#open || !this.#owner.step() || !this.#open) return;
    this.#asked.push(this.#owner.waits());
    this.#transport?.send(message);
    this.#owner.taken();
  }

  close(): void {
    this.#end();
    this.#transport?.close();
  }

  /** The process is still there, and hears of it. */
  lose(): void {
    if (!this.#open) return;
    this.close();
    this.#owner.lost();
    this.#owner.soon(() => this.#user.closed(new Error('the connection is lost')));
  }

  #end(): void {
    this.#open = false;
    this.#ways.delete(this);
    for (const answered of this.#asked.splice(0)) answered();
  }

  #listener(): TransportUser {
    return {
      receive: (bytes) => {
        if (!this.#open || this.#owner.dead) return;
        this.#framer.push(bytes);
        while (this.#framer.next() === 'message')
          if (this.#framer.type !== Op.WATCH_EVENT) this.#asked.shift()?.();
        this.#user.receive(bytes);
      },
      closed: (reason) => {
        if (!this.#open || this.#owner.dead) return;
        this.#end();
        this.#owner.lost();
        this.#user.closed(reason);
      },
    };
  }
}
