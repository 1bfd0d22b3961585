/**
 * One device's run on its guest's side: which nodes mean which event, and how each effect is performed. What a driver does is behind
 * `FrontendDevice`; what is to be done, the machine says.
 */
import { Frontend, type FrontendEffect, type FrontendEvent } from '../xenbus/frontend.ts';
import { XenbusState } from '../xenbus/state.ts';
import { parseNumber } from '../xenbus/value.ts';
import { findKey, findState, lineOf, readChecked, writeState } from './devicenodes.ts';
import { DeviceRun, type RunHost } from './devicerun.ts';
import { XenstoreError } from './error.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from './frontend.ts';
import type { Watch } from './store.ts';

type Node = 'own' | 'back' | 'sight';

export class FrontendRun extends DeviceRun<FrontendEvent, FrontendEffect, Node, Frontend> {
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
    if (this.halted) return undefined;
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
    if (this.halted) return;
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
