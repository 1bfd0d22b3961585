/**
 * Domain ids with a meaning of their own (xen/include/public/xen.h). Real domains have the ids 0 to
 * 0x7fef; the rest is reserved.
 */
export const Domid = {
  FIRST_RESERVED: 0x7ff0,
  SELF: 0x7ff0,
  IO: 0x7ff1,
  XEN: 0x7ff2,
  COW: 0x7ff3,
  INVALID: 0x7ff4,
  ANY: 0x7ff5,
  IDLE: 0x7fff,
} as const;

/** True for an id that a domain can have. */
export function isRealDomid(domid: number): boolean {
  return Number.isInteger(domid) && domid >= 0 && domid < Domid.FIRST_RESERVED;
}
