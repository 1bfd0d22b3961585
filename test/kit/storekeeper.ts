/**
 * What our xenstored would keep on a disk, kept in memory: a store that is started again on the same host finds it. Knows nothing of what is in it.
 */
import type { Commit, SavedState } from '../../xenstored/core/ports.ts';
import type { Keeper } from '../../xenstored/io/database.ts';
import { savedState } from '../../xenstored/io/database-tables.ts';
import { Encoder } from '../../xenstored/io/journal-bytes.ts';
import { JournalFold } from '../../xenstored/io/journal-fold.ts';
import { encodeCommit, RecordCursor } from '../../xenstored/io/records.ts';

export class StoreKeeper implements Keeper {
  readonly #encoder = new Encoder();
  readonly #commits: Buffer[] = [];

  append(commit: Commit): void {
    this.#encoder.restart(0);
    encodeCommit(this.#encoder, commit);
    this.#commits.push(Buffer.from(this.#encoder.bytes.subarray(0, this.#encoder.at)));
  }

  /** `undefined`: there was no store yet. */
  async saved(): Promise<SavedState | undefined> {
    const fold = new JournalFold();
    for (const commit of this.#commits) {
      const record = new RecordCursor(commit);
      while (record.next()) fold.take(record);
    }
    return await savedState(undefined, fold);
  }

  /** It outlives its daemon. */
  async close(): Promise<void> {}
}
