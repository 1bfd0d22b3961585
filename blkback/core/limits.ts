/**
 * What a disk is allowed to cost: how much of everything a guest may have at a time, with the figures that hold if nobody says
 * otherwise.
 */

export interface VbdLimits {
  /** Requests taken and not answered, shared evenly by the rings. */
  readonly requests: number;
  /** Requests taken from one ring at a time, before another device has its turn. */
  readonly turnRequests: number;
  /** Memory for data that is copied; at least the segments of one request. */
  readonly poolPages: number;
  /** Persistent grants for each ring; 1056 is Linux's. */
  readonly persistentGrants: number;
  /** Of one transfer; at least the segments of one request. */
  readonly transferVectors: number;
  /** Of a transfer of several requests; one request may be longer. */
  readonly transferBytes: number;
  /**
   * Of the transfers that one list of effects begins, and how many of them, after which another list follows: what a fast disk does at once is answered, and
   * the guest at work on it, while the next is done.
   */
  readonly listBytes: number;
  readonly listTransfers: number;
  /** Events without a request that a ring may send from one tick to the next, besides one for each event with some. */
  readonly idleEvents: number;
}

export const vbdLimits: VbdLimits = {
  requests: 256,
  turnRequests: 64,
  poolPages: 2048,
  persistentGrants: 1056,
  transferVectors: 256,
  transferBytes: 1 << 20,
  listBytes: 1 << 17,
  listTransfers: 8,
  idleEvents: 1000,
};
