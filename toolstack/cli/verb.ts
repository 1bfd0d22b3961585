/**
 * What a command is: its words for people, its flags, what it does. One table of them (verbs/all.ts) feeds the command line, SSH, the manual and
 * completion. Names, flags and words are those of xl(1).
 */
import type { Session } from './session.ts';

export interface Choice {
  /** As commander reads it: `-l, --long`, `-f, --defconfig <FILE>`. */
  readonly flags: string;
  readonly text: string;
}

/** What a word on the command line names, for completion. */
export type WordKind = 'domain' | 'vbd' | 'vif' | 'pvcalls' | 'file' | 'free';

export interface Given {
  /** Without the command's name and its flags. */
  readonly words: readonly string[];
  /** By a flag's long name in camel case, else its letter. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly verbose: boolean;
}

export interface Verb {
  readonly name: string;
  /** One line, no full stop. */
  readonly summary: string;
  /** What follows the name: `[options] <Domain>`. */
  readonly synopsis: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly choices: readonly Choice[];
  /** Command line behind the program's name, and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Codes beyond the usual ones. */
  readonly exits?: readonly (readonly [number, string])[];
  /** How many words it takes at least, and at most. */
  readonly words: readonly [number, number];
  /** What the words name; the last goes for all that follow. */
  readonly kinds: readonly WordKind[];
  /** Understands xl's global -N. */
  readonly dry?: true;
  /** Answers the exit code. Throws Fault. */
  run(given: Given, session: Session): Promise<number>;
}

export const json: Choice = { flags: '--json', text: 'For programs: JSON instead of a table.' };
