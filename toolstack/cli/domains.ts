/** Which domain a word of a command line means, and xl's words where it means none. */
import type { DomainEntry } from '../core/toolstack.ts';
import { Fault } from '../io/fault.ts';
import type { Session } from './session.ts';

/** Those that a session may see. */
export async function domainsOf({ toolstack, guest }: Session): Promise<DomainEntry[]> {
  const all = await toolstack.list();
  return guest === undefined ? all : all.filter(({ name }) => name === guest);
}

/** By name, or by number. */
export function find(domains: readonly DomainEntry[], ref: string): DomainEntry | undefined {
  const byName = domains.find(({ name }) => name === ref);
  return byName ?? (isNumber(ref) ? domains.find(({ domid }) => domid === Number(ref)) : undefined);
}

/** Throws Fault of kind `no domain`. */
export async function domainOf(session: Session, ref: string): Promise<DomainEntry> {
  const found = find(await domainsOf(session), ref);
  if (found === undefined) throw new Fault(invalid(ref), { kind: 'no domain' });
  return found;
}

export function invalid(ref: string): string {
  return `${ref} is an invalid domain identifier (rc=-6)`;
}

export function isNumber(word: string): boolean {
  return /^\d{1,10}$/.test(word);
}
