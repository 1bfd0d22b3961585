/**
 * Frames: who owns which, where its owner has it, and how many maps keep it. Bytes belong to extents, one for each
 * allocation; an extent ends with its last frame. Knows nothing of who may map what.
 */
import { PAGE_SIZE } from '../../mapping.ts';
import type { Run } from './requests.ts';
import type { Domain, Frame, State } from './state.ts';

export class Frames {
  readonly #state: State;
  readonly #live = new Map<number, number>();
  #nextMfn = 0x1000;
  /** Told when somebody let go of a domain's frame: a dead one may now be gone. */
  readonly #onLoss: (owner: Domain) => void;

  constructor(state: State, onLoss: (owner: Domain) => void) {
    this.#state = state;
    this.#onLoss = onLoss;
  }

  /** The highest frame number so far. */
  get maxMfn(): number {
    return this.#nextMfn - 1;
  }

  /** New zeroed frames of one extent, without a place yet; undefined when the machine is full. */
  allocate(owner: Domain, pages: number, keep: 'kept' | 'free'): Frame[] | undefined {
    if (pages > this.#state.freePages) {
      return undefined;
    }
    const extent = this.#state.serial();
    if (!this.#state.memory.allocate(extent, pages)) {
      return undefined;
    }
    this.#state.freePages -= pages;
    this.#live.set(extent, pages);
    owner.frames += pages;
    return Array.from({ length: pages }, (_, page) => ({
      mfn: this.#nextMfn++,
      extent,
      page,
      owner,
      gfn: undefined,
      kept: keep === 'kept',
      maps: 0,
    }));
  }

  /** Gives a frame its place in the owner's memory. */
  place(frame: Frame, gfn: number): void {
    frame.gfn = gfn;
    frame.owner.p2m.set(gfn, frame);
  }

  /**
   * Takes a frame out of its owner's memory; those who map it keep it until they let go. One that its owner gave back
   * before is out of it already, and may be free: to free it again would take the books of others with it.
   */
  displace(frame: Frame): void {
    if (frame.gfn === undefined) {
      return;
    }
    frame.owner.p2m.delete(frame.gfn);
    frame.gfn = undefined;
    this.#freeIfUnused(frame);
    this.#onLoss(frame.owner);
  }

  /** The hypervisor lets go of a page that it kept for its owner. */
  drop(frame: Frame): void {
    frame.kept = false;
    this.#freeIfUnused(frame);
  }

  hold(frame: Frame): void {
    frame.maps += 1;
  }

  release(frame: Frame): void {
    frame.maps -= 1;
    this.#freeIfUnused(frame);
    this.#onLoss(frame.owner);
  }

  read(frame: Frame, offset: number, length: number): Uint8Array {
    return this.#state.memory.read(frame.extent, frame.page * PAGE_SIZE + offset, length);
  }

  write(frame: Frame, offset: number, bytes: Uint8Array): void {
    this.#state.memory.write(frame.extent, frame.page * PAGE_SIZE + offset, bytes);
  }

  #freeIfUnused(frame: Frame): void {
    if (frame.maps > 0 || frame.kept || frame.gfn !== undefined) {
      return;
    }
    const left = (this.#live.get(frame.extent) ?? 0) - 1;
    if (left > 0) {
      this.#live.set(frame.extent, left);
    } else {
      this.#live.delete(frame.extent);
      this.#state.memory.free(frame.extent);
    }
    this.#state.freePages += 1;
    frame.owner.frames -= 1;
  }
}

/** Frames as runs of neighbouring pages: one mapping each. A missing frame is a hole. */
export function runsOf(frames: readonly (Frame | undefined)[]): Run[] {
  const runs: { extent: number; page: number; pages: number }[] = [];
  for (const frame of frames) {
    const last = runs.at(-1);
    const extent = frame?.extent ?? 0;
    const page = frame?.page ?? 0;
    if (last !== undefined && last.extent === extent && (extent === 0 || last.page + last.pages === page)) {
      last.pages += 1;
    } else {
      runs.push({ extent, page, pages: 1 });
    }
  }
  return runs;
}
