/**
 * What every one of these commands needs of its surroundings, and how it ends before its time. Text is bytes (bytes.ts). Knows no particular
 * command.
 */
import { XenstoreError } from '../client/error.ts';
import type { Session, SessionUser } from '../client/session.ts';
import type { Client } from '../client/store.ts';
import { errorText } from './strerror.ts';

export interface Program {
  /** The command as it was typed, such as `./xenstore-ls`. */
  readonly argv0: string;
  /** What follows, the mode (`read` ...) left out. */
  readonly args: readonly string[];
  /** The mode, if it was typed as a word of its own: `xenstore ls`. */
  readonly word: string | undefined;
  out(text: string): void;
  err(text: string): void;
  /** Of the terminal that `out` is, if it is one. */
  readonly columns: number | undefined;
  connect(): Promise<Client>;
  /** A connection alone, for who wants every event as it comes. */
  openSession(user: SessionUser): Promise<Session>;
}

/** The command ends here, as by `exit`. `text` has been said already. */
export class Exit extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit ${status}`);
    this.status = status;
  }
}

/** What stands before complaints: the command without its folder. */
export function shortName({ argv0 }: Pick<Program, 'argv0'>): string {
  return argv0.slice(argv0.lastIndexOf('/') + 1);
}

/** As warnx(3). */
export function warn(program: Program, text: string): void {
  program.err(`${shortName(program)}: ${text}\n`);
}

/** As errx(3): a complaint, and the end. */
export function fail(program: Program, text: string, status: number = 1): Exit {
  warn(program, text);
  return new Exit(status);
}

/** As err(3): the complaint with the error's text behind it. What is not a store's error goes on as it is. */
export function failWith(program: Program, text: string, error: unknown): Error {
  if (!(error instanceof XenstoreError)) return error as Error;
  return fail(program, `${text}: ${errorText(error.code)}`);
}
