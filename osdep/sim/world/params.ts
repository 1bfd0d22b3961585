/**
 * A guest's numbered parameters: which exist, who may set them, and which are set but once
 * (xen/include/public/hvm/params.h, xen/arch/x86/hvm/hvm.c).
 */
import { Errno } from '../../errno.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { Domain } from './state.ts';

const COUNT = 39;
const STORE_EVTCHN = 2;
const CONSOLE_EVTCHN = 18;

/** Callback, vm86 segments, ACPI ports, the two event channels, generation id, x87 width. */
const GUEST_MAY_SET: ReadonlySet<number> = new Set([0, 15, 19, STORE_EVTCHN, CONSOLE_EVTCHN, 34, 36, 37]);

/** Viridian, the frames of ioreq servers, machine check capabilities. */
const SET_ONCE: ReadonlySet<number> = new Set([5, 6, 9, 32, 33, 38]);

const DEPRECATED: ReadonlySet<number> = new Set([4, 13, 20, 21, 22, 23, 24, 25, 26, 30]);

const ALTP2M = 35;

function exists(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < COUNT && !DEPRECATED.has(index);
}

export function setParam(
  caller: Domain,
  target: Domain,
  index: number,
  value: number,
): Outcome<Record<never, never>> {
  if (!exists(index)) {
    return fail(Errno.EINVAL);
  }
  if (index === ALTP2M) {
    return fail(Errno.EEXIST);
  }
  if (caller === target && !GUEST_MAY_SET.has(index)) {
    return fail(Errno.EPERM);
  }
  const before = target.params.get(index) ?? 0;
  if (SET_ONCE.has(index) && before !== 0 && before !== value) {
    return fail(Errno.EEXIST);
  }
  target.params.set(index, value);
  return nothing;
}

export function getParam(target: Domain, index: number): Outcome<{ value: number }> {
  return exists(index) ? done({ value: target.params.get(index) ?? 0 }) : fail(Errno.EINVAL);
}
