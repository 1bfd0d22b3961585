/**
 * A unix socket in front of a store that lives in this process, for clients that want a real one: ours, and Xen's programs. Its connections can
 * be cut, and it can go away and come back.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toBytes } from '../../xenstored/cli/bytes.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { startCore } from '../conformance/corehost.ts';
import type { Host } from '../conformance/store.ts';

export class SocketServer {
  /** The folder of the socket, as XENSTORED_RUNDIR. */
  readonly runDir: string = mkdtempSync(join(tmpdir(), 'store-'));
  readonly path: string = join(this.runDir, 'socket');
  readonly host: Host;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(host: Host) {
    this.host = host;
  }

  static async start(): Promise<SocketServer> {
    const server = new SocketServer(await startCore({}));
    await server.listen();
    return server;
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => void this.#serve(socket));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
  }

  /** Stops listening and hangs up on everybody; the store itself stays. */
  async hangUp(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  }

  async stop(): Promise<void> {
    await this.hangUp();
    await this.host.stop();
    rmSync(this.runDir, { recursive: true, force: true });
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    const link = await this.host.connect();
    socket.on('data', (bytes) => link.send(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      link.close();
    });
    try {
      for (;;) {
        const { type, reqId, txId, body } = await link.recv(0x7fffffff);
        socket.write(encodeMessage(type, reqId, txId, toBytes(body)));
      }
    } catch {
      socket.destroy();
    }
  }
}
