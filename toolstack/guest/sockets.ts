/**
 * A small guest's sockets: each of its socket devices is a driver of the one registry that its programs have theirs from, in the order in which they
 * come. Programs wait for the first.
 */
import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { Sockets, sockfront } from '../../netback/xensock/front/index.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
import type { Client } from '../../xenstored/client/index.ts';

/** Data rings of a thousand connections, 32 KiB each: half of it for each direction. */
const ACCEPT_ORDER = 3;
const BACKLOG = 1024;

export interface GuestSocketsOptions {
  readonly platform: Platform;
  readonly store: Client;
  readonly print: (text: string) => void;
}

export class GuestSockets {
  readonly #options: GuestSocketsOptions;
  readonly #sockets = new Sockets();
  readonly #there: Promise<void>;
  #come = (): void => {};

  constructor(options: GuestSocketsOptions) {
    this.#options = options;
    this.#there = new Promise((resolve) => {
      this.#come = resolve;
    });
  }

  async drive(): Promise<Driven> {
    const { platform, store, print } = this.#options;
    const driver = sockfront({
      platform,
      acceptOrder: ACCEPT_ORDER,
      onDriver: (devid, sockets) => {
        print(`sockets ${devid} are connected`);
        this.#sockets.register(sockets);
        this.#come();
      },
    });
    return await runFrontends(driver, { store, log: print });
  }

  /** At all addresses. Settles with the reason why there will be no more connections. */
  async listen(port: number, web: HttpServer, onListening: () => void): Promise<string> {
    await this.#there;
    const server = this.#sockets.serve(web);
    // Accepts that wait fail one by one; the first is enough.
    const failed = new Promise<string>((resolve) => server.on('error', (error) => resolve(error.message)));
    server.listen(port, '0.0.0.0', BACKLOG, onListening);
    const why = await failed;
    server.close();
    return why;
  }

  /** A connection that stands. */
  async dial(host: string, port: number): Promise<Duplex> {
    await this.#there;
    const socket = this.#sockets.connect({ host, port });
    await once(socket, 'connect');
    return socket;
  }
}
