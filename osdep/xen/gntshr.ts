/**
 * libxengnttab's sharing half over /dev/xen/gntalloc: pages of the kernel's that are granted to a domain and mapped here; their references
 * end with the mapping. (linux/include/uapi/xen/gntalloc.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { Gntshr, PeerAccess, SharedPages } from '../gntshr.ts';
import type { UnmapNotify } from '../gnttab.ts';
import type { Descriptor } from '../os/ffi.ts';
import type { MappedArea } from '../os/mmap.ts';
import { DeviceMapping, mapDevice } from './area.ts';
import { closeDevice, control, devices, ioc, openDevice } from './device.ts';
import { areaRequest, notifyRequest } from './unmapnotify.ts';

const ALLOC_GREF = ioc('G', 5, 24);
const DEALLOC_GREF = ioc('G', 6, 16);
const SET_UNMAP_NOTIFY = ioc('G', 7, 16);
const WRITABLE = 1;

class XenSharedPages extends DeviceMapping implements SharedPages {
  readonly refs: readonly number[];

  constructor(area: MappedArea, refs: readonly number[]) {
    super(area);
    this.refs = refs;
  }
}

export class XenGntshr implements Gntshr {
  #fd: Descriptor;
  readonly #shared = new WeakSet<SharedPages>();

  constructor() {
    this.#fd = openDevice(devices.gntalloc);
  }

  get fd(): Descriptor {
    return this.#fd;
  }

  sharePages(domid: number, count: number, peer: PeerAccess): SharedPages {
    return this.#share(domid, count, peer, undefined);
  }

  sharePageNotify(domid: number, peer: PeerAccess, notify: UnmapNotify): SharedPages {
    return this.#share(domid, 1, peer, notify);
  }

  unshare(shared: SharedPages, count: number): void {
    const ours = this.#shared.has(shared) && shared instanceof DeviceMapping && shared.mapped;
    if (!ours || shared.pages !== count) throw new OsError(Errno.EINVAL, 'unshare pages');
    shared.unmap();
  }

  close(): void {
    if (this.#fd < 0) return;
    closeDevice(this.#fd);
    this.#fd = -1;
  }

  #share(domid: number, pages: number, peer: PeerAccess, notify: UnmapNotify | undefined): SharedPages {
    const fd = this.#fd;
    const what = `share pages with domain ${domid}`;
    if (fd < 0) throw new OsError(Errno.EBADF, 'sharing handle');
    if (!(pages > 0)) throw new OsError(Errno.EINVAL, what);
    const request = shareRequest(domid, pages, peer);
    control(fd, ALLOC_GREF, request, what);
    const answer = new DataView(request.buffer);
    const offset = Number(answer.getBigUint64(8, true));
    const refs = Array.from({ length: pages }, (_, i) => answer.getUint32(16 + 4 * i, true));
    let shared: XenSharedPages | undefined;
    try {
      shared = new XenSharedPages(mapDevice({ fd, offset, pages, protection: 'rw' }, what), refs);
      if (notify) {
        control(fd, SET_UNMAP_NOTIFY, notifyRequest({ index: offset, pages }, notify), 'unmap notification');
      }
    } catch (error) {
      shared?.unmap();
      throw error;
    } finally {
      // The index alone: the pages and their references live as long as somebody maps them.
      control(fd, DEALLOC_GREF, areaRequest(offset, pages), what);
    }
    this.#shared.add(shared);
    return shared;
  }
}

/** struct ioctl_gntalloc_alloc_gref: u16 domid, u16 flags, u32 count, u64 index (the answer), then u32 refs (likewise). */
export function shareRequest(domid: number, pages: number, peer: PeerAccess): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(Math.max(24, 16 + 4 * pages)));
  view.setUint16(0, domid, true);
  view.setUint16(2, peer === 'rw' ? WRITABLE : 0, true);
  view.setUint32(4, pages, true);
  return new Uint8Array(view.buffer);
}
