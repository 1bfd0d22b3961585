/**
 * What the store knows of domains: one record each, made when a domain is introduced, named in permissions or given features or quotas, and
 * destroyed when the domain is gone. Asks the machine whether a domain exists; decides nothing about rings.
 */
import { Feature } from '../wire/ops.ts';
import type { Link } from './link.ts';
import type { Node } from './node.ts';
import type { Owner } from './ownership.ts';
import type { DomainRecord, Machine } from './ports.ts';
import { Account, type Maxima, noMaxima, type QuotaCompare, type Quotas, quotaKeys } from './quota.ts';

/** What a domain is offered unless SET_FEATURE says otherwise. */
export const FEATURES: number = Feature.ERROR | Feature.WATCH_DEPTH | Feature.DOMID_ANY;

/** Commits that may spoil others' transactions before the ring is left alone for a while, and how fast they come back. */
const CREDIT_BURST = 5;
const CREDIT_EVERY_MS = 50;

export class Domain implements Owner {
  readonly domid: number;
  readonly privileged: boolean;
  readonly account: Account;
  readonly owned: Set<Node> | undefined;
  /** The store's generation when the record was made: older permission entries are not meant for this domain. */
  readonly generation: number;
  /** 0: not learned yet. */
  uniqueId: bigint;
  /** The era in which the machine last said that it exists. */
  askedIn: number | undefined = undefined;
  introduced = false;
  /** The domain's own event channel port. */
  port = 0;
  features: number = FEATURES;
  shutdownReported = false;
  link: Link | undefined = undefined;
  /** The domain whose rights this one has too (SET_TARGET), and the reverse. */
  target: Domain | undefined = undefined;
  readonly servedBy: Set<Domain> = new Set();
  /** When the memory quota was last spoken of in the log (ms), and what was said. */
  readonly memoryNotes: { at: number; hard: boolean; soft: boolean } = {
    at: Number.NEGATIVE_INFINITY,
    hard: false,
    soft: false,
  };
  #credit = CREDIT_BURST;
  #creditAt = 0;

  constructor(domid: number, uniqueId: bigint, generation: number, privileged: boolean, account: Account) {
    this.domid = domid;
    this.uniqueId = uniqueId;
    this.generation = generation;
    this.privileged = privileged;
    this.account = account;
    this.owned = privileged ? undefined : new Set();
  }

  serve(target: Domain | undefined): void {
    this.target?.servedBy.delete(this);
    this.target = target;
    target?.servedBy.add(this);
  }

  /** The conflict credit at `now` (ms). */
  credit(now: number): number {
    const gained = Math.floor((now - this.#creditAt) / CREDIT_EVERY_MS);
    if (gained > 0) {
      this.#credit = Math.min(CREDIT_BURST, this.#credit + gained);
      this.#creditAt += gained * CREDIT_EVERY_MS;
    }
    return this.#credit;
  }

  /** One credit less; never below -1. */
  blame(now: number): void {
    if (this.credit(now) >= CREDIT_BURST) this.#creditAt = now;
    this.#credit = Math.max(-1, this.#credit - 1);
  }

  /** When the credit is positive again (ms). */
  creditAt(now: number): number {
    const missing = 1 - this.credit(now);
    return missing <= 0 ? now : this.#creditAt + missing * CREDIT_EVERY_MS;
  }

  record(): DomainRecord {
    const { target } = this;
    return {
      domid: this.domid,
      uniqueId: this.uniqueId,
      generation: this.generation,
      introduced: this.introduced,
      port: this.port,
      features: this.features,
      shutdownReported: this.shutdownReported,
      ignored: this.link?.ignored ?? false,
      target: target && { domid: target.domid, uniqueId: target.uniqueId },
      quotas: quotaKeys.map((key) => this.account.limits[key]),
    };
  }
}

export interface DomainsOptions {
  readonly machine: Machine;
  readonly privDomid: number;
  readonly defaults: Quotas;
  readonly compare: QuotaCompare;
  /** A generation of the store that nothing else has. */
  readonly generation: () => number;
}

export class Domains {
  /** What new records get. */
  readonly defaults: Quotas;
  /** Records that changed or went since they were last taken. */
  readonly changed: Set<Domain> = new Set();
  readonly removed: Set<number> = new Set();
  readonly maxima: Maxima = noMaxima();
  readonly #byId = new Map<number, Domain>();
  readonly #options: DomainsOptions;
  /** How often the machine has told of changes. */
  #era = 0;

  constructor(options: DomainsOptions) {
    this.#options = options;
    this.defaults = options.defaults;
  }

  get(domid: number): Domain | undefined {
    return this.#byId.get(domid);
  }

  all(): Iterable<Domain> {
    return this.#byId.values();
  }

  get count(): number {
    return this.#byId.size;
  }

  introduced(domid: number): Domain | undefined {
    const domain = this.#byId.get(domid);
    return domain?.introduced ? domain : undefined;
  }

  /** The machine is about to tell of changes: what it said before counts no more. */
  beginEra(): void {
    this.#era++;
  }

  /**
   * The record of a domain that exists, made now if need be; its unique id is learned as soon as the machine can tell. Asking the machine is a
   * hypercall: one for each record and era at most, since a record goes as soon as the domain's end is told.
   */
  existing(domid: number): Domain | undefined {
    const known = this.#byId.get(domid);
    if (known && (known.uniqueId !== 0n || known.askedIn === this.#era)) return known;
    const state = this.#options.machine.domain(domid);
    if (!state) return known;
    if (!known) return this.#exists(domid, state.uniqueId);
    known.askedIn = this.#era;
    if (state.uniqueId !== 0n) {
      known.uniqueId = state.uniqueId;
      this.changed.add(known);
    }
    return known;
  }

  #exists(domid: number, uniqueId: bigint): Domain {
    const domain = this.make(domid, uniqueId);
    domain.askedIn = this.#era;
    return domain;
  }

  make(domid: number, uniqueId: bigint, generation: number = this.#options.generation()): Domain {
    const privileged = domid === this.#options.privDomid;
    const account = new Account({ ...this.defaults }, privileged, this.#options.compare, this.maxima);
    const domain = new Domain(domid, uniqueId, generation, privileged, account);
    this.#byId.set(domid, domain);
    this.changed.add(domain);
    this.removed.delete(domid);
    return domain;
  }

  remove(domain: Domain): void {
    domain.serve(undefined);
    for (const served of domain.servedBy) {
      served.target = undefined;
      this.changed.add(served);
    }
    domain.servedBy.clear();
    this.#byId.delete(domain.domid);
    this.changed.delete(domain);
    this.removed.add(domain.domid);
  }

  /** Is an entry for `domid`, set when the store stood at `generation`, meant for the domain that has the id now? */
  isLive(domid: number, generation: number): boolean {
    const domain = this.#byId.get(domid);
    return domain !== undefined && domain.generation <= generation;
  }
}
