/**
 * Entries of grant tables (version 1), where they lie and how the hypervisor marks one as in use. The granter writes the same words: an entry is
 * read as one word, and marked only if nothing changed meanwhile. Knows nothing of who maps what.
 */
import { GrantFlag } from '../../gnttab.ts';
import { PAGE_SIZE } from '../../mapping.ts';
import type { Memory } from './effects.ts';
import type { Domain, Frame } from './state.ts';

export const ENTRY_SIZE = 8;
export const ENTRIES_PER_FRAME: number = PAGE_SIZE / ENTRY_SIZE;

/** A counter of pins that reached this takes no more. */
export const PIN_LIMIT = 128;
/** A granter who keeps changing an entry under our hands is refused after so many attempts. */
export const ATTEMPTS = 5;

export type Access = 'r' | 'rw';

/** The page of a domain's table that has the entry; undefined: the table does not reach that far. */
export function tableFrame(granter: Domain, ref: number): Frame | undefined {
  return ref >= 0 && Number.isInteger(ref)
    ? granter.grantFrames[Math.floor(ref / ENTRIES_PER_FRAME)]
    : undefined;
}

/** Where in its extent the entry is. */
export function entryOffset(frame: Frame, ref: number): number {
  return frame.page * PAGE_SIZE + (ref % ENTRIES_PER_FRAME) * ENTRY_SIZE;
}

/** Checks an entry and sets the hypervisor's bits in one step. Type and grantee count only the `first` time. */
export function mark(
  memory: Memory,
  extent: number,
  offset: number,
  domid: number,
  access: Access,
  first: boolean,
): boolean {
  const bits = GrantFlag.READING | (access === 'rw' ? GrantFlag.WRITING : 0);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const seen = memory.load32(extent, offset);
    const type = seen & (GrantFlag.TYPE_MASK | GrantFlag.SUB_PAGE);
    if (first && (type !== GrantFlag.PERMIT_ACCESS || seen >>> 16 !== domid)) return false;
    if (access === 'rw' && (seen & GrantFlag.READONLY) !== 0) return false;
    const wanted = (seen | bits) >>> 0;
    if (memory.compareExchange32(extent, offset, seen, wanted) === seen) return true;
  }
  return false;
}

export function unmark(memory: Memory, extent: number, offset: number, bits: 'both' | 'writing'): void {
  const mask = bits === 'both' ? GrantFlag.READING | GrantFlag.WRITING : GrantFlag.WRITING;
  memory.and16(extent, offset, ~mask & 0xffff);
}

/** The frame number in an entry. */
export function gfnIn(memory: Memory, extent: number, offset: number): number {
  return memory.load32(extent, offset + 4);
}
