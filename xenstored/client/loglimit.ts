/**
 * A backend's log, which guests have a say in: one that connects and breaks its device in a loop must not fill a disk with it (XSA-180). Each guest has
 * some lines at once and one a second after that; whatever else is logged always passes. Knows no service: a line about a device begins with its path.
 */

/** So many at once: every device of a large guest may have a few things to say. */
const BURST = 100;
const REFILL_MS = 1000;

const OF_GUEST = /^(\/local\/domain\/\d+\/backend\/[^/]+\/\d+)\/\S+: /;

interface Budget {
  lines: number;
  sinceMs: number;
  leftOut: number;
}

/** `nowMs`: of a clock that never goes back. */
export function limitLog(log: (line: string) => void, nowMs: () => number): (line: string) => void {
  /** By guest; there are no more of them than domain ids. */
  const budgets = new Map<string, Budget>();
  return (line) => {
    const guest = OF_GUEST.exec(line)?.[1];
    if (guest === undefined) {
      log(line);
      return;
    }
    const now = nowMs();
    const budget = budgets.get(guest) ?? { lines: BURST, sinceMs: now, leftOut: 0 };
    budgets.set(guest, budget);
    const refill = Math.floor((now - budget.sinceMs) / REFILL_MS);
    budget.sinceMs += refill * REFILL_MS;
    budget.lines = Math.min(BURST, budget.lines + refill);
    if (budget.lines === 0) {
      if (budget.leftOut++ === 0) log(`${guest}: has much to say: the rest is left out`);
      return;
    }
    budget.lines--;
    log(budget.leftOut === 0 ? line : `${line} (${budget.leftOut} lines were left out)`);
    budget.leftOut = 0;
  };
}
