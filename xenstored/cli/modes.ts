/**
 * The modes of `xenstore`: their options and their usage texts, those of today's Xen (tools/xs-clients/xenstore_client.c). Says what can be
 * asked for, not what is done.
 */
import { atoi } from '../wire/request.ts';
import { getopt, type OptionRule } from './getopt.ts';
import { Exit, fail, type Program, warn } from './program.ts';

const usages = {
  read: '[-h] [-p] [-R] key [...]',
  write: '[-h] [-R] key value [...]',
  rm: '[-h] [-t] key [...]',
  exists: '[-h] key',
  list: '[-h] [-p] key [...]',
  ls: '[-h] [-f] [-p] [path]',
  chmod: '[-h] [-u] [-r] key <mode [modes...]>',
  watch: '[-h] [-n NR] key',
} as const;

export type Mode = keyof typeof usages;

const rules: readonly OptionRule[] = [
  { short: 'h', long: 'help' },
  { short: 'f', long: 'flat' },
  { short: 'p', long: 'prefix' },
  { short: 't', long: 'tidy' },
  { short: 'u', long: 'upto' },
  { short: 'r', long: 'recurse' },
  { short: 'n', long: 'number', takes: 'value' },
  { short: 'R', long: 'raw' },
  { short: 'd', long: 'depth', takes: 'value' },
  // Once: speak to the daemon by its socket alone. Accepted, and without effect.
  { short: 's' },
];

/** Which options a mode knows; the others end with its usage. */
const known: Readonly<Record<Mode, string>> = {
  read: 'pR',
  write: 'R',
  rm: 't',
  exists: '',
  list: 'p',
  ls: 'fp',
  chmod: 'ur',
  watch: 'nd',
};

export interface Wanted {
  readonly mode: Mode;
  /** The letters of the options given. */
  readonly flags: ReadonlySet<string>;
  /** Of `-n`: how many events; -1: no end. */
  readonly number: number;
  /** Of `-d`; below 0: none given. */
  readonly depth: number;
  readonly operands: readonly string[];
}

export function isMode(word: string): word is Mode {
  return Object.hasOwn(usages, word);
}

/** Throws `Exit` after a usage text. */
export function readArguments(program: Program, mode: Mode): Wanted {
  const flags = new Set<string>();
  const operands: string[] = [];
  let number = -1;
  let depth = -1;
  for (const found of getopt(program.args, rules)) {
    if (found.kind === 'operand') operands.push(found.text);
    else if (found.kind === 'complaint') program.err(`${program.word ?? program.argv0}: ${found.text}\n`);
    else if (found.short === 'h') throw usage(program, mode, 0);
    else if (found.short === 's') continue;
    else if (!known[mode].includes(found.short)) throw usage(program, mode, 1);
    else if (found.short === 'n') number = atoi(found.value);
    else if (found.short === 'd') depth = atoi(found.value);
    else flags.add(found.short);
  }
  if (mode === 'ls') return { mode, flags, number, depth, operands: operands.length > 0 ? operands : ['/'] };
  if (operands.length === 0 || (mode === 'write' && operands.length % 2 === 1)) {
    throw usage(program, mode, 1);
  }
  return { mode, flags, number, depth, operands };
}

function usage(program: Program, mode: Mode, status: number): Exit {
  const word = program.word === undefined ? '' : `${mode} `;
  return fail(program, `Usage: ${program.argv0} ${word}${usages[mode]}`, status);
}

/** Without a mode there is little to say. */
export function usageOfAll(program: Program): Exit {
  warn(program, `Usage: ${program.argv0} <mode> [-h] [...]`);
  return new Exit(1);
}
