/**
 * A host that fits into a test: a simulated machine with our xenstored on it, guests, and whatever backends and frontends a test puts there. It moves only
 * while somebody waits for it, in virtual time, in an order that a seed decides. Knows no kind of device.
 */
import { type FaultOdds, seededFaults } from '../../osdep/sim/faults.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import { SeededRandom } from '../../osdep/sim/random.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';
import { type BackendService, serveBackends } from '../../xenstored/client/backend.ts';
import { type FrontendDriver, runFrontends } from '../../xenstored/client/frontend.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import type { Connector } from '../../xenstored/client/transport.ts';
import { bootDomain } from './boot.ts';
import { attachDevice, type Device, type DeviceOrder, orderDetach, removeDevice } from './devices.ts';
import { Directories } from './directories.ts';
import { GoingHost } from './going.ts';
import { leftovers } from './leftovers.ts';
import type { ActorOptions, Guest, HostOptions, Made, Maker } from './options.ts';
import { type Actor, Process, type ProcessHost, type StepTime } from './process.ts';
import { RingShare } from './ringshare.ts';
import { StoreService } from './storeservice.ts';
import { Timeline } from './timeline.ts';

export class SimHost extends GoingHost {
  readonly #store: StoreService;
  readonly #processes: ProcessHost;
  readonly #directories = new Directories();
  readonly #actors = new Set<Process>();
  readonly #guests = new Map<number, Process>();
  readonly #devices = new Set<Device>();
  readonly #destroyed: number[] = [];
  /** What ends in good order, by actor. */
  readonly #stops = new Map<Process, () => Promise<void>>();
  readonly #closes: (() => void | Promise<void> | undefined)[] = [];

  /** For `simHost`. */
  static async start({ seed = anySeed(), faults = {} }: HostOptions): Promise<SimHost> {
    const odds: FaultOdds = { lateEvent: 0, overtakingEvent: 0, refusal: 0, maxDelayMs: 20, ...faults };
    const machine = steppedHost({ seed, mappings: 'separate', faults: { ...odds, refusal: 0 } });
    const timeline = new Timeline(() => machine.clock.now());
    const store = await StoreService.start({ machine, timeline });
    return new SimHost(seed, odds, { machine, timeline, store });
  }

  private constructor(
    seed: number,
    odds: FaultOdds,
    parts: {
      readonly machine: LocalHost<SteppedScheduler>;
      readonly timeline: Timeline;
      readonly store: StoreService;
    },
  ) {
    const { machine, timeline, store } = parts;
    super({ seed, machine, timeline, nodes: store.nodes });
    this.#store = store;
    const { refusal } = seededFaults(new SeededRandom(seed ^ 0x5eed), odds);
    this.#processes = { machine, timeline, pump: this.pump, directories: this.#directories, refusal };
  }

  // Who is there.

  /** A running guest with a home in the store and a connection of its own. */
  async guest({ name }: Pick<ActorOptions, 'name'> = {}): Promise<Guest> {
    const domid = bootDomain(this.hypervisor.ctrl, this.nodes);
    const process = new Process(this.#processes, name ?? `guest ${domid}`, domid);
    this.#guests.set(domid, process);
    this.#store.shares.set(domid, new RingShare(ownRing(process.beneath)));
    return await this.#begin(process, {});
  }

  /** A program of any kind: a platform and a store, and the rest is the test's. */
  async process(options: ActorOptions = {}): Promise<Actor> {
    const process = new Process(this.#processes, options.name ?? 'process', options.in?.domid ?? 0);
    return await this.#begin(process, options);
  }

  /** Serves a kind of device, with a service of ours or of one's own. Resolves when it serves, or is dead. */
  async backend<K>(make: Maker<BackendService<K>>, options: ActorOptions = {}): Promise<Actor> {
    const where = options.in === undefined ? 'backend' : `domain ${options.in.domid}'s backend`;
    return await this.#run(options.name ?? where, options, async (actor) => {
      const made = madeOf(typeof make === 'function' ? make(actor) : make);
      const { clock } = actor.platform;
      const log = (line: string): void => actor.log(line);
      this.#closes.push(() => made.close?.());
      const served = await serveBackends(made.service, {
        store: actor.store,
        domid: actor.domid,
        clock,
        log,
      });
      return () => served.close();
    });
  }

  /** Runs a driver in a guest. Resolves when it looks for devices, or is dead. */
  async frontend(
    guest: Guest,
    make: Maker<FrontendDriver>,
    options: Omit<ActorOptions, 'in'> = {},
  ): Promise<Actor> {
    const named = options.name ?? `${guest.name}'s driver`;
    return await this.#run(named, { ...options, in: guest }, async (actor) => {
      const made = madeOf(typeof make === 'function' ? make(actor) : make);
      const { clock } = actor.platform;
      const log = (line: string): void => actor.log(line);
      this.#closes.push(() => made.close?.());
      const driven = await runFrontends(made.service, { store: actor.store, clock, log });
      return () => driven.close();
    });
  }

  // What a toolstack does.

  /** Writes a device's nodes, as libxl does, at once. */
  attach(order: DeviceOrder): Device {
    const device = attachDevice(this.nodes, order);
    this.#devices.add(device);
    return device;
  }

  /** Orders the backend to let go, waits until it has (state 6), and removes the nodes. */
  async detach(device: Device): Promise<void> {
    orderDetach(this.nodes, device);
    await this.until(() => [0, 6].includes(device.states.back), `${device.back} is closed for its toolstack`);
    this.remove(device);
  }

  /** Removes a device's nodes by force. */
  remove(device: Device): void {
    removeDevice(this.nodes, device);
    this.#devices.delete(device);
  }

  /** Destroys a guest, detaches its devices, and removes its home. */
  async destroy(guest: Guest): Promise<void> {
    const { domid } = guest;
    this.kill(guest);
    for (const device of [...this.#devices])
      if (device.name.frontendDomid === domid) await this.detach(device);
    for (const device of [...this.#devices]) if (device.name.backendDomid === domid) this.remove(device);
    for (const path of [`/local/domain/${domid}`, `/libxl/${domid}`]) this.nodes.remove(path);
    this.#guests.delete(domid);
    this.#destroyed.push(domid);
    await this.settle();
  }

  // How it ends.

  /** As kill -9: at once, whatever it is at. A guest dies with all that is in it, as by a crash. */
  kill(actor: Actor): void {
    const process = this.#known(actor);
    if (this.#guests.get(process.domid) !== process) {
      process.end('process');
      return;
    }
    for (const other of this.#actors) if (other.domid === process.domid) other.end('domain');
    this.machine.kill(process.domid);
  }

  /** It dies instead of taking that step, or just after it; the first that it took was 0. A step is a request to the machine or to the store. */
  killAt(actor: Actor, step: number, when?: StepTime): void {
    this.atStep(actor, step, () => this.kill(actor), when);
  }

  /** Its connection to the store is lost, what was asked is not answered; the process goes on, and connects anew. */
  cut(actor: Actor): void {
    this.#known(actor).cut();
  }

  /** Our xenstored ends, as when it is killed: connections are lost, guests' rings wait, and nobody can look into the store until it is started again. */
  async stopStore(): Promise<void> {
    this.history.add('xenstored', 'ends');
    await this.#store.close();
  }

  /** It goes on with the store that it had. */
  async startStore(): Promise<void> {
    this.history.add('xenstored', 'starts');
    await this.#store.begin();
  }

  /** Something happens just before it takes that step, or just after: a key is written, another one dies. Nothing in it may wait. */
  atStep(actor: Actor, step: number, fate: () => void, when?: StepTime): void {
    this.#known(actor).atStep(step, fate, when);
  }

  /** How many steps it has taken. */
  steps(actor: Actor): number {
    return this.#known(actor).steps;
  }

  /** Ends a backend or a frontend in good order: devices are let go of and stay as they are. */
  async stop(actor: Actor): Promise<void> {
    const process = this.#known(actor);
    const stop = this.#stops.get(process);
    if (stop !== undefined && !process.dead) await this.done(stop(), `${process.name} stops`);
    if (process.dead) return;
    await this.done(process.store.close(), `${process.name} leaves the store`);
    process.tell('stops');
    process.cease('process');
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    for (const actor of this.#actors) actor.cease('process');
    this.pump.stop(new Error('the host was closed'));
    for (const close of this.#closes) await close();
    await this.#store.close();
    this.#directories.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // What there is to see.

  /** What is still there though no device should be: nodes, grants, ports, domains. A line each; none is what a test wants. */
  leftovers(): readonly string[] {
    const alive = [0, ...[...this.#guests].filter(([, guest]) => !guest.dead).map(([domid]) => domid)];
    const places = { nodes: this.nodes, hypervisor: this.hypervisor, alive, destroyed: this.#destroyed };
    return [...leftovers(places)];
  }

  /** A process with its way to the store. */
  async #begin(process: Process, { killAt, killed, cutAt, when }: ActorOptions): Promise<Process> {
    this.#actors.add(process);
    if (cutAt !== undefined) process.atStep(cutAt, () => process.cut(), when);
    if (killAt !== undefined) {
      const victim = killed === 'with its domain' ? this.#guests.get(process.domid)! : process;
      process.atStep(killAt, () => this.kill(victim), when);
    }
    const connector = process.through(this.#wayOf(process));
    const { clock } = process.platform;
    process.store = await this.done(connect({ connector, clock }), `${process.name} reaches the store`);
    return process;
  }

  #wayOf({ domid, name }: Process): Connector {
    return this.#store.shares.get(domid)?.connector(name) ?? this.#store.connector(name);
  }

  async #run(
    name: string,
    options: ActorOptions,
    start: (actor: Process) => Promise<() => Promise<void>>,
  ): Promise<Actor> {
    const process = new Process(this.#processes, name, options.in?.domid ?? 0);
    await this.#begin(process, options);
    const started = start(process).then((stop) => void this.#stops.set(process, stop));
    const either = Promise.race([started, process.ended]);
    started.catch(() => {});
    await this.done(either, `${name} starts`);
    return process;
  }

  #known(actor: Actor): Process {
    if (!(actor instanceof Process) || !this.#actors.has(actor)) throw new Error('no actor of this host');
    return actor;
  }
}

function anySeed(): number {
  const given = process.env.STUBDOM0_SEED;
  if (given === undefined || given === '') return Math.floor(Math.random() * 2 ** 32);
  if (!/^\d{1,10}$/.test(given) || Number(given) >= 2 ** 32)
    throw new Error(`STUBDOM0_SEED ${given}: not a number from 0 to 4294967295`);
  return Number(given);
}

function madeOf<T extends object>(made: T | Made<T>): Made<T> {
  return 'service' in made ? made : { service: made };
}
