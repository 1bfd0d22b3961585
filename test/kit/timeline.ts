/**
 * What happened on a simulated host, in order: who did what, at which virtual time. The same seed and the same test give the same text, byte for byte.
 * Knows no subject: lines come from those who look on.
 */

/** One line of it. */
export interface TimelineEntry {
  /** Virtual milliseconds since the host's start. */
  readonly timeMs: number;
  /** `backend vbd`, `guest 1`, `toolstack`, `test`. */
  readonly who: string;
  readonly what: string;
}

export class Timeline {
  readonly entries: TimelineEntry[] = [];
  readonly #now: () => number;
  #lastMs = 0;
  #happenings = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(who: string, what: string): void {
    this.entries.push({ timeMs: this.#now(), who, what });
    this.touch();
  }

  /** Something happened that is not worth a line. */
  touch(): void {
    this.#lastMs = this.#now();
    this.#happenings += 1;
  }

  /** How much has happened, lines or not. */
  get happenings(): number {
    return this.#happenings;
  }

  /** When something last happened. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /** The last so many lines; default: all. */
  text(last: number = Number.POSITIVE_INFINITY): string {
    const shown = this.entries.slice(-Math.min(last, this.entries.length));
    const omitted = this.entries.length - shown.length;
    const width = Math.max(0, ...shown.map(({ who }) => who.length));
    const lines = shown.map(
      ({ timeMs, who, what }) => `${timeMs.toFixed(3).padStart(10)}  ${who.padEnd(width)}  ${what}`,
    );
    return [...(omitted > 0 ? [`       ...  ${omitted} lines before`] : []), ...lines].join('\n');
  }
}
