/**
 * Who wrote what: the last changes of the store, kept in a ring of fixed size for CONTROL `trace`. Knows nothing but what it is told.
 */

export interface Change {
  readonly seq: number;
  /** Milliseconds on the daemon's clock. */
  readonly at: number;
  readonly domid: number;
  /** The link's number: tells sockets apart. */
  readonly link: number;
  readonly what: string;
  readonly path: string;
}

const KEPT = 256;

export class History {
  readonly #changes: Change[] = [];
  #seq = 0;

  add(at: number, domid: number, link: number, what: string, path: string): void {
    this.#changes[this.#seq % KEPT] = { seq: this.#seq++, at, domid, link, what, path };
  }

  /** The last `count`, newest first. */
  last(count: number): Change[] {
    const found: Change[] = [];
    for (let seq = this.#seq - 1; seq >= 0 && found.length < Math.min(count, KEPT); seq--) {
      const change = this.#changes[seq % KEPT];
      if (!change || change.seq !== seq) break;
      found.push(change);
    }
    return found;
  }
}
