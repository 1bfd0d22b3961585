/**
 * The whole server as a state machine: bytes, closed connections, the machine's news and time go in; once a turn, its changes, effects
 * and links with output come out. No I/O, no clock: io sets `now`, hands over what it read, and does what a turn says, commit first.
 */

import { RingError } from '../wire/ops.ts';
import { begin, restore } from './beginning.ts';
import { Dispatcher } from './dispatch.ts';
import type { Domain } from './domain.ts';
import { domainsChanged, violated } from './lifecycle.ts';
import type { Link } from './link.ts';
import type { Machine, SavedState, Surroundings, Tracer, Turn } from './ports.ts';
import { defaultQuotas } from './quota.ts';
import { takeCommit } from './record.ts';
import { SOCKET_OUTBOX_FULL, State, type StateOptions } from './state.ts';
import type { Work } from './store.ts';

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
/** To drop an event costs as much as waits behind it: they may go a little late, but many at once. */
const EXPIRE_EVERY_MS = 100;

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
    begin(this.#state);
  }

  /** The store as it was recorded, with its domains, rings and watches; what has died meanwhile is buried. */
  restore(saved: SavedState): void {
    restore(this.#state, saved);
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
        this.#state.giveUp(link, RingError.PROTO);
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
    const commit = state.options.persistent ? takeCommit(state) : undefined;
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
}

const NONE: readonly Link[] = [];
