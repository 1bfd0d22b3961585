/**
 * A process that dies between two stores into shared memory: memory whose every store counts, and whoever stores for the n-th time is stopped
 * there for good. Words that are stored by Atomics count wherever they are.
 */
import { vi } from 'vitest';
import type { SharedPages } from '../../osdep/gntshr.ts';
import type { Gnttab } from '../../osdep/gnttab.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { Platform } from '../../osdep/platform.ts';
import { liveHost } from '../../osdep/sim/local.ts';

const KILLED = new Error('killed');

let left = Number.POSITIVE_INFINITY;

function step(): void {
  if (left-- <= 0) throw KILLED;
}

/** Does something with a process that dies at its n-th store, counted from 0: whether it did. */
export function killedAt(store: number, act: () => void): boolean {
  const { store: atomic } = Atomics;
  vi.spyOn(Atomics, 'store').mockImplementation(((...args: Parameters<typeof atomic>) => {
    step();
    return atomic(...args);
  }) as typeof atomic);
  left = store;
  try {
    act();
    return false;
  } catch (error) {
    if (error !== KILLED) throw error;
    return true;
  } finally {
    left = Number.POSITIVE_INFINITY;
    vi.restoreAllMocks();
  }
}

/** The same memory, whose stores of bytes count. */
export function dying(bytes: Uint8Array): Uint8Array {
  return new Proxy(bytes, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set(target, key, value): boolean {
      step();
      return Reflect.set(target, key, value, target);
    },
  });
}

/** A way to map pages that are such memory. */
export function dyingGnttab(gnttab: Gnttab): Gnttab {
  const wrapped = (mapping: Mapping): Mapping => ({
    pages: mapping.pages,
    writable: mapping.writable,
    bytes: dying(mapping.bytes),
    page: (index) => mapping.page(index),
    unmap: () => mapping.unmap(),
  });
  return new Proxy(gnttab, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key, target);
      if (key === 'mapGrantRef')
        return (...args: Parameters<Gnttab['mapGrantRef']>) => wrapped(target.mapGrantRef(...args));
      if (key === 'mapDomainGrantRefs')
        return (...args: Parameters<Gnttab['mapDomainGrantRefs']>) =>
          wrapped(target.mapDomainGrantRefs(...args));
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A guest of a machine, a page that it has granted to the control domain, and the platform of each. */
export function sharedPage(): {
  readonly control: Platform;
  readonly platform: Platform;
  readonly domid: number;
  readonly shared: SharedPages;
} {
  const machine = liveHost();
  const control = machine.platformFor(0);
  const ctrl = control.openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 16);
  ctrl.unpause(domid);
  const platform = machine.platformFor(domid);
  return { control, platform, domid, shared: platform.openGntshr().sharePages(0, 1, 'rw') };
}
