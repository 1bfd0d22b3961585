/**
 * Plausible nonsense for a store: steps drawn from a seed, out of few names, so that they meet. A step is plain data: it can be played
 * again, against anybody, without the generator. What is drawn depends on the seed and on what was answered, on nothing else.
 */
import { Op, type OpName } from '../../xenstored/wire/ops.ts';

/** `tx`: which of the client's transactions, counted from its first; what number that has is the store's affair. */
export interface Ask {
  readonly who: string;
  readonly op: OpName;
  readonly tx: number;
  readonly payload: string;
}

export type Step =
  | Ask
  /** Several requests of one client, sent at once, in two pieces. */
  | { readonly who: string; readonly batch: readonly Ask[]; readonly cut: number }
  /** Ours starts again on its database. To whoever has none, the same is that sockets come anew and these transactions end. */
  | { readonly restart: readonly Ask[] }
  | { readonly host: 'create' | 'shutdown' | 'kill'; readonly domid: number };

export const sockets: readonly string[] = ['dom0', 'sock1'];
export const domids: readonly number[] = [1, 2, 3];

/** A small, fast generator of 32-bit numbers (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of `[weight, value]...`. */
  weighed<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let at = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of choices) {
      if (at < weight) return value;
      at -= weight;
    }
    throw new Error('unreachable');
  }
}

/** What the peer can be asked at all. */
export interface Dialect {
  /** Quotas, features, depth, permissions of special nodes as they are since 4.21 and 4.22. */
  readonly recent: boolean;
  /** Payloads that are malformed: an assertion of Debian's 4.17 ends the daemon at some (XSA-481). */
  readonly malformed: boolean;
  /** Domains that end: 4.17 keeps their entries in permissions. */
  readonly deaths: boolean;
  /** Ours may be restarted. */
  readonly restarts: boolean;
}

const names = ['a', 'b', 'c', 'd1', 'd2', 'd3'] as const;
const badPaths = ['', '/a/', '//a', '/a//b', '/a.b', '/a b', '/@', 'a@b', '/local/domain/'] as const;
const values = ['', 'v', 'w', '12|', '|', '\xff\x01'] as const;
const tokens = ['t', 'u', '', 'token'] as const;

const perNode: readonly (readonly [number, OpName])[] = [
  [10, 'WRITE'],
  [6, 'READ'],
  [4, 'MKDIR'],
  [5, 'RM'],
  [3, 'DIRECTORY'],
  [2, 'DIRECTORY_PART'],
  [4, 'GET_PERMS'],
  [7, 'SET_PERMS'],
];

const readers: ReadonlySet<OpName> = new Set([
  'READ',
  'DIRECTORY',
  'DIRECTORY_PART',
  'GET_PERMS',
  'WATCH',
  'UNWATCH',
]);

export class Generator {
  readonly #chance: Chance;
  readonly #dialect: Dialect;
  /** While a transaction is open nobody else changes anything: the outcome is then the same under every rule of isolation. */
  readonly #isolated: boolean;
  readonly #alive = new Set<number>(domids);
  readonly #introduced = new Set<number>(domids);
  readonly #open = new Map<string, number[]>();
  /** How many transactions each client has started. */
  readonly #started = new Map<string, number>();
  /** Domains that others have the rights of. C keeps such a record alive beyond its domain's end: that is not put to it. */
  readonly #targets = new Set<number>();

  constructor(seed: number, dialect: Dialect) {
    this.#chance = new Chance(seed);
    this.#dialect = dialect;
    this.#isolated = this.#chance.once(2);
  }

  get isolated(): boolean {
    return this.#isolated;
  }

  /** Domains that can speak now. */
  get speakers(): number[] {
    return domids.filter((domid) => this.#alive.has(domid) && this.#introduced.has(domid));
  }

  next(): Step {
    const chance = this.#chance;
    const busy = this.#isolated ? [...this.#open].find(([, ids]) => ids.length > 0) : undefined;
    if (busy) return this.#whileOpen(busy[0], busy[1]);
    if (chance.once(60)) return this.#hostStep();
    if (this.#dialect.restarts && chance.once(60)) return this.#restart();
    const who = this.#who();
    const kind = chance.weighed([
      [14, 'node'],
      [5, 'watch'],
      [3, 'transaction'],
      [2, 'domain'],
      [1, 'other'],
    ] as const);
    if (kind === 'node' && chance.once(12)) return this.#batch(who);
    if (kind === 'node') return this.#node(who, this.#tx(who), false);
    if (kind === 'watch') return this.#watch(who);
    if (kind === 'transaction') return this.#transaction(who);
    if (kind === 'domain') return this.#domain(chance.once(8) ? who : chance.of(sockets));
    return this.#other(who);
  }

  /** Learns what came of a step: which transactions are open, which domains are there. */
  learn(step: Step, reply: string): void {
    if ('host' in step) {
      if (step.host === 'create') this.#alive.add(step.domid);
      if (step.host === 'kill') this.#forget(step.domid);
      return;
    }
    if ('batch' in step) return;
    if ('restart' in step) {
      this.#open.clear();
      return;
    }
    const open = this.#open.get(step.who) ?? [];
    this.#open.set(step.who, open);
    if (step.op === 'TRANSACTION_START' && !reply.startsWith('!')) {
      const count = (this.#started.get(step.who) ?? 0) + 1;
      this.#started.set(step.who, count);
      open.push(count);
    }
    if (step.op === 'TRANSACTION_END' && reply !== '!EINVAL') {
      const at = open.indexOf(step.tx);
      if (at >= 0) open.splice(at, 1);
    }
    if (reply !== 'OK|') return;
    const domid = Number.parseInt(step.payload, 10);
    if (step.op === 'SET_TARGET') this.#targets.add(Number.parseInt(step.payload.split('|')[1] ?? '', 10));
    if (step.op === 'RESET_WATCHES') this.#open.delete(step.who);
    if (step.op === 'RELEASE') {
      this.#introduced.delete(domid);
      this.#open.delete(`d${domid}`);
    }
    if (step.op === 'INTRODUCE') {
      this.#introduced.add(domid);
      this.#open.delete(`d${domid}`);
    }
  }

  #forget(domid: number): void {
    this.#alive.delete(domid);
    this.#introduced.delete(domid);
    this.#open.delete(`d${domid}`);
  }

  #who(): string {
    return this.#chance.of([...sockets, ...this.speakers.flatMap((domid) => [`d${domid}`, `d${domid}`])]);
  }

  #tx(who: string): number {
    const open = this.#open.get(who) ?? [];
    if (this.#chance.once(50)) return 1 + this.#chance.below(9);
    return open.length > 0 && this.#chance.once(2) ? this.#chance.of(open) : 0;
  }

  #whileOpen(owner: string, open: readonly number[]): Step {
    const chance = this.#chance;
    const tx = chance.of(open);
    if (chance.once(8))
      return { who: owner, op: 'TRANSACTION_END', tx, payload: chance.once(4) ? 'F|' : 'T|' };
    if (chance.once(4)) return this.#node(this.#who(), 0, true);
    return this.#node(owner, tx, false);
  }

  #batch(who: string): Step {
    const tx = this.#tx(who);
    const batch = Array.from({ length: 2 + this.#chance.below(7) }, () => this.#node(who, tx, false));
    return { who, batch, cut: this.#chance.below(200) };
  }

  #node(who: string, tx: number, onlyReading: boolean): Ask {
    const chance = this.#chance;
    let op = chance.weighed(perNode);
    if (onlyReading && !readers.has(op)) op = 'READ';
    const path = this.#path();
    const rest: Partial<Record<OpName, () => string>> = {
      WRITE: () => this.#value(),
      DIRECTORY_PART: () => `${chance.of(['0', '1', '3', '9999', 'x', '-1'])}|`,
      SET_PERMS: () => this.#permsFor(path, who),
    };
    return { who, op, tx, payload: this.#spoil(`${path}|${rest[op]?.() ?? ''}`) };
  }

  #value(): string {
    const chance = this.#chance;
    return chance.once(20) ? 'x'.repeat(chance.of([1900, 2040, 2100, 3000])) : chance.of(values);
  }

  #watch(who: string): Step {
    const chance = this.#chance;
    const guest = !sockets.includes(who);
    const op = chance.weighed([
      [6, 'WATCH'],
      [2, 'UNWATCH'],
    ] as const);
    const special = chance.of([
      '@introduceDomain',
      '@releaseDomain',
      '@releaseDomain/1',
      '@introduceDomain/2',
    ]);
    const { recent } = this.#dialect;
    const path = chance.once(6) && (recent || !guest) ? special : this.#path();
    const plain = recent || !path.startsWith('@') ? path : path.split('/')[0]!;
    const depth =
      recent && op === 'WATCH' && chance.once(3) ? chance.of(['0|', '1|', '2|', '|', '-1|', 'x|']) : '';
    return { who, op, tx: 0, payload: this.#spoil(`${plain}|${chance.of(tokens)}|${depth}`) };
  }

  #transaction(who: string): Step {
    const chance = this.#chance;
    const open = this.#open.get(who) ?? [];
    if (open.length === 0 || chance.once(4))
      return { who, op: 'TRANSACTION_START', tx: chance.once(20) ? this.#tx(who) : 0, payload: '|' };
    const payload = chance.weighed([
      [12, 'T|'],
      [3, 'F|'],
      [1, 'X|'],
      [1, 'T'],
    ] as const);
    return { who, op: 'TRANSACTION_END', tx: chance.of(open), payload };
  }

  #domain(who: string): Step {
    const chance = this.#chance;
    const domid = chance.once(10) ? chance.of([0, 9]) : chance.of(domids);
    // A domain resumed while it is still shut down is reported by a restart, or by the next event.
    const resume = this.#dialect.restarts ? 'IS_DOMAIN_INTRODUCED' : 'RESUME';
    const end = this.#mayEnd(domid) ? 'RELEASE' : resume;
    const op = chance.of([
      'INTRODUCE',
      'INTRODUCE',
      end,
      'IS_DOMAIN_INTRODUCED',
      resume,
      'SET_TARGET',
    ] as const);
    const rest =
      op === 'INTRODUCE'
        ? `1|${chance.once(10) ? chance.of(['0', 'x', '']) : '1'}|`
        : op === 'SET_TARGET'
          ? `${chance.of(domids)}|`
          : '';
    return { who, op, tx: 0, payload: this.#spoil(`${domid}|${rest}`) };
  }

  #other(who: string): Step {
    const chance = this.#chance;
    const domid = chance.of([...domids, 9]);
    const recent: readonly (readonly [OpName, string])[] = [
      ['GET_FEATURE', ''],
      ['GET_FEATURE', `${domid}|`],
      ['SET_FEATURE', `${domid}|${chance.of(['2', '6', '14', '1', 'x'])}|`],
      ['GET_QUOTA', `${chance.of(['nodes', 'watches', 'none', 'memory'])}|`],
      ['GET_QUOTA', `${domid}|${chance.of(['nodes', 'soft-memory', 'soft-nodes'])}|`],
    ];
    const [op, payload] = chance.of<readonly [OpName, string]>([
      ['GET_DOMAIN_PATH', `${chance.of(['1', '0', '65535', '007'])}|`],
      ['RESET_WATCHES', '|'],
      ['CONTROL', 'check|'],
      ['CONTROL', `quota|${domid}|`],
      ['CONTROL', 'none|'],
      [chance.of(['RESTRICT', 'ERROR', 'WATCH_EVENT'] as const), '1|'],
      ...(this.#dialect.recent ? recent : []),
    ]);
    return { who, op, tx: 0, payload: op === 'CONTROL' ? payload : this.#spoil(payload) };
  }

  #hostStep(): Step {
    const domid = this.#chance.of(domids);
    if (!this.#alive.has(domid)) return { host: 'create', domid };
    return { host: this.#chance.once(3) && this.#mayEnd(domid) ? 'kill' : 'shutdown', domid };
  }

  #restart(): Step {
    const open = [...this.#open].flatMap(([who, ids]) => ids.map((tx) => ({ who, tx })));
    const aborted = open.filter(({ who }) => !sockets.includes(who));
    return { restart: aborted.map(({ who, tx }) => ({ who, op: 'TRANSACTION_END', tx, payload: 'F|' })) };
  }

  #mayEnd(domid: number): boolean {
    return this.#dialect.deaths && !this.#targets.has(domid);
  }

  #path(): string {
    const chance = this.#chance;
    if (chance.once(25)) return chance.of(this.#dialect.malformed ? [...badPaths, '@x'] : badPaths);
    if (chance.once(25))
      return chance.of(this.#dialect.recent ? ['@introduceDomain', '@releaseDomain', '/'] : ['/']);
    const depth = chance.weighed([
      [3, 1],
      [4, 2],
      [2, 3],
      [1, 4],
    ] as const);
    const path = Array.from({ length: depth }, () => chance.of(names)).join('/');
    return chance.once(8) ? path : chance.once(8) ? `/local/domain/${chance.of(domids)}/${path}` : `/${path}`;
  }

  /** C does not survive the owner of a special node, nor its store that of the root, and who may read the root hears special events. */
  #permsFor(path: string, who: string): string {
    if (path === '/') return this.#chance.of(['n0|', 'n0|w1|', 'w0|']);
    return (path.startsWith('@') ? `${this.#chance.of(['n', 'r', 'b'])}0|` : '') + this.#perms(who);
  }

  #perms(who: string): string {
    const chance = this.#chance;
    const own = /^d(\d)/.exec(who)?.[1];
    const entries = 1 + chance.below(chance.once(10) ? 7 : 3);
    return Array.from({ length: entries }, (_, i) => {
      const letter = chance.once(40) ? 'x' : chance.of(['n', 'r', 'w', 'b']);
      const id =
        i === 0 && own && !chance.once(6)
          ? own
          : chance.of(['0', '1', '2', '3', chance.once(10) ? '9' : '1']);
      return `${letter}${id}|`;
    }).join('');
  }

  /** Now and then a payload that is not as it should be. */
  #spoil(payload: string): string {
    const chance = this.#chance;
    if (!this.#dialect.malformed || !chance.once(40)) return payload;
    return chance.of([payload.slice(0, -1), `${payload}|`, `${payload}x`, `${payload}x|`, '', '|']);
  }
}

export function told(step: Step): string {
  if ('host' in step) return `host ${step.host} ${step.domid}`;
  if ('restart' in step) return `restart, and ${step.restart.map(told).join(', ') || 'no transactions'}`;
  if ('batch' in step) return `${step.who} at once, cut at ${step.cut}: ${step.batch.map(told).join(', ')}`;
  const tx = step.tx === 0 ? '' : `:${step.tx}`;
  const payload =
    step.payload.length > 60 ? `${step.payload.slice(0, 60)}... (${step.payload.length})` : step.payload;
  return `${step.who}${tx} ${step.op}(${Op[step.op]}) ${JSON.stringify(payload)}`;
}
