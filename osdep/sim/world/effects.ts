/**
 * What the world wants done outside of it, and the one thing that it needs of the outside: memory. Knows neither
 * processes nor buffers: an extent is a number, given out once, of so many pages.
 */

/** The bytes of extents. Offsets and lengths are in bytes and have been checked against the extent's size. */
export interface Memory {
  /** Zeroed pages under a number that was never used before; false when there are none left. */
  allocate(extent: number, pages: number): boolean;
  /** Nobody maps the extent any more. */
  free(extent: number): void;
  /** A private copy. */
  read(extent: number, offset: number, length: number): Uint8Array;
  write(extent: number, offset: number, bytes: Uint8Array): void;
  copy(source: number, sourceOffset: number, dest: number, destOffset: number, length: number): void;
  /** Aligned, atomic, little-endian, as the three below. */
  load32(extent: number, offset: number): number;
  /** The result is what was there before. */
  compareExchange32(extent: number, offset: number, expected: number, replacement: number): number;
  and16(extent: number, offset: number, mask: number): void;
}

export type Effect =
  /** A port of an event channel file fired: to be queued for its `pending()`, at most once until unmasked. */
  | { readonly kind: 'event'; readonly domid: number; readonly handle: number; readonly port: number }
  /** An event channel file is gone. */
  | { readonly kind: 'fileClosed'; readonly domid: number; readonly handle: number }
  /** For whoever runs the domains: `dead` is the moment to end its process, `gone` when nothing of it is left. */
  | {
      readonly kind: 'domain';
      readonly domid: number;
      readonly what: 'created' | 'paused' | 'unpaused' | 'shutdown' | 'resumed' | 'dead' | 'gone';
    }
  /** An interrupt line of the guest's that an emulator has set; the guest itself hears of it by a VIRQ. */
  | { readonly kind: 'interrupt'; readonly domid: number; readonly line: string; readonly level: number };
