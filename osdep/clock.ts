/**
 * Time and chance, as arguments: everything that waits or picks gets these from its platform, so that a
 * simulated run is decided by its seed alone. Knows no time zone and no calendar.
 */
export interface Clock {
  /** Milliseconds, with a fraction, since an arbitrary start; never goes back. */
  now(): number;
  /** Milliseconds since 1970-01-01 UTC; may be set by an administrator, so only for showing. */
  wallNow(): number;
  /** Calls back once, `delayMs` from now or later, to the millisecond. The result cancels it; cancelling late does nothing. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface Random {
  /** A whole number from 0 to 2^32 - 1. */
  u32(): number;
  /** A whole number from 0 to `limit - 1`; `limit` is 1 to 2^32. */
  below(limit: number): number;
  /** `length` bytes. On a simulated platform they repeat with the seed: fit for ids, not for keys. */
  bytes(length: number): Uint8Array;
}
