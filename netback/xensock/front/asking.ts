/**
 * Who asks the backend about a socket: on the connection that the device has, or waiting for the next one. Knows on which connection each socket was
 * made, since what a socket had on a former one is lost. Knows no command's meaning.
 */
import { Errno } from '../../../osdep/errno.ts';
import type { Call } from '../core/pvcalls.ts';
import type { Session } from './session.ts';
import type { XenSocket } from './socket.ts';

/** There is no connection, and none is to come. */
export const ENETDOWN = 100;

export interface Reply {
  /** 0, or minus an error number. */
  readonly ret: number;
  readonly data: Uint8Array | undefined;
}

const LOST: Reply = { ret: -Errno.ECONNRESET, data: undefined };

export class Asking {
  /** Whether the backend speaks the extension; as long as there is no connection, whether it did. */
  extended = true;
  /** No connection is to come. */
  down = false;
  readonly #madeIn = new WeakMap<XenSocket, Session>();
  #session: Session | undefined;
  /** Who waits for a connection, by socket: a program that tries again and again meanwhile leaves nobody behind. */
  readonly #waiting = new Map<XenSocket, (() => void)[]>();

  get session(): Session | undefined {
    return this.#session;
  }

  /** There is a connection; calls that wait go on after this. */
  begin(session: Session): void {
    this.#session = session;
    this.down = false;
    this.extended = session.extended;
    this.#go();
  }

  /** There is none any more. Answers the one that there was. */
  lose(): Session | undefined {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) session.live = false;
    return session;
  }

  /** Nobody need wait. */
  end(): void {
    this.down = true;
    this.#go();
  }

  made(socket: XenSocket, session: Session): void {
    this.#madeIn.set(socket, session);
  }

  /** The connection on which a socket was made, if there still is one. */
  liveOf(socket: XenSocket): Session | undefined {
    const session = this.#madeIn.get(socket);
    return session?.live ? session : undefined;
  }

  /** A call about a socket, when there is a connection. */
  async ask(socket: XenSocket, call: Call): Promise<Reply> {
    const session = await this.online(socket);
    // It may have been released since it asked: its number means nothing any more, and some commands would make it anew.
    if (isOver(socket)) return { ret: socket.error, data: undefined };
    if (session === undefined) return { ret: -ENETDOWN, data: undefined };
    if (this.#madeIn.get(socket) !== session) return LOST;
    return new Promise((resolve) => {
      session.commands.ask(socket.id, call, (ret, data) =>
        // What the making of it met with says more than what came of it.
        resolve({ ret: ret !== 0 && socket.error !== 0 ? socket.error : ret, data }),
      );
    });
  }

  /** The connection that the device has, or is going to have; undefined: it is of no use to this socket. */
  async online(socket: XenSocket): Promise<Session | undefined> {
    while (this.#session === undefined && !this.down && !isOver(socket))
      await new Promise<void>((resolve) => {
        const waiting = this.#waiting.get(socket) ?? [];
        waiting.push(resolve);
        this.#waiting.set(socket, waiting);
      });
    return isOver(socket) ? undefined : this.#session;
  }

  /** The socket is over: what was asked of it ends now. */
  over(socket: XenSocket): void {
    const waiting = this.#waiting.get(socket);
    this.#waiting.delete(socket);
    for (const go of waiting ?? []) go();
  }

  #go(): void {
    for (const socket of [...this.#waiting.keys()]) this.over(socket);
  }
}

export function isOver({ state }: XenSocket): boolean {
  return state === 'lost' || state === 'closed';
}
