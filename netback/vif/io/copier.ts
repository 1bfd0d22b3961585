/**
 * Carries a batch of copies out: between the packets' memory, which is made here, and guests' pages, in one call to the hypervisor. Checks nothing,
 * and knows no packets.
 */
import { OsError } from '../../../osdep/errno.ts';
import { type CopySegment, type Gnttab, GrantStatus } from '../../../osdep/gnttab.ts';
import type { CopyBatch } from '../core/copies.ts';

export class Copier {
  readonly memory: Uint8Array;
  readonly #gnttab: Gnttab;

  constructor(gnttab: Gnttab, memoryBytes: number) {
    this.#gnttab = gnttab;
    this.memory = new Uint8Array(memoryBytes);
  }

  /** Each one's outcome is in `statuses` afterwards. */
  carryOut(copies: CopyBatch): void {
    if (copies.count === 0) return;
    const segments: CopySegment[] = [];
    for (let i = 0; i < copies.count; i++) {
      const length = copies.lengths[i]!;
      const position = copies.positions[i]!;
      const guest = { domid: copies.domids[i]!, ref: copies.grefs[i]!, offset: copies.offsets[i]! };
      const ours = { bytes: this.memory.subarray(position, position + length) };
      segments.push(
        copies.toGuest[i] === 1
          ? { source: ours, dest: guest, length }
          : { source: guest, dest: ours, length },
      );
    }
    const results = this.#copy(segments);
    for (let i = 0; i < copies.count; i++) copies.statuses[i] = results[i] ?? GrantStatus.GENERAL_ERROR;
  }

  /** A refused call has copied nothing that anybody may rely on. */
  #copy(segments: readonly CopySegment[]): readonly number[] {
    try {
      return this.#gnttab.grantCopy(segments);
    } catch (error) {
      if (error instanceof OsError) return [];
      throw error;
    }
  }
}
