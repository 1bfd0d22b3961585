/** libxenforeignmemory on the simulator. A restricted handle is as Linux's: it cannot ask for anybody else. */
import { Errno, OsError } from '../errno.ts';
import type { Foreignmemory, PartialMapping, ResourceFrames } from '../foreignmemory.ts';
import type { Protection } from '../gnttab.ts';
import { type Mapping, PAGE_SIZE } from '../mapping.ts';
import type { HandleRegistry } from '../toolcore.ts';
import { SimMapping } from './area.ts';
import type { Machine } from './machine.ts';
import { Restriction } from './restriction.ts';

export class SimForeignmemory implements Foreignmemory {
  readonly fd = -1;
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #restriction = new Restriction();

  constructor(machine: Machine, handles: HandleRegistry) {
    this.#machine = machine;
    this.#handles = handles;
    handles.register(this);
  }

  map(domid: number, protection: Protection, gfns: readonly number[]): Mapping {
    return this.#map(domid, protection, gfns, false).mapping;
  }

  mapPartial(domid: number, protection: Protection, gfns: readonly number[]): PartialMapping {
    return this.#map(domid, protection, gfns, true);
  }

  mapResource(frames: ResourceFrames, protection: Protection): Mapping {
    this.#restriction.check(frames.domid);
    const writable = protection === 'rw';
    const { value, area } = this.#machine.callMapped('resourceMap', { ...frames, writable });
    return new SimMapping(this.#machine, value.map, area, frames.count, writable);
  }

  resourceSize(domid: number, type: number, id: number): number {
    this.#restriction.check(domid);
    return this.#machine.call('resourceSize', { domid, type, id }).frames * PAGE_SIZE;
  }

  restrict(domid: number): void {
    this.#restriction.restrict(domid);
  }

  close(): void {
    this.#handles.deregister(this);
    this.#restriction.close();
  }

  #map(domid: number, protection: Protection, gfns: readonly number[], partial: boolean): PartialMapping {
    this.#restriction.check(domid);
    if (gfns.length === 0) {
      throw new OsError(Errno.EINVAL, 'map foreign frames');
    }
    const writable = protection === 'rw';
    const { value, area } = this.#machine.callMapped('foreignMap', { domid, gfns, writable, partial });
    const mapping = new SimMapping(this.#machine, value.map, area, gfns.length, writable);
    return { mapping, errors: value.errors };
  }
}
