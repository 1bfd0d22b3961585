/**
 * libxengnttab's mapping half over /dev/xen/gntdev: an ioctl names the grants and answers an index, at which they are then mapped. Knows no
 * ring and no page's meaning. (linux/include/uapi/xen/gntdev.h)
 */
import { Errno, OsError } from '../errno.ts';
import {
  type Copier,
  type CopySegment,
  type Gnttab,
  type GrantRef,
  GrantStatus,
  type Protection,
  type UnmapNotify,
} from '../gnttab.ts';
import type { Mapping } from '../mapping.ts';
import type { Descriptor } from '../os/ffi.ts';
import { DeviceMapping, mapDevice } from './area.ts';
import { XenCopier } from './copier.ts';
import { closeDevice, control, devices, ioc, openDevice } from './device.ts';
import * as dmabuf from './dmabuf.ts';
import { COPY_SEGMENT_BYTES, copyRequest, copySegments, GRANT_COPY } from './grantcopy.ts';
import { areaRequest, notifyRequest } from './unmapnotify.ts';

// The size in a request is that of the structure with one grant, however many there are.
const MAP_GRANT_REF = ioc('G', 0, 24);
const UNMAP_GRANT_REF = ioc('G', 1, 16);
const SET_MAX_GRANTS = ioc('G', 3, 4);
const SET_UNMAP_NOTIFY = ioc('G', 7, 16);

export class XenGnttab implements Gnttab {
  #fd: Descriptor;
  readonly #mappings = new WeakSet<Mapping>();

  constructor() {
    this.#fd = openDevice(devices.gntdev);
  }

  get fd(): Descriptor {
    return this.#fd;
  }

  setMaxGrants(count: number): void {
    if (!(count > 0)) throw new OsError(Errno.EINVAL, 'set the number of grants');
    try {
      control(this.#open(), SET_MAX_GRANTS, new Uint8Array(Uint32Array.of(count).buffer), 'limit grants');
    } catch (error) {
      // Today's kernels have no such limit.
      if (!(error instanceof OsError) || error.errno !== Errno.ENOTTY) throw error;
    }
  }

  mapGrantRef(domid: number, ref: number, protection: Protection): Mapping {
    return this.#map([{ domid, ref }], protection, undefined);
  }

  mapGrantRefs(refs: readonly GrantRef[], protection: Protection): Mapping {
    return this.#map(refs, protection, undefined);
  }

  mapDomainGrantRefs(domid: number, refs: readonly number[], protection: Protection): Mapping {
    const each = refs.map((ref) => ({ domid, ref }));
    return this.#map(each, protection, undefined);
  }

  mapGrantRefNotify(domid: number, ref: number, protection: Protection, notify: UnmapNotify): Mapping {
    return this.#map([{ domid, ref }], protection, notify);
  }

  unmap(mapping: Mapping, count: number): void {
    const ours = this.#mappings.has(mapping) && mapping instanceof DeviceMapping && mapping.mapped;
    if (!ours || mapping.pages !== count) throw new OsError(Errno.EINVAL, 'unmap grants');
    mapping.unmap();
  }

  grantCopy(segments: readonly CopySegment[]): number[] {
    const fd = this.#open();
    if (segments.length === 0) return [];
    const list = copySegments(segments);
    control(fd, GRANT_COPY, copyRequest(list, segments.length), 'copy grants');
    const statuses = new DataView(list.buffer, list.byteOffset);
    return segments.map((_, i) => {
      const status = statuses.getInt16(i * COPY_SEGMENT_BYTES + 20, true);
      return status === 0 ? GrantStatus.OKAY : status;
    });
  }

  openCopier(memoryBytes: number): Copier {
    this.#open();
    return new XenCopier(memoryBytes);
  }

  dmabufExpFromRefs(domid: number, flags: number, refs: readonly number[]): number {
    return dmabuf.exportRefs(this.#open(), { domid, flags, refs });
  }

  dmabufExpWaitReleased(fd: number, timeoutMs: number): void {
    dmabuf.waitReleased(this.#open(), fd, timeoutMs);
  }

  dmabufImpToRefs(domid: number, fd: number, count: number): number[] {
    return dmabuf.importToRefs(this.#open(), { domid, fd, count });
  }

  dmabufImpRelease(fd: number): void {
    dmabuf.release(this.#open(), fd);
  }

  close(): void {
    if (this.#fd < 0) return;
    closeDevice(this.#fd);
    this.#fd = -1;
  }

  #map(refs: readonly GrantRef[], protection: Protection, notify: UnmapNotify | undefined): Mapping {
    const fd = this.#open();
    const pages = refs.length;
    const what = `map grants of domain ${refs[0]?.domid}`;
    const request = mapRequest(refs);
    control(fd, MAP_GRANT_REF, request, what);
    const offset = Number(new DataView(request.buffer).getBigUint64(8, true));
    const giveBack = (): void => this.#giveBack(offset, pages);
    let mapping: DeviceMapping | undefined;
    try {
      mapping = new DeviceMapping(mapDevice({ fd, offset, pages, protection }, what), giveBack);
      if (notify) {
        control(fd, SET_UNMAP_NOTIFY, notifyRequest({ index: offset, pages }, notify), 'unmap notification');
      }
    } catch (error) {
      if (mapping) mapping.unmap();
      else giveBack();
      throw error;
    }
    this.#mappings.add(mapping);
    return mapping;
  }

  /** The index; after the handle is closed the kernel has it back already. */
  #giveBack(offset: number, pages: number): void {
    if (this.#fd >= 0) control(this.#fd, UNMAP_GRANT_REF, areaRequest(offset, pages), 'unmap grants');
  }

  #open(): Descriptor {
    if (this.#fd < 0) throw new OsError(Errno.EBADF, 'grant handle');
    return this.#fd;
  }
}

/** struct ioctl_gntdev_map_grant_ref: u32 count, pad, u64 index (the answer), then u32 domid and u32 ref each. */
export function mapRequest(refs: readonly GrantRef[]): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(4 + 2 * refs.length);
  words[0] = refs.length;
  for (const [i, { domid, ref }] of refs.entries()) {
    words[4 + 2 * i] = domid;
    words[5 + 2 * i] = ref;
  }
  return new Uint8Array(words.buffer);
}
