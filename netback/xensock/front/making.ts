/**
 * How a socket comes to be at the backend: new, or as it was when the device's last connection ended. Commands are taken in their order, so that whatever
 * is asked after this finds the socket; what the making of it meets with is the socket's error. Streams that were connected are not made again.
 */
import { ADDRESS_BYTES, encodeAddress, type InetAddress } from '../core/address.ts';
import { Command } from '../core/pvcalls.ts';
import type { Asking } from './asking.ts';
import { isOver } from './asking.ts';
import { Ready } from './driver.ts';
import type { Listening } from './listening.ts';
import type { Session } from './session.ts';
import type { XenSocket } from './socket.ts';

export interface MakingOptions {
  readonly asking: Asking;
  readonly listening: Listening;
  /** Of the data ring of a socket for datagrams. */
  readonly datagramOrder: number;
}

/** How a command has an address. */
export function addressed(address: InetAddress): { address: Uint8Array; addressLength: number } {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  return { addressLength: encodeAddress(address, bytes), address: bytes };
}

export class Making {
  readonly #options: MakingOptions;

  constructor(options: MakingOptions) {
    this.#options = options;
  }

  make(socket: XenSocket, session: Session): void {
    if (isOver(socket)) return;
    const { asking, listening } = this.#options;
    const { commands } = session;
    const { id, kind, bound } = socket;
    asking.made(socket, session);
    const settle = (ret: number): void => {
      if (ret !== 0 && session.live && socket.error === 0) socket.error = ret;
    };
    const { family: domain, type, protocol } = kind;
    commands.ask(id, { command: Command.SOCKET, domain, type, protocol }, settle);
    for (const option of socket.options)
      commands.ask(id, { command: Command.SETSOCKOPT, ...option }, () => {});
    if (socket.isDatagram) this.#equip(socket, session, settle);
    if (bound !== undefined) commands.ask(id, { command: Command.BIND, ...addressed(bound) }, settle);
    if (socket.isDatagram && socket.peer !== undefined) void this.aim(socket, socket.peer);
    if (socket.state !== 'listening') return;
    commands.ask(id, { command: Command.LISTEN, backlog: socket.backlog }, (ret) => {
      settle(ret);
      if (session.live && socket.state === 'listening') listening.add(socket, session);
      if (socket.error !== 0) socket.tell(Ready.IN | Ready.ERROR);
    });
  }

  /** Where a socket's datagrams go that say nothing else. */
  async aim(socket: XenSocket, address: InetAddress): Promise<number> {
    const call = { command: Command.CONNECT, ...addressed(address), flags: 0, ref: 0, evtchn: 0 };
    const { ret } = await this.#options.asking.ask(socket, call);
    if (ret === 0) socket.peer = address;
    return ret;
  }

  /** Gives a socket for datagrams its ring; what is put there meanwhile goes when the backend has it. */
  #equip(socket: XenSocket, session: Session, settle: (ret: number) => void): void {
    const order = Math.min(this.#options.datagramOrder, session.maxOrder);
    const ring = session.pool.take(order, 1, 'always');
    if (typeof ring === 'number') {
      settle(ring);
      return;
    }
    socket.state = 'active';
    socket.onReset = () => this.#renew(socket, session);
    socket.attach(ring);
    const call = { command: Command.ATTACH, ref: ring.ref, evtchn: ring.port };
    session.commands.ask(socket.id, call, (ret) => {
      settle(ret);
      if (ret === 0 || !session.live || socket.ring !== ring) return;
      socket.detach();
      session.pool.give(ring);
      if (!isOver(socket)) socket.fail('lost', ret);
    });
  }

  /** The backend's process has died, and another one has the device: what it had of datagrams is made again. */
  #renew(socket: XenSocket, session: Session): void {
    const ring = socket.detach();
    if (ring === undefined || !session.live) return;
    socket.state = 'made';
    const { commands, pool } = session;
    commands.ask(socket.id, { command: Command.RELEASE, reuse: false }, () => pool.give(ring));
    this.make(socket, session);
  }
}
