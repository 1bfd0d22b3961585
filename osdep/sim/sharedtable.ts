/**
 * A table of copies in memory that a domain's process shares with the hypervisor process: the last pages of the copier's own memory. What is in it
 * may change at any moment as far as the hypervisor is concerned. Knows where the columns lie, not what they mean.
 */
import type { CopyTable } from '../gnttab.ts';

/** Rows of a request: so many pages at most are copied before it is somebody else's turn. */
export const TABLE_ROWS = 1024;

/** Four bytes each for references and positions, two for domains, offsets, lengths and statuses, one for the direction: whole pages. */
export const TABLE_BYTES: number = Math.ceil((TABLE_ROWS * 17) / 4096) * 4096;

export class SharedTable implements CopyTable {
  count = 0;
  readonly grefs: Uint32Array;
  readonly positions: Uint32Array;
  readonly domids: Uint16Array;
  readonly offsets: Uint16Array;
  readonly lengths: Uint16Array;
  readonly statuses: Int16Array;
  readonly toGuest: Uint8Array;

  /** `bytes` are TABLE_BYTES, from a page on. */
  constructor({ buffer, byteOffset }: Uint8Array) {
    const column = (bytesPerRowBefore: number): number => byteOffset + bytesPerRowBefore * TABLE_ROWS;
    this.grefs = new Uint32Array(buffer, column(0), TABLE_ROWS);
    this.positions = new Uint32Array(buffer, column(4), TABLE_ROWS);
    this.domids = new Uint16Array(buffer, column(8), TABLE_ROWS);
    this.offsets = new Uint16Array(buffer, column(10), TABLE_ROWS);
    this.lengths = new Uint16Array(buffer, column(12), TABLE_ROWS);
    this.statuses = new Int16Array(buffer, column(14), TABLE_ROWS);
    this.toGuest = new Uint8Array(buffer, column(16), TABLE_ROWS);
  }

  /** Takes rows of another table, from its row `from` on. */
  take(table: CopyTable, from: number, count: number): void {
    this.count = count;
    for (let i = 0, at = from; i < count; i++, at++) {
      this.grefs[i] = table.grefs[at]!;
      this.positions[i] = table.positions[at]!;
      this.domids[i] = table.domids[at]!;
      this.offsets[i] = table.offsets[at]!;
      this.lengths[i] = table.lengths[at]!;
      this.toGuest[i] = table.toGuest[at]!;
    }
  }

  /** The statuses of what was taken, to where it was taken from. */
  giveStatuses(table: CopyTable, from: number): void {
    for (let i = 0; i < this.count; i++) table.statuses[from + i] = this.statuses[i]!;
  }
}
