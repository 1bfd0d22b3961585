/**
 * The way from options to a client: which address, which transport. Follows libxenstore's rules for where a store is
 * (tools/libs/store/xs.c, xenstore-common.h). Knows nothing of requests.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Platform } from '../../osdep/platform.ts';
import { at, byEnvironment, inRunDir } from './address.ts';
import { LastingClient } from './client.ts';
import type { Client } from './store.ts';
import type { Connector } from './transport.ts';

export interface ConnectOptions {
  /** A socket or a device, as XENSTORED_PATH. */
  readonly path?: string;
  /** A run directory of this project: the socket is `xenstored/socket` below it. */
  readonly run?: string;
  /** The machine we run on: its device for the store, else our own ring. Then the two above do not count. */
  readonly platform?: Pick<Platform, 'store' | 'openEvtchn'>;
  /** A way of one's own; then nothing else counts. */
  readonly connector?: Connector;
  /** Where XENSTORED_PATH and XENSTORED_RUNDIR are looked up if neither is given; default: the process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What to do if there is no store yet: fail at once (default), or wait for one until `signal`. */
  readonly first?: 'fail' | 'wait';
  /** What to do when the connection is lost: make it anew (default), or end with every watch throwing ECONNRESET. */
  readonly lost?: 'reconnect' | 'end';
  /** Ends the waiting for a first connection. */
  readonly signal?: AbortSignal;
  /** For the pauses between attempts. Default: the system's. */
  readonly clock?: Pick<Clock, 'after'>;
}

/** A connected client. Rejects with a `XenstoreError` whose code says why there is no connection, such as ENOENT or ECONNREFUSED. */
export function connect(options: ConnectOptions = {}): Promise<Client> {
  const { clock = systemClock, first = 'fail', lost = 'reconnect', signal } = options;
  return LastingClient.open({ connector: connectorOf(options), clock, first, lost, signal });
}

function connectorOf({ connector, platform, path, run, env = process.env }: ConnectOptions): Connector {
  if (connector !== undefined) return connector;
  if (platform !== undefined) return ofPlatform(platform);
  if (path !== undefined) return at(path);
  return run !== undefined ? inRunDir(run) : byEnvironment(env);
}

function ofPlatform(platform: NonNullable<ConnectOptions['platform']>): Connector {
  const { device } = platform.store;
  if (device !== undefined) return at(device);
  return {
    name: 'ring',
    connect: async (user) => (await import('./ring.ts')).ownRing(platform).connect(user),
  };
}

/** The clock of this process. */
export const systemClock: Pick<Clock, 'after'> = {
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
