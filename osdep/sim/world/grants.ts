/**
 * Grant tables of version 1: entries in pages that the granter writes, pins on what is in use, and handles of those
 * who map (xen/common/grant_table.c). The granter is hostile: an entry is read as one word, and the hypervisor's two
 * bits are set only if nothing changed meanwhile. Answers are GrantStatus values, one for each operation.
 */
import { GrantFlag, GrantStatus } from '../../gnttab.ts';
import { PAGE_SIZE } from '../../mapping.ts';
import {
  type Access,
  ATTEMPTS,
  ENTRIES_PER_FRAME,
  ENTRY_SIZE,
  entryOffset,
  gfnIn,
  mark,
  PIN_LIMIT,
  tableFrame,
  unmark,
} from './entries.ts';
import type { Frames } from './frames.ts';
import type { CopyEnd, CopyOp, CopyResult } from './requests.ts';
import type { ActiveGrant, Domain, Frame, Maptrack, State } from './state.ts';

interface Entry {
  readonly extent: number;
  readonly offset: number;
}

export class Grants {
  readonly #state: State;
  readonly #frames: Frames;
  /** Told when nobody uses a grant any more. */
  readonly #onUnpinned: (granter: Domain, ref: number) => void;

  constructor(state: State, frames: Frames, onUnpinned: (granter: Domain, ref: number) => void) {
    this.#state = state;
    this.#frames = frames;
    this.#onUnpinned = onUnpinned;
  }

  /** Grows a table to at least `count` frames; false when its limit or the machine's memory forbids it. */
  grow(domain: Domain, count: number): boolean {
    if (count > domain.maxGrantFrames) {
      return false;
    }
    while (domain.grantFrames.length < count) {
      const [frame] = this.#frames.allocate(domain, 1, 'kept') ?? [];
      if (frame === undefined) {
        return false;
      }
      domain.grantFrames.push(frame);
    }
    return true;
  }

  /** Writes an entry as its granter would; the table must reach that far. */
  grant(granter: Domain, ref: number, to: number, gfn: number, access: Access): void {
    const frame = granter.grantFrames[Math.floor(ref / ENTRIES_PER_FRAME)];
    if (frame === undefined) {
      return;
    }
    const entry = new DataView(new ArrayBuffer(ENTRY_SIZE));
    entry.setUint16(2, to, true);
    entry.setUint32(4, gfn, true);
    const offset = (ref % ENTRIES_PER_FRAME) * ENTRY_SIZE;
    this.#frames.write(frame, offset, new Uint8Array(entry.buffer));
    const flags = GrantFlag.PERMIT_ACCESS | (access === 'r' ? GrantFlag.READONLY : 0);
    const word = entry.getUint32(0, true);
    this.#state.memory.compareExchange32(
      frame.extent,
      frame.page * PAGE_SIZE + offset,
      word,
      (word | flags) >>> 0,
    );
  }

  /** Withdraws an entry as its granter would: not while somebody uses it. */
  revoke(granter: Domain, ref: number): boolean {
    const entry = this.#entry(granter, ref);
    if (entry === undefined) {
      return true;
    }
    const inUse = GrantFlag.READING | GrantFlag.WRITING;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const seen = this.#state.memory.load32(entry.extent, entry.offset);
      if ((seen & inUse) !== 0 || granter.grants.has(ref)) {
        return false;
      }
      const found = this.#state.memory.compareExchange32(entry.extent, entry.offset, seen, 0);
      if (found === seen) {
        return true;
      }
    }
    return false;
  }

  map(caller: Domain, domid: number, ref: number, access: Access): { status: number; handle: number } {
    const refuse = (status: number) => ({ status, handle: -1 });
    const granter = this.#state.find(caller, domid);
    if (granter === undefined) {
      return refuse(GrantStatus.BAD_DOMAIN);
    }
    if (caller.maptrack.size >= caller.maxMaptrack) {
      return refuse(GrantStatus.NO_SPACE);
    }
    const pinned = this.#pin(caller, granter, ref, access);
    if (typeof pinned === 'number') {
      return refuse(pinned);
    }
    this.#frames.hold(pinned.frame);
    const handle = caller.nextMaptrack;
    caller.nextMaptrack += 1;
    caller.maptrack.set(handle, { granter, ref, writable: access === 'rw' });
    return { status: GrantStatus.OKAY, handle };
  }

  /** The frame behind a handle, while it is mapped. */
  frameOf(caller: Domain, handle: number): Frame | undefined {
    const track = caller.maptrack.get(handle);
    return track?.granter.grants.get(track.ref)?.frame;
  }

  unmap(caller: Domain, handle: number): number {
    const track: Maptrack | undefined = caller.maptrack.get(handle);
    const active = track?.granter.grants.get(track.ref);
    if (track === undefined || active === undefined) {
      return GrantStatus.BAD_HANDLE;
    }
    caller.maptrack.delete(handle);
    this.#unpin(track.granter, track.ref, active, track.writable ? 'rw' : 'r');
    this.#frames.release(active.frame);
    return GrantStatus.OKAY;
  }

  /** One copy. Both sides are pinned while it lasts, and nothing stays. */
  copy(caller: Domain, op: CopyOp): CopyResult {
    if (op.length === 0) {
      return { status: GrantStatus.OKAY };
    }
    for (const end of [op.source, op.dest]) {
      if ('offset' in end && !(end.offset >= 0 && end.offset + op.length <= PAGE_SIZE)) {
        return { status: GrantStatus.BAD_COPY_ARG };
      }
    }
    const source = this.#open(caller, op.source, 'r');
    if (source.status !== GrantStatus.OKAY) {
      return { status: source.status };
    }
    const dest = this.#open(caller, op.dest, 'rw');
    if (dest.status !== GrantStatus.OKAY) {
      source.close();
      return { status: dest.status };
    }
    const bytes =
      source.frame === undefined
        ? (op.bytes ?? new Uint8Array(0)).subarray(0, op.length)
        : this.#frames.read(source.frame, source.offset, op.length);
    if (dest.frame !== undefined) {
      this.#frames.write(dest.frame, dest.offset, bytes);
    }
    source.close();
    dest.close();
    return dest.frame === undefined ? { status: GrantStatus.OKAY, bytes } : { status: GrantStatus.OKAY };
  }

  #open(
    caller: Domain,
    end: CopyEnd,
    access: Access,
  ): { status: number; frame: Frame | undefined; offset: number; close: () => void } {
    const nothing = { frame: undefined, offset: 0, close: () => {} };
    if ('local' in end) {
      return { status: GrantStatus.OKAY, ...nothing };
    }
    if ('gfn' in end) {
      const frame = caller.p2m.get(end.gfn);
      return frame === undefined
        ? { status: GrantStatus.BAD_PAGE, ...nothing }
        : { status: GrantStatus.OKAY, frame, offset: end.offset, close: () => {} };
    }
    const granter = this.#state.find(caller, end.domid);
    if (granter === undefined) {
      return { status: GrantStatus.BAD_DOMAIN, ...nothing };
    }
    const active = this.#pin(caller, granter, end.ref, access);
    if (typeof active === 'number') {
      return { status: active, ...nothing };
    }
    const close = () => this.#unpin(granter, end.ref, active, access);
    return { status: GrantStatus.OKAY, frame: active.frame, offset: end.offset, close };
  }

  /** Takes a grant into use, or says why not. */
  #pin(caller: Domain, granter: Domain, ref: number, access: Access): ActiveGrant | number {
    const entry = this.#entry(granter, ref);
    if (entry === undefined) {
      return GrantStatus.BAD_GNTREF;
    }
    const active = granter.grants.get(ref);
    if (active !== undefined) {
      const pins = access === 'rw' ? active.writers : active.readers;
      if (active.domid !== caller.domid || pins >= PIN_LIMIT) {
        return GrantStatus.GENERAL_ERROR;
      }
    }
    const { extent, offset } = entry;
    if (!mark(this.#state.memory, extent, offset, caller.domid, access, active === undefined)) {
      return GrantStatus.GENERAL_ERROR;
    }
    const used = active ?? this.#activate(caller, granter, ref, entry);
    if (used === undefined) {
      unmark(this.#state.memory, extent, offset, 'both');
      return GrantStatus.BAD_PAGE;
    }
    if (access === 'rw') {
      used.writers += 1;
    } else {
      used.readers += 1;
    }
    return used;
  }

  #activate(caller: Domain, granter: Domain, ref: number, entry: Entry): ActiveGrant | undefined {
    // Whatever the granter writes there from now on, this is the frame.
    const gfn = gfnIn(this.#state.memory, entry.extent, entry.offset);
    const frame = granter.p2m.get(gfn);
    if (frame === undefined) {
      return undefined;
    }
    const active: ActiveGrant = { domid: caller.domid, frame, readers: 0, writers: 0 };
    granter.grants.set(ref, active);
    return active;
  }

  #unpin(granter: Domain, ref: number, active: ActiveGrant, access: Access): void {
    if (access === 'rw') {
      active.writers -= 1;
    } else {
      active.readers -= 1;
    }
    const entry = this.#entry(granter, ref);
    const idle = active.readers + active.writers === 0;
    if (entry !== undefined && (idle || active.writers === 0)) {
      unmark(this.#state.memory, entry.extent, entry.offset, idle ? 'both' : 'writing');
    }
    if (idle) {
      granter.grants.delete(ref);
      this.#onUnpinned(granter, ref);
    }
  }

  #entry(granter: Domain, ref: number): Entry | undefined {
    const frame = tableFrame(granter, ref);
    return frame && { extent: frame.extent, offset: entryOffset(frame, ref) };
  }
}
