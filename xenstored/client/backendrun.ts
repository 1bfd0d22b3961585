/**
 * One device's run on its backend's side: which nodes mean which event, and how each effect is performed. What a service does is
 * behind `BackendDevice`; what is to be done, the machine says.
 */
import { Backend } from '../xenbus/backend.ts';
import type { BackendEffect, BackendEvent } from '../xenbus/backend-events.ts';
import { type DeviceName, errorPath } from '../xenbus/path.ts';
import { XenbusState } from '../xenbus/state.ts';
import { parseNumber } from '../xenbus/value.ts';
import type { BackendDevice, BackendLink, BackendService } from './backend.ts';
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
import { XenstoreError } from './error.ts';
import type { Watch } from './store.ts';

type Node = 'own' | 'front' | 'online' | 'hotplug' | 'life' | 'sight' | 'followed';

export class BackendRun<K> extends DeviceRun<BackendEvent<K>, BackendEffect<K>, Node, Backend<K>> {
  readonly #service: BackendService<K>;
  /** Those that want to hear of a guest's death. */
  readonly #closing: Set<{ guestMayBeDead(): void }>;
  readonly #name: DeviceName;
  #frontendPath = '';
  #sight: Watch | undefined;
  #device: BackendDevice<K> | undefined;
  /** Keys that have changed while there was no device to tell. */
  readonly #unheard = new Set<string>();
  #connected = false;
  /** The end of what a device that was removed gives back. */
  #closed: Promise<void> = Promise.resolve();

  constructor(
    service: BackendService<K>,
    host: RunHost,
    closing: Set<{ guestMayBeDead(): void }>,
    name: DeviceName,
    path: string,
  ) {
    super(host, path);
    this.#service = service;
    this.#closing = closing;
    this.#name = name;
  }

  changed(key: string | undefined): void {
    // While the device is being found, what was read of it may be of before this.
    if (key === undefined || this.machine === undefined) this.mark('own', 'online', 'hotplug', 'front');
    else if (key === 'state') this.mark('own');
    else if (key === 'online') this.mark('online');
    else if (key === 'hotplug-status') this.mark('hotplug');
    if (key === undefined) return;
    if (this.#device === undefined) this.#unheard.add(key);
    else this.#device.changed?.(key);
  }

  guestMayBeDead(): void {
    this.mark('life');
  }

  async stop(): Promise<void> {
    this.halt();
    await this.#sight?.close();
    await this.idle;
    await this.#closed;
    await this.#letGo('stop');
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
    const { hotplug, reconfigures = false, letsGoFirst = false } = this.#service;
    const waits = hotplug === 'script' || (hotplug === 'ordered' && script !== undefined && script !== '');
    const front = await findState(store, frontend);
    return new Backend<K>(
      { hotplug: waits ? 'script' : 'self', reconfigures, letsGoFirst },
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
      case 'followed': {
        const text = await findKey(store, `${this.#frontendPath}/${this.#service.follows}`);
        if (this.#connected) this.#device?.frontChanged?.(text);
        return undefined;
      }
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
          this.#unheard.clear();
          this.#device = await this.#service.open(this.#link());
          // What has changed while it was opened, it may have read before.
          for (const key of this.#unheard) this.#device.changed?.(key);
          this.#unheard.clear();
          return { kind: 'prepared', features: this.#device.features };
        });
        break;
      case 'connect':
        this.#job(async () => {
          const properties = await this.#opened().connect(effect.keys, effect.attach ? 'attach' : 'fresh');
          this.#connected = true;
          // It may have changed while that was going on.
          if (this.#service.follows !== undefined) this.mark('followed');
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
        // However long that takes: the next device of this name waits for it, nobody else does.
        this.#closed = this.#letGo('gone');
        void this.#closed.then(() => this.reset('own'));
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

  /** Looks at the frontend's state from now on, and at the key that is followed: by one watch, of which a domain may not have many. */
  async #see(): Promise<void> {
    await this.#sight?.close();
    if (this.halted) return;
    const follows = this.#service.follows !== undefined;
    const sight = this.host.store.watch(follows ? this.#frontendPath : `${this.#frontendPath}/state`);
    this.#sight = sight;
    await sight.ready;
    void this.#watchFront(sight);
  }

  async #watchFront(sight: Watch): Promise<void> {
    try {
      for await (const { path } of sight) this.#frontChanged(path.slice(this.#frontendPath.length + 1));
    } catch {
      // It could not be set on a new connection: looked after in the device's own time.
      if (this.#sight === sight) this.mark('sight');
    }
  }

  /** Empty: perhaps everything. */
  #frontChanged(key: string): void {
    if (key === '' || key === 'state') this.mark('front');
    if (this.#service.follows !== undefined && (key === '' || key === this.#service.follows))
      this.mark('followed');
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

  async #letGo(why: 'gone' | 'stop'): Promise<void> {
    const device = this.#device;
    const connected = this.#connected;
    this.#device = undefined;
    this.#connected = false;
    if (connected) await this.#unfailing('disconnect', async () => device?.disconnect(why));
    await this.#unfailing('close', async () => device?.close(why));
  }

  async #disconnect(): Promise<void> {
    this.#connected = false;
    await this.#unfailing('disconnect', async () => this.#device?.disconnect('closed'));
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
