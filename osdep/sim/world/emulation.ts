/**
 * What an emulator asks about a guest other than its ioreq server: interrupt lines, written pages, memory types. A
 * simulated guest has no processor, so an interrupt is a VIRQ to whoever wants to know, and cache or memory types are only checked.
 */
import type { FrameRun, InjectedEvent } from '../../devicemodel.ts';
import { Errno } from '../../errno.ts';
import { Virq } from '../../evtchn.ts';
import type { Events } from './events.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { Domain, State } from './state.ts';

type Empty = Record<never, never>;

const MAX_TRACKED = 2 ** 20;
const MEM_TYPES = 3;

export class Emulation {
  readonly #state: State;
  readonly #events: Events;

  constructor(state: State, events: Events) {
    this.#state = state;
    this.#events = events;
  }

  /** A line that is raised is VIRQ ARCH_1: which one it was is for the guest to find out, from its devices. */
  interrupt(domain: Domain, line: string, level: number): Outcome<Empty> {
    this.#state.effect({ kind: 'interrupt', domid: domain.domid, line, level });
    if (level !== 0) {
      this.#events.raiseVirq(domain, Virq.ARCH_1);
    }
    return nothing;
  }

  inject(domain: Domain, event: InjectedEvent): Outcome<Empty> {
    if (event.vcpu >= domain.maxVcpus || event.vector > 255) {
      return fail(Errno.EINVAL);
    }
    return this.interrupt(domain, `vcpu${event.vcpu} vector ${event.vector}`, 1);
  }

  modified(domain: Domain, runs: readonly FrameRun[]): Outcome<Empty> {
    // Together, or one request could keep the hypervisor busy for hours.
    if (runs.reduce((sum, run) => sum + run.count, 0) > MAX_TRACKED) {
      return fail(Errno.EINVAL);
    }
    for (const { firstPfn, count } of runs) {
      // Counted by the pages: beyond 2^53 one more is the same number, and a loop over the frames has no end.
      for (let index = 0; index < count; index += 1) {
        if (domain.p2m.has(firstPfn + index)) {
          domain.dirty.add(firstPfn + index);
        }
      }
    }
    return nothing;
  }

  /**
   * A bit for each page written since the last time, and for all of them when a range is asked about first. Only what
   * emulators reported is known here.
   */
  trackDirty(domain: Domain, firstPfn: number, count: number): Outcome<{ bitmap: Uint8Array }> {
    if (count > MAX_TRACKED) {
      return fail(Errno.EINVAL);
    }
    const bitmap = new Uint8Array(Math.ceil(count / 8));
    const { tracked } = domain;
    if (tracked?.firstPfn !== firstPfn || tracked.count !== count) {
      domain.tracked = { firstPfn, count };
      domain.dirty.clear();
      return done({ bitmap: bitmap.fill(0xff) });
    }
    for (let index = 0; index < count; index += 1) {
      if (domain.dirty.delete(firstPfn + index)) {
        bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
      }
    }
    return done({ bitmap });
  }

  setMemType(domain: Domain, type: number, firstPfn: number, count: number): Outcome<Empty> {
    if (type >= MEM_TYPES || count > MAX_TRACKED) {
      return fail(Errno.EINVAL);
    }
    for (let index = 0; index < count; index += 1) {
      if (!domain.p2m.has(firstPfn + index)) {
        return fail(Errno.EINVAL);
      }
    }
    return nothing;
  }

  /** Moves pages to another place in the guest. */
  relocate(domain: Domain, count: number, sourceGfn: number, destGfn: number): Outcome<Empty> {
    if (count > MAX_TRACKED) {
      return fail(Errno.EINVAL);
    }
    for (let index = 0; index < count; index += 1) {
      const frame = domain.p2m.get(sourceGfn + index);
      if (frame === undefined || domain.p2m.has(destGfn + index)) {
        return fail(Errno.EINVAL);
      }
      domain.p2m.delete(sourceGfn + index);
      frame.gfn = destGfn + index;
      domain.p2m.set(destGfn + index, frame);
    }
    return nothing;
  }
}
