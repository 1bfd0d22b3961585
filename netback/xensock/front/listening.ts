/**
 * Connections that come in: for each listening socket some accepts are with the backend before anybody asks, each with a ring for the connection to
 * come, and what they brought waits here. An accept cannot be taken back, so each listening socket is sure of one, and the others are shared. What
 * cannot be had now (memory, descriptors at the backend) is tried again. Knows no address.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { Errno } from '../../../osdep/errno.ts';
import { Command, ENOTSUP } from '../core/pvcalls.ts';
import { Ready } from './driver.ts';
import type { Session } from './session.ts';
import { nameIn, nobody, XenSocket } from './socket.ts';

/** Listening sockets of a device. */
const LISTENERS = 16;
/** Accepts beyond one for each. */
const FURTHER = 8;
/** Until an accept that failed for want of something is tried again. */
const AGAIN_MS = 50;
/** The socket listens no more. */
const FINAL: ReadonlySet<number> = new Set([
  Errno.EBADF,
  Errno.EACCES,
  Errno.EINVAL,
  Errno.ENOTSOCK,
  Errno.EOPNOTSUPP,
  Errno.EADDRINUSE,
  Errno.EADDRNOTAVAIL,
  ENOTSUP,
]);

export interface ListeningOptions {
  readonly clock: Pick<Clock, 'after'>;
  /** Of an accepted connection's ring. */
  readonly order: number;
  readonly nextId: () => bigint;
  /** How many sockets more there may be. */
  readonly socketRoom: () => number;
  /** There is a connection; from now on it is a socket as any. */
  readonly onSocket: (socket: XenSocket, session: Session) => void;
  /** One that came for nobody. */
  readonly onOrphan: (socket: XenSocket) => void;
}

interface Listener {
  readonly socket: XenSocket;
  readonly session: Session;
  readonly waiting: XenSocket[];
  /** With the backend. */
  posted: number;
  /** The user has found nobody waiting. */
  wanted: boolean;
  /** Its last accept has failed. */
  rests: boolean;
}

export class Listening {
  readonly #options: ListeningOptions;
  readonly #listeners = new Map<XenSocket, Listener>();
  #stopTimer: (() => void) | undefined;

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** Whether one more would have its slot. */
  get room(): boolean {
    return this.#listeners.size < LISTENERS;
  }

  /** The backend listens for it. */
  add(socket: XenSocket, session: Session): void {
    const before = this.#listeners.get(socket);
    if (before?.session === session) return;
    const waiting = before?.waiting ?? [];
    const wanted = before?.wanted ?? true;
    this.#listeners.set(socket, { socket, session, waiting, posted: 0, wanted, rests: false });
    this.#keep(session);
    session.commands.onRoom = () => this.#post();
    this.#post();
  }

  /** It listens no more: those that nobody has taken. */
  remove(socket: XenSocket): readonly XenSocket[] {
    const listener = this.#listeners.get(socket);
    this.#listeners.delete(socket);
    if (this.#listeners.size === 0) this.stop();
    if (listener !== undefined) this.#keep(listener.session);
    return listener?.waiting ?? [];
  }

  /** -EAGAIN: nobody waits. */
  take(socket: XenSocket, onReady: (bits: number) => void): XenSocket | number {
    const listener = this.#listeners.get(socket);
    if (listener === undefined) return socket.state === 'listening' ? -Errno.EAGAIN : -Errno.EINVAL;
    const child = listener.waiting.shift();
    if (child === undefined) {
      listener.wanted = true;
      return socket.error === 0 ? -Errno.EAGAIN : socket.error;
    }
    child.onReady = onReady;
    if (child.state === 'lost') queueMicrotask(() => child.tell(child.poll()));
    else child.lookSoon();
    this.#post();
    return child;
  }

  /** Whether `take` would have one. */
  has(socket: XenSocket): boolean {
    return (this.#listeners.get(socket)?.waiting.length ?? 0) > 0;
  }

  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #keep({ commands }: Session): void {
    const { size } = this.#listeners;
    commands.keepForAccepts(size === 0 ? 0 : size + FURTHER);
  }

  /** Posts what there are slots for: one for each, and for each its part of the others. */
  #post(): void {
    const share = 1 + Math.ceil(FURTHER / this.#listeners.size);
    let further = FURTHER;
    for (const { posted } of this.#listeners.values()) further -= Math.max(0, posted - 1);
    for (const listener of this.#listeners.values()) {
      const { commands, extended } = listener.session;
      while (
        listener.socket.error === 0 &&
        !listener.rests &&
        listener.posted + listener.waiting.length < share &&
        // A plain backend has one at a time.
        (listener.posted === 0 || (extended && further > 0)) &&
        commands.acceptRoom > 0
      ) {
        if (listener.posted > 0) further--;
        if (!this.#postOne(listener)) this.#rest(listener);
      }
    }
  }

  #postOne(listener: Listener): boolean {
    const { socket, session } = listener;
    const { order, nextId, socketRoom } = this.#options;
    let posted = 0;
    for (const each of this.#listeners.values()) posted += each.posted;
    if (posted >= socketRoom()) return false;
    const ring = session.pool.take(Math.min(order, session.maxOrder), 1, session.events);
    if (typeof ring === 'number') return false;
    const child = new XenSocket(nextId(), socket.kind, nobody);
    child.bound = socket.bound;
    listener.posted++;
    const call = { command: Command.ACCEPT, newId: child.id, ref: ring.ref, evtchn: ring.port };
    session.commands.ask(socket.id, call, (ret, data) => {
      listener.posted--;
      if (ret !== 0) {
        session.pool.give(ring);
        this.#refused(listener, ret);
        return;
      }
      child.state = 'active';
      if (session.extended) child.peer = nameIn(data);
      child.attach(ring);
      this.#options.onSocket(child, session);
      if (this.#listeners.get(socket) !== listener) this.#options.onOrphan(child);
      else this.#came(listener, child);
    });
    return true;
  }

  #came(listener: Listener, child: XenSocket): void {
    listener.waiting.push(child);
    this.#tell(listener, Ready.IN);
    this.#post();
  }

  #refused(listener: Listener, ret: number): void {
    const { socket } = listener;
    if (this.#listeners.get(socket) !== listener || !listener.session.live) return;
    if (FINAL.has(-ret)) {
      socket.error = ret;
      this.#tell(listener, Ready.IN | Ready.ERROR);
    } else this.#rest(listener);
  }

  #tell(listener: Listener, bits: number): void {
    if (!listener.wanted) return;
    listener.wanted = false;
    listener.socket.tell(bits);
  }

  #rest(listener: Listener): void {
    listener.rests = true;
    this.#stopTimer ??= this.#options.clock.after(AGAIN_MS, () => {
      this.#stopTimer = undefined;
      for (const each of this.#listeners.values()) each.rests = false;
      this.#post();
    });
  }
}
