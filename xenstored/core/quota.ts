/**
 * Quotas and what is counted against them, per domain: names, defaults and order as the C daemon's. A value of 0 means unlimited; privileged
 * domains have no limits. Decides nothing: callers ask before they change something and count afterwards.
 */

/** In the order in which C prints them; `soft-memory` is the only soft one. */
export const quotaNames = [
  'nodes',
  'watches',
  'outstanding',
  'memory',
  'transactions',
  'transaction-nodes',
  'node-permissions',
  'path-max',
  'node-size',
] as const;

export type QuotaName = (typeof quotaNames)[number];
export type QuotaKey = QuotaName | 'soft-memory';

export const quotaTexts: Readonly<Record<QuotaName, string>> = {
  nodes: 'Nodes per domain',
  watches: 'Watches per domain',
  outstanding: 'Outstanding requests per domain',
  memory: 'Total Xenstore memory per domain',
  transactions: 'Active transactions per domain',
  'transaction-nodes': 'Max. number of accessed nodes per transaction',
  'node-permissions': 'Max. number of permissions per node',
  'path-max': 'Max. length of a node path',
  'node-size': 'Max. size of a node',
};

export type Quotas = Record<QuotaKey, number>;

export const defaultQuotas: Readonly<Quotas> = {
  nodes: 1000,
  watches: 128,
  outstanding: 20,
  memory: 2621440,
  transactions: 10,
  'transaction-nodes': 1024,
  'node-permissions': 5,
  'path-max': 2048,
  'node-size': 2048,
  'soft-memory': 2097152,
};

/** All keys in the order of GET_QUOTA's list: a soft one follows its hard one. */
export const quotaKeys: readonly QuotaKey[] = quotaNames.flatMap((name) =>
  name === 'memory' ? (['memory', 'soft-memory'] as const) : [name],
);

/** The key for a name on the wire; `undefined`: there is no such quota. */
export function quotaKey(name: string): QuotaKey | undefined {
  return (quotaKeys as readonly string[]).includes(name) ? (name as QuotaKey) : undefined;
}

/**
 * How a value is held against a limit. `at-most`: N allows N, the documented meaning. `head`: the comparison of the C daemon since 4.22,
 * where N allows N - 1.
 */
export type QuotaCompare = 'at-most' | 'head';

/** The highest values seen anywhere, for CONTROL `quota max`. */
export type Maxima = Record<QuotaName, number>;

export function noMaxima(): Maxima {
  return Object.fromEntries(quotaNames.map((name) => [name, 0])) as Maxima;
}

/** One domain's limits, and what it uses now. */
export class Account {
  readonly limits: Quotas;
  readonly used: Maxima = noMaxima();
  readonly max: Maxima = noMaxima();
  readonly #unlimited: boolean;
  readonly #compare: QuotaCompare;
  readonly #global: Maxima;

  constructor(limits: Quotas, privileged: boolean, compare: QuotaCompare, global: Maxima) {
    this.limits = limits;
    this.#unlimited = privileged;
    this.#compare = compare;
    this.#global = global;
  }

  /** Would `value` be too much? A value that is not is remembered as seen. */
  exceeds(name: QuotaName, value: number): boolean {
    if (!this.#unlimited) {
      const limit = this.limits[name];
      if (limit !== 0 && (this.#compare === 'head' ? value >= limit : value > limit)) return true;
    }
    this.#saw(name, value);
    return false;
  }

  /** Would `more` on top of what is used be too much? */
  exceedsBy(name: QuotaName, more: number): boolean {
    if (this.#unlimited) return false;
    const limit = this.limits[name];
    const value = this.used[name] + more;
    return limit !== 0 && (this.#compare === 'head' ? value >= limit : value > limit);
  }

  /** Is the memory in use past the limit, or the number of unread answers at it? Then the domain's ring is not read. */
  get stalled(): boolean {
    if (this.#unlimited) return false;
    const { outstanding } = this.limits;
    if (outstanding !== 0 && this.used.outstanding >= outstanding) return true;
    return this.exceedsBy('memory', 0);
  }

  add(name: QuotaName, delta: number): void {
    const value = this.used[name] + delta;
    this.used[name] = value;
    if (value > this.max[name]) this.#saw(name, value);
  }

  resetMaxima(): void {
    Object.assign(this.max, this.used);
  }

  #saw(name: QuotaName, value: number): void {
    if (value > this.max[name]) this.max[name] = value;
    if (!this.#unlimited && value > this.#global[name]) this.#global[name] = value;
  }
}
