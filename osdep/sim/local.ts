/**
 * A simulated machine within one process: the world, memory as ArrayBuffers, and a platform for each domain. Stepped,
 * with virtual time, one seed in and one history out; or live, in Node's own loop. Read-only mappings are not enforced
 * here, and scattered frames have no common view: across processes both are as on real Xen.
 */
import type { Clock } from '../clock.ts';
import { OsError } from '../errno.ts';
import type { CopyTable } from '../gnttab.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { type FaultOdds, type Faults, noFaults, seededFaults } from './faults.ts';
import type { EventSource, Machine } from './machine.ts';
import { LocalMemory } from './memory.ts';
import { platformOn, type SimPlatform } from './platform.ts';
import { SeededRandom } from './random.ts';
import { LiveScheduler, type Scheduler, SteppedScheduler } from './schedule.ts';
import { SeparateMemory } from './separatememory.ts';
import {
  type Args,
  type Effect,
  type Limits,
  type MappedMemory,
  type OpName,
  type Value,
  World,
} from './world.ts';

export interface LocalOptions {
  readonly seed?: number;
  readonly limits?: Partial<Limits>;
  readonly faults?: FaultOdds;
  /**
   * `shared` (default): all mappings of a page are the same JavaScript memory. `separate`: each is a mapping of its own, as across processes, which
   * loses the page for good when it is unmapped, whoever still holds a view.
   */
  readonly mappings?: 'shared' | 'separate';
  /** Told of every request and every effect, in order; a line begins with the time in milliseconds. */
  readonly trace?: (line: string) => void;
}

/** What happens to a domain: see the world's effects. */
export type DomainEvent = Extract<Effect, { kind: 'domain' }>;

/** Events of one file: what has arrived, and who wants to know. */
class LocalEvents implements EventSource {
  readonly fd = -1;
  readonly handle: number;
  readonly #scheduler: Scheduler;
  readonly #arrived: number[] = [];
  readonly #listeners = new Set<() => void>();
  #woken = false;

  constructor(handle: number, scheduler: Scheduler) {
    this.handle = handle;
    this.#scheduler = scheduler;
  }

  take(): number | undefined {
    return this.#arrived.shift();
  }

  takeAll(ports: Uint32Array): number {
    let count = 0;
    while (count < ports.length && this.#arrived.length > 0) {
      ports[count++] = this.#arrived.shift()!;
    }
    return count;
  }

  onReadable(callback: () => void): () => void {
    this.#listeners.add(callback);
    if (this.#arrived.length > 0) {
      this.#wake();
    }
    return () => {
      this.#listeners.delete(callback);
    };
  }

  arrive(port: number, where: 'first' | 'last'): void {
    if (where === 'first') {
      this.#arrived.unshift(port);
    } else {
      this.#arrived.push(port);
    }
    this.#wake();
  }

  close(): void {
    this.#listeners.clear();
    this.#arrived.length = 0;
  }

  #wake(): void {
    if (this.#woken || this.#listeners.size === 0) {
      return;
    }
    this.#woken = true;
    this.#scheduler.ready(() => {
      this.#woken = false;
      if (this.#arrived.length > 0) {
        for (const listener of [...this.#listeners]) {
          listener();
        }
      }
    });
  }
}

/** A machine in this process. `S` says how it goes on. */
export class LocalHost<S extends Scheduler = Scheduler> {
  readonly scheduler: S;
  readonly random: SeededRandom;
  readonly #world: World;
  readonly #memory: LocalMemory | SeparateMemory;
  readonly #faults: Faults;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #sources = new Map<number, LocalEvents>();
  readonly #watchers = new Set<(event: DomainEvent) => void>();

  constructor(scheduler: S, random: SeededRandom, options: LocalOptions) {
    this.scheduler = scheduler;
    this.random = random;
    this.#trace = options.trace;
    this.#memory = options.mappings === 'separate' ? new SeparateMemory() : new LocalMemory();
    this.#faults = options.faults === undefined ? noFaults : seededFaults(random, options.faults);
    this.#world = new World({
      memory: this.#memory,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    this.#settle();
  }

  get clock(): Clock {
    return this.scheduler.clock;
  }

  /**
   * A domain's view of the machine. Domain 0 exists from the start, others once they are created. `through`: what stands between the domain's
   * libraries and the machine, for tests that look on or cut in.
   */
  platformFor(domid: number, through: (machine: Machine) => Machine = (machine) => machine): SimPlatform {
    return platformOn(through(this.#machineFor(domid)));
  }

  /** As if the process that runs this domain had died. */
  kill(domid: number): void {
    this.#world.crashed(domid);
    this.#settle();
  }

  /** Tells of domains made, paused, shut down, dead and gone, as it happens. */
  onDomain(watcher: (event: DomainEvent) => void): () => void {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** Allocations that are still there: for tests of what is left behind. */
  get extents(): number {
    return this.#memory.size;
  }

  #machineFor(domid: number): Machine {
    const callMapped: Machine['callMapped'] = (op, args) => {
      const { value, memory } = this.#request(domid, op, args);
      if (memory === undefined) {
        throw new Error(`${op} gave no memory`);
      }
      return { value, area: this.#memory.area(memory) };
    };
    return {
      domid,
      clock: this.clock,
      random: this.random,
      call: (op, args) => this.#request(domid, op, args).value,
      callMapped,
      openCopies: (memoryBytes) => {
        const { value, area } = callMapped('gntdevCopier', { pages: memoryBytes / PAGE_SIZE });
        return { map: value.map, area, copy: (table) => this.#copy(domid, value.map, table) };
      },
      openEvents: () => {
        const { handle } = this.#request(domid, 'evtchnOpen', {}).value;
        const source = new LocalEvents(handle, this.scheduler);
        this.#sources.set(handle, source);
        return source;
      },
      close: () => {},
    };
  }

  #request<K extends OpName>(
    domid: number,
    op: K,
    args: Args<K>,
  ): { readonly value: Value<K>; readonly memory?: MappedMemory } {
    const refusal = this.#faults.refusal(op);
    const reply =
      refusal === undefined
        ? this.#world.hypercall(domid, op, args)
        : ({ ok: false, errno: refusal } as const);
    this.#trace?.(`${this.#stamp()} d${domid} ${op} ${show(args)} -> ${show(reply)}`);
    this.#settle();
    if (!reply.ok) {
      throw new OsError(reply.errno, `domain ${domid}: ${op}`);
    }
    return reply;
  }

  #copy(domid: number, map: number, table: CopyTable): number {
    const result = this.#world.copyByTable(domid, map, table);
    this.#trace?.(`${this.#stamp()} d${domid} copies ${table.count} -> ${result}`);
    return result;
  }

  #settle(): void {
    for (const effect of this.#world.takeEffects()) {
      this.#trace?.(`${this.#stamp()} ${show(effect)}`);
      switch (effect.kind) {
        case 'event':
          this.#deliver(effect.handle, effect.port);
          break;
        case 'fileClosed':
          this.#sources.get(effect.handle)?.close();
          this.#sources.delete(effect.handle);
          break;
        case 'domain':
          for (const watcher of [...this.#watchers]) {
            watcher(effect);
          }
          break;
        case 'interrupt':
          break;
      }
    }
  }

  #stamp(): string {
    return this.clock.now().toFixed(3);
  }

  #deliver(handle: number, port: number): void {
    const arrive = () => {
      this.#sources.get(handle)?.arrive(port, this.#faults.overtakes() ? 'first' : 'last');
    };
    const delayMs = this.#faults.eventDelayMs();
    if (delayMs > 0) {
      this.clock.after(delayMs, arrive);
    } else {
      arrive();
    }
  }
}

/** A machine that goes only when stepped. The same seed and the same calls give the same history. */
export function steppedHost(options: LocalOptions = {}): LocalHost<SteppedScheduler> {
  const random = new SeededRandom(options.seed ?? 0);
  return new LocalHost(new SteppedScheduler(random), random, options);
}

/** A machine that goes by itself in this process's loop. */
export function liveHost(options: LocalOptions = {}): LocalHost<LiveScheduler> {
  const random = new SeededRandom(options.seed ?? 0);
  return new LocalHost(new LiveScheduler(), random, options);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array ? `${part.length} bytes` : part,
  );
}
