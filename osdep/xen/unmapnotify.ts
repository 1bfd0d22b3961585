/**
 * Structures that gntdev and gntalloc share: naming an area by its index, and what happens when it goes.
 * (linux/include/uapi/xen/gntdev.h, gntalloc.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { UnmapNotify } from '../gnttab.ts';
import { PAGE_SIZE } from '../mapping.ts';

const CLEAR_BYTE = 1;
const SEND_EVENT = 2;

/** struct ioctl_gntdev_unmap_grant_ref, ioctl_gntalloc_dealloc_gref: u64 index, u32 count, pad. */
export function areaRequest(index: number, pages: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(index), true);
  view.setUint32(8, pages, true);
  return new Uint8Array(view.buffer);
}

/**
 * struct ioctl_gntdev_unmap_notify, ioctl_gntalloc_unmap_notify: u64 index of the byte, u32 action, u32 port. EINVAL for a byte outside of the
 * area, which the kernel would look for in the next one.
 */
export function notifyRequest(
  { index, pages }: { readonly index: number; readonly pages: number },
  { clearByte, port }: UnmapNotify,
): Uint8Array {
  if (clearByte !== undefined && !(clearByte >= 0 && clearByte < pages * PAGE_SIZE)) {
    throw new OsError(Errno.EINVAL, `unmap notification: byte ${clearByte}`);
  }
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(index + (clearByte ?? 0)), true);
  view.setUint32(8, (clearByte === undefined ? 0 : CLEAR_BYTE) | (port === undefined ? 0 : SEND_EVENT), true);
  view.setUint32(12, port ?? 0, true);
  return new Uint8Array(view.buffer);
}
