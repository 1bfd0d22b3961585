/**
 * Grant copies as gntdev takes them: which bytes go where, by address or by grant. (linux/include/uapi/xen/gntdev.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { CopySegment, CopySide } from '../gnttab.ts';
import { addressOf } from '../os/ffi.ts';
import { ioc } from './device.ts';

/** The size in the request is that of its own structure. */
export const GRANT_COPY: number = ioc('G', 8, 16);

/** struct gntdev_grant_copy_segment: source 8 bytes, dest 8, u16 length, u16 flags, s16 status, pad. */
export const COPY_SEGMENT_BYTES = 24;
export const SOURCE_GREF = 1;
export const DEST_GREF = 2;
const LENGTH_MAX = 0xffff;

/** The segments in C's layout. Bytes of our own are named by address: they must be kept until the call is over. EINVAL. */
export function copySegments(segments: readonly CopySegment[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(segments.length * COPY_SEGMENT_BYTES));
  for (const [i, { source, dest, length }] of segments.entries()) {
    const at = i * COPY_SEGMENT_BYTES;
    if (!(length >= 0 && length <= LENGTH_MAX)) throw new OsError(Errno.EINVAL, 'copy grants');
    putSide(view, at, source, length);
    putSide(view, at + 8, dest, length);
    view.setUint16(at + 16, length, true);
    view.setUint16(at + 18, ('ref' in source ? SOURCE_GREF : 0) | ('ref' in dest ? DEST_GREF : 0), true);
  }
  return new Uint8Array(view.buffer);
}

/** struct ioctl_gntdev_grant_copy: u32 count, pad, u64 address of the segments. */
export function copyRequest(list: Uint8Array<ArrayBuffer>, count: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, count, true);
  view.setBigUint64(8, addressOf(list), true);
  return new Uint8Array(view.buffer);
}

function putSide(view: DataView, at: number, side: CopySide, length: number): void {
  if ('bytes' in side) {
    if (side.bytes.length < length) throw new OsError(Errno.EINVAL, 'copy grants');
    view.setBigUint64(at, addressOf(side.bytes), true);
  } else {
    view.setUint32(at, side.ref, true);
    view.setUint16(at + 4, side.offset, true);
    view.setUint16(at + 6, side.domid, true);
  }
}
