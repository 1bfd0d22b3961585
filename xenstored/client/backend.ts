/**
 * Who runs a backend's handshakes: every device of a kind below `/local/domain/<own>/backend/<kind>`, as they come and go, each with its
 * machine (xenstored/xenbus), for a service that knows rings and nothing of the store. A device that fails, or a frontend that changes its
 * nodes for ever, costs itself alone: turns are bounded and fair. A service that was killed finds its devices again; a lost
 * connection to the store is made anew and everything looked at once more.
 */
import type { Clock } from '../../osdep/clock.ts';
import { Backend } from '../xenbus/backend.ts';
import type { BackendEffect, BackendEvent, Keys } from '../xenbus/backend-events.ts';
import { backendRoot, type DeviceName, errorPath, parseBackendPath } from '../xenbus/path.ts';
import { XenbusState } from '../xenbus/state.ts';
import { type KeyReader, parseNumber } from '../xenbus/value.ts';
import { systemClock } from './connect.ts';
import {
  findKey,
  findState,
  lineOf,
  readChecked,
  readDirectory,
  writePublished,
  writeState,
} from './devicenodes.ts';
import { DeviceRun, type RunHost } from './devicerun.ts';
import { Devices } from './devices.ts';
import { XenstoreError } from './error.ts';
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
  /** A device has come, or was found. What it needs without its frontend is acquired here. A rejection is its error node's line. */
  open(link: BackendLink): Promise<BackendDevice<K>>;
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
  /** Takes no more requests, finishes those in flight, unmaps and unbinds. */
  disconnect(): Promise<void>;
  /** The frontend asks for a change: state 7. Rejects with one line for the error node. */
  reconfigure?(): Promise<void>;
  /** Somebody (perhaps ourselves) has written a key of the own directory. */
  changed?(key: string): void;
  /** Gives back what `open` acquired. */
  close(): Promise<void> | void;
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
  /** Devices whose turn it is at a time. Default: 16. */
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
  const { store, domid, log = () => {}, turns: limit = 16, clock = systemClock } = options;
  const turns = new Turns({ clock, limit });
  /** Devices whose frontend is asked to close: it is for these that a guest's death matters. */
  const closing = new Set<BackendRun<K>>();
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

type Node = 'own' | 'front' | 'online' | 'hotplug' | 'life' | 'sight';

class BackendRun<K> extends DeviceRun<BackendEvent<K>, BackendEffect<K>, Node, Backend<K>> {
  readonly #service: BackendService<K>;
  readonly #closing: Set<BackendRun<K>>;
  readonly #name: DeviceName;
  #frontendPath = '';
  #sight: Watch | undefined;
  #device: BackendDevice<K> | undefined;
  #connected = false;

  constructor(
    service: BackendService<K>,
    host: RunHost,
    closing: Set<BackendRun<K>>,
    name: DeviceName,
    path: string,
  ) {
    super(host, path);
    this.#service = service;
    this.#closing = closing;
    this.#name = name;
  }

  changed(key: string | undefined): void {
    if (key === undefined) this.mark('own', 'online', 'hotplug', 'front');
    else if (this.machine === undefined || key === 'state') this.mark('own');
    else if (key === 'online') this.mark('online');
    else if (key === 'hotplug-status') this.mark('hotplug');
    if (key !== undefined) this.#device?.changed?.(key);
  }

  guestMayBeDead(): void {
    this.mark('life');
  }

  async stop(): Promise<void> {
    this.halt();
    await this.#sight?.close();
    await this.idle;
    await this.#letGo();
  }

  protected async find(): Promise<Backend<K> | undefined> {
    const { store } = this.host;
    const keys = ['frontend', 'frontend-id', 'script', 'hotplug-status', 'online'];
    const [own, frontend, id, script, hotplugStatus, online] = await Promise.all([
      findState(store, this.path),
      ...keys.map((key) => findKey(store, `${this.path}/${key}`)),
    ]);
    const isOnline = flagOf(online);
    if (own === XenbusState.Unknown || (own === XenbusState.Closed && !isOnline)) return undefined;
    if (frontend === undefined || !PATH.test(frontend)) {
      this.say('not served: frontend names no directory');
      return undefined;
    }
    if (parseNumber(id, 0, 0x7fef) !== this.#name.frontendDomid) {
      this.say(`not served: frontend-id is not ${this.#name.frontendDomid}`);
      return undefined;
    }
    this.#frontendPath = frontend;
    await this.#see();
    const { hotplug, reconfigures = false } = this.#service;
    const waits = hotplug === 'script' || (hotplug === 'ordered' && script !== undefined && script !== '');
    const front = await findState(store, frontend);
    return new Backend<K>(
      { hotplug: waits ? 'script' : 'self', reconfigures },
      { own, front, online: isOnline, hotplugStatus },
    );
  }

  protected async look(node: Node): Promise<BackendEvent<K> | undefined> {
    const { store } = this.host;
    switch (node) {
      case 'own':
        return { kind: 'own', state: await findState(store, this.path) };
      case 'front':
        return { kind: 'front', state: await findState(store, this.#frontendPath) };
      case 'online':
        return { kind: 'online', online: flagOf(await findKey(store, `${this.path}/online`)) };
      case 'hotplug':
        return { kind: 'hotplug', status: await findKey(store, `${this.path}/hotplug-status`) };
      case 'life':
        return (await this.#isDead()) ? { kind: 'dead' } : undefined;
      case 'sight':
        await this.#see();
        return undefined;
    }
  }

  protected async perform(effect: BackendEffect<K>): Promise<void> {
    const { store } = this.host;
    switch (effect.kind) {
      case 'write':
        if ((await writeState(store, this.path, effect)) !== effect.state) this.mark('own');
        break;
      case 'error':
        await this.#error(effect.message);
        break;
      case 'look':
        this.mark('front');
        break;
      case 'read': {
        const keys = await readDirectory(store, this.#frontendPath, this.#opened().readFront());
        this.tell(keys.ok ? { kind: 'keys', keys: keys.value } : { kind: 'failed', error: keys.error });
        break;
      }
      case 'prepare':
        this.#job(async () => {
          this.#device = await this.#service.open(this.#link());
          return { kind: 'prepared', features: this.#device.features };
        });
        break;
      case 'connect':
        this.#job(async () => {
          const properties = await this.#opened().connect(effect.keys, effect.attach ? 'attach' : 'fresh');
          this.#connected = true;
          return { kind: 'connected', properties };
        });
        break;
      case 'reconfigure':
        this.#job(async () => {
          await this.#opened().reconfigure?.();
          return { kind: 'reconfigured' };
        });
        break;
      case 'disconnect':
        this.start(
          async () => {
            await this.#disconnect();
            return { kind: 'disconnected' };
          },
          () => ({ kind: 'disconnected' }),
        );
        break;
      case 'remove':
        await this.#sight?.close();
        this.#sight = undefined;
        await this.#letGo();
        this.reset('own');
        break;
    }
  }

  protected settled(): void {
    const { machine } = this;
    const closes = machine?.state.own === XenbusState.Closing && machine.state.life === 'here';
    if (!closes) this.#closing.delete(this);
    else if (!this.#closing.has(this)) {
      this.#closing.add(this);
      this.mark('life');
    }
  }

  #link(): BackendLink {
    const { store } = this.host;
    const { path } = this;
    const frontendPath = this.#frontendPath;
    const { machine } = this;
    return {
      device: this.#name,
      path,
      frontendPath,
      read: (reader) => readChecked(store, path, reader),
      readFront: (reader) => readChecked(store, frontendPath, reader),
      broken: (error) => {
        // Not what a former device of this name has to say.
        if (this.machine === machine) this.tell({ kind: 'broken', error });
      },
      publish: (keys) => this.chore(() => writePublished(store, path, keys)),
      announce: (keys) => this.chore(() => writePublished(store, path, keys, XenbusState.Connected)),
    };
  }

  #job(job: () => Promise<BackendEvent<K>>): void {
    this.start(job, (error) => ({ kind: 'failed', error: lineOf(error) }));
  }

  #opened(): BackendDevice<K> {
    if (this.#device === undefined) throw new Error(`${this.path} is used before it is open`);
    return this.#device;
  }

  /** Looks at the frontend's state from now on. */
  async #see(): Promise<void> {
    await this.#sight?.close();
    const sight = this.host.store.watch(`${this.#frontendPath}/state`);
    this.#sight = sight;
    await sight.ready;
    void this.#watchFront(sight);
  }

  async #watchFront(sight: Watch): Promise<void> {
    try {
      for await (const _ of sight) this.mark('front');
    } catch {
      // It could not be set on a new connection: looked after in the device's own time.
      if (this.#sight === sight) this.mark('sight');
    }
  }

  async #isDead(): Promise<boolean> {
    const { backendDomid, frontendDomid } = this.#name;
    // A control domain may talk to its store without having been introduced.
    if (frontendDomid === 0 || frontendDomid === backendDomid) return false;
    try {
      return !(await this.host.store.isDomainIntroduced(frontendDomid));
    } catch (error) {
      // Only a toolstack's domain may ask; elsewhere the frontend's directory goes with its guest.
      if (error instanceof XenstoreError && (error.code === 'EACCES' || error.code === 'ENOSYS'))
        return false;
      throw error;
    }
  }

  async #error(message: string): Promise<void> {
    const line = lineOf(message);
    this.say(line);
    try {
      await this.host.store.write(errorPath(this.path), line);
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ECONNRESET') throw error;
      this.say(`its error node cannot be written: ${lineOf(error)}`);
    }
  }

  async #letGo(): Promise<void> {
    const device = this.#device;
    await this.#disconnect();
    this.#device = undefined;
    await this.#unfailing('close', async () => device?.close());
  }

  async #disconnect(): Promise<void> {
    if (!this.#connected) return;
    this.#connected = false;
    await this.#unfailing('disconnect', async () => this.#device?.disconnect());
  }

  /** What gives things back cannot fail; if it does, that is told and goes on. */
  async #unfailing(what: string, job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (error) {
      this.say(`${what}: ${lineOf(error)}`);
    }
  }
}

/** What a toolstack can have written as the path of a frontend. */
const PATH = /^(\/[A-Za-z0-9@_:+-]+){1,32}$/;

function flagOf(text: string | undefined): boolean {
  return (parseNumber(text, 0, Number.MAX_SAFE_INTEGER) ?? 0) !== 0;
}
