/**
 * xl.cfg(5): a text in, what the domain is to be out, or every mistake with its line. Follows xl's own parser where that takes something, and says what it
 * expects where that goes on with a warning. Knows no file and no host.
 */
import type { DomainConfig } from './config.ts';

export interface CfgMistake {
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

export type CfgResult =
  | { readonly ok: true; readonly config: DomainConfig; readonly warnings: readonly CfgMistake[] }
  /** In the order of their lines; at least one. */
  | { readonly ok: false; readonly errors: readonly CfgMistake[]; readonly warnings: readonly CfgMistake[] };

/** Never throws. */
export function parseCfg(_text: string): CfgResult {
  return { ok: false, errors: [{ line: 1, text: 'not yet' }], warnings: [] };
}

/** `g1.cfg:3: expected ...` */
export function mistakeLine(file: string, { line, text }: CfgMistake): string {
  return `${file}:${line}: ${text}`;
}
