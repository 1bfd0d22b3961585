/**
 * Areas of memory that domains have mapped, whatever they are made of, and what happens when one goes: a byte is
 * cleared, a peer rung, pages come free. Every kind of mapping ends here, also when its domain dies.
 */
import { Errno } from '../../errno.ts';
import { PAGE_SIZE } from '../../mapping.ts';
import type { Events } from './events.ts';
import { type Frames, runsOf } from './frames.ts';
import type { Grants } from './grants.ts';
import { fail, nothing, type Outcome } from './outcome.ts';
import type { MappedMemory, MapResult } from './requests.ts';
import type { Domain, Frame, MapRecord, State } from './state.ts';

export interface NewMap {
  /** In order; undefined is a hole. */
  readonly frames: readonly (Frame | undefined)[];
  readonly writable: boolean;
  /** Grant handles, whose pins keep the frames; without any the map keeps them itself. */
  readonly handles?: readonly number[];
  readonly refs?: readonly number[];
  readonly clearByte?: number | undefined;
  readonly notifyPort?: number | undefined;
  /** One extent of the domain's own, for copies by table. */
  readonly forCopies?: boolean;
}

export interface Mapped {
  readonly ok: true;
  readonly value: MapResult;
  readonly memory: MappedMemory;
}

export class Maps {
  readonly #state: State;
  readonly #frames: Frames;
  readonly #grants: Grants;
  readonly #events: Events;

  constructor(state: State, frames: Frames, grants: Grants, events: Events) {
    this.#state = state;
    this.#frames = frames;
    this.#grants = grants;
    this.#events = events;
  }

  add(domain: Domain, area: NewMap): Mapped {
    const present = area.frames.filter((frame) => frame !== undefined);
    if (area.handles === undefined) {
      for (const frame of present) {
        this.#frames.hold(frame);
      }
    }
    const record: MapRecord = {
      map: this.#state.serial(),
      pages: area.frames.length,
      frames: present,
      handles: area.handles ?? [],
      refs: area.refs ?? [],
      clearByte: area.clearByte,
      notifyPort: area.notifyPort,
      forCopies: area.forCopies === true,
    };
    domain.maps.set(record.map, record);
    domain.mappedPages += record.pages;
    return {
      ok: true,
      value: { map: record.map },
      memory: { runs: runsOf(area.frames), writable: area.writable },
    };
  }

  remove(domain: Domain, map: number): Outcome<Record<never, never>> {
    const record = domain.maps.get(map);
    if (record === undefined) {
      return fail(Errno.EINVAL);
    }
    domain.maps.delete(map);
    domain.mappedPages -= record.pages;
    if (record.clearByte !== undefined) {
      const frame = record.frames[Math.floor(record.clearByte / PAGE_SIZE)];
      if (frame !== undefined) {
        this.#frames.write(frame, record.clearByte % PAGE_SIZE, new Uint8Array(1));
      }
    }
    for (const handle of record.handles) {
      this.#grants.unmap(domain, handle);
    }
    if (record.handles.length === 0) {
      for (const frame of record.frames) {
        this.#frames.release(frame);
      }
    }
    for (const ref of record.refs) {
      this.#unshare(domain, ref);
    }
    if (record.notifyPort !== undefined) {
      this.#events.send(domain, record.notifyPort);
    }
    return nothing;
  }

  /** A reference that nobody uses any more: free for the next sharing, if its owner had given it up. */
  unpinned(granter: Domain, ref: number): void {
    const frame = granter.lingering.get(ref);
    if (frame !== undefined && this.#grants.revoke(granter, ref)) {
      granter.lingering.delete(ref);
      granter.freeRefs.push(ref);
      this.#frames.displace(frame);
    }
  }

  /** At once where nobody maps the page; otherwise when the peer lets go. */
  #unshare(domain: Domain, ref: number): void {
    const frame = domain.shared.get(ref);
    if (frame === undefined) {
      return;
    }
    domain.shared.delete(ref);
    domain.lingering.set(ref, frame);
    this.unpinned(domain, ref);
  }
}
