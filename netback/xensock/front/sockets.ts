/**
 * The sockets of one guest: drivers join, and programs make streams, servers and datagram sockets of whatever is there. The functions can be handed
 * on by themselves: `Object.assign(new http.Agent(), { createConnection: sockets.connect })`.
 */
import { type Connect, type ConnectArguments, connectArguments } from './connectoptions.ts';
import { DatagramSocket, type RemoteInfo } from './datagram.ts';
import type { Lookup } from './hosts.ts';
import { SocketRegistry } from './registry.ts';
import { Server, type ServerOptions } from './server.ts';
import { Socket } from './stream.ts';
import { type ConnectionTaker, WebServer } from './webserver.ts';

export interface SocketsOptions {
  /** For names of hosts; `dns.lookup` has the signature. Without, there are addresses and `localhost`. */
  readonly lookup?: Lookup | undefined;
}

export class Sockets extends SocketRegistry {
  readonly #lookup: Lookup | undefined;

  constructor(options: SocketsOptions = {}) {
    super();
    this.#lookup = options.lookup;
  }

  /** As `net.connect`: with an object, or port and host; the listener is called when the connection stands. */
  readonly connect: Connect<Socket> = (...args: ConnectArguments): Socket => {
    const [options, listener] = connectArguments(args);
    const socket = new Socket(this, options);
    const connecting = { ...options, lookup: options.lookup ?? this.#lookup };
    return listener === undefined ? socket.connect(connecting) : socket.connect(connecting, listener);
  };

  /** `connect`, by the name that http has for it. */
  readonly createConnection: Connect<Socket> = this.connect;

  /** As `net.createServer`. */
  readonly createServer = (
    ...args: readonly [((socket: Socket) => void)?] | readonly [ServerOptions, ((socket: Socket) => void)?]
  ): Server => {
    const [options, listener] = typeof args[0] === 'object' ? [args[0], args[1]] : [{}, args[0]];
    const server = new Server(this, options, this.#lookup);
    if (listener !== undefined) server.on('connection', listener);
    return server;
  };

  /** Has an `http.Server` (or http2's) serve here: `sockets.serve(http.createServer(app)).listen(80)`. */
  readonly serve = (web: ConnectionTaker, options: ServerOptions = {}): Server =>
    new WebServer(this, web, options, this.#lookup);

  /** As `dgram.createSocket`. Throws where no driver has the family. */
  readonly createSocket = (
    options:
      | 'udp4'
      | 'udp6'
      | { readonly type: 'udp4' | 'udp6'; readonly lookup?: Lookup; readonly signal?: AbortSignal },
    listener?: (message: Buffer, from: RemoteInfo) => void,
  ): DatagramSocket => {
    const { type, lookup = this.#lookup, signal } = typeof options === 'string' ? { type: options } : options;
    return new DatagramSocket(this, { type, lookup, signal }, listener);
  };
}
