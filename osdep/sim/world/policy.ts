/**
 * Who may do what to whom: the default rules of Xen's security hooks (xen/include/xsm/dummy.h). The control domain
 * may do anything, the store's domain may look at domains, a device model may act on its target.
 */
import { Errno } from '../../errno.ts';
import { done, fail, type Outcome } from './outcome.ts';
import type { Domain, State } from './state.ts';

/**
 * - `control`: the control domain alone;
 * - `inspect`: it, or the store's domain;
 * - `model`: it, or the device model of that domain;
 * - `self`: it, the device model, or the domain itself.
 */
export type Right = 'control' | 'inspect' | 'model' | 'self';

export function may(caller: Domain, right: Right, target?: Domain): boolean {
  if (caller.control) {
    return true;
  }
  switch (right) {
    case 'control':
      return false;
    case 'inspect':
      return caller.xenstore;
    case 'model':
      return target !== undefined && caller.target === target;
    case 'self':
      return target !== undefined && (caller === target || caller.target === target);
  }
}

/** The domain asked for, if it exists and the caller may: ESRCH or EPERM otherwise. */
export function reach(state: State, caller: Domain, right: Right, domid: number): Outcome<Domain> {
  const target = state.find(caller, domid);
  if (target === undefined) {
    return fail(Errno.ESRCH);
  }
  return may(caller, right, target) ? done(target) : fail(Errno.EPERM);
}

/** As reach, for the toolstack's commands: whoever is not in control does not learn which domains exist. */
export function command(state: State, caller: Domain, right: Right, domid: number): Outcome<Domain> {
  const target = state.domains.get(domid);
  if (target === undefined) {
    return fail(caller.control ? Errno.ESRCH : Errno.EPERM);
  }
  return may(caller, right, target) ? done(target) : fail(Errno.EPERM);
}
