/**
 * An area of memory shared with somebody else: a mapped grant, a foreign frame, a page of our own that a
 * peer may map. Whatever is read from it can change at any moment; read once, then check.
 */
export interface Mapping {
  /** Size in pages of 4096 bytes. */
  readonly pages: number;
  readonly writable: boolean;
  /**
   * The whole area over an ArrayBuffer, contiguous, starting at a page. Of length 0 once unmapped: take it
   * anew for each use instead of keeping it. EOPNOTSUPP where the platform cannot lay scattered frames side
   * by side (the simulator within one process; pages shared in one call are never scattered).
   */
  readonly bytes: Uint8Array;
  /** One page of it, wherever its frames lie. Of length 0 once unmapped. */
  page(index: number): Uint8Array;
  /** Gives the area back. Doing it again does nothing. */
  unmap(): void;
}

export const PAGE_SIZE = 4096;
