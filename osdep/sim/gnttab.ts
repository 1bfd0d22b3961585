/** libxengnttab on the simulator, the mapping half, as Linux's gntdev does it. */
import { Errno, OsError } from '../errno.ts';
import {
  type Copier,
  type CopySegment,
  type CopySide,
  type Gnttab,
  type GrantRef,
  GrantStatus,
  type Protection,
  type UnmapNotify,
} from '../gnttab.ts';
import type { Mapping } from '../mapping.ts';
import { SimMapping } from './area.ts';
import { SimCopier } from './copier.ts';
import type { Machine } from './machine.ts';
import type { CopyEnd, CopyOp } from './world/requests.ts';

export class SimGnttab implements Gnttab {
  readonly fd = -1;
  readonly #machine: Machine;
  readonly #mappings = new WeakSet<Mapping>();
  #open = true;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Accepted and ignored, as by Linux; what limits mappings is the hypervisor. */
  setMaxGrants(count: number): void {
    if (!(count > 0)) {
      throw new OsError(Errno.EINVAL, 'set the number of grants');
    }
  }

  mapGrantRef(domid: number, ref: number, protection: Protection): Mapping {
    return this.#map([{ domid, ref }], protection, undefined);
  }

  mapGrantRefs(refs: readonly GrantRef[], protection: Protection): Mapping {
    return this.#map(refs, protection, undefined);
  }

  mapDomainGrantRefs(domid: number, refs: readonly number[], protection: Protection): Mapping {
    return this.#map(
      refs.map((ref) => ({ domid, ref })),
      protection,
      undefined,
    );
  }

  mapGrantRefNotify(domid: number, ref: number, protection: Protection, notify: UnmapNotify): Mapping {
    return this.#map([{ domid, ref }], protection, notify);
  }

  unmap(mapping: Mapping, count: number): void {
    if (!this.#mappings.has(mapping) || mapping.pages !== count) {
      throw new OsError(Errno.EINVAL, 'unmap grants');
    }
    this.#mappings.delete(mapping);
    if (mapping instanceof SimMapping && !mapping.mapped) {
      throw new OsError(Errno.EINVAL, 'unmap grants');
    }
    mapping.unmap();
  }

  grantCopy(segments: readonly CopySegment[]): number[] {
    this.#check();
    const ops = segments.map((segment): CopyOp => {
      const { source, dest, length } = segment;
      if (tooShort(source, length) || tooShort(dest, length)) {
        throw new OsError(Errno.EINVAL, 'copy grants');
      }
      const op = { source: endOf(source), dest: endOf(dest), length };
      return 'bytes' in source ? { ...op, bytes: source.bytes.slice(0, length) } : op;
    });
    const { results } = this.#machine.call('gntdevCopy', { ops });
    return segments.map(({ dest }, index) => {
      const result = results[index];
      if ('bytes' in dest && result?.bytes !== undefined) {
        dest.bytes.set(result.bytes);
      }
      return result?.status ?? GrantStatus.GENERAL_ERROR;
    });
  }

  openCopier(memoryBytes: number): Copier {
    this.#check();
    return new SimCopier(this.#machine, memoryBytes);
  }

  dmabufExpFromRefs(): number {
    throw noDmabuf();
  }

  dmabufExpWaitReleased(): void {
    throw noDmabuf();
  }

  dmabufImpToRefs(): number[] {
    throw noDmabuf();
  }

  dmabufImpRelease(): void {
    throw noDmabuf();
  }

  close(): void {
    this.#open = false;
  }

  #map(refs: readonly GrantRef[], protection: Protection, notify: UnmapNotify | undefined): Mapping {
    this.#check();
    const writable = protection === 'rw';
    const args = notify === undefined ? { refs, writable } : { refs, writable, notify };
    const { value, area } = this.#machine.callMapped('gntdevMap', args);
    const mapping = new SimMapping(this.#machine, value.map, area, refs.length, writable);
    this.#mappings.add(mapping);
    return mapping;
  }

  #check(): void {
    if (!this.#open) {
      throw new OsError(Errno.EBADF, 'grant handle');
    }
  }
}

function endOf(side: CopySide): CopyEnd {
  return 'bytes' in side ? { local: true } : { domid: side.domid, ref: side.ref, offset: side.offset };
}

function tooShort(side: CopySide, length: number): boolean {
  return 'bytes' in side && side.bytes.length < length;
}

function noDmabuf(): OsError {
  return new OsError(Errno.EOPNOTSUPP, 'share memory with a device');
}
