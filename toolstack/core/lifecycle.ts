/**
 * What becomes of a domain that ended: by its reason and by what its configuration says of each (xl.cfg(5), "Event Actions"); and what is to be done
 * about one that a toolstack finds in its records. Knows no domain and no time but those it is told.
 */
import type { DomainConfig, EventAction } from './config.ts';
import type { RecordPhase } from './record.ts';

export type Fate =
  | { readonly kind: 'destroy' | 'preserve' | 'stay' }
  /** `pauseMs`: not before that has passed. `rename`: what is left of the old one is kept under another name. */
  | {
      readonly kind: 'restart';
      readonly rename: boolean;
      readonly pauseMs: number;
      readonly quickEnds: number;
    };

export interface End {
  /** A ShutdownReason; undefined: nobody knows any more, which is a crash. */
  readonly reason: number | undefined;
  /** How long it had lived. */
  readonly livedMs: number;
  /** How often in a row it had ended soon before. */
  readonly quickEnds: number;
}

/** A domain that ends sooner than this is in a hurry. */
const SOON_MS = 10_000;
/** So many hurried ends in a row, and it is not made again. */
const QUICK_ENDS_MAX = 5;
const FIRST_PAUSE_MS = 1_000;

/** xen/include/public/sched.h */
const Reason = { POWEROFF: 0, REBOOT: 1, SUSPEND: 2, CRASH: 3, WATCHDOG: 4, SOFT_RESET: 5 } as const;

const names: ReadonlyMap<number, string> = new Map<number, string>([
  [Reason.POWEROFF, 'shut down'],
  [Reason.REBOOT, 'rebooted'],
  [Reason.SUSPEND, 'suspended'],
  [Reason.CRASH, 'crashed'],
  [Reason.WATCHDOG, 'was ended by its watchdog'],
  [Reason.SOFT_RESET, 'asked for a soft reset'],
]);

/** For people: what it did. */
export function endText(reason: number | undefined): string {
  return names.get(reason ?? Reason.CRASH) ?? `shut down for reason ${reason}`;
}

/** What the configuration says of an end; a cause in a line where something else is done. */
export function fateOf(config: DomainConfig, end: End): { readonly fate: Fate; readonly note?: string } {
  const reason = end.reason ?? Reason.CRASH;
  if (reason === Reason.SUSPEND) return { fate: { kind: 'stay' } };
  const action = actionOf(config, reason);
  switch (action) {
    case 'destroy':
    case 'preserve':
      return { fate: { kind: action } };
    case 'coredump-destroy':
      return { fate: { kind: 'destroy' }, note: 'there is no core of a simulated domain to be dumped' };
    case 'coredump-restart':
      return restart(end, false, 'there is no core of a simulated domain to be dumped');
    case 'soft-reset':
      return restart(end, false, 'a simulated domain is made anew instead of a soft reset');
    case 'restart':
      return restart(end, false);
    case 'rename-restart':
      return restart(end, true);
  }
}

function actionOf(config: DomainConfig, reason: number): EventAction {
  switch (reason) {
    case Reason.POWEROFF:
      return config.onPoweroff;
    case Reason.REBOOT:
      return config.onReboot;
    case Reason.CRASH:
      return config.onCrash;
    case Reason.WATCHDOG:
      return config.onWatchdog;
    case Reason.SOFT_RESET:
      return config.onSoftReset;
    default:
      return 'destroy';
  }
}

/** One that does nothing but end is made again later each time, and at last no more. */
function restart(end: End, rename: boolean, note?: string): ReturnType<typeof fateOf> {
  const quickEnds = end.livedMs < SOON_MS ? end.quickEnds + 1 : 0;
  if (quickEnds >= QUICK_ENDS_MAX) {
    return {
      fate: { kind: 'destroy' },
      note: `it has ended ${quickEnds} times in a row within ${SOON_MS / 1000} s, and is not made again`,
    };
  }
  const pauseMs = quickEnds <= 1 ? 0 : FIRST_PAUSE_MS * 2 ** (quickEnds - 2);
  const fate: Fate = { kind: 'restart', rename, pauseMs, quickEnds };
  return note === undefined ? { fate } : { fate, note };
}

/** The name under which an old one is kept, counted where several end within a minute; `now`: as Date.toISOString has it. */
export function preservedName(name: string, now: string, isTaken: (name: string) => boolean): string {
  const first = `${name}-${now.slice(0, 16).replaceAll(/[-:]/g, '')}Z`;
  let free = first;
  for (let count = 2; isTaken(free); count++) free = `${first}-${count}`;
  return free;
}

export type Recovery = 'undo' | 'restart' | 'go on' | 'it ended' | 'keep';

/** What a toolstack does about a record that another one left. `there`: the domain is, and has not ended. */
export function recovery(phase: RecordPhase, there: boolean): Recovery {
  switch (phase) {
    case 'creating':
    case 'ending':
      return 'undo';
    case 'restarting':
      return 'restart';
    case 'running':
      return there ? 'go on' : 'it ended';
    case 'preserved':
    case 'unknown':
      return 'keep';
  }
}
