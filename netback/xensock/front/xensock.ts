/**
 * Sockets of a guest that another domain serves: the socket driver over a device of commands and data rings. It outlives the device's connections:
 * when one ends, its streams end as with a crashed host, and what can be made again (listening sockets, bound ones, datagrams) is made again on
 * the next; calls meanwhile wait for that. Without the extension there is neither shutdown, nor names, nor options, nor datagrams: -ENOTSUP.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { Errno } from '../../../osdep/errno.ts';
import { Family, type InetAddress, SocketType } from '../core/address.ts';
import { Command, ENOTSUP, Shut } from '../core/pvcalls.ts';
import { Asking, ENETDOWN, isOver, type Reply } from './asking.ts';
import { plainMemory } from './chunks.ts';
import type { Asked } from './commands.ts';
import {
  type Allocator,
  type Message,
  type Outcome,
  Ready,
  type SocketDriver,
  type SocketKind,
} from './driver.ts';
import { Emptying } from './emptying.ts';
import { Listening } from './listening.ts';
import { addressed, Making } from './making.ts';
import type { Session } from './session.ts';
import { nameIn, type Option, XenSocket } from './socket.ts';

export interface XenSockOptions {
  readonly name: string;
  readonly clock: Pick<Clock, 'after'>;
  /** Orders of data rings, as a power of two of pages, both halves together: of a stream that was connected, of one that was accepted, of datagrams. */
  readonly connectOrder: number;
  readonly acceptOrder: number;
  readonly datagramOrder: number;
  /** Sockets at a time. */
  readonly sockets: number;
  /** The guest lets go of its device, and takes it again or not. */
  readonly onLeave: (how: 'for good' | 'to come back') => void;
}

/** SO_LINGER, for no time. */
const AT_ONCE: Option = { level: 1, name: 13, value: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) };

export class XenSock implements SocketDriver<XenSocket> {
  readonly name: string;
  readonly families: readonly number[] = [Family.INET, Family.INET6];
  readonly allocator: Allocator = plainMemory;
  readonly #options: XenSockOptions;
  readonly #sockets = new Set<XenSocket>();
  readonly #asking = new Asking();
  readonly #making: Making;
  readonly #connecting = new Map<XenSocket, Asked>();
  readonly #listening: Listening;
  readonly #emptying: Emptying;
  #lastId = 0n;

  constructor(options: XenSockOptions) {
    this.name = options.name;
    this.#options = options;
    this.#listening = new Listening({
      clock: options.clock,
      order: options.acceptOrder,
      nextId: () => this.#nextId(),
      socketRoom: () => options.sockets - this.#sockets.size,
      onSocket: (socket, session) => {
        this.#sockets.add(socket);
        this.#asking.made(socket, session);
      },
      onOrphan: (socket) => this.#refuse(socket),
    });
    this.#emptying = new Emptying(options.clock);
    const { datagramOrder } = options;
    this.#making = new Making({ asking: this.#asking, listening: this.#listening, datagramOrder });
  }

  /** Whether the backend speaks the extension, as far as is known. */
  get extended(): boolean {
    return this.#asking.extended;
  }

  /** Goes through the handshake again, as after a resume: as if the backend had died. */
  reconnect(): void {
    this.#options.onLeave('to come back');
  }

  /** The guest wants the device no more. */
  leave(): void {
    this.#options.onLeave('for good');
  }

  create(kind: SocketKind, onReady: (bits: number) => void): XenSocket | number {
    if (!this.families.includes(kind.family)) return -Errno.EAFNOSUPPORT;
    if (kind.type !== SocketType.STREAM && kind.type !== SocketType.DGRAM) return -Errno.ESOCKTNOSUPPORT;
    if (this.#asking.down) return -ENETDOWN;
    if (kind.type === SocketType.DGRAM && !this.#asking.extended) return -ENOTSUP;
    if (this.#sockets.size >= this.#options.sockets) return -Errno.ENFILE;
    const socket = new XenSocket(this.#nextId(), kind, onReady);
    this.#sockets.add(socket);
    const { session } = this.#asking;
    if (session !== undefined) this.#making.make(socket, session);
    return socket;
  }

  async bind(socket: XenSocket, address: InetAddress): Outcome {
    if (socket.state !== 'made' && !(socket.isDatagram && socket.bound === undefined)) return -Errno.EINVAL;
    const { ret } = await this.#asking.ask(socket, { command: Command.BIND, ...addressed(address) });
    if (ret !== 0) return ret;
    if (socket.state === 'made') socket.state = 'bound';
    socket.bound = address;
    // The port that it got has to be the same when it is made again.
    if (address.port === 0) await this.getsockname(socket);
    return 0;
  }

  async listen(socket: XenSocket, backlog: number): Outcome {
    if (socket.isDatagram) return -Errno.EOPNOTSUPP;
    if (socket.state === 'made') {
      const four = socket.kind.family === Family.INET;
      const any = { family: four ? Family.INET : Family.INET6, ip: new Uint8Array(four ? 4 : 16), port: 0 };
      const ret = await this.bind(socket, { ...any, scope: 0 });
      if (ret !== 0) return ret;
    }
    if (socket.state !== 'bound' && socket.state !== 'listening') return -Errno.EINVAL;
    if (socket.state === 'bound' && !this.#listening.room) return -Errno.ENOBUFS;
    const { ret } = await this.#asking.ask(socket, { command: Command.LISTEN, backlog });
    if (ret !== 0) return ret;
    if (isOver(socket)) return socket.error;
    socket.backlog = backlog;
    socket.state = 'listening';
    const session = this.#asking.liveOf(socket);
    if (session !== undefined) this.#listening.add(socket, session);
    return 0;
  }

  async connect(socket: XenSocket, address: InetAddress): Outcome {
    if (socket.isDatagram) return this.#making.aim(socket, address);
    if (socket.state === 'connecting') return -Errno.EALREADY;
    if (socket.state === 'active') return -Errno.EISCONN;
    const before = socket.state;
    if (before !== 'made' && before !== 'bound') return -Errno.EINVAL;
    socket.state = 'connecting';
    const session = await this.#asking.online(socket);
    if (session === undefined) return isOver(socket) ? socket.error : -ENETDOWN;
    if (socket.state !== 'connecting') return -Errno.ECONNABORTED;
    const ret = await this.#dial(socket, address, session);
    if (ret !== 0 && socket.state === 'connecting') socket.state = before;
    return ret;
  }

  accept(socket: XenSocket, onReady: (bits: number) => void): XenSocket | number {
    return this.#listening.take(socket, onReady);
  }

  async shutdown(socket: XenSocket, how: 'read' | 'write' | 'both'): Outcome {
    if (socket.state !== 'active') return -Errno.ENOTCONN;
    const { extended } = this.#asking;
    if (!extended && how !== 'read') return -ENOTSUP;
    socket.shutdown(how);
    if (!extended) return 0;
    const direction = { read: Shut.READ, write: Shut.WRITE, both: Shut.BOTH }[how];
    return (await this.#asking.ask(socket, { command: Command.SHUTDOWN, how: direction })).ret;
  }

  recv(socket: XenSocket, into: Uint8Array): number {
    return socket.recv(into);
  }

  recvfrom(socket: XenSocket, into: Uint8Array): { readonly count: number; readonly from?: InetAddress } {
    if (!socket.isDatagram) return { count: socket.recv(into) };
    const message: Message = { parts: [into] };
    const count = socket.recvmsg(message);
    return message.address === undefined ? { count } : { count, from: message.address };
  }

  recvmsg(socket: XenSocket, message: Message): number {
    return socket.recvmsg(message);
  }

  send(socket: XenSocket, bytes: Uint8Array): number {
    return socket.send(bytes);
  }

  sendto(socket: XenSocket, bytes: Uint8Array, to: InetAddress): number {
    return socket.isDatagram ? socket.sendmsg({ parts: [bytes], address: to }) : socket.send(bytes);
  }

  sendmsg(socket: XenSocket, message: Message): number {
    return socket.sendmsg(message);
  }

  async getpeername(socket: XenSocket): Promise<InetAddress | number> {
    if (socket.peer !== undefined) return socket.peer;
    if (socket.state !== 'active' || socket.isDatagram) return -Errno.ENOTCONN;
    const name = await this.#name(socket, Command.GETPEERNAME);
    if (typeof name !== 'number') socket.peer = name;
    return name;
  }

  async getsockname(socket: XenSocket): Promise<InetAddress | number> {
    if (socket.own !== undefined) return socket.own;
    const name = this.#asking.extended ? await this.#name(socket, Command.GETSOCKNAME) : -ENOTSUP;
    if (typeof name === 'number') return socket.bound ?? name;
    if (socket.bound?.port === 0) socket.bound = name;
    return name;
  }

  async getsockopt(socket: XenSocket, level: number, name: number): Promise<Uint8Array | number> {
    if (!this.#asking.extended) return -ENOTSUP;
    const { ret, data } = await this.#asking.ask(socket, { command: Command.GETSOCKOPT, level, name });
    return ret === 0 ? (data ?? -Errno.EIO) : ret;
  }

  async setsockopt(socket: XenSocket, level: number, name: number, value: Uint8Array): Outcome {
    if (!this.#asking.extended) return -ENOTSUP;
    const { ret } = await this.#asking.ask(socket, { command: Command.SETSOCKOPT, level, name, value });
    if (ret !== 0) return ret;
    const { options } = socket;
    const at = options.findIndex((option) => option.level === level && option.name === name);
    options[at === -1 ? options.length : at] = { level, name, value };
    return 0;
  }

  poll(socket: XenSocket): number {
    if (socket.state === 'listening') return this.#listening.has(socket) ? Ready.IN : 0;
    return socket.poll();
  }

  async close(socket: XenSocket): Promise<void> {
    if (socket.state === 'closed') return;
    const { state } = socket;
    socket.fail('closed', -Errno.EBADF);
    this.#sockets.delete(socket);
    this.#asking.over(socket);
    const unwanted = state === 'listening' ? this.#listening.remove(socket) : [];
    for (const child of unwanted) this.#refuse(child);
    await this.#release(socket);
  }

  /** For the device: there is a connection. */
  connected(session: Session): void {
    this.#asking.begin(session);
    for (const socket of this.#sockets) this.#making.make(socket, session);
  }

  /** For the device: there is none any more; its rings are taken away after this. */
  disconnected(): void {
    const session = this.#asking.lose();
    if (session === undefined) return;
    this.#connecting.clear();
    this.#emptying.stop();
    session.commands.lose();
    for (const socket of [...this.#sockets]) {
      socket.detach();
      if (socket.isDatagram) socket.state = 'made';
      else if (socket.state === 'active' || socket.state === 'connecting')
        socket.fail('lost', -Errno.ECONNRESET);
    }
  }

  /** For the device: as far as can be seen there will be no other. */
  end(): void {
    this.#asking.end();
    this.#listening.stop();
    for (const socket of [...this.#sockets]) if (!isOver(socket)) socket.fail('lost', -ENETDOWN);
  }

  #nextId(): bigint {
    this.#lastId += 1n;
    return this.#lastId;
  }

  /** A stream's way to its peer. */
  async #dial(socket: XenSocket, address: InetAddress, session: Session): Promise<number> {
    const { pool, commands } = session;
    const ring = pool.take(Math.min(this.#options.connectOrder, session.maxOrder), 1, session.events);
    if (typeof ring === 'number') return ring;
    const call = {
      command: Command.CONNECT,
      ...addressed(address),
      flags: 0,
      ref: ring.ref,
      evtchn: ring.port,
    };
    const { ret, data } = await new Promise<Reply>((resolve) => {
      const asked = commands.ask(socket.id, call, (ret, data) => resolve({ ret, data }));
      this.#connecting.set(socket, asked);
    });
    this.#connecting.delete(socket);
    if (ret === 0 && session.live) {
      // Also of one that was closed meanwhile: the ring is given back when it is released.
      socket.attach(ring);
      if (socket.state !== 'connecting') return -Errno.ECONNABORTED;
      socket.state = 'active';
      socket.peer = address;
      if (session.extended) socket.own = nameIn(data);
      return 0;
    }
    pool.give(ring);
    return socket.error === 0 || socket.state === 'closed' ? ret : socket.error;
  }

  async #release(socket: XenSocket): Promise<void> {
    const session = this.#asking.liveOf(socket);
    if (session === undefined) return;
    const asked = this.#connecting.get(socket);
    // It never left: nobody but us answers it.
    if (asked !== undefined && session.commands.withdraw(asked)) asked.settle(-Errno.ECONNABORTED, undefined);
    if (socket.ring !== undefined && !session.sendsReleased) await this.#emptying.wait(socket.ring);
    if (!session.live) return;
    await new Promise<void>((resolve) => {
      const reuse = socket.ring !== undefined && session.pool.keep(socket.ring);
      session.commands.ask(socket.id, { command: Command.RELEASE, reuse }, () => resolve());
    });
    const ring = socket.detach();
    if (ring !== undefined) session.pool.give(ring);
    if (session.live && session.commands.isClogged) this.reconnect();
  }

  /** A connection that nobody has taken is broken off, where that can be said. */
  #refuse(socket: XenSocket): void {
    const session = this.#asking.liveOf(socket);
    if (session?.extended)
      session.commands.ask(socket.id, { command: Command.SETSOCKOPT, ...AT_ONCE }, () => {});
    void this.close(socket);
  }

  async #name(socket: XenSocket, command: 0x101 | 0x102): Promise<InetAddress | number> {
    if (!this.#asking.extended) return -ENOTSUP;
    const { ret, data } = await this.#asking.ask(socket, { command });
    if (ret !== 0) return ret;
    return nameIn(data) ?? -Errno.EIO;
  }
}
