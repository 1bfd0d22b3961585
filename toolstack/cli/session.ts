/**
 * Who runs a command, wherever they sit: at a shell of this machine or at the other end of an SSH connection. Commands write to it, read files and
 * reach consoles through it, and know nothing else of where they run.
 */
import type { Duplex } from 'node:stream';
import type { Toolstack } from '../io/toolstack.ts';

/** From least to most. `console`: one guest's console and nothing else. */
export type Role = 'console' | 'read-only' | 'operator' | 'admin';

export interface Session {
  readonly toolstack: Toolstack;
  readonly role: Role;
  /** The only domain that a `console` role sees; undefined: all. */
  readonly guest: string | undefined;
  /** For logs: `local`, `ssh:admin@127.0.0.1`. */
  readonly who: string;
  out(text: string): void;
  err(text: string): void;
  /** What a command is told by name: a cfg file. `-`: its standard input. Throws Fault, also where the session may not read it. */
  readFile(path: string): Promise<string>;
  /** Relative paths of a cfg file are from here. */
  readonly directory: string;
  /** The user's terminal, raw, while a console is joined; undefined: there is none, standard input and output as they are. */
  readonly terminal: Terminal | undefined;
  /** Standard input and output as bytes. */
  readonly stdio: Duplex;
  /** The user has gone, or wants it to end. */
  readonly signal: AbortSignal;
}

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  setRaw(raw: boolean): void;
}
