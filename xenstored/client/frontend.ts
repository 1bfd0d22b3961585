/**
 * Who runs a guest's side of its devices: every one of a kind below `device/<kind>` of its home, as they come and go, each with its
 * machine (xenstored/xenbus), for a driver that knows rings and nothing of the store. Paths are relative to the guest's home, so that it
 * need not know its own number. A backend is not trusted more than a guest.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Keys } from '../xenbus/backend-events.ts';
import { type KeyReader, parseNumber } from '../xenbus/value.ts';
import { systemClock } from './connect.ts';
import type { RunHost } from './devicerun.ts';
import { Devices } from './devices.ts';
import { FrontendRun } from './frontendrun.ts';
import type { Client } from './store.ts';
import { Turns } from './turns.ts';

/** A driver: what a kind of device is to its guest. */
export interface FrontendDriver {
  /** `vbd`, `vif`: the directory's name. */
  readonly kind: string;
  /** The state that says "published": Initialised for a disk, Connected for a network interface. */
  readonly published: 3 | 4;
  /** A device has come, or was found; undefined: leave it alone. Nothing is acquired yet. */
  open(link: FrontendLink): FrontendDevice | undefined;
}

/** Jobs are called one at a time. */
export interface FrontendDevice {
  /** Reads the backend's features, allocates rings, grants them, allocates ports. Answers the keys. Rejects with one line. */
  share(): Promise<Keys>;
  /** Reads and checks the backend's properties, lets requests flow. Rejects with one line. */
  activate(): Promise<void>;
  /** The backend may have changed its properties. */
  refresh?(): void;
  /** Sends no more requests; settles when none is in flight. `gone`: none of them will ever be answered. */
  quiesce(gone: AbortSignal): Promise<void>;
  /** Ends the grants and closes the ports: the backend has let go of them. What it still maps has to be kept back. */
  release(): Promise<void> | void;
  /** The device is no more. */
  close?(): void;
}

/** A device's way back to its handshake. */
export interface FrontendLink {
  /** `device/vbd/51712` */
  readonly path: string;
  readonly devid: number;
  readonly backendPath: string;
  readonly backendDomid: number;
  /** Reads the own directory. Rejects with the reader's complaint, as below. */
  read<T>(reader: KeyReader<T>): Promise<T>;
  /** Reads the backend's. */
  readBack<T>(reader: KeyReader<T>): Promise<T>;
  /** The backend broke the ring's rules. */
  broken(error: string): void;
  /** The guest wants the device, as it does from the beginning. */
  open(): void;
  /** The guest wants it no more: `release` follows when the backend has let go. */
  close(): void;
}

export interface FrontendOptions {
  /** A connection of the guest's own. */
  readonly store: Client;
  readonly log?: (line: string) => void;
  readonly clock?: Pick<Clock, 'after'>;
}

export interface Driven extends AsyncDisposable {
  /** Settles after `close`; rejects with a `XenstoreError` if the store is lost for good. */
  readonly ended: Promise<void>;
  /** Looks no more, and leaves every device as it is: the guest's end, or its kexec. To leave in good order, close each device's link before. */
  close(): Promise<void>;
}

/** Runs a driver. Rejects with a `XenstoreError` if its devices cannot be watched. */
export async function runFrontends(driver: FrontendDriver, options: FrontendOptions): Promise<Driven> {
  const { store, log = () => {}, clock = systemClock } = options;
  const turns = new Turns({ clock, limit: 4 });
  const host: RunHost = { store, turns, log, forget: (path) => devices.forget(path) };
  const root = `device/${driver.kind}`;
  const make = (path: string): FrontendRun | undefined => {
    const devid = parseNumber(path.slice(root.length + 1), 0, 0xffff_ffff);
    return devid === undefined ? undefined : new FrontendRun(driver, host, path, devid);
  };
  const devices = new Devices({ store, turns, log, root, levels: 1, make });
  const close = async (): Promise<void> => {
    turns.stop();
    await devices.stop();
  };
  try {
    await devices.ready;
  } catch (error) {
    await close();
    throw error;
  }
  return { ended: devices.ended, close, [Symbol.asyncDispose]: close };
}
