/**
 * What the service tells its log: every login and command, and of strangers at most some lines a minute, so that a flood of wrong keys does not become a
 * flood of lines. Knows no file.
 */

export type Write = (what: string, detail: Readonly<Record<string, unknown>>) => void;

const STRANGERS = new Set(['refused', 'crowded', 'ended']);
const LINES_A_MINUTE = 20;
const MINUTE_MS = 60_000;

/** `now`: milliseconds of any clock. */
export function journal(write: Write, now: () => number): Write {
  let begun = now();
  let lines = 0;
  let kept = new Map<string, number>();
  const next = (): void => {
    if (kept.size > 0) write('more', { notTold: Object.fromEntries(kept) });
    kept = new Map();
    begun = now();
    lines = 0;
  };
  return (what, detail) => {
    if (now() - begun >= MINUTE_MS) next();
    if (!STRANGERS.has(what) || lines++ < LINES_A_MINUTE) write(what, detail);
    else kept.set(what, (kept.get(what) ?? 0) + 1);
  };
}
