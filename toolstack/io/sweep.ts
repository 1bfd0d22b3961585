/**
 * Clears up on demand: domains that were left half done, and nodes of those that are no more. Looks at every domain: for orders of people, never on the way of
 * another order.
 */
import type { RecordPhase } from '../core/record.ts';
import type { Swept } from '../core/toolstack.ts';
import { reasonOf } from './fault.ts';
import type { Keeper } from './keeper.ts';
import { removeOrphans } from './orphans.ts';
import type { Parts } from './parts.ts';
import type { Table } from './table.ts';

const SWEPT: ReadonlySet<RecordPhase> = new Set(['creating', 'restarting', 'ending', 'unknown']);

export async function sweep(parts: Parts, table: Table, keeper: Keeper): Promise<Swept> {
  const removed: string[] = [];
  const left: string[] = [];
  // What is under way, recoveries among it, comes to its end first.
  await Promise.all(
    table.all().map(({ record: { uuid } }) =>
      table.exclusive(uuid, async () => {
        const record = table.get(uuid)?.record;
        if (record === undefined || !SWEPT.has(record.phase)) return;
        const why =
          record.phase === 'unknown' ? 'of which nothing can be read any more' : 'which was left half done';
        const what = `guest ${record.config.name}, ${why}`;
        try {
          await keeper.remove(record);
          removed.push(what);
        } catch (error) {
          left.push(`${what}: ${reasonOf(error)}`);
        }
      }),
    ),
  );
  const orphans = await removeOrphans(parts, () => ({
    domids: table.all().flatMap(({ record: { domid } }) => domid ?? []),
    uuids: table.all().map(({ record: { uuid } }) => uuid),
  }));
  return { removed: [...removed, ...orphans.removed], left: [...left, ...orphans.left] };
}
