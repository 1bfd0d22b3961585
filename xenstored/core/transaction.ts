/**
 * A transaction: the store as it was at its start, with its own changes on top, and a memory of what its answers depended on. It commits
 * if none of that has changed since; one that changed nothing always does. Nothing is visible outside before.
 */
import { encodeStrings } from '../wire/reply.ts';
import type { Node } from './node.ts';
import { childrenAt, type Snapshot, stateAt } from './past.ts';
import { baseName, childPath, parentPath } from './path.ts';
import type { Perms } from './perms.ts';
import type { Account } from './quota.ts';
import type { Store } from './store.ts';
import { Part, type Seen, type View } from './view.ts';
import type { Match } from './watch.ts';

/** One node that the transaction looked at or changed. */
export interface Entry extends Seen {
  /** The node in the snapshot, if it was there. */
  readonly base: Node | undefined;
  readonly basePerms: Perms | undefined;
  value: string;
  perms: Perms;
  /** When the permissions were set, here or before: entries for domains that came later grant nothing. */
  permsAt: number;
  present: boolean;
  /** The parts that answers depended on. */
  parts: number;
  /** Only passed by on the way from a node that is missing: nothing depends on it, it has its place in the order of access. */
  bystander: boolean;
  valueSet: boolean;
  permsSet: boolean;
  /** Made here, perhaps after the one in the snapshot was removed. */
  created: boolean;
  removed: boolean;
  /** Children made here, in order. */
  added: Set<Entry> | undefined;
  event: Match | undefined;
}

/** An event that the commit causes, with what decides who may know of it. */
export interface CommitEvent {
  readonly path: string;
  readonly match: Match;
  /** Those of the snapshot. */
  readonly oldPerms: Perms | undefined;
  /** The parent's, as they stand when changes are made visible one by one in the order of first access; `undefined`: no parent then. */
  readonly parentPerms: Perms | undefined;
}

export type CommitResult =
  | { readonly ok: true; readonly changed: boolean; readonly events: readonly CommitEvent[] }
  /** Who made the change that is in the way. */
  | { readonly ok: false; readonly blame: number };

export type Overflow = 'ENOSPC' | 'ENOMEM';

export interface TransactionOptions {
  readonly id: number;
  readonly store: Store;
  /** The domain that changes are made as. */
  readonly by: number;
  /** Limits and memory; `undefined`: none are kept. */
  readonly account: Account | undefined;
  readonly startedAt: number;
}

export class Transaction implements View {
  readonly id: number;
  readonly startedAt: number;
  /** A request inside failed in a way that cannot be undone: it can never commit. */
  doomed = false;
  readonly #store: Store;
  readonly #snapshot: Snapshot;
  readonly #by: number;
  readonly #account: Account | undefined;
  /** In order of first access. */
  readonly #entries = new Map<string, Entry>();
  /** In order of creation, parents first. */
  readonly #created = new Set<Entry>();
  #bytes = 0;
  #over: Overflow | undefined = undefined;

  constructor({ id, store, by, account, startedAt }: TransactionOptions) {
    this.id = id;
    this.startedAt = startedAt;
    this.#store = store;
    this.#by = by;
    this.#account = account;
    this.#snapshot = store.snapshot();
  }

  get nodes(): number {
    return this.#entries.size;
  }

  get changed(): boolean {
    for (const entry of this.#entries.values()) {
      if (entry.valueSet || entry.permsSet || entry.created || entry.removed) return true;
    }
    return false;
  }

  /** Has the last request met more nodes than a transaction may touch, or than there is memory for? Asking clears the answer. */
  takeOverflow(): Overflow | undefined {
    const over = this.#over;
    this.#over = undefined;
    return over;
  }

  lookup(path: string, parts: number): Entry | undefined {
    const entry = this.#entry(path);
    entry.parts |= parts;
    if (entry.present) return entry;
    this.#passBy(path);
    return undefined;
  }

  ancestor(path: string): Seen {
    for (let above = parentPath(path); ; above = parentPath(above)) {
      const seen = this.lookup(above, Part.PERMS);
      if (seen) return seen;
    }
  }

  childList(seen: Seen): string {
    return encodeStrings([...this.#childNames(seen as Entry)]);
  }

  childBytes(seen: Seen): number {
    let bytes = 0;
    for (const name of this.#childNames(seen as Entry)) bytes += name.length + 1;
    return bytes;
  }

  generation(seen: Seen): number {
    const { base } = seen as Entry;
    return base && base.generation <= this.#snapshot.epoch ? base.generation : this.#snapshot.epoch;
  }

  create(path: string, value: string, perms: Perms): void {
    const missing = [path];
    let above = parentPath(path);
    for (; !this.#entry(above).present; above = parentPath(above)) missing.push(above);
    let parent = this.#entry(above);
    // What was inherited is as old as what it was inherited from.
    const { permsAt } = parent;
    for (const each of missing.reverse()) {
      const entry = this.#entry(each);
      entry.present = true;
      entry.created = true;
      entry.value = each === path ? value : '';
      entry.perms = perms;
      entry.permsAt = permsAt;
      parent.added ??= new Set();
      parent.added.add(entry);
      this.#created.add(entry);
      parent = entry;
    }
    this.#charge(value.length);
  }

  setValue(seen: Seen, value: string): void {
    const entry = seen as Entry;
    this.#charge(value.length - entry.value.length);
    entry.value = value;
    entry.valueSet = true;
  }

  setPerms(seen: Seen, perms: Perms): void {
    const entry = seen as Entry;
    entry.perms = perms;
    entry.permsAt = this.#store.generation;
    entry.permsSet = true;
  }

  remove(seen: Seen): void {
    const pending = [seen.path];
    const parent = this.#entry(parentPath(seen.path));
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const entry = this.#entry(path);
      const names = [...this.#childNames(entry)];
      for (const name of names.reverse()) pending.push(childPath(path, name));
      this.#remove(entry);
      this.fire(path, path === seen.path ? 'subtree' : 'exact');
    }
    parent.added?.delete(seen as Entry);
  }

  /** Remembers that the commit is to fire an event here; one for a subtree outdoes an exact one. */
  fire(path: string, match: Match): void {
    const entry = this.#entry(path);
    if (entry.event !== 'subtree') entry.event = match;
  }

  /** How the number of nodes that each domain owns would change. */
  ownership(): Map<number, number> {
    const delta = new Map<number, number>();
    const add = (domid: number, count: number) => delta.set(domid, (delta.get(domid) ?? 0) + count);
    for (const { base, basePerms, present, perms, created, removed, permsSet } of this.#entries.values()) {
      if (!created && !removed && !permsSet) continue;
      if (base) add(basePerms!.owner, -1);
      if (present) add(perms.owner, 1);
    }
    return delta;
  }

  /** Every entry whose permissions are new: the caller replaces what has died meanwhile. */
  *permissionsSet(): Generator<Entry> {
    for (const entry of this.#entries.values()) {
      if (entry.present && (entry.created || entry.permsSet)) yield entry;
    }
  }

  /** Checks and, if nothing is in the way, applies. The snapshot stays until `end`. */
  commit(): CommitResult {
    if (!this.changed) return { ok: true, changed: false, events: [] };
    for (const entry of this.#entries.values()) {
      const blame = this.#conflict(entry);
      if (blame !== undefined) return { ok: false, blame };
    }
    this.#apply();
    return { ok: true, changed: true, events: this.#events() };
  }

  end(): void {
    this.#store.release(this.#snapshot);
    this.#account?.add('memory', -this.#bytes);
    this.#bytes = 0;
  }

  #apply(): void {
    const store = this.#store;
    const by = this.#by;
    for (const { base, removed } of this.#entries.values()) {
      if (removed && base && base.diedAt === Number.POSITIVE_INFINITY) store.remove(base, by);
    }
    for (const { path, value, perms } of this.#created) store.create(path, value, perms, by);
    for (const entry of this.#entries.values()) {
      if (!entry.present || entry.created || !entry.base) continue;
      if (entry.valueSet) store.setValue(entry.base, entry.value, by);
      if (entry.permsSet) store.setPerms(entry.base, entry.perms, by);
    }
  }

  #events(): CommitEvent[] {
    const events: CommitEvent[] = [];
    const visible = new Set<Entry>();
    for (const entry of this.#entries.values()) {
      visible.add(entry);
      const { path, event: match, basePerms: oldPerms } = entry;
      if (match) events.push({ path, match, oldPerms, parentPerms: this.#parentPerms(path, visible) });
    }
    return events;
  }

  #parentPerms(path: string, visible: ReadonlySet<Entry>): Perms | undefined {
    const above = parentPath(path);
    const entry = this.#entries.get(above);
    const changed = entry && (entry.created || entry.removed || entry.permsSet);
    if (changed && !visible.has(entry)) return entry.basePerms;
    return this.#store.get(above)?.perms;
  }

  /** From a missing node up to the nearest one that is there, as today's C daemon goes whoever asks. */
  #passBy(path: string): void {
    for (let above = parentPath(path); ; above = parentPath(above)) {
      let entry = this.#entries.get(above);
      if (!entry) {
        entry = this.#entry(above);
        entry.bystander = true;
      }
      if (entry.present) return;
    }
  }

  /** Who changed what this entry's answers depended on since the snapshot; `undefined`: nobody. */
  #conflict(entry: Entry): number | undefined {
    if (entry.bystander) return undefined;
    const { path, base, parts, valueSet, permsSet, removed, created } = entry;
    const live = this.#store.get(path);
    if (live !== base) return live ? live.changedBy : this.#store.ancestor(path).changedBy;
    if (!live) return undefined;
    const { epoch } = this.#snapshot;
    const written = valueSet || permsSet || removed || created;
    const changed =
      (live.valueAt > epoch && (written || (parts & Part.VALUE) !== 0)) ||
      (live.permsAt > epoch && (written || (parts & Part.PERMS) !== 0)) ||
      (live.childrenAt > epoch && (removed || (parts & Part.CHILDREN) !== 0));
    return changed ? live.changedBy : undefined;
  }

  #entry(path: string): Entry {
    const known = this.#entries.get(path);
    if (known) {
      known.bystander = false;
      return known;
    }
    const base = this.#store.nodeAt(path, this.#snapshot);
    const state = base && stateAt(base, this.#snapshot);
    const entry: Entry = {
      path,
      base,
      basePerms: state?.perms,
      value: state?.value ?? '',
      perms: state?.perms ?? NOBODY,
      permsAt: state?.permsAt ?? 0,
      present: base !== undefined,
      parts: Part.NONE,
      bystander: false,
      valueSet: false,
      permsSet: false,
      created: false,
      removed: false,
      added: undefined,
      event: undefined,
    };
    const bytes = path.length + entry.value.length + (state ? 16 + 8 * state.perms.entries.length : 0);
    const over = this.#overflow(bytes);
    if (over) {
      this.#over = over;
      this.doomed = true;
      return entry;
    }
    this.#entries.set(path, entry);
    this.#charge(bytes);
    return entry;
  }

  /** Would one more node be too much? Past its memory the domain would not be read again, and could not even end this. */
  #overflow(bytes: number): Overflow | undefined {
    const account = this.#account;
    if (account?.exceeds('transaction-nodes', this.#entries.size + 1)) return 'ENOSPC';
    return account?.exceedsBy('memory', bytes) ? 'ENOMEM' : undefined;
  }

  *#childNames({ base, path, added }: Entry): Generator<string> {
    if (base) {
      for (const node of childrenAt(base, this.#snapshot)) {
        const name = baseName(node.path);
        const child = this.#entries.get(childPath(path, name));
        if (!child || (child.present && !child.created)) yield name;
      }
    }
    for (const child of added ?? []) yield baseName(child.path);
  }

  #remove(entry: Entry): void {
    entry.present = false;
    entry.removed ||= entry.base !== undefined;
    entry.created = false;
    entry.valueSet = false;
    entry.permsSet = false;
    entry.added = undefined;
    this.#created.delete(entry);
  }

  #charge(bytes: number): void {
    this.#bytes += bytes;
    this.#account?.add('memory', bytes);
  }
}

/** Stands where there is no node; never asked. */
const NOBODY: Perms = undefined as never;
