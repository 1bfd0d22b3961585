/**
 * Who wrote what: the last changes of the store, kept in a ring of fixed size for CONTROL `trace`. What a transaction wrote is told when it has
 * been committed. Columns instead of records, so that a change leaves no garbage. Knows nothing but what it is told.
 */

export interface Change {
  readonly seq: number;
  /** Milliseconds on the daemon's clock. */
  readonly at: number;
  readonly domid: number;
  /** The link's number: tells sockets apart. 0: nobody's, the domain is gone. */
  readonly link: number;
  /** `write`, `create`, `rm`, `perms`; `commit`, with the transaction's number for a path; `gone`: with the domain that owned it. */
  readonly what: string;
  readonly path: string;
}

/** A power of two. */
const KEPT = 1024;

export class History {
  readonly #at = new Float64Array(KEPT);
  readonly #domid = new Int32Array(KEPT);
  readonly #link = new Float64Array(KEPT);
  readonly #what: string[] = new Array<string>(KEPT).fill('');
  readonly #path: string[] = new Array<string>(KEPT).fill('');
  #seq = 0;

  add(at: number, domid: number, link: number, what: string, path: string): void {
    const slot = this.#seq++ & (KEPT - 1);
    this.#at[slot] = at;
    this.#domid[slot] = domid;
    this.#link[slot] = link;
    this.#what[slot] = what;
    this.#path[slot] = path;
  }

  /** The number that the next change will have. */
  get next(): number {
    return this.#seq;
  }

  /** The number of the oldest that is kept. */
  get oldest(): number {
    return Math.max(0, this.#seq - KEPT);
  }

  /** `undefined`: forgotten, or still to come. */
  get(seq: number): Change | undefined {
    if (seq < this.oldest || seq >= this.#seq) return undefined;
    const slot = seq & (KEPT - 1);
    return {
      seq,
      at: this.#at[slot]!,
      domid: this.#domid[slot]!,
      link: this.#link[slot]!,
      what: this.#what[slot]!,
      path: this.#path[slot]!,
    };
  }
}
