/**
 * The audit log: one JSON line for every change and every refused one: when, who, what, and how it ended. A secret's value is never in
 * it. Knows no request.
 */
import { appendFileSync, chmodSync } from 'node:fs';
import type { Clock } from '../../osdep/clock.ts';
import type { Caller } from './access.ts';

export interface AuditEntry extends Caller {
  /** The operation's name in the OpenAPI document, such as `putNode`. */
  readonly action: string;
  /** Paths, permissions, lengths of values; a value itself only where it is no secret. */
  readonly what: unknown;
  readonly status: number;
  /** An error's code. */
  readonly code?: string | undefined;
}

export interface Audit {
  /** False: it could not be written. Until it can be again nothing is to be changed. */
  record(entry: AuditEntry): boolean;
  /** Can it be written, as far as is known? */
  readonly sound: boolean;
}

/** Appends to a file, made for its owner alone; one that was moved away is made anew. Throws if it cannot be opened. */
export function auditFile(
  path: string,
  clock: Pick<Clock, 'wallNow'>,
  failed: (error: unknown) => void,
): Audit {
  const append = (line: string): void => appendFileSync(path, line, { mode: 0o600 });
  append('');
  chmodSync(path, 0o600);
  return auditTo(append, clock, failed);
}

export function auditTo(
  write: (line: string) => void,
  clock: Pick<Clock, 'wallNow'>,
  failed: (error: unknown) => void,
): Audit {
  let sound = true;
  return {
    get sound() {
      return sound;
    },
    record(entry) {
      const { role, token, address, action, what, status, code } = entry;
      const time = new Date(clock.wallNow()).toISOString();
      try {
        write(`${JSON.stringify({ time, role, token, address, action, what, status, code })}\n`);
        sound = true;
      } catch (error) {
        if (sound) failed(error);
        sound = false;
      }
      return sound;
    },
  };
}
