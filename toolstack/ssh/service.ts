/**
 * The service: listens, lets in who may begin to log in, and keeps account of all connections. Knows keys and commands by what it is given.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { plainAddress } from './addresses.ts';
import { Admission, type Startup } from './admission.ts';
import type { AuthorizedKey } from './authorized.ts';
import { Connection } from './connection.ts';
import type { SessionHost } from './host.ts';
import { openLibrary } from './library.ts';
import { defaultLimits, type Limits } from './limits.ts';

export interface SshOptions {
  readonly listen: string;
  /** 0: any. */
  readonly port: number;
  /** In OpenSSH's format. */
  readonly hostKey: string;
  find(blob: Uint8Array): AuthorizedKey | undefined;
  readonly host: SessionHost;
  readonly limits?: Partial<Limits>;
}

interface Guest extends Startup {
  readonly socket: Socket;
  entered: boolean;
  login: NodeJS.Timeout;
  connection: Connection | undefined;
}

export class SshService {
  readonly #server: Server;
  readonly #guests = new Map<Socket, Guest>();

  /** Resolves once it listens. Throws what `listen` says. */
  static async open(options: SshOptions): Promise<SshService> {
    const service = new SshService(options);
    service.#server.listen(options.port, options.listen);
    await once(service.#server, 'listening');
    return service;
  }

  private constructor({ hostKey, find, host, limits: given }: SshOptions) {
    const limits = { ...defaultLimits, ...given };
    const admission = new Admission<Guest>(limits);
    const library = openLibrary(hostKey, (client, socket) => {
      const guest = this.#guests.get(socket);
      if (guest === undefined) {
        socket.destroy();
        return;
      }
      const entered = (): void => {
        clearTimeout(guest.login);
        guest.entered = true;
        admission.enter(guest);
      };
      guest.connection = new Connection(client, socket, { limits, host, find, entered });
    });
    this.#server = createServer({ noDelay: true }, (socket) => {
      const address = plainAddress(socket.remoteAddress ?? '');
      const guest: Guest = {
        address,
        sinceMs: performance.now(),
        socket,
        entered: false,
        login: setTimeout(() => socket.destroy(), limits.loginMs),
        connection: undefined,
      };
      socket.on('error', () => {});
      socket.once('close', () => {
        clearTimeout(guest.login);
        if (this.#guests.delete(socket)) admission.leave(guest, guest.entered);
      });
      const admitted = admission.arrive(guest, Math.random());
      if (!admitted.admit) {
        host.log('crowded', { from: address, waiting: admission.waiting });
        socket.destroy();
        return;
      }
      admitted.evict?.socket.destroy();
      this.#guests.set(socket, guest);
      library.take(socket);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections, logged in or not. */
  get connections(): number {
    return this.#guests.size;
  }

  /** Ends every connection, and listens no more. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const { connection, socket } of this.#guests.values()) {
      if (connection === undefined) socket.destroy();
      else connection.stop();
    }
    await closed;
  }
}
