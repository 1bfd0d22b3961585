/**
 * The machine as one process has it: each request is a step that it may not live to see, and when it dies the machine takes back what it had, as a
 * kernel does for a process: mappings and shared pages, event channel files and their ports. Its code goes on meanwhile, as JavaScript does, but
 * reaches nothing any more. Knows nothing of the store.
 */
import type { Clock, Random } from '../../osdep/clock.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { GrantStatus } from '../../osdep/gnttab.ts';
import type { Area, CopyMemory, EventSource, Machine } from '../../osdep/sim/machine.ts';
import type { Args, MappingOp, OpName, Value } from '../../osdep/sim/world.ts';
import { hypercallWords, refusalWords, worthTelling } from './words.ts';

export interface MachineOwner {
  readonly dead: boolean;
  /** Takes a step; false: the process is dead, and this is not done. */
  step(): boolean;
  /** The step has been taken. */
  taken(): void;
  tell(what: string): void;
  /** An errno to refuse a request with, as a hypervisor short of something may. */
  refusal(op: OpName): number | undefined;
}

/** What dead code may ask without harm: nothing is done, and nobody is told. */
const afterwards: ReadonlySet<OpName> = new Set<OpName>([
  'evtchnNotify',
  'evtchnUnmask',
  'evtchnUnbind',
  'evtchnClose',
  'evtchnRestrict',
  'unmap',
]);

export class ProcessMachine implements Machine {
  readonly domid: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly #inner: Machine;
  readonly #owner: MachineOwner;
  /** Whether requests are steps, and told. */
  readonly #seen: boolean;
  readonly #areas = new Map<number, Area>();
  readonly #sources = new Set<EventSource>();

  constructor(inner: Machine, owner: MachineOwner, manner: 'seen' | 'unseen') {
    this.domid = inner.domid;
    this.random = inner.random;
    this.#inner = inner;
    this.#owner = owner;
    this.#seen = manner === 'seen';
    const { clock } = inner;
    this.clock = {
      now: () => clock.now(),
      wallNow: () => clock.wallNow(),
      after: (delayMs, callback) => clock.after(delayMs, () => this.#alive(callback)),
    };
  }

  call<K extends OpName>(op: K, args: Args<K>): Value<K> {
    if (!this.#step(op)) return this.#tooLate(op, args);
    const value = this.#performed(op, args, () => {
      const answer = this.#inner.call(op, args);
      return { value: answer, told: answer };
    });
    if (op === 'unmap') this.#areas.delete((args as Args<'unmap'>).map);
    this.#taken(op);
    return value;
  }

  callMapped<K extends MappingOp>(op: K, args: Args<K>): { readonly value: Value<K>; readonly area: Area } {
    if (!this.#step(op)) throw killed(op);
    const mapped = this.#performed(op, args, () => {
      const answer = this.#inner.callMapped(op, args);
      return { value: answer, told: answer.value };
    });
    this.#areas.set(mapped.value.map, mapped.area);
    this.#taken(op);
    return mapped;
  }

  openCopies(memoryBytes: number): CopyMemory {
    if (!this.#step('gntdevCopier')) throw killed('gntdevCopier');
    const memory = this.#inner.openCopies(memoryBytes);
    this.#areas.set(memory.map, memory.area);
    this.#taken('gntdevCopier');
    return {
      map: memory.map,
      area: memory.area,
      copy: (table) => {
        if (table.count > 0 && !this.#step('gntdevCopy')) return Errno.ESRCH;
        if (table.count > 0) this.#owner.tell(`copies ${table.count} pieces`);
        const answer = memory.copy(table);
        if (table.count > 0) this.#taken('gntdevCopy');
        return answer;
      },
    };
  }

  openEvents(): EventSource {
    if (!this.#step('evtchnOpen')) throw killed('evtchnOpen');
    const inner = this.#inner.openEvents();
    this.#sources.add(inner);
    return {
      handle: inner.handle,
      fd: inner.fd,
      take: () => {
        const port = this.#owner.dead ? undefined : inner.take();
        if (port !== undefined && this.#seen) this.#owner.tell(`gets the event of port ${port}`);
        return port;
      },
      takeAll: (ports) => {
        const count = this.#owner.dead ? 0 : inner.takeAll(ports);
        for (let i = 0; i < count && this.#seen; i++) this.#owner.tell(`gets the event of port ${ports[i]}`);
        return count;
      },
      onReadable: (callback) => inner.onReadable(() => this.#alive(callback)),
      close: () => {
        this.#sources.delete(inner);
        inner.close();
      },
    };
  }

  close(): void {
    this.#inner.close();
  }

  /** Takes everything back. `domain`: the hypervisor does its part by itself. */
  end(what: 'process' | 'domain'): void {
    for (const [map, area] of this.#areas) {
      area.release();
      if (what === 'process') this.#last('unmap', { map });
    }
    for (const source of this.#sources) {
      if (what === 'process') this.#last('evtchnClose', { handle: source.handle });
      source.close();
    }
    this.#areas.clear();
    this.#sources.clear();
  }

  #step(op: OpName): boolean {
    if (this.#owner.dead) return false;
    return !this.#seen || !worthTelling(op) || this.#owner.step();
  }

  #taken(op: OpName): void {
    if (this.#seen && worthTelling(op)) this.#owner.taken();
  }

  #performed<K extends OpName, T>(
    op: K,
    args: Args<K>,
    perform: () => { readonly value: T; readonly told: unknown },
  ): T {
    const tells = this.#seen && worthTelling(op);
    try {
      const refused = this.#seen ? this.#owner.refusal(op) : undefined;
      if (refused !== undefined) throw new OsError(refused, `domain ${this.domid}: ${op}`);
      const { value, told } = perform();
      if (tells) this.#owner.tell(hypercallWords(op, args, told));
      return value;
    } catch (error) {
      if (tells && error instanceof OsError) this.#owner.tell(refusalWords(op, args, error.code));
      throw error;
    }
  }

  /** Dead code is answered as gently as its request allows: what nobody waits for is not refused. */
  #tooLate<K extends OpName>(op: K, args: Args<K>): Value<K> {
    if (afterwards.has(op)) return {} as Value<K>;
    if (op !== 'gntdevCopy') throw killed(op);
    const results = (args as Args<'gntdevCopy'>).ops.map(() => ({ status: GrantStatus.GENERAL_ERROR }));
    return { results } as Value<K>;
  }

  #last<K extends OpName>(op: K, args: Args<K>): void {
    try {
      this.#inner.call(op, args);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
  }

  #alive(callback: () => void): void {
    if (!this.#owner.dead) callback();
  }
}

function killed(op: OpName): OsError {
  return new OsError(Errno.ESRCH, `${op}: this process has been killed`);
}
