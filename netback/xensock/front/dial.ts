/** A stream's way to its peer: the name looked up, a socket made, bound if need be, connected. Knows nothing of streams. */
import { Errno } from '../../../osdep/errno.ts';
import { formatIp, type InetAddress, SocketType } from '../core/address.ts';
import type { Ends } from './addressed.ts';
import type { ConnectOptions } from './connectoptions.ts';
import type { SocketAddress } from './driver.ts';
import { failure, portOf } from './errors.ts';
import type { SocketHandle } from './handle.ts';
import { literal, lookUp } from './hosts.ts';
import type { SocketRegistry } from './registry.ts';
import { isInet } from './routes.ts';

export interface Dialler {
  onReady(bits: number): void;
  /** There is a socket: to be given options, and closed by the dialler from now on. */
  opened(handle: SocketHandle): void;
  /** Nobody wants the connection any more. */
  isOver(): boolean;
  /** Of a lookup. */
  emit(event: 'lookup', error: Error | null, address?: string, family?: number, host?: string): boolean;
}

/** Where to, if nobody has to be asked. Throws RangeError for a port that is none. */
export function destination({ address, host, port, family }: ConnectOptions): SocketAddress | undefined {
  return address ?? literal(host ?? 'localhost', portOf(port, 0), family);
}

/** Rejects with what is emitted as the stream's error. undefined: it was given up meanwhile. */
export async function dial(
  registry: SocketRegistry,
  to: SocketAddress | undefined,
  options: ConnectOptions,
  dialler: Dialler,
): Promise<Ends | undefined> {
  const peer = to ?? (await found(options, dialler));
  if (dialler.isOver()) return undefined;
  const kind = { family: peer.family, type: SocketType.STREAM, protocol: 0 };
  const handle = registry.socket(kind, (bits) => dialler.onReady(bits));
  const target = isInet(peer) ? { address: formatIp(peer), port: peer.port } : {};
  if (typeof handle === 'number') throw failure('connect', handle, target);
  dialler.opened(handle);
  const from = localAddress(peer, options);
  const bound = from === undefined ? 0 : await handle.bind(from);
  if (bound < 0) throw failure('bind', bound, { address: formatIp(from!), port: from!.port });
  if (dialler.isOver()) return undefined;
  const errno = await handle.connect(peer);
  if (dialler.isOver()) return undefined;
  if (errno < 0) throw failure('connect', errno, target);
  return { own: await handle.getsockname(), peer };
}

async function found(options: ConnectOptions, dialler: Dialler): Promise<InetAddress> {
  const { host, port } = options;
  try {
    const address = await lookUp(host!, portOf(port, 0), options);
    dialler.emit('lookup', null, formatIp(address), address.family === 2 ? 4 : 6, host!);
    return address;
  } catch (error) {
    dialler.emit('lookup', error as Error, undefined, undefined, host!);
    throw Object.assign(error as Error, { port });
  }
}

function localAddress(to: SocketAddress, options: ConnectOptions): InetAddress | undefined {
  const { localAddress: host, localPort } = options;
  if (!isInet(to) || (host === undefined && localPort === undefined)) return undefined;
  const anywhere = to.family === 2 ? '0.0.0.0' : '::';
  const from = literal(host ?? anywhere, portOf(localPort ?? 0, 0));
  if (from === undefined) throw failure('bind', -Errno.EINVAL, { address: host });
  return from;
}
