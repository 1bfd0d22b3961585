/**
 * What an effect is about, for whoever does it: a request's response, grants and copies, a transfer's place on the disk and its memory.
 * Asked by the number that stands in the effect, while that is being done. Decides nothing.
 */
import { type BlkifLayout, BlkifOp, INDIRECT_PAGES, SECTOR_BYTES, writeResponse } from './blkif.ts';
import { NONE } from './fifo.ts';
import type { DiskMemory } from './memory.ts';
import { Phase, type Requests } from './requests.ts';
import type { Transfers } from './transfers.ts';

export class EffectDetails {
  readonly #layout: BlkifLayout;
  readonly #requests: Requests;
  readonly #memory: DiskMemory;
  readonly #transfers: Transfers;
  readonly #response = { idLow: 0, idHigh: 0, operation: 0, status: 0 };

  constructor(layout: BlkifLayout, requests: Requests, memory: DiskMemory, transfers: Transfers) {
    this.#layout = layout;
    this.#requests = requests;
    this.#memory = memory;
    this.#transfers = transfers;
  }

  /** RESPOND: the response, `layout.responseBytes` of them. The request is forgotten. */
  response(request: number, into: Uint8Array): void {
    if (this.#requests.phase[request] !== Phase.DONE) throw new Error(`request ${request} is not done`);
    const response = this.#response;
    response.idLow = this.#requests.idLow[request]!;
    response.idHigh = this.#requests.idHigh[request]!;
    response.operation = this.#requests.op[request]!;
    response.status = this.#requests.status[request]!;
    writeResponse(this.#layout, into, response);
    this.#requests.give(request);
  }

  /** RESPOND. */
  queueOf(request: number): number {
    return this.#requests.queue[request]!;
  }

  /** FETCH: so many segments of 8 bytes lie in these pages, 512 in each from its start on. */
  segmentsOf(request: number): number {
    return this.#requests.segments[request]!;
  }

  /** FETCH: how many pages there are. */
  descriptorPages(request: number): number {
    return this.#requests.descriptorPages(request);
  }

  /** FETCH. */
  descriptorGref(request: number, index: number): number {
    return this.#requests.descriptorGref(request, index);
  }

  /** FETCH: the page in which that grant is mapped, unless its MAP has failed; NONE: in none. */
  descriptorPage(request: number, index: number): number {
    return this.#requests.descriptorPage[request * INDIRECT_PAGES + index]!;
  }

  /** MAP. */
  grefOf(page: number): number {
    return this.#memory.grefOf(page);
  }

  /** LOAD: false, there is nothing to copy: it only waits for its maps. */
  writes(request: number): boolean {
    return this.#requests.op[request] !== BlkifOp.READ;
  }

  /** LOAD, STORE: what is copied from the guest's page to ours, or back; at the same offset in both. */
  eachCopy(
    request: number,
    visit: (gref: number, page: number, offset: number, length: number) => void,
  ): void {
    const { gref, page, firstSect, sectCount, segments, maxSegments } = this.#requests;
    const base = request * maxSegments;
    const end = base + segments[request]!;
    for (let i = base; i < end; i++) {
      if (page[i]! >= this.#memory.poolPages) continue;
      visit(gref[i]!, page[i]!, firstSect[i]! * SECTOR_BYTES, sectCount[i]! * SECTOR_BYTES);
    }
  }

  /** READ, WRITE, DISCARD: where on the disk, in sectors of 512 bytes. */
  sectorOf(transfer: number): number {
    return this.#transfers.sector[transfer]!;
  }

  sectorsOf(transfer: number): number {
    return this.#transfers.sectors[transfer]!;
  }

  /** READ, WRITE: the memory, in the order of the disk. */
  eachVector(transfer: number, visit: (page: number, offset: number, length: number) => void): void {
    const { page, firstSect, sectCount, segments, maxSegments, link } = this.#requests;
    for (let request = this.#transfers.first[transfer]!; request !== NONE; request = link[request]!) {
      const base = request * maxSegments;
      const end = base + segments[request]!;
      for (let i = base; i < end; i++) {
        visit(page[i]!, firstSect[i]! * SECTOR_BYTES, sectCount[i]! * SECTOR_BYTES);
      }
    }
  }
}
