/**
 * CONTROL: the daemon's own commands. Those that the C daemon has answer in its words; the rest tells what the admin service shows:
 * connections, watches, transactions, rings, what was refused, and who wrote what. `help` lists what works and nothing else.
 */
import { readLatin1 } from '../wire/latin1.ts';
import { OK } from '../wire/reply.ts';
import { atoi, strings } from '../wire/request.ts';
import * as introspect from './introspect.ts';
import { type QuotaName, quotaNames, quotaTexts } from './quota.ts';
import { type Answer, EINVAL, ENOENT, type Request } from './request.ts';
import type { State } from './state.ts';

type Command = (state: State, args: readonly string[]) => Answer;

interface Entry {
  readonly run: Command;
  readonly args: string;
}

export function control(request: Request): Answer {
  const { state, data, start, end } = request;
  const [name, ...args] = strings(readLatin1(data, start, end));
  const command = name === undefined ? undefined : commands.get(name);
  return command ? command.run(state, args) : EINVAL;
}

const text = (lines: string): string => `${lines}\0`;
const left = (value: string, width: number): string => value.padEnd(width);
const right = (value: number): string => String(value).padStart(8);

function check(state: State, args: readonly string[]): Answer {
  if (args.length > 0) return EINVAL;
  introspect.verify(state);
  return OK;
}

function log({ surroundings }: State, args: readonly string[]): Answer {
  const [what, ...more] = args;
  if (what === undefined) {
    let lines = 'Log switch settings:\n';
    for (const [name, on] of surroundings.switches) lines += `${left(name, 8)}: ${on ? 'on' : 'off'}\n`;
    return text(lines);
  }
  if (more.length > 0) return EINVAL;
  if (what === 'on' || what === 'off') {
    surroundings.setTrace(what === 'on');
    return OK;
  }
  const name = what.slice(1);
  if (!/^[+-]/.test(what) || !surroundings.switches.has(name)) return EINVAL;
  surroundings.switches.set(name, what.startsWith('+'));
  return OK;
}

function logfile({ surroundings }: State, [file, ...more]: readonly string[]): Answer {
  if (file === undefined || more.length > 0) return EINVAL;
  surroundings.setLogFile(file);
  return OK;
}

function memreport({ surroundings }: State, [file, ...more]: readonly string[]): Answer {
  return more.length === 0 && surroundings.memreport(file) ? OK : EINVAL;
}

function print({ surroundings }: State, [what, ...more]: readonly string[]): Answer {
  if (what === undefined || more.length > 0) return EINVAL;
  surroundings.print(`control: ${what}`);
  return OK;
}

function quota(state: State, args: readonly string[]): Answer {
  const [first, ...rest] = args;
  const { domains } = state;
  if (first === undefined) {
    let lines = 'Quota settings:\n';
    for (const name of quotaNames) {
      lines += `${left(name, 17)}: ${right(domains.defaults[name] | 0)} ${quotaTexts[name]}\n`;
    }
    return text(lines);
  }
  if (first === 'set') return setQuota(state, rest, quotaNames, (name) => name);
  if (first === 'max') return quotaMax(state, rest);
  return rest.length > 0 ? EINVAL : quotaOf(state, atoi(first) >>> 0);
}

function quotaOf({ domains }: State, domid: number): Answer {
  const domain = domains.get(domid);
  if (!domain) return ENOENT;
  let lines = `Domain ${domid}:\n`;
  for (const name of quotaNames) {
    const { used, max } = domain.account;
    lines += `${left(name, 17)}: ${right(used[name])} (max ${right(max[name])})\n`;
  }
  return text(lines);
}

function quotaMax({ domains }: State, [flag, ...more]: readonly string[]): Answer {
  if (more.length > 0 || (flag !== undefined && flag !== '-r')) return EINVAL;
  if (flag) {
    for (const name of quotaNames) domains.maxima[name] = 0;
    for (const domain of domains.all()) domain.account.resetMaxima();
  }
  let lines = 'Max. seen accounting values:\n';
  for (const name of quotaNames) lines += `${left(name, 17)}: ${right(domains.maxima[name])}\n`;
  return text(lines);
}

function quotaSoft(state: State, args: readonly string[]): Answer {
  const [first, ...rest] = args;
  if (first === undefined) {
    const value = right(state.domains.defaults['soft-memory'] | 0);
    return text(`Quota settings:\n${left('memory', 17)}: ${value} ${quotaTexts.memory}\n`);
  }
  return first === 'set' ? setQuota(state, rest, ['memory'], () => 'soft-memory') : EINVAL;
}

function setQuota(
  state: State,
  args: readonly string[],
  names: readonly QuotaName[],
  key: (name: QuotaName) => QuotaName | 'soft-memory',
): Answer {
  const [name, value] = args;
  if (args.length !== 2) return EINVAL;
  const amount = atoi(value!);
  const known = names.find((each) => each === name);
  if (amount < 1 || !known) return EINVAL;
  state.domains.defaults[key(known)] = amount;
  state.settingsChanged = true;
  return OK;
}

/** Lines of a listing, from a given one on, as many as one reply holds; the last says where to go on. */
function listing(lines: (state: State, domid: number | undefined) => Iterable<string>): Command {
  return (state, args) => {
    const from = args.indexOf('from');
    const words = from < 0 ? args : args.slice(0, from);
    const skip = from < 0 ? 0 : atoi(args[from + 1] ?? '0');
    if (words.length > 1 || (from >= 0 && args.length !== from + 2)) return EINVAL;
    let page = '';
    let number = 0;
    for (const whole of lines(state, words[0] === undefined ? undefined : atoi(words[0]))) {
      if (number++ < skip) continue;
      // Guests choose how long: what goes into no reply would be where to go on for ever.
      const line = whole.slice(0, PAGE_BYTES);
      if (page.length + line.length > PAGE_BYTES) return text(`${page}more: from ${number - 1}\n`);
      page += `${line}\n`;
    }
    return text(page);
  };
}

const PAGE_BYTES = 4000;

/**
 * `trace from-change N`: changes of number N and later, oldest first, as many as one reply holds; then `next: N`, with `more` behind if there are
 * some now, and `lost: N` before if so many are forgotten. A number that is still to come is answered by `next` alone.
 */
function trace(state: State, args: readonly string[]): Answer {
  if (args[0] !== 'from-change') return lastChanges(state, args);
  if (args.length !== 2 || !/^\d{1,15}$/.test(args[1]!)) return EINVAL;
  const from = Number(args[1]);
  const { next, oldest } = state.history;
  let page = from < oldest ? `lost: ${oldest - from}\n` : '';
  for (const { seq, line } of introspect.changesFrom(state, from)) {
    if (page.length + line.length > PAGE_BYTES) return text(`${page}next: ${seq} more\n`);
    page += `${line}\n`;
  }
  return text(`${page}next: ${next}\n`);
}

const lastChanges: Command = listing(introspect.changes);

function help(_: State, args: readonly string[]): Answer {
  if (args.length > 0) return EINVAL;
  let lines = '';
  for (const [name, { args: usage }] of commands) lines += `${left(name, 15)} ${usage}\n`;
  return text(lines);
}

const commands: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ['check', { run: check, args: '' }],
  ['log', { run: log, args: '[on|off|+<switch>|-<switch>]' }],
  ['logfile', { run: logfile, args: '<file>' }],
  ['memreport', { run: memreport, args: '[<file>]' }],
  ['print', { run: print, args: '<string>' }],
  ['quota', { run: quota, args: '[set <name> <val>|<domid>|max [-r]]' }],
  ['quota-soft', { run: quotaSoft, args: '[set <name> <val>]' }],
  ['connections', { run: listing(introspect.connections), args: '[<domid>] [from <line>]' }],
  ['watches', { run: listing(introspect.watches), args: '[<domid>] [from <line>]' }],
  ['transactions', { run: listing(introspect.transactions), args: '[<domid>] [from <line>]' }],
  ['rings', { run: listing(introspect.rings), args: '[<domid>] [from <line>]' }],
  ['trace', { run: trace, args: '[<domid>] [from <line>]|from-change <number>' }],
  ['quotas', { run: listing(introspect.quotas), args: '[<domid>] [from <line>]' }],
  ['refusals', { run: listing(introspect.refusals), args: '[<domid>] [from <line>]' }],
  ['statistics', { run: (state) => text(introspect.statistics(state)), args: '' }],
  ['work', { run: (state) => text(introspect.work(state)), args: '' }],
  ['help', { run: help, args: '' }],
]);
