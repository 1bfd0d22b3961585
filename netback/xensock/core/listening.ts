/**
 * Listening sockets and who waits at them: LISTEN, ACCEPT, POLL. An ACCEPT names the socket and the ring that the next connection becomes, and waits
 * for it; few may wait at a time, as many as Linux's backend lets or, with the extension, as make up for the way between the domains.
 */
import { SocketType } from './address.ts';
import { Errno } from './errno.ts';
import { nameTold } from './inquiry.ts';
import type { Call, Request } from './pvcalls.ts';
import type { Socket } from './socket.ts';
import { isDatagram, type SocketTable } from './table.ts';

const ACCEPTS_PLAIN = 1;
const ACCEPTS_EXTENDED = 16;

/** An error's number, 0, or: the answer comes later. */
export type Waiting = number | 'later';

export class Listening {
  readonly #table: SocketTable;

  constructor(table: SocketTable) {
    this.#table = table;
  }

  listen(socket: Socket, backlog: number): number {
    const { account, hands } = this.#table.options;
    if (isDatagram(socket)) return Errno.EOPNOTSUPP;
    if (socket.state === 'lost') return socket.errno;
    if (socket.state !== 'bound' && socket.state !== 'passive') return Errno.EINVAL;
    const first = socket.state === 'bound';
    if (first && !account.take('listening')) return Errno.ENOBUFS;
    const most = Math.min(backlog, account.limits.backlog);
    const errno = hands.listen(socket.number, most);
    if (errno !== 0) {
      if (first) account.give('listening');
      return errno;
    }
    socket.state = 'passive';
    socket.backlog = most;
    this.#table.note(socket);
    return 0;
  }

  accept(socket: Socket, request: Request, call: Extract<Call, { readonly command: 5 }>): Waiting {
    const { extended, hands } = this.#table.options;
    if (socket.state === 'lost') return socket.errno;
    if (socket.state !== 'passive') return Errno.EINVAL;
    if (socket.accepts.length >= (extended ? ACCEPTS_EXTENDED : ACCEPTS_PLAIN)) return Errno.EINTR;
    if (!extended && socket.poll !== undefined) return Errno.EINTR;
    const made = this.#table.make(call.newId, socket.family, SocketType.STREAM, 'accepting');
    if (!made.ok) return made.errno;
    const into = made.value;
    into.request = request;
    const refused = this.#table.attach(into, call);
    if (refused !== 0) {
      this.#table.destroy(into, 'unmap');
      return refused;
    }
    const errno = socket.accepts.length > 0 ? Errno.EAGAIN : hands.accept(socket.number, into.number);
    if (errno === Errno.EAGAIN) socket.accepts.push(into);
    else this.#accepted(socket, into, errno);
    return 'later';
  }

  poll(socket: Socket, request: Request): Waiting {
    const { extended, hands } = this.#table.options;
    if (socket.state === 'lost') return socket.errno;
    if (socket.state !== 'passive') return Errno.EINVAL;
    if (socket.poll !== undefined) return Errno.EINTR;
    if (!extended && socket.accepts.length > 0) return Errno.EINTR;
    if (hands.waits(socket.number)) return 0;
    socket.poll = request;
    return 'later';
  }

  /** Connections wait at a socket. */
  waiting(socket: Socket): void {
    const { hands } = this.#table.options;
    if (socket.state !== 'passive') return;
    for (let into = socket.accepts[0]; into !== undefined; into = socket.accepts[0]) {
      const errno = hands.accept(socket.number, into.number);
      if (errno === Errno.EAGAIN) break;
      socket.accepts.shift();
      this.#accepted(socket, into, errno);
    }
    const { poll } = socket;
    if (poll === undefined || !hands.waits(socket.number)) return;
    socket.poll = undefined;
    this.#table.respond(poll, 0);
  }

  /** Whoever waits at a socket hears why it is no more. */
  interrupt(socket: Socket, errno: number): void {
    const { extended, hands } = this.#table.options;
    const { poll } = socket;
    socket.poll = undefined;
    if (poll !== undefined) this.#table.respond(poll, errno);
    for (const into of socket.accepts.splice(0)) {
      const request = into.request!;
      this.#table.destroy(into, 'unmap');
      // Linux's frontend stumbles over the answer to an accept whose socket it has released, and lives without it, as with Linux's backend.
      if (extended || errno !== Errno.EINTR) this.#table.respond(request, errno);
      else hands.drop(request);
    }
  }

  #accepted(socket: Socket, into: Socket, errno: number): void {
    const request = into.request!;
    into.request = undefined;
    if (errno !== 0) this.#table.destroy(into, 'unmap');
    else {
      into.state = 'active';
      into.listener = { asked: socket.asked, own: socket.own, options: socket.options };
      into.network = socket.network;
      this.#table.note(into);
    }
    this.#table.respond(request, errno === 0 ? nameTold(this.#table.options, into, 'peer') : errno);
  }
}
