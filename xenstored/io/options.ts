/**
 * The command line and the environment as one plain record of what was asked for. A drop-in for the C daemon's: the flags of Xen 4.17 and
 * of today together, getopt_long's messages (an unknown option is told and ignored) and C's own ones for bad values; then the flags that
 * only this daemon has. Follows tools/xenstored/core.c and docs/man of Xen 4.22 and 4.17. Opens nothing and starts nothing.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type QuotaCompare, type QuotaKey, quotaNames } from '../core/quota.ts';
import { REL_PATH_MAX } from '../wire/ops.ts';
import type { Durability } from './journal.ts';

export const PROGRAM = 'xenstored';

/** The switches of the trace, in C's order, as they stand without `--trace-control`. */
const traceSwitches: ReadonlyMap<string, boolean> = new Map([
  ['obj', true],
  ['io', true],
  ['wrl', false],
  ['acc', false],
  ['tdb', false],
]);

export interface Options {
  readonly fork: boolean;
  /** In a domain of the store's own: no host around it, and real Xen below. */
  readonly stubDomain: boolean;
  readonly pidFile: string | undefined;
  readonly traceFile: string | undefined;
  readonly switches: Map<string, boolean>;
  readonly quotas: Partial<Record<QuotaKey, number>>;
  /** How long an event waits for an unprivileged reader; 0: for ever. `undefined`: the default. */
  readonly watchEventTimeoutMs: number | undefined;
  readonly keepOrphans: boolean;
  readonly liveUpdate: boolean;
  readonly storeDomid: number | undefined;
  readonly privDomid: number | undefined;
  /** In a stub domain: the port on which dom0 waits. */
  readonly dom0Port: number | undefined;
  readonly platform: 'sim' | 'xen' | undefined;
  /** The host's run directory, where a simulated hypervisor would be. */
  readonly hostRunDir: string | undefined;
  /** The daemon's own run directory. */
  readonly runDir: string;
  readonly socketPath: string;
  /** A directory; `undefined`: memory only. */
  readonly database: string | undefined;
  readonly durability: Durability;
  readonly quotaCompare: QuotaCompare;
  readonly pcapFile: string | undefined;
}

/** `notices`: lines for stderr, in every case. */
export type Parsed =
  | { readonly kind: 'run'; readonly notices: readonly string[]; readonly options: Options }
  | { readonly kind: 'help'; readonly notices: readonly string[] }
  | { readonly kind: 'check'; readonly notices: readonly string[]; readonly options: Options }
  | { readonly kind: 'fatal'; readonly notices: readonly string[]; readonly text: string };

/** Long names to their short ones. Types: `string` wants a value; the value of an `optional` one is attached or absent. */
const flags = {
  'entry-nb': { type: 'string', short: 'E' },
  'pid-file': { type: 'string', short: 'F' },
  event: { type: 'string' },
  'master-domid': { type: 'string' },
  help: { type: 'boolean', short: 'H' },
  'no-fork': { type: 'boolean', short: 'N' },
  'priv-domid': { type: 'string' },
  'entry-size': { type: 'string', short: 'S' },
  'trace-file': { type: 'string', short: 'T' },
  'trace-control': { type: 'string' },
  transaction: { type: 'string', short: 't' },
  'perm-nb': { type: 'string', short: 'A' },
  'path-max': { type: 'string', short: 'M' },
  quota: { type: 'string', short: 'Q' },
  'quota-soft': { type: 'string', short: 'q' },
  timeout: { type: 'string', short: 'w' },
  'keep-orphans': { type: 'boolean', short: 'K' },
  'watch-nb': { type: 'string', short: 'W' },
  'live-update': { type: 'boolean', short: 'U' },
  // Gone since 4.17.
  'no-domain-init': { type: 'boolean', short: 'D' },
  'internal-db': { type: 'boolean', short: 'I' },
  'output-pid': { type: 'boolean', short: 'P' },
  'no-recovery': { type: 'boolean', short: 'R' },
  verbose: { type: 'boolean', short: 'V' },
  // Ours.
  'stub-domain': { type: 'boolean' },
  platform: { type: 'string' },
  run: { type: 'string' },
  database: { type: 'string' },
  durability: { type: 'string' },
  'quota-compare': { type: 'string' },
  pcap: { type: 'string' },
  'check-host': { type: 'boolean' },
} as const;

type Flag = keyof typeof flags;

/** Accepted for old start scripts; they change nothing. */
const retired: ReadonlySet<string> = new Set(['no-domain-init', 'output-pid', 'no-recovery', 'verbose']);
/** getopt lets these carry a value in the same word: `-Ioff`, `--internal-db=off`. */
const optionalValue: ReadonlySet<string> = new Set(['internal-db', 'help']);

export type Environment = Readonly<Record<string, string | undefined>>;

/** `args`: without the program's name. */
export function parseOptions(args: readonly string[], env: Environment): Parsed {
  const notices: string[] = [];
  try {
    const asked = new Asked();
    if (readFlags(args, asked, notices) === 'help') return { kind: 'help', notices };
    const kind = asked.on.has('check-host') ? 'check' : 'run';
    return { kind, notices, options: asked.options(env) };
  } catch (error) {
    if (error instanceof BadValue) return { kind: 'fatal', notices, text: error.message };
    throw error;
  }
}

/** A value that ends the program before it has started. */
class BadValue extends Error {}

function readFlags(given: readonly string[], asked: Asked, notices: string[]): 'help' | undefined {
  const notice = (text: string): void => void notices.push(`${PROGRAM}: ${text}`);
  const { args, tokens } = tokenize(given);
  let positionals = 0;
  let group = -1;
  for (const token of tokens) {
    if (token.kind === 'positional') positionals++;
    if (token.kind !== 'option' || token.index === group) continue;
    const { name, rawName, value } = token;
    const long = rawName.startsWith('--');
    const flag = name in flags ? (name as Flag) : undefined;
    if (!flag) {
      notice(long ? unknownLong(name) : `invalid option -- '${name}'`);
    } else if (optionalValue.has(name)) {
      if (name === 'help') return 'help';
      group = long ? -1 : token.index;
      asked.internalDb = long ? value : args[token.index]!.split('I').slice(1).join('I');
      asked.internalDb ??= '';
    } else if (flags[flag].type === 'string') {
      if (value !== undefined) asked.set(flag, value);
      else if (long) notice(`option '${rawName}' requires an argument`);
      else notice(`option requires an argument -- '${rawName.slice(1)}'`);
    } else if (value !== undefined) {
      notice(`option '${rawName}' doesn't allow an argument`);
    } else if (retired.has(name)) {
      notice(`option '${rawName}' does nothing since Xen 4.19`);
    } else {
      asked.on.add(flag);
    }
  }
  if (positionals > 0) throw new BadValue(`${PROGRAM}: No arguments desired`);
  return undefined;
}

/** Splits the command line. A long name may be cut as long as only one starts with it. */
function tokenize(given: readonly string[]): { args: string[]; tokens: readonly Token[] } {
  const args = [...given];
  for (;;) {
    const { tokens } = parseArgs({
      args,
      options: flags,
      strict: false,
      allowPositionals: true,
      tokens: true,
    });
    const cut = tokens.find(
      (token) =>
        token.kind === 'option' && token.rawName.startsWith('--') && candidates(token.name).length === 1,
    );
    if (cut?.kind !== 'option') return { args, tokens };
    args[cut.index] = args[cut.index]!.replace(cut.rawName, `--${candidates(cut.name)[0]}`);
  }
}

type Token = ReturnType<
  typeof parseArgs<{ options: typeof flags; strict: false; tokens: true }>
>['tokens'][number];

/** What a name that is not one could be short for. */
function candidates(name: string): string[] {
  return name in flags ? [] : Object.keys(flags).filter((flag) => flag.startsWith(name));
}

function unknownLong(name: string): string {
  const possible = candidates(name);
  if (possible.length === 0) return `unrecognized option '--${name}'`;
  return `option '--${name}' is ambiguous; possibilities: ${possible.map((flag) => `'--${flag}'`).join(' ')}`;
}

/** What has been asked for so far; the last word on a subject counts. */
class Asked {
  readonly on = new Set<Flag>();
  internalDb: string | undefined = undefined;
  readonly #values = new Map<Flag, string>();
  readonly #numbers = new Map<Flag, number>();
  readonly #switches = new Map(traceSwitches);
  readonly #quotas: Partial<Record<QuotaKey, number>> = {};
  #watchEventTimeoutMs: number | undefined = undefined;

  set(flag: Flag, value: string): void {
    switch (flag) {
      case 'entry-nb':
        this.#quotas.nodes = number(value);
        break;
      case 'entry-size':
        this.#quotas['node-size'] = number(value);
        break;
      case 'watch-nb':
        this.#quotas.watches = number(value);
        break;
      case 'transaction':
        this.#quotas.transactions = number(value);
        break;
      case 'perm-nb':
        this.#quotas['node-permissions'] = number(value);
        break;
      case 'path-max':
        this.#quotas['path-max'] = Math.min(number(value), REL_PATH_MAX);
        break;
      case 'quota':
        this.#quotas[quotaIn(value, quotaNames)] = numberIn(value, 'nb');
        break;
      case 'quota-soft':
        quotaIn(value, ['memory']);
        this.#quotas['soft-memory'] = numberIn(value, 'nb');
        break;
      case 'timeout':
        this.#watchEventTimeoutMs = numberIn(value, 'seconds') * 1000;
        if (nameIn(value) !== 'watch-event') throw new BadValue(`unknown timeout "${value}"`);
        break;
      case 'trace-control':
        if (!setSwitch(this.#switches, value)) throw new BadValue(`Illegal trace switch "${value}"`);
        break;
      case 'event':
      case 'master-domid':
      case 'priv-domid':
        this.#numbers.set(flag, number(value));
        break;
      default:
        this.#values.set(flag, value);
    }
  }

  options(env: Environment): Options {
    if (this.on.has('stub-domain') && !this.#numbers.get('event')) {
      throw new BadValue(
        '--stub-domain needs --event <port>, as init-xenstore-domain gives it to the kernel',
      );
    }
    const hostRunDir = this.#path('run') ?? env.STUBDOM0_RUN;
    const runDir = this.#runDir(hostRunDir, env);
    return {
      fork: !this.on.has('no-fork') && !this.on.has('stub-domain'),
      stubDomain: this.on.has('stub-domain'),
      pidFile: this.#path('pid-file'),
      traceFile: this.#path('trace-file'),
      switches: this.#switches,
      quotas: this.#quotas,
      watchEventTimeoutMs: this.#watchEventTimeoutMs,
      keepOrphans: this.on.has('keep-orphans'),
      liveUpdate: this.on.has('live-update'),
      storeDomid: this.#numbers.get('master-domid'),
      privDomid: this.#numbers.get('priv-domid'),
      dom0Port: this.#numbers.get('event'),
      platform: this.#oneOf('platform', ['sim', 'xen']),
      hostRunDir,
      runDir,
      socketPath: env.XENSTORED_PATH ?? join(runDir, 'socket'),
      database: this.#database(runDir),
      durability: this.#oneOf('durability', ['process', 'sync']) ?? 'process',
      quotaCompare: this.#oneOf('quota-compare', ['at-most', 'head']) ?? 'at-most',
      pcapFile: this.#path('pcap'),
    };
  }

  /** As libxenstore finds it, unless a host's run directory was named. */
  #runDir(hostRunDir: string | undefined, env: Environment): string {
    if (this.#values.has('run')) return join(hostRunDir!, 'xenstored');
    if (env.XENSTORED_RUNDIR) return env.XENSTORED_RUNDIR;
    return hostRunDir ? join(hostRunDir, 'xenstored') : '/var/run/xenstored';
  }

  /** Absolute, because a daemon in the background leaves its directory. */
  #path(flag: Flag): string | undefined {
    const value = this.#values.get(flag);
    return value === undefined ? undefined : resolve(value);
  }

  #database(runDir: string): string | undefined {
    const asked = this.#values.get('database');
    if (asked === 'memory') return undefined;
    if (asked !== undefined) return resolve(asked);
    return this.internalDb === undefined || this.internalDb === 'off' ? join(runDir, 'db') : undefined;
  }

  #oneOf<T extends string>(flag: Flag, allowed: readonly T[]): T | undefined {
    const value = this.#values.get(flag);
    if (value === undefined || (allowed as readonly string[]).includes(value)) return value as T | undefined;
    throw new BadValue(`--${flag} must be one of ${allowed.join(', ')}, not "${value}"`);
  }
}

/** `+io` or `-io`. `false`: no such switch, or neither sign. */
function setSwitch(switches: Map<string, boolean>, text: string): boolean {
  const name = text.slice(1);
  if (!/^[+-]/.test(text) || !switches.has(name)) return false;
  switches.set(name, text.startsWith('+'));
  return true;
}

/** C's strtoul, all of the text, up to INT_MAX. */
function number(text: string): number {
  const value = /^\s*[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0 && value <= 0x7fffffff)) throw new BadValue(`invalid parameter value "${text}"`);
  return value;
}

function nameIn(text: string): string {
  return text.slice(0, text.indexOf('='));
}

function numberIn(text: string, unit: string): number {
  const equals = text.indexOf('=');
  if (equals < 0) throw new BadValue(`quotas must be specified via <what>=<${unit}>`);
  return number(text.slice(equals + 1));
}

function quotaIn<T extends string>(text: string, allowed: readonly T[]): T {
  numberIn(text, 'nb');
  const name = nameIn(text);
  if ((allowed as readonly string[]).includes(name)) return name as T;
  throw new BadValue(`unknown quota "${text}"`);
}
