/**
 * A store behind a unix socket. What is sent within one turn of the event loop leaves in one piece. Knows nothing of what the
 * messages say.
 */
import { createConnection, type Socket } from 'node:net';
import type { Transport, TransportUser } from './transport.ts';

/** Bytes that fit into sun_path, its end left out. */
const PATH_MAX_BYTES = 107;

/** Rejects with the system's error: ENOENT, ECONNREFUSED, EACCES; EAGAIN: the server's queue is full. */
export function connectSocket(path: string, user: TransportUser): Promise<Transport> {
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) {
    const error = new Error(`a socket's path has at most ${PATH_MAX_BYTES} bytes: ${path}`);
    return Promise.reject(Object.assign(error, { code: 'EINVAL' }));
  }
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new SocketTransport(socket, user));
    });
  });
}

class SocketTransport implements Transport {
  readonly #socket: Socket;
  #queue: Buffer[] = [];
  #open = true;

  constructor(socket: Socket, user: TransportUser) {
    this.#socket = socket;
    let reason = new Error('the server closed the connection');
    socket.on('data', (bytes) => user.receive(bytes));
    socket.on('error', (error) => {
      reason = error;
    });
    socket.on('close', () => {
      if (!this.#open) return;
      this.#open = false;
      user.closed(reason);
    });
  }

  send(message: Buffer): void {
    if (!this.#open) return;
    if (this.#queue.push(message) === 1) queueMicrotask(() => this.#flush());
  }

  close(): void {
    this.#open = false;
    this.#queue = [];
    this.#socket.destroy();
  }

  #flush(): void {
    const messages = this.#queue;
    this.#queue = [];
    if (messages.length === 1) this.#socket.write(messages[0]!);
    else if (messages.length > 1) this.#socket.write(Buffer.concat(messages));
  }
}
