/**
 * The whole server as a state machine: bytes, closed connections, the machine's news and time go in; once a turn, its changes, effects
 * and links with output come out. No I/O, no clock: io sets `now`, hands over what it read, and does what a turn says, commit first.
 */

import { Connection, Domid, HEADER_BYTES, RingError } from '../wire/ops.ts';
import { Dispatcher } from './dispatch.ts';
import type { Domain } from './domain.ts';
import {
  check,
  domainsChanged,
  INTRODUCED,
  introduce,
  isSame,
  RELEASED,
  reset,
  violated,
} from './lifecycle.ts';
import { type Link, watchKey } from './link.ts';
import { ROOT } from './path.ts';
import { Perms } from './perms.ts';
import type {
  Commit,
  Machine,
  RingRecord,
  SavedState,
  StoredPerm,
  Surroundings,
  Tracer,
  Turn,
  WatchRecord,
} from './ports.ts';
import { defaultQuotas, type QuotaKey, quotaKeys } from './quota.ts';
import { SOCKET_OUTBOX_FULL, State, type StateOptions } from './state.ts';
import type { Work } from './store.ts';
import type { Watch } from './watch.ts';

export type DaemonOptions = StateOptions;

/** What the C daemon does unless told otherwise. */
export const defaultOptions: DaemonOptions = {
  privDomid: 0,
  storeDomid: 0,
  socketDomid: 0,
  quotas: defaultQuotas,
  quotaCompare: 'at-most',
  eventTimeoutMs: 20_000,
  keepOrphans: false,
  persistent: false,
};

/** Requests that one link may have served in one turn, so that nobody starves. */
const BUDGET = 64;
const ERROR_FEATURE = 2;
/** To drop an event costs as much as waits behind it: they may go a little late, but many at once. */
const EXPIRE_EVERY_MS = 100;

const entry = (letter: StoredPerm['letter'], domid: number): StoredPerm => ({ letter, domid, stale: false });

export class Daemon {
  readonly #state: State;
  readonly #dispatcher: Dispatcher;

  constructor(options: DaemonOptions, machine: Machine, surroundings: Surroundings) {
    this.#state = new State(options, machine, surroundings);
    this.#dispatcher = new Dispatcher(this.#state);
  }

  /** Milliseconds on io's monotonic clock; set at the start of each turn. */
  set now(value: number) {
    this.#state.now = value;
  }

  get now(): number {
    return this.#state.now;
  }

  set tracer(tracer: Tracer | undefined) {
    this.#state.tracer = tracer;
  }

  /** What requests touched since the start. */
  get work(): Readonly<Work> {
    return this.#state.store.work;
  }

  /** States and dead nodes kept because an open transaction may still read them. */
  get keptForSnapshots(): number {
    return this.#state.store.kept;
  }

  /** The link of an introduced domain. */
  ringOf(domid: number): Link | undefined {
    return this.#state.domains.introduced(domid)?.link;
  }

  // Beginnings.

  /** A new store: the initial tree, and every domain that there is. Failures to introduce one are not fatal, and noted. */
  start(): void {
    const state = this.#state;
    const { privDomid } = state.options;
    state.domains.make(privDomid, state.machine.domain(privDomid)?.uniqueId ?? 0n);
    this.#initialTree();
    this.#introduceAtStart(privDomid);
    for (let next = state.machine.pollChanged(); next; next = state.machine.pollChanged()) {
      if (next.exists && !next.dead && next.domid !== privDomid) this.#introduceAtStart(next.domid);
    }
  }

  /** The store as it was recorded, with its domains, rings and watches; what has died meanwhile is buried. */
  restore(saved: SavedState): void {
    const state = this.#state;
    for (const [name, value] of Object.entries(saved.settings)) {
      if ((quotaKeys as readonly string[]).includes(name)) state.domains.defaults[name as QuotaKey] = value;
    }
    state.domains.make(state.options.privDomid, 0n);
    const targets = this.#restoreDomains(saved);
    // A generation that nobody has been told yet: lists of children count as changed.
    state.store.generation = Math.max(state.store.generation, saved.generation) + 1;
    for (const node of saved.nodes) state.store.restore(node, new Perms(node.perms));
    if (state.store.size === 0) this.#initialTree();
    this.#restoreRings(saved);
    for (const [domain, target] of targets) {
      const known = state.domains.get(target.domid);
      if (known?.uniqueId === target.uniqueId) domain.serve(known);
    }
    for (const watch of [...saved.watches].sort((a, b) => a.seq - b.seq)) this.#restoreWatch(watch);
    state.store.takeChanges();
    state.watchesAdded = [];
    this.#buryTheDead();
  }

  // Links.

  connectSocket(): Link {
    return this.#state.addLink('socket', this.#state.options.socketDomid);
  }

  /**
   * Serves what has come in. Answers how many of the bytes were taken: the rest stays with the caller, to be given again when the link
   * may be read. A request that has only begun is taken and kept.
   */
  receive(link: Link, bytes: Buffer): number {
    if (link.closed || link.ignored || link.closing) return bytes.length;
    const { framer, resets } = link;
    framer.push(bytes);
    for (let budget = BUDGET; budget > 0 && this.mayRead(link); budget--) {
      const status = framer.next();
      if (status === 'more') break;
      if (status === 'oversize') {
        this.#state.giveUp(link, RingError.PROTO, ERROR_FEATURE);
        return bytes.length;
      }
      this.#dispatcher.serve(link);
      if (link.resets !== resets || link.closed) return bytes.length;
    }
    const taken = bytes.length - framer.giveBack();
    if (link.kind === 'ring' && taken > 0) {
      link.consumed += taken;
      this.#state.fed.add(link);
    }
    return taken;
  }

  /** May more be read from the link now? If not: it is over, has answers or memory enough outstanding, or spoils others' transactions. */
  mayRead(link: Link): boolean {
    if (link.closed || link.ignored || link.closing) return false;
    if (link.kind === 'socket') return link.outbox.bytes < SOCKET_OUTBOX_FULL;
    const { domain } = link;
    if (!domain || domain.privileged) return true;
    if (this.#state.throttled.size > 0 && this.#isThrottled(link, domain)) return false;
    return !domain.account.stalled;
  }

  closed(link: Link): void {
    this.#state.removeLink(link);
  }

  /** The ring's indices make no sense: it is left alone from now on. */
  violated(link: Link, error: number = RingError.RINGIDX): void {
    if (link.domain) violated(this.#state, link.domain, error);
  }

  /** The guest asks for a fresh connection through the ring (where that was offered). */
  reconnect(link: Link): void {
    if (link.domain) reset(this.#state, link.domain);
  }

  /** VIRQ_DOM_EXC. */
  domainsChanged(): void {
    domainsChanged(this.#state);
  }

  /** Does what is due at `now`; answers when there is something to do next (ms), if at all. */
  tick(): number | undefined {
    const { now, throttled } = this.#state;
    if (now >= this.#state.expiryDue) this.#expire();
    let next = this.#state.expiryDue;
    for (const link of throttled) {
      if (link.domain && this.#isThrottled(link, link.domain))
        next = Math.min(next, link.domain.creditAt(now));
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /** What the turn changed, wants done and has to say. */
  endTurn(): Turn {
    const state = this.#state;
    const { effects } = state;
    const output = state.output.size > 0 ? [...state.output] : NONE;
    const commit = state.options.persistent ? this.#commit() : undefined;
    if (effects.length > 0) state.effects = [];
    state.output.clear();
    return { commit, effects, output };
  }

  /** Drops the events that nobody read in time, and finds out when to look again. */
  #expire(): void {
    const { now, expiring, rewritten } = this.#state;
    let next = Number.POSITIVE_INFINITY;
    for (const link of expiring) {
      const { outbox } = link;
      const due = outbox.nextExpiry;
      if (due !== undefined && due <= now && outbox.expire(now)) rewritten.add(link);
      const at = outbox.nextExpiry;
      if (at === undefined) expiring.delete(link);
      else next = Math.min(next, at);
    }
    this.#state.expiryDue = Math.max(next, now + EXPIRE_EVERY_MS);
  }

  #isThrottled(link: Link, domain: Domain): boolean {
    if (!this.#state.throttled.has(link)) return false;
    if (domain.credit(this.#state.now) <= 0) return true;
    this.#state.throttled.delete(link);
    this.#state.effects.push({
      kind: 'note',
      level: 'info',
      text: `domain ${domain.domid} has conflict credit again`,
    });
    return false;
  }

  #initialTree(): void {
    const { store, options } = this.#state;
    const { privDomid } = options;
    const own = new Perms([entry('n', privDomid)]);
    store.create(ROOT, '', own, privDomid);
    store.create('/tool/xenstored', '', own, privDomid);
    store.create(INTRODUCED, '', own, privDomid);
    const everybody = new Perms([entry('n', privDomid), entry('r', Domid.ANY)]);
    store.create(RELEASED, '', everybody, privDomid);
  }

  #introduceAtStart(domid: number): void {
    const state = this.#state;
    const result = introduce(state, domid, 0);
    if (result.ok) {
      const link = state.domains.introduced(domid)?.link;
      const fields = state.machine.ring(domid);
      if (link && fields) {
        link.consumed = fields.reqCons;
        link.outbox.restore(fields.rspProd, '', fields.rspProd);
      }
      state.effects.push({ kind: 'connected', domid });
    } else if (domid === state.options.privDomid) {
      // Nobody is at its ring: it speaks through sockets alone, and is no less there for that.
      state.domains.get(domid)!.introduced = true;
    } else {
      const text = `Could not initialize dom${domid}: ${result.errno}`;
      state.effects.push({ kind: 'note', level: 'warn', text });
    }
  }

  #restoreDomains(saved: SavedState): Map<Domain, { domid: number; uniqueId: bigint }> {
    const { domains, machine } = this.#state;
    const targets = new Map<Domain, { domid: number; uniqueId: bigint }>();
    for (const record of saved.domains) {
      const domain = domains.make(record.domid, record.uniqueId, record.generation);
      domain.features = record.features;
      domain.shutdownReported = record.shutdownReported;
      domain.introduced = record.introduced;
      domain.port = record.port;
      for (const [i, key] of quotaKeys.entries()) domain.account.limits[key] = record.quotas[i] ?? 0;
      if (record.target) targets.set(domain, record.target);
      if (!record.introduced) continue;
      // Where the number is another domain's by now, its ring is not to be touched.
      const attached = isSame(domain, machine.domain(record.domid))
        ? machine.attach(record.domid, record.port).ok
        : false;
      // The privileged domain may speak through sockets alone; any other is kept, so that its end is noticed.
      if (!attached && domain.privileged) continue;
      domain.link = this.#state.addLink('ring', record.domid);
      domain.link.ignored = record.ignored || !attached;
      // Every start of a transaction is a generation: this is behind all ids that the guest may still use for ones that are gone.
      domain.link.nextTxId = (saved.generation + 1) >>> 0;
    }
    return targets;
  }

  /** What had been said to a guest, of which it has everything before `sent`. */
  #restoreOutput(link: Link, at: number, bytes: Buffer, sent: number): void {
    const { outbox, domain } = link;
    outbox.restore(at, bytes.toString('latin1'), sent);
    if (!outbox.pending) return;
    if (!link.privileged) domain?.account.add('memory', outbox.bytes + HEADER_BYTES);
    this.#state.output.add(link);
  }

  #restoreRings(saved: SavedState): void {
    const state = this.#state;
    const recorded = new Map<number, RingRecord>();
    for (const ring of saved.rings) recorded.set(ring.domid, ring);
    for (const domain of state.domains.all()) {
      const { link, domid } = domain;
      const fields = link && !link.ignored && state.machine.ring(domid);
      if (!fields) continue;
      // What was offered may not have reached the page before the end came.
      state.effects.push({ kind: 'features', domid, features: domain.features });
      const ring = recorded.get(domid);
      if (!ring) {
        link.consumed = fields.reqCons;
        link.outbox.restore(fields.rspProd, '', fields.rspProd);
        if (fields.connection === Connection.RECONNECT) state.effects.push({ kind: 'connected', domid });
        continue;
      }
      const given = (fields.rspProd - ring.appendedAt) >>> 0;
      if (ring.consumed === 0 && (fields.reqCons !== 0 || fields.connection === Connection.RECONNECT)) {
        // Its fresh start was recorded, and the end came before the page was told.
        this.#restoreOutput(link, 0, ring.appended, 0);
        state.effects.push({ kind: 'reset', domid });
        continue;
      }
      if (given > ring.appended.length) {
        violated(state, domain);
        continue;
      }
      link.consumed = ring.consumed;
      link.framer.restore(ring.partial);
      this.#restoreOutput(link, ring.appendedAt, ring.appended, ring.appendedAt + given);
      state.effects.push({ kind: 'resume', link });
    }
  }

  #restoreWatch({ seq, domid, path, token, depth }: WatchRecord): void {
    const state = this.#state;
    const link = state.domains.get(domid)?.link;
    if (!link || link.ignored) return;
    const relative = !path.startsWith('/') && !path.startsWith('@');
    state.nextSeq = seq;
    state.addWatch(link, relative ? `${link.home}/${path}` : path, token, depth, relative);
  }

  /** Domains that ended while nobody was looking, and those whose ring could not be mapped again. */
  #buryTheDead(): void {
    const state = this.#state;
    let shutdown = false;
    for (const domain of [...state.domains.all()]) {
      if (domain.domid === state.options.privDomid) continue;
      if (check(state, domain, state.machine.domain(domain.domid)) === 'shutdown') shutdown = true;
    }
    if (shutdown) state.fireSpecial(RELEASED, 0, { plain: true, domain: false });
  }

  #commit(): Commit | undefined {
    const state = this.#state;
    const { store, domains, watchesAdded, watchesRemoved } = state;
    const rings = this.#ringRecords();
    const quiet =
      !store.changed &&
      rings.length === 0 &&
      domains.changed.size === 0 &&
      domains.removed.size === 0 &&
      watchesAdded.length === 0 &&
      watchesRemoved.length === 0 &&
      !state.settingsChanged;
    if (quiet) return undefined;
    const { nodes, removed } = store.takeChanges();
    const commit: Commit = {
      nodes,
      removed,
      domains: [...domains.changed].map((domain) => domain.record()),
      removedDomains: [...domains.removed],
      watches: watchesAdded.filter(stillSet).map(watchRecord),
      removedWatches: watchesRemoved,
      rings,
      settings: state.settingsChanged ? { ...domains.defaults } : undefined,
      generation: store.generation,
    };
    domains.changed.clear();
    domains.removed.clear();
    if (watchesAdded.length > 0) state.watchesAdded = [];
    if (watchesRemoved.length > 0) state.watchesRemoved = [];
    state.settingsChanged = false;
    return commit;
  }

  #ringRecords(): readonly RingRecord[] {
    const { output, fed, rewritten } = this.#state;
    for (const link of output) if (link.kind === 'ring') fed.add(link);
    for (const link of rewritten) fed.add(link);
    if (fed.size === 0) return NO_RINGS;
    const records: RingRecord[] = [];
    for (const link of fed) {
      const anew = rewritten.has(link);
      const { at, bytes } = link.outbox.takeAppended(anew);
      const { domid, consumed, framer } = link;
      records.push({
        domid,
        consumed,
        partial: framer.partial(),
        appendedAt: at,
        appended: bytes,
        reset: anew,
      });
    }
    fed.clear();
    rewritten.clear();
    return records;
  }
}

const NONE: readonly Link[] = [];
const NO_RINGS: readonly RingRecord[] = [];

function watchRecord({ seq, link, path, token, depth, prefixBytes }: Watch): WatchRecord {
  return { seq, domid: link.domid, path: path.slice(prefixBytes), token, depth };
}

function stillSet(watch: Watch): boolean {
  return watch.link.watches.get(watchKey(watch.path, watch.token)) === watch;
}
