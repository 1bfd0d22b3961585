/**
 * What a hypervisor may do to a domain without being wrong: deliver an event late, or after a later one, and refuse
 * what it may refuse for want of room. Decided by chance with given odds, so that a seed repeats it. Knows nothing of
 * what a request does beyond whether it may fail at all.
 */
import type { Random } from '../clock.ts';
import { Errno } from '../errno.ts';
import type { OpName } from './world/requests.ts';

export interface Faults {
  /** How long an event is under way. */
  eventDelayMs(): number;
  /** Whether an event that comes now overtakes those which wait in the same file. */
  overtakes(): boolean;
  /** The errno to refuse a request with, or undefined to let it pass. */
  refusal(op: OpName): number | undefined;
}

export interface FaultOdds {
  /** Probabilities, from 0 to 1. */
  readonly lateEvent: number;
  readonly overtakingEvent: number;
  readonly refusal: number;
  /** A late event is under way for up to so long. */
  readonly maxDelayMs: number;
}

/** Requests that can fail at any time, and how; all others answer what they must. */
const REFUSALS: Partial<Record<OpName, number>> = {
  evtchnOpen: Errno.EMFILE,
  evtchnBindUnbound: Errno.ENOSPC,
  evtchnBindInterdomain: Errno.ENOSPC,
  evtchnAllocUnbound: Errno.ENOSPC,
  gntdevMap: Errno.ENOMEM,
  gntallocShare: Errno.ENOSPC,
  foreignMap: Errno.ENOMEM,
  resourceMap: Errno.ENOMEM,
  populatePhysmap: Errno.ENOMEM,
  createDomain: Errno.ENOMEM,
  dmCreateServer: Errno.ENOMEM,
};

export const noFaults: Faults = {
  eventDelayMs: () => 0,
  overtakes: () => false,
  refusal: () => undefined,
};

export function seededFaults(random: Random, odds: FaultOdds): Faults {
  const happens = (probability: number) => random.u32() < probability * 2 ** 32;
  return {
    eventDelayMs: () =>
      happens(odds.lateEvent) ? random.below(Math.max(1, odds.maxDelayMs * 1000)) / 1000 : 0,
    overtakes: () => happens(odds.overtakingEvent),
    refusal: (op) => {
      const errno = REFUSALS[op];
      return errno !== undefined && happens(odds.refusal) ? errno : undefined;
    },
  };
}
