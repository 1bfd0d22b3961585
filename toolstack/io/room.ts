/**
 * Room in the store for those who serve devices: as much as all the devices of the host may take, in steps, so that few of them cost a request. Knows no
 * device.
 */
import type { Client } from '../../xenstored/client/index.ts';
import { deviceQuotas, quotaOf } from '../core/quotas.ts';

/** Devices at a time. */
const STEP = 64;

export class Room {
  readonly #store: Client;
  /** For how many devices a domain has room. */
  readonly #given = new Map<number, Promise<number>>();

  constructor(store: Client) {
    this.#store = store;
  }

  /** Until `domid` has room for so many devices, those that it serves already among them. */
  async make(domid: number, devices: number): Promise<void> {
    const given = this.#given.get(domid) ?? Promise.resolve(0);
    const now = given.catch(() => 0).then((room) => (room >= devices ? room : this.#give(domid, devices)));
    this.#given.set(domid, now);
    await now;
  }

  /** A domain that is no more: its number may be another's. */
  forget(domid: number): void {
    this.#given.delete(domid);
  }

  async #give(domid: number, devices: number): Promise<number> {
    const room = Math.ceil(devices / STEP) * STEP;
    for (const name of deviceQuotas)
      await this.#store.setQuota(name, quotaOf(name, await this.#store.getQuota(name), room), domid);
    return room;
  }
}
