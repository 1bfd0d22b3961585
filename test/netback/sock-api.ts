/**
 * The ways by which tests of the sockets' API go: Node's own sockets, the loopback driver, XenSock between sockets of one guest, and XenSock between a
 * guest and Node's own sockets on this machine, in both directions. With each comes who serves, who connects, and where.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import type { SockfrontOptions } from '../../netback/xensock/front/device.ts';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { Sockets, type SocketsOptions } from '../../netback/xensock/front/sockets.ts';
import { SockHost } from './sock-io-host.ts';

/** The part of both that the tests use. */
export type Api = Pick<typeof net, 'connect' | 'createServer'> & Pick<typeof dgram, 'createSocket'>;

export interface Opened {
  readonly server: Api;
  readonly client: Api;
  /** Where the server listens, and where the client finds it. */
  readonly listenHost: string;
  readonly host: string;
  stop(): Promise<void>;
}

export interface Way {
  readonly name: string;
  /** Both ends are the same side, and speak of the same addresses. */
  readonly sameSide: boolean;
  open(): Promise<Opened>;
}

const node: Api = { ...net, createSocket: dgram.createSocket };

export function loopbackSockets(options: SocketsOptions = {}): Sockets {
  const sockets = new Sockets(options);
  sockets.register(new LoopbackDriver());
  return sockets;
}

/** A guest's sockets, served by the backend of the house in this process. */
export async function xensockGuest(
  options: Partial<SockfrontOptions> = {},
): Promise<{ readonly sockets: Sockets; readonly host: SockHost; stop(): Promise<void> }> {
  const host = await SockHost.start();
  const sockets = new Sockets();
  sockets.register(await host.driver({ connectOrder: 3, ...options }));
  return { sockets, host, stop: () => host.stop() };
}

const local = { listenHost: '127.0.0.1', host: '127.0.0.1' };
const nothing = async (): Promise<void> => {};

export const nodeWay: Way = {
  name: "Node's own",
  sameSide: true,
  open: async () => ({ server: node, client: node, ...local, stop: nothing }),
};

const loopbackWay: Way = {
  name: 'the loopback driver',
  sameSide: true,
  async open() {
    const api = loopbackSockets() as unknown as Api;
    return { server: api, client: api, ...local, stop: nothing };
  },
};

const xensockWay: Way = {
  name: 'XenSock within a guest',
  sameSide: true,
  async open() {
    const { sockets, stop } = await xensockGuest();
    const api = sockets as unknown as Api;
    return { server: api, client: api, ...local, stop };
  },
};

const intoGuest: Way = {
  name: 'XenSock, from the machine to a guest',
  sameSide: false,
  async open() {
    const { sockets, stop } = await xensockGuest();
    const server = sockets as unknown as Api;
    return { server, client: node, listenHost: '0.0.0.0', host: '127.0.0.1', stop };
  },
};

const outOfGuest: Way = {
  name: 'XenSock, from a guest to the machine',
  sameSide: false,
  async open() {
    const { sockets, stop } = await xensockGuest();
    const client = sockets as unknown as Api;
    return { server: node, client, listenHost: '127.0.0.1', host: '10.0.0.1', stop };
  },
};

export const ourWays: readonly Way[] = [loopbackWay, xensockWay, intoGuest, outOfGuest];
