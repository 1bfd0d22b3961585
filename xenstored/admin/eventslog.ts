/**
 * The last changes of a subtree by number, so that a reader who was away or slow can be told what it missed. Bounded: who was away for too long
 * has to fetch again. Knows neither nodes nor readers.
 */
export interface LoggedChange {
  readonly path: string;
  /** The domain that made it; undefined: nobody knows. */
  readonly by: number | undefined;
}

interface Batch {
  readonly seq: number;
  readonly changes: readonly LoggedChange[];
  /** Of the paths. */
  readonly bytes: number;
}

const KEPT_MAX = 20_000;
const KEPT_MAX_BYTES = 4 << 20;
/** Who missed more than that has less trouble with fetching again. */
const MISSED_MAX = 2_000;

export class EventsLog {
  #batches: Batch[] = [];
  #kept = 0;
  #bytes = 0;
  /** Up to this number nothing is known. */
  #floor: number;

  constructor(floor: number) {
    this.#floor = floor;
  }

  add(seq: number, changes: readonly LoggedChange[]): void {
    const bytes = changes.reduce((sum, { path }) => sum + path.length, 0);
    this.#batches.push({ seq, changes, bytes });
    this.#kept += changes.length;
    this.#bytes += bytes;
    while (this.#kept > KEPT_MAX || this.#bytes > KEPT_MAX_BYTES) {
      const oldest = this.#batches.shift()!;
      this.#kept -= oldest.changes.length;
      this.#bytes -= oldest.bytes;
      this.#floor = oldest.seq;
    }
  }

  /** What was, up to this number, is lost. */
  reset(floor: number): void {
    this.#batches = [];
    this.#kept = 0;
    this.#bytes = 0;
    this.#floor = floor;
  }

  /** What came after this number, each path once; undefined: too much, or too long ago. */
  since(seq: number): Map<string, LoggedChange> | undefined {
    if (seq < this.#floor) return undefined;
    const missed = new Map<string, LoggedChange>();
    for (let at = this.#batches.length - 1; at >= 0 && this.#batches[at]!.seq > seq; at--) {
      for (const change of this.#batches[at]!.changes) {
        if (!missed.has(change.path)) missed.set(change.path, change);
      }
      if (missed.size > MISSED_MAX) return undefined;
    }
    return missed;
  }
}
