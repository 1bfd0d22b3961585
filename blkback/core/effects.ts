/**
 * What a disk wants done, in the order in which it has to be done, as two columns of numbers: a kind and the number of what it is
 * about. Details are asked for by that number (details.ts). Nothing is allocated for an effect, and a list can be printed.
 */

/** The second word says what the number is. */
export const Effect = {
  /**
   * request: copy its segments (`segmentsOf`) out of the guest, once, from pages that are mapped (`descriptorPage`) or by grant
   * (`descriptorGref`); answer `fetched`.
   */
  FETCH: 0,
  /** page: map its grant (`grefOf`), readable and writable, to be kept; answer `mapped`. */
  MAP: 1,
  /** request: copy what it writes (`eachCopy`) out of the guest, nothing if it reads; answer `loaded`. */
  LOAD: 2,
  /** transfer: read or write at `sectorOf` what `eachVector` tells; answer `done`. */
  READ: 3,
  WRITE: 4,
  /** transfer: see to it that what has been written is on the medium; answer `done`. */
  FLUSH: 5,
  /** transfer: `sectorOf`, `sectorsOf`; answer `done`. */
  DISCARD: 6,
  SECURE_DISCARD: 7,
  /** request: copy what it has read (`eachCopy`) into the guest; answer `stored`. */
  STORE: 8,
  /** From here on nothing is answered. request: put `response` into the ring `queueOf`. */
  RESPOND: 9,
  /** ring: show its new responses to the guest, and ring the bell if he wants it, before anything that follows is done. */
  PUBLISH: 10,
  /** page: unmap it. */
  UNMAP: 11,
  /** ring: look at it, and let its port bring events again. */
  REARM: 12,
  /** The size has changed: write `sectors`, then the own state once more, so that the frontend looks. */
  RESIZED: 13,
  /** Nothing uses the old medium any more: take the new one (`disk`), then as with RESIZED. */
  MEDIUM: 14,
  /** ring: it is broken; write `failure` to the device's error node and close the device. */
  FATAL: 15,
  /** Nothing is under way or mapped: the rings may go. Comes once, last. */
  CLOSED: 16,
} as const;

export type EffectKind = (typeof Effect)[keyof typeof Effect];

export class EffectList {
  #kinds: Uint8Array = new Uint8Array(64);
  #subjects: Uint32Array = new Uint32Array(64);
  count = 0;

  kind(index: number): EffectKind {
    return this.#kinds[index]! as EffectKind;
  }

  subject(index: number): number {
    return this.#subjects[index]!;
  }

  add(kind: EffectKind, subject: number): void {
    if (this.count === this.#kinds.length) this.#grow();
    this.#kinds[this.count] = kind;
    this.#subjects[this.count++] = subject;
  }

  clear(): void {
    this.count = 0;
  }

  #grow(): void {
    const kinds = new Uint8Array(this.count * 2);
    const subjects = new Uint32Array(this.count * 2);
    kinds.set(this.#kinds);
    subjects.set(this.#subjects);
    this.#kinds = kinds;
    this.#subjects = subjects;
  }
}
