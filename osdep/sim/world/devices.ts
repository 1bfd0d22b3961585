/**
 * Grant devices: what Linux's /dev/xen/gntdev and /dev/xen/gntalloc make of single grants. Mappings of several
 * references are had whole or not at all; shared pages get a place and references of the domain's own.
 */
import { Errno } from '../../errno.ts';
import { type GrantRef, GrantStatus, type UnmapNotify } from '../../gnttab.ts';
import { PAGE_SIZE } from '../../mapping.ts';
import { ENTRIES_PER_FRAME } from './entries.ts';
import type { Frames } from './frames.ts';
import type { Grants } from './grants.ts';
import type { Mapped, Maps } from './maps.ts';
import { done, type Fail, fail, type Outcome } from './outcome.ts';
import type { CopyOp, CopyResult, MappedMemory, MapResult } from './requests.ts';
import type { Domain, Frame } from './state.ts';

/** As Linux's module parameters. */
const MAP_LIMIT = 65536;
const RESERVED_REFS = 8;
/** Memory for copies by table: of what a domain may map of others, it may have so much to copy into. 256 MiB, unless its toolstack lets it map more. */
const COPIED_OF_MAPPED = 1 / 4;

export interface Shared {
  readonly ok: true;
  readonly value: MapResult & { refs: number[]; gfns: number[] };
  readonly memory: MappedMemory;
}

export class Devices {
  readonly #frames: Frames;
  readonly #grants: Grants;
  readonly #maps: Maps;

  constructor(frames: Frames, grants: Grants, maps: Maps) {
    this.#frames = frames;
    this.#grants = grants;
    this.#maps = maps;
  }

  map(
    caller: Domain,
    refs: readonly GrantRef[],
    writable: boolean,
    notify: UnmapNotify | undefined,
  ): Mapped | Fail {
    if (refs.length === 0 || refs.length > MAP_LIMIT || !this.#sane(caller, notify, refs.length, writable)) {
      return fail(Errno.EINVAL);
    }
    const handles: number[] = [];
    const frames: Frame[] = [];
    for (const { domid, ref } of refs) {
      const { status, handle } = this.#grants.map(caller, domid, ref, writable ? 'rw' : 'r');
      const frame = status === GrantStatus.OKAY ? this.#grants.frameOf(caller, handle) : undefined;
      if (frame === undefined) {
        for (const mapped of handles) {
          this.#grants.unmap(caller, mapped);
        }
        return fail(Errno.EINVAL);
      }
      handles.push(handle);
      frames.push(frame);
    }
    return this.#maps.add(caller, {
      frames,
      writable,
      handles,
      clearByte: notify?.clearByte,
      notifyPort: notify?.port,
    });
  }

  /** Segments that no hypervisor would look at end the call; those before them have been done. */
  copy(caller: Domain, ops: readonly CopyOp[]): Outcome<{ results: CopyResult[] }> {
    const results: CopyResult[] = [];
    for (const op of ops) {
      const local = Number('local' in op.source) + Number('local' in op.dest);
      const ends = [op.source, op.dest];
      const outside = ends.some((end) => 'offset' in end && end.offset + op.length > PAGE_SIZE);
      const short = 'local' in op.source && (op.bytes?.length ?? 0) < op.length;
      if (local === 2 || outside || short || ends.some((end) => 'gfn' in end)) {
        return fail(Errno.EINVAL);
      }
      results.push(this.#grants.copy(caller, op));
    }
    return done({ results });
  }

  /** Memory of a domain's own for copies by table. No more at a time than can be mapped: others wait meanwhile. */
  copier(caller: Domain, pages: number): Mapped | Fail {
    if (pages === 0) {
      return fail(Errno.EINVAL);
    }
    let all = pages;
    for (const map of caller.maps.values()) {
      all += map.forCopies ? map.pages : 0;
    }
    if (pages > MAP_LIMIT || all > caller.maxMaptrack * COPIED_OF_MAPPED) {
      return fail(Errno.ENOMEM);
    }
    const frames = this.#frames.allocate(caller, pages, 'free');
    return frames === undefined
      ? fail(Errno.ENOMEM)
      : this.#maps.add(caller, { frames, writable: true, forCopies: true });
  }

  share(
    owner: Domain,
    to: number,
    count: number,
    peerWritable: boolean,
    notify: UnmapNotify | undefined,
  ): Shared | Fail {
    if (!(Number.isInteger(count) && count > 0) || !this.#sane(owner, notify, count, true)) {
      return fail(Errno.EINVAL);
    }
    if (owner.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    const refs = this.#takeRefs(owner, count);
    if (refs === undefined) {
      return fail(Errno.ENOSPC);
    }
    const frames = this.#frames.allocate(owner, count, 'free');
    if (frames === undefined) {
      owner.freeRefs.push(...refs);
      return fail(Errno.ENOMEM);
    }
    const gfns = frames.map((frame, index) => {
      const ref = refs[index] ?? 0;
      const gfn = this.#freeGfn(owner);
      this.#frames.place(frame, gfn);
      owner.shared.set(ref, frame);
      this.#grants.grant(owner, ref, to, gfn, peerWritable ? 'rw' : 'r');
      return gfn;
    });
    const mapped = this.#maps.add(owner, {
      frames,
      writable: true,
      refs,
      clearByte: notify?.clearByte,
      notifyPort: notify?.port,
    });
    return { ...mapped, value: { ...mapped.value, refs, gfns } };
  }

  /** The table grows as far as it may. */
  #takeRefs(owner: Domain, count: number): number[] | undefined {
    const fresh = Math.max(0, count - owner.freeRefs.length);
    const first = Math.max(RESERVED_REFS, owner.nextRef);
    if (!this.#grants.grow(owner, Math.ceil((first + fresh) / ENTRIES_PER_FRAME))) {
      return undefined;
    }
    owner.nextRef = first + fresh;
    const reused = owner.freeRefs.splice(Math.max(0, owner.freeRefs.length - count));
    return [...reused, ...Array.from({ length: fresh }, (_, index) => first + index)];
  }

  #freeGfn(owner: Domain): number {
    while (owner.p2m.has(owner.nextGfn)) {
      owner.nextGfn += 1;
    }
    const gfn = owner.nextGfn;
    owner.nextGfn += 1;
    return gfn;
  }

  #sane(domain: Domain, notify: UnmapNotify | undefined, pages: number, writable: boolean): boolean {
    if (notify?.clearByte !== undefined) {
      const inside = notify.clearByte >= 0 && notify.clearByte < pages * PAGE_SIZE;
      if (!writable || !inside) {
        return false;
      }
    }
    return notify?.port === undefined || domain.ports.get(notify.port)?.file !== undefined;
  }
}
