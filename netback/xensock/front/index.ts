/**
 * Sockets for guest programs, whoever carries them: the package's door `stubdom0/xensock`; README.md beside it shows it in use.
 *
 *     const sockets = new Sockets();
 *     sockets.register(new LoopbackDriver());
 *     sockets.createServer((socket) => socket.pipe(socket)).listen(7);
 */
export { Family, type InetAddress, SocketType } from '../core/address.ts';
export type {
  Connect,
  ConnectArguments,
  ConnectOptions,
  Listener,
  OnRead,
  SocketOptions,
} from './connectoptions.ts';
export { type DatagramOptions, DatagramSocket, type RemoteInfo } from './datagram.ts';
export { type SockfrontOptions, sockfront } from './device.ts';
export * from './driver.ts';
export { SocketError } from './errors.ts';
export { SocketHandle } from './handle.ts';
export type { AddressInfo, Lookup, LookupOptions } from './hosts.ts';
export { LoopbackDriver, type LoopbackOptions } from './loopback.ts';
export { SocketRegistry } from './registry.ts';
export { RouteTable } from './routes.ts';
export { type ListenArguments, type ListenOptions, Server, type ServerOptions } from './server.ts';
export { Sockets, type SocketsOptions } from './sockets.ts';
export { Socket } from './stream.ts';
export type { ConnectionTaker } from './webserver.ts';
export { XenSock } from './xensock.ts';
