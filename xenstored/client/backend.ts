/**
 * Who runs a backend's handshakes: every device of a kind below `/local/domain/<own>/backend/<kind>`, as they come and go, each with its
 * machine (xenstored/xenbus), for a service that knows rings and nothing of the store. A device that fails, or a frontend that changes its
 * nodes for ever, costs itself alone: turns are bounded and fair. A service that was killed finds its devices again; a lost
 * connection to the store is made anew and everything looked at once more.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Keys } from '../xenbus/backend-events.ts';
import { backendRoot, type DeviceName, parseBackendPath } from '../xenbus/path.ts';
import type { KeyReader } from '../xenbus/value.ts';
import { BackendRun } from './backendrun.ts';
import { systemClock } from './connect.ts';
import { lineOf } from './devicenodes.ts';
import type { RunHost } from './devicerun.ts';
import { Devices } from './devices.ts';
import type { Client, Watch } from './store.ts';
import { Turns } from './turns.ts';

/** What a kind of device is to its backend. `K`: what the reader makes of the frontend's keys. */
export interface BackendService<K> {
  /** `vbd`, `vif`. */
  readonly kind: string;
  /** `self`: no hotplug script is waited for; `ordered`: it is where the toolstack names one (`script`); `script`: always. */
  readonly hotplug: 'self' | 'ordered' | 'script';
  /** Whether devices have changes at run time (states 7 and 8). Default: no. */
  readonly reconfigures?: boolean;
  /** Whether `disconnect` comes as soon as the frontend closes, and not when it has closed. Default: no. */
  readonly letsGoFirst?: boolean;
  /** A key of the frontend's that may change while it is connected: `frontChanged` is told of what it says then. */
  readonly follows?: string;
  /** A device has come, or was found. What it needs without its frontend is acquired here. A rejection is its error node's line. */
  open(link: BackendLink): Promise<BackendDevice<K>>;
  /** What its devices count, each by its directory in the store. */
  statistics?(): Iterable<DeviceStatistics>;
}

export interface DeviceStatistics {
  readonly path: string;
  readonly counters: Readonly<Record<string, number>>;
}

/** A device that is open. Jobs are called one at a time, and may take their time. */
export interface BackendDevice<K> {
  /** To be published with InitWait. */
  readonly features: Keys;
  /** Reads the frontend's directory. */
  readFront(): KeyReader<K>;
  /**
   * Maps the rings and binds the ports; `attach`: a predecessor of ours served them, go on where the pages say it was. Answers what is to be
   * published with Connected. Rejects with one line for the error node; then nothing is left mapped.
   */
  connect(keys: K, how: 'fresh' | 'attach'): Promise<Keys>;
  /**
   * Takes no more requests, finishes those in flight, unmaps and unbinds. `closed`: the device is closing; `gone`: there is none any more;
   * `stop`: a successor may go on with it.
   */
  disconnect(why: 'closed' | 'gone' | 'stop'): Promise<void>;
  /** The frontend asks for a change: state 7. Rejects with one line for the error node. */
  reconfigure?(): Promise<void>;
  /** The key that is followed says this now, or is not there. It may have said so before. */
  frontChanged?(text: string | undefined): void;
  /** Somebody (perhaps ourselves) has written a key of the own directory. */
  changed?(key: string): void;
  /** Gives back what `open` acquired. `gone`: there is no such device any more; `stop`: a successor may go on with it. */
  close(why: 'gone' | 'stop'): Promise<void> | void;
}

/** A device's way back to its handshake. */
export interface BackendLink {
  readonly device: DeviceName;
  /** The own directory, and the frontend's. */
  readonly path: string;
  readonly frontendPath: string;
  /** Reads the own directory: what the toolstack has ordered. Rejects with the reader's complaint. */
  read<T>(reader: KeyReader<T>): Promise<T>;
  /** Reads the frontend's, in `reconfigure`. */
  readFront<T>(reader: KeyReader<T>): Promise<T>;
  /** The data path has stopped itself. One line for the error node. */
  broken(error: string): void;
  /** Writes keys of the own directory while the device is there. */
  publish(keys: Keys): Promise<void>;
  /** The same, and tells a connected frontend to read them again, by writing Connected once more: a disk that was resized. */
  announce(keys: Keys): Promise<void>;
}

export interface ServeOptions {
  readonly store: Client;
  /** The domain that we are. */
  readonly domid: number;
  /** One line at a time, for the service's log. */
  readonly log?: (line: string) => void;
  /** Devices whose turn it is at a time. Default: 8, since each may have a transaction open, of which an unprivileged domain has 10. */
  readonly turns?: number;
  /** For rests after failures. Default: the system's. */
  readonly clock?: Pick<Clock, 'after'>;
}

export interface Served extends AsyncDisposable {
  /** Settles after `close`; rejects with a `XenstoreError` if the store is lost for good. */
  readonly ended: Promise<void>;
  /** Lets go of rings and devices, and leaves every state as it is: a successor goes on. */
  close(): Promise<void>;
}

/** Serves a kind of device. Rejects with a `XenstoreError` if its directory cannot be watched. */
export async function serveBackends<K>(service: BackendService<K>, options: ServeOptions): Promise<Served> {
  const { store, domid, log = () => {}, turns: limit = 8, clock = systemClock } = options;
  const turns = new Turns({ clock, limit });
  /** Devices whose frontend is asked to close: it is for these that a guest's death matters. */
  const closing = new Set<{ guestMayBeDead(): void }>();
  const host: RunHost = { store, turns, log, forget: (path) => devices.forget(path) };
  const make = (path: string): BackendRun<K> | undefined => {
    const name = parseBackendPath(path);
    return name && new BackendRun(service, host, closing, name, path);
  };
  const root = backendRoot(domid, service.kind);
  const devices = new Devices({ store, turns, log, root, levels: 2, make });
  const deaths = store.watch('@releaseDomain');
  void followDeaths(deaths, closing).catch((error) =>
    log(`domains' deaths are not heard of: ${lineOf(error)}`),
  );
  const close = async (): Promise<void> => {
    turns.stop();
    await Promise.all([deaths.close(), devices.stop()]);
  };
  try {
    await devices.ready;
  } catch (error) {
    await close();
    throw error;
  }
  return { ended: devices.ended, close, [Symbol.asyncDispose]: close };
}

async function followDeaths(deaths: Watch, closing: ReadonlySet<{ guestMayBeDead(): void }>): Promise<void> {
  for await (const _ of deaths) for (const run of closing) run.guestMayBeDead();
}
