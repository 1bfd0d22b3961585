/**
 * Grant copies by table: the hot path of backends. The checks are those of every grant (world/grants.ts), but nothing is allocated, and since
 * nothing else happens in the world during a copy, a grant that nobody uses is marked and not entered in the books.
 */
import { Errno } from '../../errno.ts';
import { type CopyTable, GrantStatus } from '../../gnttab.ts';
import { PAGE_SIZE } from '../../mapping.ts';
import { entryOffset, gfnIn, mark, PIN_LIMIT, tableFrame, unmark } from './entries.ts';
import type { Domain, MapRecord, State } from './state.ts';

/**
 * Copies in order between guests' pages and the caller's mapping, statuses into the table. Answers 0, or EINVAL for a row that no device would show
 * to the hypervisor; those before it have been done. The table may be somebody's who changes it meanwhile: each number is read once.
 */
export function copyByTable(state: State, caller: Domain, map: MapRecord, table: CopyTable): number {
  const own = map.frames[0]!.extent;
  const length = map.pages * PAGE_SIZE;
  const { domids, grefs, offsets, positions, lengths, toGuest, statuses } = table;
  for (let i = 0; i < table.count; i++) {
    const offset = offsets[i]!;
    const position = positions[i]!;
    const bytes = lengths[i]!;
    if (offset + bytes > PAGE_SIZE || position + bytes > length) return Errno.EINVAL;
    const granter = bytes === 0 ? caller : state.find(caller, domids[i]!);
    statuses[i] =
      bytes === 0
        ? GrantStatus.OKAY
        : granter === undefined
          ? GrantStatus.BAD_DOMAIN
          : copy(state, caller, granter, grefs[i]!, offset, own, position, bytes, toGuest[i] === 1);
  }
  return 0;
}

function copy(
  state: State,
  caller: Domain,
  granter: Domain,
  ref: number,
  offset: number,
  own: number,
  position: number,
  length: number,
  toGuest: boolean,
): number {
  const { memory } = state;
  const table = tableFrame(granter, ref);
  if (table === undefined) return GrantStatus.BAD_GNTREF;
  const { extent } = table;
  const entry = entryOffset(table, ref);
  const active = granter.grants.get(ref);
  if (active !== undefined) {
    const pins = toGuest ? active.writers : active.readers;
    if (active.domid !== caller.domid || pins >= PIN_LIMIT) return GrantStatus.GENERAL_ERROR;
  }
  if (!mark(memory, extent, entry, caller.domid, toGuest ? 'rw' : 'r', active === undefined)) {
    return GrantStatus.GENERAL_ERROR;
  }
  const frame = active === undefined ? granter.p2m.get(gfnIn(memory, extent, entry)) : active.frame;
  if (frame !== undefined) {
    const place = frame.page * PAGE_SIZE + offset;
    if (toGuest) memory.copy(own, position, frame.extent, place, length);
    else memory.copy(frame.extent, place, own, position, length);
  }
  if (active === undefined) unmark(memory, extent, entry, 'both');
  else if (active.writers === 0) unmark(memory, extent, entry, 'writing');
  return frame === undefined ? GrantStatus.BAD_PAGE : GrantStatus.OKAY;
}
