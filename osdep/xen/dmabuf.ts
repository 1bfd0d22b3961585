/**
 * Granted pages as buffers of Linux's DMA framework, for devices: the part of gntdev that a kernel has only with CONFIG_XEN_GNTDEV_DMABUF.
 * (linux/include/uapi/xen/gntdev.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { Descriptor } from '../os/ffi.ts';
import { control, ioc, orUnsupported } from './device.ts';

// As with mapping, the size in a request is that of the structure with one reference.
const EXP_FROM_REFS = ioc('G', 9, 20);
const EXP_WAIT_RELEASED = ioc('G', 10, 8);
const IMP_TO_REFS = ioc('G', 11, 20);
const IMP_RELEASE = ioc('G', 12, 8);

export interface Export {
  readonly domid: number;
  readonly flags: number;
  readonly refs: readonly number[];
}

export interface Import {
  readonly domid: number;
  readonly fd: Descriptor;
  readonly count: number;
}

/** The new buffer's descriptor. EOPNOTSUPP. */
export function exportRefs(gntdev: Descriptor, { domid, flags, refs }: Export): Descriptor {
  const words = Uint32Array.of(flags, refs.length, 0, domid, ...refs);
  call(gntdev, EXP_FROM_REFS, words);
  return words[2]!;
}

/** Waits until nobody uses the buffer any more; a buffer that is gone already counts. ETIMEDOUT. */
export function waitReleased(gntdev: Descriptor, fd: Descriptor, timeoutMs: number): void {
  try {
    call(gntdev, EXP_WAIT_RELEASED, Uint32Array.of(fd, timeoutMs));
  } catch (error) {
    if (!(error instanceof OsError) || error.errno !== Errno.ENOENT) throw error;
  }
}

/** References to the pages of a buffer, for another domain. EOPNOTSUPP. */
export function importToRefs(gntdev: Descriptor, { domid, fd, count }: Import): number[] {
  const words = new Uint32Array(4 + count);
  words.set([fd, count, domid]);
  call(gntdev, IMP_TO_REFS, words);
  return [...words.subarray(4)];
}

export function release(gntdev: Descriptor, fd: Descriptor): void {
  call(gntdev, IMP_RELEASE, Uint32Array.of(fd, 0));
}

function call(gntdev: Descriptor, request: number, words: Uint32Array): void {
  const what = 'share memory with a device';
  try {
    control(gntdev, request, new Uint8Array(words.buffer, words.byteOffset, words.byteLength), what);
  } catch (error) {
    throw orUnsupported(error, `${what}: the kernel has no CONFIG_XEN_GNTDEV_DMABUF`);
  }
}
