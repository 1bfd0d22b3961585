/**
 * GNU getopt_long's behaviour on top of Node's own parser: options anywhere, grouped, abbreviated, and its complaints word for word. A
 * complaint is not the end: as in C, whoever asked decides. Knows no particular option.
 */
import { parseArgs } from 'node:util';

export interface OptionRule {
  readonly short: string;
  /** undefined: there is only the short form. */
  readonly long?: string;
  readonly takes?: 'value';
}

/** In the order of the command line. `short` names the rule whichever form was used. */
export type Found =
  | { readonly kind: 'option'; readonly short: string; readonly value: string }
  | { readonly kind: 'complaint'; readonly text: string }
  | { readonly kind: 'operand'; readonly text: string };

export function getopt(args: readonly string[], rules: readonly OptionRule[]): Found[] {
  const longs = rules.flatMap(({ long }) => long ?? []);
  const options = Object.fromEntries(
    rules.map(({ short, long, takes }) => [
      long ?? short,
      { short, type: takes === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  const { tokens } = parseArgs({
    args: spelledOut(args, longs),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens.flatMap((token): Found[] => {
    if (token.kind === 'option-terminator') return [];
    if (token.kind === 'positional') return [{ kind: 'operand', text: token.value }];
    const { name, rawName, value, inlineValue } = token;
    const isLong = rawName.startsWith('--');
    const rule = rules.find(({ short, long }) => (isLong ? long === name : name === (long ?? short)));
    const complain = (text: string): Found[] => [{ kind: 'complaint', text }];
    if (rule === undefined) {
      if (!isLong) return complain(`invalid option -- '${name}'`);
      const typed = inlineValue ? `${rawName}=${value}` : rawName;
      const candidates = longs.filter((long) => long.startsWith(name));
      if (candidates.length === 0) return complain(`unrecognized option '${typed}'`);
      const list = candidates.map((long) => ` '--${long}'`).join('');
      return complain(`option '${typed}' is ambiguous; possibilities:${list}`);
    }
    if (rule.takes === undefined) {
      if (inlineValue) return complain(`option '--${name}' doesn't allow an argument`);
      return [{ kind: 'option', short: rule.short, value: '' }];
    }
    if (value === undefined) {
      return complain(
        isLong ? `option '--${name}' requires an argument` : `option requires an argument -- '${rule.short}'`,
      );
    }
    return [{ kind: 'option', short: rule.short, value }];
  });
}

/** Abbreviated long options in full, where only one is meant. */
function spelledOut(args: readonly string[], longs: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, at) => {
    if (!arg.startsWith('--') || arg === '--' || (end >= 0 && at > end)) return arg;
    const [name = '', ...rest] = arg.slice(2).split('=');
    const candidates = longs.includes(name) ? [name] : longs.filter((long) => long.startsWith(name));
    return candidates.length === 1 ? [`--${candidates[0]}`, ...rest].join('=') : arg;
  });
}
