/**
 * Where a store is, by libxenstore's rules (xs.c, xenstore-common.h): the socket that the environment names; if that does not work, the
 * device. Knows nothing of what is said there.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connectSocket } from './socket.ts';
import type { Connector, Transport, TransportUser } from './transport.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const RUN_DIR = '/var/run/xenstored';
const DEVICES = ['/dev/xen/xenbus', '/proc/xen/xenbus'] as const;

/** A socket or a device, whichever the path is. */
export function at(path: string): Connector {
  return { name: path, connect: (user) => open(path, user) };
}

/** The socket of a run directory of this project. */
export function inRunDir(run: string): Connector {
  return at(join(run, 'xenstored', 'socket'));
}

/** As libxenstore: XENSTORED_PATH, else `socket` in XENSTORED_RUNDIR; then the device. The last failure is the one that is told. */
export function byEnvironment(env: Environment): Connector {
  const named = env.XENSTORED_PATH;
  const socket = named ?? join(env.XENSTORED_RUNDIR ?? RUN_DIR, 'socket');
  return {
    name: socket,
    connect: async (user) => {
      try {
        return await open(socket, user);
      } catch {
        return await open(named ?? DEVICES.find((path) => existsSync(path)) ?? DEVICES[1], user);
      }
    },
  };
}

async function open(path: string, user: TransportUser): Promise<Transport> {
  if (statSync(path).isSocket()) return await connectSocket(path, user);
  const { openDevice } = await import('./device.ts');
  return await openDevice(path, user);
}
