/**
 * Who wrote what: the last changes of the store, kept in a ring of fixed size for CONTROL `trace`. What a transaction wrote is told when it has
 * been committed. Records are made once and written over, so that a change leaves no garbage. Knows nothing but what it is told.
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
  /** What a device's end said of its state, one digit: a handshake's come and go before anybody reads them. Else ''. */
  readonly value: string;
}

type Written = { -readonly [key in keyof Change]: Change[key] };

/** A power of two. */
const KEPT = 1024;

export class History {
  readonly #records: readonly Written[] = Array.from({ length: KEPT }, () => ({
    seq: -1,
    at: 0.5,
    domid: 0,
    link: 0,
    what: '',
    path: '',
    value: '',
  }));
  #seq = 0;

  /** `value`: the node's, as it is now. */
  add(at: number, domid: number, link: number, what: string, path: string, value: string): void {
    const record = this.#records[this.#seq & (KEPT - 1)]!;
    record.seq = this.#seq++;
    record.at = at;
    record.domid = domid;
    record.link = link;
    record.what = what;
    record.path = path;
    record.value = value.length === 1 && isState(path, value) ? value : '';
  }

  /** The number that the next change will have. */
  get next(): number {
    return this.#seq;
  }

  /** The number of the oldest that is kept. */
  get oldest(): number {
    return Math.max(0, this.#seq - KEPT);
  }

  /** `undefined`: forgotten, or still to come. Only to be looked at before the next change. */
  get(seq: number): Change | undefined {
    const record = this.#records[seq & (KEPT - 1)]!;
    return record.seq === seq ? record : undefined;
  }
}

function isState(path: string, value: string): boolean {
  return value >= '0' && value <= '9' && path.endsWith('/state');
}
