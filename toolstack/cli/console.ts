/** Joins a session's terminal and a domain's console. */
import { Fault } from '../io/fault.ts';
import type { Session } from './session.ts';

export interface ConsoleChoice {
  readonly type: 'pv' | 'serial';
  readonly number: number;
}

/** Answers the exit code. Throws Fault. */
export function joinConsole(_session: Session, domain: string, _choice: ConsoleChoice): Promise<number> {
  throw new Fault(`the console of ${domain} cannot be joined yet`);
}
