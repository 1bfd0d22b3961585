/**
 * What goes to the disk in one piece: requests of one kind that are neighbours on the disk, as a chain. Within a turn each request is
 * offered to the transfers that the turn has begun; what stood in one queue apart, or came through several rings, finds together here.
 * Knows nothing of order: whoever is offered may run beside all others.
 */
import { Effect, type EffectKind, type EffectList } from './effects.ts';
import { NONE } from './fifo.ts';
import type { Requests } from './requests.ts';

/** Of the transfers begun in a turn, how many of the last are tried for a neighbour. */
const LOOK_BACK = 16;

export interface TransferLimits {
  readonly vectors: number;
  readonly sectors: number;
}

export class Transfers {
  readonly kind: Uint8Array;
  readonly sector: Float64Array;
  readonly sectors: Float64Array;
  /** The chain of requests, by `Requests.link`. */
  readonly first: Int32Array;
  readonly #last: Int32Array;
  readonly #vectors: Int32Array;
  readonly #requests: Requests;
  readonly #limits: TransferLimits;
  readonly #free: Int32Array;
  #freeCount: number;
  /** Begun in this turn. */
  readonly #fresh: Int32Array;
  #freshCount = 0;

  constructor(requests: Requests, limits: TransferLimits) {
    const { capacity } = requests;
    this.#requests = requests;
    this.#limits = limits;
    this.kind = new Uint8Array(capacity);
    this.sector = new Float64Array(capacity);
    this.sectors = new Float64Array(capacity);
    this.first = new Int32Array(capacity);
    this.#last = new Int32Array(capacity);
    this.#vectors = new Int32Array(capacity);
    this.#fresh = new Int32Array(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  /** Transfers begun in this turn, not yet told. */
  get fresh(): number {
    return this.#freshCount;
  }

  /** Puts a request into a transfer of this turn. False: it fits into none. */
  join(request: number, kind: EffectKind): boolean {
    const oldest = Math.max(0, this.#freshCount - LOOK_BACK);
    for (let i = this.#freshCount - 1; i >= oldest; i--) {
      const transfer = this.#fresh[i]!;
      if (this.kind[transfer] !== kind || this.#requests.solo[this.first[transfer]!] === 1) continue;
      if (kind === Effect.FLUSH) return this.#append(transfer, request);
      if (kind > Effect.WRITE || !this.#fits(transfer, request)) continue;
      const at = this.#requests.sector[request]!;
      if (at === this.sector[transfer]! + this.sectors[transfer]!) return this.#append(transfer, request);
      if (at + this.#requests.sectors[request]! === this.sector[transfer]!) {
        return this.#prepend(transfer, request);
      }
    }
    return false;
  }

  /** Begins a transfer with one request. */
  begin(request: number, kind: EffectKind): void {
    const transfer = this.#free[--this.#freeCount]!;
    this.kind[transfer] = kind;
    this.sector[transfer] = this.#requests.sector[request]!;
    this.sectors[transfer] = 0;
    this.#vectors[transfer] = 0;
    this.first[transfer] = request;
    this.#last[transfer] = request;
    this.#requests.link[request] = NONE;
    this.#count(transfer, request);
    this.#fresh[this.#freshCount++] = transfer;
  }

  /** The turn's transfers, in the order in which they were begun. Returns how many there are. */
  tell(effects: EffectList): number {
    const count = this.#freshCount;
    for (let i = 0; i < count; i++) {
      const transfer = this.#fresh[i]!;
      effects.add(this.kind[transfer]! as EffectKind, transfer);
    }
    this.#freshCount = 0;
    return count;
  }

  /** It is done with. Returns the first of its chain. */
  give(transfer: number): number {
    this.#free[this.#freeCount++] = transfer;
    return this.first[transfer]!;
  }

  #fits(transfer: number, request: number): boolean {
    return (
      this.#vectors[transfer]! + this.#requests.segments[request]! <= this.#limits.vectors &&
      this.sectors[transfer]! + this.#requests.sectors[request]! <= this.#limits.sectors
    );
  }

  #append(transfer: number, request: number): true {
    const { link } = this.#requests;
    link[this.#last[transfer]!] = request;
    link[request] = NONE;
    this.#last[transfer] = request;
    return this.#count(transfer, request);
  }

  #prepend(transfer: number, request: number): true {
    this.#requests.link[request] = this.first[transfer]!;
    this.first[transfer] = request;
    this.sector[transfer] = this.#requests.sector[request]!;
    return this.#count(transfer, request);
  }

  #count(transfer: number, request: number): true {
    this.sectors[transfer]! += this.#requests.sectors[request]!;
    this.#vectors[transfer]! += this.#requests.segments[request]!;
    return true;
  }
}
