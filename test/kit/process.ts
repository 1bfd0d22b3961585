/**
 * One process of a simulated host: a name, a domain that it runs in, a platform and a connection to the store of its own. Every request to the machine
 * or to the store is a step; at any of them, or in between, it can be killed, and then its code reaches nothing any more. Knows no device.
 */

import type { LocalHost } from '../../osdep/sim/local.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';
import type { OpName } from '../../osdep/sim/world.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { Connector, TransportUser } from '../../xenstored/client/transport.ts';
import type { Directories } from './directories.ts';
import { type MachineOwner, ProcessMachine } from './processmachine.ts';
import type { Pump } from './pump.ts';
import { StoreWay, type WayOwner } from './storeway.ts';
import type { Timeline } from './timeline.ts';

/** What all processes of a host have in common. */
export interface ProcessHost {
  readonly machine: LocalHost<SteppedScheduler>;
  readonly timeline: Timeline;
  readonly pump: Pump;
  readonly directories: Directories;
  readonly refusal: (op: OpName) => number | undefined;
}

/** A step is a request: before it, nobody has heard of it; after it, it is under way to the store, or done by the hypervisor. */
export type StepTime = 'before' | 'after';

/** A program somewhere on the host, ours or a stranger's. */
export interface Actor {
  readonly name: string;
  /** The domain that it runs in. */
  readonly domid: number;
  /** Its machine. Each request is a step; nothing of it works once the process is dead. */
  readonly platform: SimPlatform;
  /** Its connection to the store. Each request is a step; none is answered once the process is dead. */
  readonly store: Client;
  /** A directory of its own. Its successor of the same name in the same domain finds there what there is when this one dies. */
  readonly directory: string;
  /** Killed, by whomever. */
  readonly dead: boolean;
  /** Settles when it is dead. */
  readonly ended: Promise<void>;
  /** A line of its own for the timeline. */
  log(line: string): void;
  /** Called when it is killed: for what the machine does not know of, such as a lock. */
  onEnd(callback: () => void): void;
}

export class Process implements Actor, MachineOwner, WayOwner {
  readonly name: string;
  readonly domid: number;
  readonly platform: SimPlatform;
  /** For what a process does not do itself: its way to the store. Neither told nor a step. */
  readonly beneath: SimPlatform;
  readonly ended: Promise<void>;
  readonly #host: ProcessHost;
  readonly #machines: ProcessMachine[] = [];
  readonly #ends: (() => void)[] = [];
  #store: Client | undefined;
  #directory: string | undefined;
  #steps = 0;
  /** What happens just before or after it takes a step, by the step's number. */
  readonly #fates = { before: new Map<number, () => void>(), after: new Map<number, () => void>() };
  /** Its connections that are open. */
  readonly #ways = new Set<StoreWay>();
  /** To be called when it has a connection again. */
  #found: () => void = () => {};
  #tellEnded: () => void = () => {};
  dead = false;

  constructor(host: ProcessHost, name: string, domid: number) {
    this.#host = host;
    this.name = name;
    this.domid = domid;
    this.platform = this.#platform('seen');
    this.beneath = this.#platform('unseen');
    this.ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
  }

  get store(): Client {
    if (this.#store === undefined) throw new Error(`${this.name} has no store yet`);
    return this.#store;
  }

  set store(client: Client) {
    this.#store = client;
  }

  get directory(): string {
    if (this.#directory !== undefined) return this.#directory;
    const { directories } = this.#host;
    const name = `${this.domid} ${this.name}`;
    const path = directories.take(name);
    this.#directory = path;
    this.onEnd(() => directories.leave(name, path));
    return path;
  }

  /** How many steps it has taken. */
  get steps(): number {
    return this.#steps;
  }

  /** Something happens just before or after it takes this step; the first is 0. If it dies before, the step is not taken. */
  atStep(step: number, fate: () => void, when: StepTime = 'before'): void {
    this.#fates[when].set(step, fate);
  }

  step(): boolean {
    if (this.dead) return false;
    this.#fates.before.get(this.#steps)?.();
    if (this.dead) return false;
    this.#steps += 1;
    return true;
  }

  taken(): void {
    this.#fates.after.get(this.#steps - 1)?.();
  }

  /** Loses its connection to the store. */
  cut(): void {
    this.tell('loses its connection');
    for (const way of [...this.#ways]) way.lose();
  }

  tell(what: string): void {
    if (!this.dead) this.#host.timeline.add(this.name, what);
  }

  refusal(op: OpName): number | undefined {
    return this.#host.refusal(op);
  }

  log(line: string): void {
    this.tell(`says: ${line}`);
  }

  onEnd(callback: () => void): void {
    this.#ends.push(callback);
  }

  /** `domain`: with all of its domain, which the hypervisor takes down. */
  end(what: 'process' | 'domain'): void {
    if (this.dead) return;
    this.#host.timeline.add(this.name, `dies at step ${this.#steps}`);
    this.cease(what);
    this.#tellEnded();
  }

  /** The same, with nobody left to be told. */
  cease(what: 'process' | 'domain'): void {
    if (this.dead) return;
    this.dead = true;
    for (const end of this.#ends) end();
    for (const machine of this.#machines) machine.end(what);
    for (const way of [...this.#ways]) way.close();
    this.#found();
  }

  /** A way to the store, on which each request is a step. */
  through(inner: Connector): Connector {
    const { name } = inner;
    const connect = async (user: TransportUser): Promise<StoreWay> => {
      const way = await StoreWay.open(inner, this, this.#ways, user);
      this.#found();
      return way;
    };
    return { name, connect };
  }

  /** Without a connection it looks for another: whoever asks for something waits for that. */
  lost(): void {
    this.#found();
    this.#found = this.#host.pump.asked();
  }

  waits(): () => void {
    return this.#host.pump.asked();
  }

  soon(task: () => void): void {
    this.#host.machine.scheduler.ready(() => {
      if (!this.dead) task();
    });
  }

  #platform(manner: 'seen' | 'unseen'): SimPlatform {
    return this.#host.machine.platformFor(this.domid, (inner) => {
      const machine = new ProcessMachine(inner, this, manner);
      this.#machines.push(machine);
      return machine;
    });
  }
}
