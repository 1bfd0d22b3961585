/**
 * Who runs a guest's side of its devices: every one of a kind below `device/<kind>` of its home, as they come and go, each with its
 * machine (xenstored/xenbus), for a driver that knows rings and nothing of the store. Paths are relative to the guest's home, so that it
 * need not know its own number. A backend is not trusted more than a guest.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Keys } from '../xenbus/backend-events.ts';
import { Frontend, type FrontendEffect, type FrontendEvent } from '../xenbus/frontend.ts';
import { XenbusState } from '../xenbus/state.ts';
import { type KeyReader, parseNumber } from '../xenbus/value.ts';
import { systemClock } from './connect.ts';
import { findKey, findState, lineOf, readChecked, writeState } from './devicenodes.ts';
import { DeviceRun, type RunHost } from './devicerun.ts';
import { Devices } from './devices.ts';
import { XenstoreError } from './error.ts';
import type { Client, Watch } from './store.ts';
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

type Node = 'own' | 'back' | 'sight';

class FrontendRun extends DeviceRun<FrontendEvent, FrontendEffect, Node, Frontend> {
  readonly #driver: FrontendDriver;
  readonly #devid: number;
  #backendPath = '';
  #sight: Watch | undefined;
  #device: FrontendDevice | undefined;
  /** While the device quiesces: its backend, or itself, is gone. */
  #gone = new AbortController();

  constructor(driver: FrontendDriver, host: RunHost, path: string, devid: number) {
    super(host, path);
    this.#driver = driver;
    this.#devid = devid;
  }

  changed(key: string | undefined): void {
    if (key === undefined) this.mark('own', 'back');
    else if (this.machine === undefined || key === 'state') this.mark('own');
  }

  async stop(): Promise<void> {
    this.halt();
    await this.#sight?.close();
    this.#gone.abort();
    await this.idle;
  }

  protected async find(): Promise<Frontend | undefined> {
    const { store } = this.host;
    const [own, backendPath, backendId] = await Promise.all([
      findState(store, this.path),
      findKey(store, `${this.path}/backend`),
      findKey(store, `${this.path}/backend-id`),
    ]);
    const backendDomid = parseNumber(backendId, 0, 0x7fef);
    if (own === XenbusState.Unknown || !backendPath?.startsWith('/') || backendDomid === undefined)
      return undefined;
    this.#backendPath = backendPath;
    await this.#see();
    const back = await findState(store, backendPath);
    const machine = new Frontend({ published: this.#driver.published }, { own, back });
    this.#gone = new AbortController();
    this.#device = this.#driver.open(this.#link(machine, backendDomid));
    if (this.#device !== undefined) return machine;
    await this.#sight?.close();
    return undefined;
  }

  protected async look(node: Node): Promise<FrontendEvent | undefined> {
    const { store } = this.host;
    if (node === 'sight') {
      await this.#see();
      return undefined;
    }
    const state = await findState(store, node === 'own' ? this.path : this.#backendPath);
    if (node === 'own') {
      if (state === XenbusState.Unknown) this.#gone.abort();
      return { kind: 'own', state };
    }
    if (letsGo(state)) this.#gone.abort();
    return { kind: 'back', state };
  }

  protected async perform(effect: FrontendEffect): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    switch (effect.kind) {
      case 'write':
        if ((await writeState(this.host.store, this.path, effect)) !== effect.state) this.mark('own');
        break;
      case 'error':
        await this.#error(effect.message);
        break;
      case 'look':
        this.mark('back');
        break;
      case 'share':
        this.#job(async () => ({ kind: 'shared', keys: await device.share() }));
        break;
      case 'activate':
        this.#gone = new AbortController();
        this.#job(async () => {
          await device.activate();
          return { kind: 'activated' };
        });
        break;
      case 'refresh':
        device.refresh?.();
        break;
      case 'quiesce': {
        const state = this.machine?.state;
        if (state !== undefined && (letsGo(state.back) || state.life === 'vanished')) this.#gone.abort();
        this.start(
          async () => {
            await device.quiesce(this.#gone.signal);
            return { kind: 'quiesced' };
          },
          (error) => {
            this.say(`quiesce: ${lineOf(error)}`);
            return { kind: 'quiesced' };
          },
        );
        break;
      }
      case 'release':
        try {
          await device.release();
        } catch (error) {
          this.say(`release: ${lineOf(error)}`);
        }
        break;
      case 'remove':
        await this.#sight?.close();
        this.#sight = undefined;
        device.close?.();
        this.#device = undefined;
        this.reset('own');
        break;
    }
  }

  protected settled(): void {}

  #link(machine: Frontend, backendDomid: number): FrontendLink {
    const { store } = this.host;
    const { path } = this;
    const backendPath = this.#backendPath;
    const tell = (event: FrontendEvent): void => {
      // Not what a former device of this name has to say.
      if (this.machine === machine) this.tell(event);
    };
    return {
      path,
      devid: this.#devid,
      backendPath,
      backendDomid,
      read: (reader) => readChecked(store, path, reader),
      readBack: (reader) => readChecked(store, backendPath, reader),
      broken: (error) => tell({ kind: 'broken', error }),
      open: () => tell({ kind: 'open' }),
      close: () => tell({ kind: 'close' }),
    };
  }

  #job(job: () => Promise<FrontendEvent>): void {
    this.start(job, (error) => ({ kind: 'failed', error: lineOf(error) }));
  }

  /** Looks at the backend's state from now on. */
  async #see(): Promise<void> {
    await this.#sight?.close();
    const sight = this.host.store.watch(`${this.#backendPath}/state`);
    this.#sight = sight;
    await sight.ready;
    void this.#watchBack(sight);
  }

  async #watchBack(sight: Watch): Promise<void> {
    try {
      for await (const _ of sight) this.mark('back');
    } catch {
      if (this.#sight === sight) this.mark('sight');
    }
  }

  async #error(message: string): Promise<void> {
    const line = lineOf(message);
    this.say(line);
    try {
      await this.host.store.write(`error/${this.path}/error`, line);
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ECONNRESET') throw error;
      this.say(`its error node cannot be written: ${lineOf(error)}`);
    }
  }
}

/** A backend that will never answer again. */
function letsGo(state: XenbusState): boolean {
  return state === XenbusState.Unknown || state === XenbusState.Closed;
}
