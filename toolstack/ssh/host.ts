/** What a session needs of the service around it, and what it knows of who came. */
import type { Role, Session } from '../cli/session.ts';
import type { Toolstack } from '../io/toolstack.ts';

/** As toolstack/cli offers them. */
export interface Commands {
  /** The exit code. */
  run(words: readonly string[], session: Session): Promise<number>;
  /** What the last word could become. */
  complete(words: readonly string[], session: Session): Promise<readonly string[]>;
}

export interface Visitor {
  /** As they called themselves. */
  readonly user: string;
  readonly address: string;
  readonly role: Role;
  readonly guest: string | undefined;
  readonly fingerprint: string;
  /** The key's comment. */
  readonly comment: string;
}

export interface SessionHost {
  readonly toolstack: Toolstack;
  readonly commands: Commands;
  /** Plain data, for the log. */
  log(what: string, detail: Readonly<Record<string, unknown>>): void;
}
