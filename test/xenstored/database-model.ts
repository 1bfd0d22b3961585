/**
 * A small store that makes commits as the daemon does, for the tests of what is kept on disk: it knows what a reload must give back. Also
 * the usual handful of helpers: a directory of one's own, copies of it as a crash would leave them, reopening.
 */
import { accessSync, constants, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  Commit,
  DomainRecord,
  NodeRecord,
  RingRecord,
  SavedState,
  WatchRecord,
} from '../../xenstored/core/ports.ts';
import { Database, type DatabaseOptions } from '../../xenstored/io/database.ts';

/** One thing that happens in a turn. */
export type Step =
  | { readonly do: 'write'; readonly path: string; readonly value: string }
  | { readonly do: 'rm'; readonly path: string }
  | { readonly do: 'introduce' | 'release'; readonly domid: number }
  | {
      readonly do: 'watch';
      readonly domid: number;
      readonly path: string;
      readonly depth: number | undefined;
    }
  | { readonly do: 'unwatch'; readonly nth: number }
  | { readonly do: 'request'; readonly domid: number; readonly bytes: number; readonly reply: string }
  | { readonly do: 'deliver' | 'reset' | 'drop'; readonly domid: number }
  | { readonly do: 'quota'; readonly name: string; readonly value: number };

interface Ring {
  consumed: number;
  partial: Buffer;
  start: number;
  output: Buffer;
  sent: number;
}

/** What of a turn is to be told: last states, as the core does. */
interface Changes {
  readonly nodes: Set<string>;
  readonly removed: Set<string>;
  readonly domains: Set<number>;
  readonly removedDomains: Set<number>;
  readonly watches: Set<number>;
  readonly removedWatches: Set<number>;
  readonly rings: Map<number, { at: number; reset: boolean }>;
  readonly settings: Record<string, number>;
}

export class StoreModel {
  readonly nodes: Map<string, NodeRecord> = new Map();
  readonly domains: Map<number, DomainRecord> = new Map();
  readonly watches: Map<number, WatchRecord> = new Map();
  readonly rings: Map<number, Ring> = new Map();
  readonly settings: Record<string, number> = {};
  #clock = 0;

  turn(steps: readonly Step[]): Commit {
    const changes: Changes = {
      nodes: new Set(),
      removed: new Set(),
      domains: new Set(),
      removedDomains: new Set(),
      watches: new Set(),
      removedWatches: new Set(),
      rings: new Map(),
      settings: {},
    };
    for (const step of steps) this.#apply(step, changes);
    return {
      nodes: [...changes.nodes].flatMap((path) => this.nodes.get(path) ?? []),
      removed: [...changes.removed],
      domains: [...changes.domains].flatMap((domid) => this.domains.get(domid) ?? []),
      removedDomains: [...changes.removedDomains],
      watches: [...changes.watches].flatMap((seq) => this.watches.get(seq) ?? []),
      removedWatches: [...changes.removedWatches],
      rings: [...changes.rings].flatMap(([domid, { at, reset }]) => this.#ringRecord(domid, at, reset)),
      settings: Object.keys(changes.settings).length > 0 ? changes.settings : undefined,
      generation: this.#clock,
    };
  }

  sentPosition = (domid: number): number | undefined => this.rings.get(domid)?.sent;

  /** In a form that can be compared with `seen`. */
  expected(): unknown {
    return seenOf(
      {
        generation: this.#clock,
        settings: { ...this.settings },
        nodes: [...this.nodes.values()].sort((a, b) => a.born - b.born),
        domains: [...this.domains.values()].sort((a, b) => a.domid - b.domid),
        watches: [...this.watches.values()].sort((a, b) => a.seq - b.seq),
        rings: [...this.rings.keys()]
          .sort((a, b) => a - b)
          .flatMap((domid) => this.#ringRecord(domid, this.rings.get(domid)!.start, false)),
      },
      this.sentPosition,
    );
  }

  #apply(step: Step, changes: Changes): void {
    this.#clock += 1;
    switch (step.do) {
      case 'write':
        this.#write(step.path, step.value, changes);
        break;
      case 'rm':
        this.#remove(step.path, changes);
        break;
      case 'introduce':
        this.domains.set(step.domid, this.#domain(step.domid));
        changes.domains.add(step.domid);
        break;
      case 'release':
        if (this.domains.delete(step.domid)) changes.removedDomains.add(step.domid);
        this.rings.delete(step.domid);
        changes.rings.delete(step.domid);
        break;
      case 'watch':
        this.watches.set(this.#clock, { ...step, seq: this.#clock, token: `t${this.#clock}` });
        changes.watches.add(this.#clock);
        break;
      case 'unwatch': {
        const seq = [...this.watches.keys()][step.nth % Math.max(1, this.watches.size)];
        if (seq === undefined) return;
        this.watches.delete(seq);
        if (!changes.watches.delete(seq)) changes.removedWatches.add(seq);
        break;
      }
      case 'quota':
        this.settings[step.name] = step.value;
        changes.settings[step.name] = step.value;
        break;
      default:
        this.#ring(step, changes);
    }
  }

  #write(path: string, value: string, changes: Changes): void {
    const above = path.slice(0, Math.max(1, path.lastIndexOf('/')));
    if (path.startsWith('/') && path !== '/' && !this.nodes.has(above)) this.#write(above, '', changes);
    const old = this.nodes.get(path);
    this.#clock += 1;
    const perms = [
      { letter: 'b', domid: value.length & 0x7fff, stale: false },
      { letter: 'r', domid: this.#clock & 0x7fff, stale: this.#clock % 3 === 0 },
    ] as const;
    this.nodes.set(path, { path, value, perms, generation: this.#clock, born: old?.born ?? this.#clock });
    changes.nodes.add(path);
  }

  #remove(path: string, changes: Changes): void {
    if (path === '/' || !this.nodes.has(path)) return;
    changes.removed.add(path);
    for (const other of [...this.nodes.keys()]) {
      if (other !== path && !other.startsWith(`${path}/`)) continue;
      this.nodes.delete(other);
      changes.nodes.delete(other);
    }
  }

  #domain(domid: number): DomainRecord {
    return {
      domid,
      uniqueId: 0xfedc_ba98_7654_3210n + BigInt(this.#clock),
      generation: this.#clock,
      introduced: this.#clock % 2 === 0,
      port: this.#clock,
      features: 0x8000_0000 + this.#clock,
      shutdownReported: this.#clock % 3 === 0,
      ignored: this.#clock % 5 === 0,
      target: this.#clock % 7 === 0 ? { domid: 1, uniqueId: 7n } : undefined,
      quotas: [1000, 0, 2 ** 40, this.#clock],
    };
  }

  #ring(step: Extract<Step, { domid: number }>, changes: Changes): void {
    const { domid } = step;
    if (!this.domains.has(domid)) return;
    let ring = this.rings.get(domid);
    if (ring === undefined || step.do === 'reset') {
      ring = { consumed: 0, partial: Buffer.alloc(0), start: 0, output: Buffer.alloc(0), sent: 0 };
      this.rings.set(domid, ring);
      changes.rings.set(domid, { at: 0, reset: true });
    }
    const end = ring.start + ring.output.length;
    const change = changes.rings.get(domid) ?? { at: end, reset: false };
    changes.rings.set(domid, change);
    if (step.do === 'request') {
      ring.consumed += step.bytes;
      ring.partial = Buffer.from('p'.repeat(step.bytes % 7));
      ring.output = Buffer.concat([ring.output, Buffer.from(step.reply)]);
    } else if (step.do === 'deliver') {
      // Only what an earlier turn made safe can be with the peer.
      const safe = Math.max(ring.sent, change.reset ? 0 : change.at);
      ring.sent = Math.min(safe, end);
    } else if (step.do === 'drop') {
      ring.output = ring.output.subarray(0, ring.sent - ring.start);
      ring.start = ring.sent;
      ring.output = Buffer.alloc(0);
      changes.rings.set(domid, { at: ring.start, reset: true });
    }
  }

  #ringRecord(domid: number, at: number, reset: boolean): RingRecord | [] {
    const ring = this.rings.get(domid);
    if (ring === undefined) return [];
    const appended = Buffer.from(ring.output.subarray(at - ring.start));
    return { domid, consumed: ring.consumed, partial: ring.partial, appendedAt: at, appended, reset };
  }
}

/** What the daemon would make of a saved state: output that a ring's peer has already does not count. */
export function seenOf(state: SavedState, sent: (domid: number) => number | undefined): unknown {
  return {
    generation: state.generation,
    settings: state.settings,
    nodes: [...state.nodes],
    domains: [...state.domains],
    watches: [...state.watches].map(({ seq, domid, path, token, depth }) => ({
      seq,
      domid,
      path,
      token,
      depth,
    })),
    rings: [...state.rings].map(({ domid, consumed, partial, appendedAt, appended }) => ({
      domid,
      consumed,
      partial: partial.toString(),
      unsent: appended.toString('latin1', Math.max(0, (sent(domid) ?? 0) - appendedAt)),
      end: appendedAt + appended.length,
    })),
  };
}

/** A directory of the test's own, for `await using`-less code: `remove` in the end. */
export class Scene {
  readonly root: string = mkdtempSync(join(memoryOr(tmpdir()), 'stubdom0-db-'));
  readonly log: string[] = [];
  #copies = 0;

  options(directory: string = join(this.root, 'db'), more: Partial<DatabaseOptions> = {}): DatabaseOptions {
    const log = (line: string): void => {
      this.log.push(line);
    };
    return { directory, boot: 'boot-1', durability: 'process', log, ...more };
  }

  /** The files as they are now, which is what a killed process leaves. */
  copy(directory: string = join(this.root, 'db')): string {
    this.#copies += 1;
    const copy = join(this.root, `copy-${this.#copies}`);
    cpSync(directory, copy, { recursive: true });
    return copy;
  }

  async reload(directory?: string): Promise<SavedState | undefined> {
    const database = await Database.open(this.options(directory));
    const saved = database.takeSaved();
    await database.close();
    return saved;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** As a run directory is, and quicker than a disk for the thousands of small files of these tests. */
function memoryOr(otherwise: string): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return otherwise;
  }
}
