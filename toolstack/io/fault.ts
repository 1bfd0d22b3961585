/**
 * What a user can do something about: one clear line, no stack. Everything else that is thrown is a mistake of ours.
 */

/** What went wrong, where whoever shows it has words of its own for it. */
export type FaultKind =
  /** The domain that an order is about is not there. */
  | 'no domain'
  /** It has no such device. */
  | 'no device'
  /** The words of a command are wrong: exit code 2. */
  | 'usage';

export interface FaultOptions {
  readonly kind?: FaultKind;
  /** Default: 2 for `usage`, else 1. */
  readonly exitCode?: number;
}

export class Fault extends Error {
  override readonly name = 'Fault';
  readonly kind: FaultKind | undefined;
  readonly exitCode: number;

  constructor(message: string, { kind, exitCode }: FaultOptions = {}) {
    super(message);
    this.kind = kind;
    this.exitCode = exitCode ?? (kind === 'usage' ? 2 : 1);
  }
}

/** One line for people, of anything that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
