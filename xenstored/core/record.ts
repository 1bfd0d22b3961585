/**
 * What of the server's state must survive, put together once a turn: changed nodes, domains, watches, settings, and where each ring stands. Knows
 * nothing of how it is kept.
 */
import { watchKey } from './link.ts';
import type { Commit, RingRecord, WatchRecord } from './ports.ts';
import type { State } from './state.ts';
import type { Watch } from './watch.ts';

/** Everything that has changed since it was last asked for and must survive; `undefined`: nothing has. */
export function takeCommit(state: State): Commit | undefined {
  const { store, domains, watchesAdded, watchesRemoved } = state;
  const rings = ringRecords(state);
  const quiet =
    !store.changed &&
    rings.length === 0 &&
    domains.changed.size === 0 &&
    domains.removed.size === 0 &&
    watchesAdded.length === 0 &&
    watchesRemoved.length === 0 &&
    !state.settingsChanged;
  if (quiet) return undefined;
  const { nodes, removed } = store.takeChanges();
  const commit: Commit = {
    nodes,
    removed,
    domains: [...domains.changed].map((domain) => domain.record()),
    removedDomains: [...domains.removed],
    watches: watchesAdded.filter(stillSet).map(watchRecord),
    removedWatches: watchesRemoved,
    rings,
    settings: state.settingsChanged ? { ...domains.defaults } : undefined,
    generation: store.generation,
  };
  domains.changed.clear();
  domains.removed.clear();
  if (watchesAdded.length > 0) state.watchesAdded = [];
  if (watchesRemoved.length > 0) state.watchesRemoved = [];
  state.settingsChanged = false;
  return commit;
}

function ringRecords(state: State): readonly RingRecord[] {
  const { output, fed, rewritten } = state;
  for (const link of output) if (link.kind === 'ring') fed.add(link);
  for (const link of rewritten) fed.add(link);
  if (fed.size === 0) return NO_RINGS;
  const records: RingRecord[] = [];
  for (const link of fed) {
    const anew = rewritten.has(link);
    const { at, bytes } = link.outbox.takeAppended(anew);
    const { domid, consumed, framer } = link;
    records.push({
      domid,
      consumed,
      partial: framer.partial(),
      appendedAt: at,
      appended: bytes,
      reset: anew,
    });
  }
  fed.clear();
  rewritten.clear();
  return records;
}

const NO_RINGS: readonly RingRecord[] = [];

function watchRecord({ seq, link, path, token, depth, prefixBytes }: Watch): WatchRecord {
  return { seq, domid: link.domid, path: path.slice(prefixBytes), token, depth };
}

function stillSet(watch: Watch): boolean {
  return watch.link.watches.get(watchKey(watch.path, watch.token)) === watch;
}
