/**
 * A batch of grant copies between guests' pages and the packets' memory, for one system call: filled by queues, carried out by io, which
 * hands the outcome of each one back in `statuses`. Columns of numbers; nothing is allocated for a copy. Checks nothing: who adds
 * a copy has seen to it that it stays within its page.
 */
export class CopyBatch {
  readonly capacity: number;
  readonly domids: Uint16Array;
  readonly grefs: Uint32Array;
  /** Where in the guest's page. */
  readonly offsets: Uint16Array;
  /** Where in the packets' memory. */
  readonly positions: Uint32Array;
  readonly lengths: Uint16Array;
  /** 1: from the packets' memory to the guest; 0: the other way. */
  readonly toGuest: Uint8Array;
  /** GNTST_*: 0 is success. Filled in by io before the queues are told. */
  readonly statuses: Int16Array;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.domids = new Uint16Array(capacity);
    this.grefs = new Uint32Array(capacity);
    this.offsets = new Uint16Array(capacity);
    this.positions = new Uint32Array(capacity);
    this.lengths = new Uint16Array(capacity);
    this.toGuest = new Uint8Array(capacity);
    this.statuses = new Int16Array(capacity);
  }

  get room(): number {
    return this.capacity - this.count;
  }

  /** There must be room. */
  fromGuest(domid: number, gref: number, offset: number, position: number, length: number): void {
    this.#add(domid, gref, offset, position, length);
    this.toGuest[this.count - 1] = 0;
  }

  intoGuest(domid: number, gref: number, offset: number, position: number, length: number): void {
    this.#add(domid, gref, offset, position, length);
    this.toGuest[this.count - 1] = 1;
  }

  /** After everybody who added to it has been told. */
  clear(): void {
    this.count = 0;
  }

  #add(domid: number, gref: number, offset: number, position: number, length: number): void {
    if (this.count === this.capacity) throw new RangeError('no room for a copy');
    const at = this.count++;
    this.domids[at] = domid;
    this.grefs[at] = gref;
    this.offsets[at] = offset;
    this.positions[at] = position;
    this.lengths[at] = length;
    this.statuses[at] = 0;
  }
}
