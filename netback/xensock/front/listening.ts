/**
 * Connections that come in: for each listening socket some accepts are with the backend before anybody asks, each with a ring for the connection to
 * come, and what they brought waits here. The slots are divided among the listening sockets. What cannot be had now (memory, descriptors at the
 * backend) is tried again. Knows no address.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { Errno } from '../../../osdep/errno.ts';
import { Command, ENOTSUP } from '../core/pvcalls.ts';
import { ACCEPT_SLOTS } from './commands.ts';
import { Ready } from './driver.ts';
import type { Session } from './session.ts';
import { nobody, XenSocket } from './socket.ts';

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
    return this.#listeners.size < ACCEPT_SLOTS;
  }

  /** The backend listens for it. */
  add(socket: XenSocket, session: Session): void {
    const before = this.#listeners.get(socket);
    if (before?.session === session) return;
    const waiting = before?.waiting ?? [];
    this.#listeners.set(socket, { socket, session, waiting, posted: 0, wanted: before?.wanted ?? true });
    session.commands.keepForAccepts(ACCEPT_SLOTS);
    this.#post();
  }

  /** It listens no more: those that nobody has taken. */
  remove(socket: XenSocket): readonly XenSocket[] {
    const listener = this.#listeners.get(socket);
    this.#listeners.delete(socket);
    if (this.#listeners.size === 0) {
      listener?.session.commands.keepForAccepts(0);
      this.stop();
    }
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

  /** Posts what there are slots for, each listener its share. */
  #post(): void {
    const share = Math.max(1, Math.floor(ACCEPT_SLOTS / this.#listeners.size));
    for (const listener of this.#listeners.values()) {
      const { commands, extended } = listener.session;
      // A plain backend has one at a time.
      const most = extended ? share : 1;
      while (
        listener.socket.error === 0 &&
        listener.posted < most &&
        listener.posted + listener.waiting.length < share &&
        commands.acceptRoom > 0
      )
        if (!this.#postOne(listener)) {
          this.#later();
          return;
        }
    }
  }

  #postOne(listener: Listener): boolean {
    const { socket, session } = listener;
    const { order, nextId } = this.#options;
    const ring = session.pool.take(Math.min(order, session.maxOrder), 1, session.events);
    if (typeof ring === 'number') return false;
    const child = new XenSocket(nextId(), socket.kind, nobody);
    child.bound = socket.bound;
    listener.posted++;
    const call = { command: Command.ACCEPT, newId: child.id, ref: ring.ref, evtchn: ring.port };
    session.commands.ask(socket.id, call, (ret) => {
      listener.posted--;
      if (ret !== 0) {
        session.pool.give(ring);
        this.#refused(listener, ret);
        return;
      }
      child.state = 'active';
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
    } else this.#later();
  }

  #tell(listener: Listener, bits: number): void {
    if (!listener.wanted) return;
    listener.wanted = false;
    listener.socket.tell(bits);
  }

  #later(): void {
    this.#stopTimer ??= this.#options.clock.after(AGAIN_MS, () => {
      this.#stopTimer = undefined;
      if (this.#listeners.size > 0) this.#post();
    });
  }
}
