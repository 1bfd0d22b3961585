/**
 * A server whose connections are those of one of Node's own HTTP servers (http, http2), which then does all that it does over a network: half-open
 * connections, time limits for headers and requests, idle connections that are closed when it is. Knows nothing of HTTP.
 */
import type { Lookup } from './hosts.ts';
import type { SocketRegistry } from './registry.ts';
import { Server, type ServerOptions } from './server.ts';

/** As much of `http.Server` as is needed. It must not listen itself. */
export interface ConnectionTaker {
  emit(event: string, ...args: unknown[]): boolean;
  close(): unknown;
}

export class WebServer extends Server {
  readonly #web: ConnectionTaker;

  constructor(registry: SocketRegistry, web: ConnectionTaker, options: ServerOptions = {}, lookup?: Lookup) {
    super(registry, { allowHalfOpen: true, ...options }, lookup);
    this.#web = web;
    this.on('connection', (socket) => web.emit('connection', socket));
    // It begins to keep time.
    this.on('listening', () => web.emit('listening'));
  }

  override close(listener?: (error?: Error) => void): this {
    super.close(listener);
    this.#web.close();
    return this;
  }
}
