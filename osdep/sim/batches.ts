/**
 * Copies in portions: one request must neither be longer than the hypervisor takes, nor make it work for long while
 * others wait. Knows how large a copy is on the way, nothing of what it does.
 */
import type { CopyOp } from './world/requests.ts';

/** Copies in one request; each moves a page at most. */
export const COPIES_PER_REQUEST = 256;
/** What one takes as text, at most. */
const TEXT_BYTES = 256;

/** The same copies in the same order, as requests that fit. A copy that alone is too long stays so. */
export function batchesOf(ops: readonly CopyOp[], maxBytes: number): CopyOp[][] {
  const batches: CopyOp[][] = [];
  let batch: CopyOp[] = [];
  let size = 0;
  for (const op of ops) {
    const bytes = TEXT_BYTES + (op.bytes?.length ?? 0);
    if (batch.length > 0 && (batch.length === COPIES_PER_REQUEST || size + bytes > maxBytes)) {
      batches.push(batch);
      batch = [];
      size = 0;
    }
    batch.push(op);
    size += bytes;
  }
  if (batch.length > 0 || batches.length === 0) batches.push(batch);
  return batches;
}
