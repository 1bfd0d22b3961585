/**
 * Which requests have to wait for which: those that touch the same sectors, if one of them changes something, and those that a
 * flush or a barrier stands between. Everything else may run in any order. One order for a whole disk, in which requests were taken.
 * Knows no reason besides these two for a request to wait.
 */
import { BlkifOp } from './blkif.ts';
import { type Fifo, NONE } from './fifo.ts';
import type { Requests } from './requests.ts';

export class Order {
  readonly #requests: Requests;
  readonly #free: Fifo;
  readonly #older: Int32Array;
  readonly #younger: Int32Array;
  readonly #present: Uint8Array;
  #youngest: number = NONE;

  /** `free`: takes the requests that wait for none, in order. */
  constructor(requests: Requests, free: Fifo) {
    this.#requests = requests;
    this.#free = free;
    this.#older = new Int32Array(requests.capacity);
    this.#younger = new Int32Array(requests.capacity);
    this.#present = new Uint8Array(requests.capacity);
  }

  /** The youngest of all. */
  enter(request: number): void {
    let waits = 0;
    for (let other = this.#youngest; other !== NONE; other = this.#older[other]!) {
      if (this.#holds(other, request)) waits++;
    }
    this.#requests.waits[request] = waits;
    this.#present[request] = 1;
    this.#older[request] = this.#youngest;
    this.#younger[request] = NONE;
    if (this.#youngest !== NONE) this.#younger[this.#youngest] = request;
    this.#youngest = request;
    if (waits === 0) this.#free.push(request);
  }

  /** Holds up nobody any more. Doing it again does nothing. */
  leave(request: number): void {
    if (this.#present[request] === 0) return;
    this.#present[request] = 0;
    const older = this.#older[request]!;
    const younger = this.#younger[request]!;
    if (older !== NONE) this.#younger[older] = younger;
    if (younger === NONE) this.#youngest = older;
    else this.#older[younger] = older;
    const { waits } = this.#requests;
    for (let other = younger; other !== NONE; other = this.#younger[other]!) {
      if (this.#holds(request, other) && --waits[other]! === 0) this.#free.push(other);
    }
  }

  #holds(older: number, younger: number): boolean {
    const { op, sector, sectors } = this.#requests;
    const olderChanges = this.#changes(older);
    const youngerChanges = this.#changes(younger);
    if (!olderChanges && !youngerChanges) return false;
    if (olderChanges && isFence(op[younger]!)) return true;
    if (youngerChanges && op[older] === BlkifOp.WRITE_BARRIER) return true;
    const olderSector = sector[older]!;
    const youngerSector = sector[younger]!;
    return olderSector < youngerSector + sectors[younger]! && youngerSector < olderSector + sectors[older]!;
  }

  #changes(request: number): boolean {
    const { op, segments } = this.#requests;
    const what = op[request]!;
    return what === BlkifOp.FLUSH_DISKCACHE ? segments[request]! > 0 : what !== BlkifOp.READ;
  }
}

/** Older changes have to be done before it. */
export function isFence(op: number): boolean {
  return op === BlkifOp.FLUSH_DISKCACHE || op === BlkifOp.WRITE_BARRIER;
}
