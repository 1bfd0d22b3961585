/**
 * One guest's disk, connected: a state machine from requests of its rings to maps, copies, transfers and responses. Events come in by
 * methods, effects go out by `take` (effects.ts). Knows no ring page, file, clock or store; payload never passes through here.
 *
 * A request's way: parsed, its segments fetched if it is indirect, checked against the disk, held until what it conflicts with is done
 * (order.ts), its pages mapped or copied (memory.ts), moved to or from the disk together with its neighbours (transfers.ts), copied back,
 * answered.
 *
 * Whoever attaches after a `kill -9` does again what has no response yet, in the order in which it was taken, and that gives what doing each
 * once would have given: what a request in conflict with an older one begins is begun after the older one's answer is shown, or else both
 * are done again. A write therefore waits until an older read of the same sectors is not only done but answered; with several rings until an
 * older write is, too. ../README.md says how the requests without a response are found again, and what `answers` costs.
 *
 * Bounded everywhere: requests taken, memory, mappings, work of a turn, idle events. A bad request costs an ERROR; a bad ring the device.
 */
import type { BlkifProtocol } from '../../xenstored/xenbus/vbd.ts';
import { type BlkifLayout, BlkifOp, BlkifStatus, DIRECT_SEGMENTS, layoutOf, SECTOR_BYTES } from './blkif.ts';
import { EffectDetails } from './details.ts';
import { type Disk, refusal } from './disk.ts';
import { Effect, type EffectKind, EffectList } from './effects.ts';
import { Fifo, NONE } from './fifo.ts';
import { type VbdLimits, vbdLimits } from './limits.ts';
import { DiskMemory } from './memory.ts';
import { Order } from './order.ts';
import { Phase, Requests } from './requests.ts';
import { RingOrder } from './ring.ts';
import { Statistics } from './statistics.ts';
import { movesData, nextStep, transferKind } from './steps.ts';
import { Transfers } from './transfers.ts';

export interface VbdOptions {
  readonly disk: Disk;
  readonly protocol: BlkifProtocol;
  /** Slots of each ring. */
  readonly ringSizes: readonly number[];
  /** Both sides have said feature-persistent. */
  readonly persistent: boolean;
  /** What feature-max-indirect-segments offers; 0: no indirect requests. */
  readonly indirectSegments: number;
  /**
   * `in order`, of their ring: then what is behind `rsp_prod` is untouched. `as done`: for whoever keeps the requests that have no response
   * in memory that survives the process.
   */
  readonly answers: 'in order' | 'as done';
  readonly limits?: Partial<VbdLimits>;
}

/** `closing`: finishes what it has. `broken`: only waits for what is under way. */
export type VbdState = 'open' | 'closing' | 'broken' | 'closed';

/** Linux's EOPNOTSUPP. */
const NOT_SUPPORTED = -95;

export class Vbd {
  readonly statistics: Statistics = new Statistics();
  readonly layout: BlkifLayout;
  /** What effects are about. */
  readonly details: EffectDetails;
  /** Memory that whoever does the effects has to have: pages with numbers below it. Those from there on are mapped ones. */
  readonly poolPages: number;
  readonly #indirectSegments: number;
  readonly #turnRequests: number;
  readonly #listSectors: number;
  readonly #listTransfers: number;
  readonly #inOrder: boolean;
  readonly #requests: Requests;
  readonly #rings: readonly RingOrder[];
  readonly #memory: DiskMemory;
  readonly #order: Order;
  readonly #transfers: Transfers;
  readonly #arrived: Fifo;
  readonly #ready: Fifo;
  readonly #loaded: Fifo;
  #effects: EffectList = new EffectList();
  #taken: EffectList = new EffectList();
  #disk: Disk;
  #nextMedium: Disk | undefined;
  /** Requests in order and not done. */
  #active = 0;
  /** Effects told that are still to be answered. */
  #outside = 0;
  #state: VbdState = 'open';
  #failure: string | undefined;
  #starved = false;

  constructor(options: VbdOptions) {
    const limits = { ...vbdLimits, ...options.limits };
    const segments = Math.max(DIRECT_SEGMENTS, options.indirectSegments);
    if (limits.poolPages < segments || limits.transferVectors < segments) {
      throw new RangeError(`${segments} segments do not fit into the memory or the vectors of one transfer`);
    }
    const rings = options.ringSizes.length;
    const share = Math.max(1, Math.floor(limits.requests / rings));
    this.#disk = options.disk;
    this.layout = layoutOf(options.protocol);
    this.#indirectSegments = options.indirectSegments;
    this.#turnRequests = limits.turnRequests;
    this.#listSectors = limits.listBytes / SECTOR_BYTES;
    this.#listTransfers = limits.listTransfers;
    this.#inOrder = options.answers === 'in order';
    this.#rings = options.ringSizes.map((size) => new RingOrder(Math.min(size, share), limits.idleEvents));
    const rows = this.#rings.reduce((sum, { limit }) => sum + limit, 0);
    this.#requests = new Requests(rows, segments);
    this.#arrived = new Fifo(this.#requests.link);
    this.#ready = new Fifo(this.#requests.link);
    this.#loaded = new Fifo(this.#requests.link);
    this.#order = new Order(this.#requests, this.#ready);
    const persistentGrants = options.persistent ? limits.persistentGrants * rings : 0;
    this.#memory = new DiskMemory(
      this.#requests,
      this.statistics,
      { poolPages: limits.poolPages, persistentGrants },
      (kind, page) => this.#tell(kind, page),
    );
    this.#transfers = new Transfers(this.#requests, {
      vectors: limits.transferVectors,
      sectors: Math.floor(limits.transferBytes / SECTOR_BYTES),
    });
    this.details = new EffectDetails(this.layout, this.#requests, this.#memory, this.#transfers);
    this.poolPages = limits.poolPages;
  }

  get state(): VbdState {
    return this.#state;
  }

  /** Why it is broken, for the error node. */
  get failure(): string | undefined {
    return this.#failure;
  }

  get disk(): Disk {
    return this.#disk;
  }

  /** Pages of the guest that are kept mapped. */
  get mappedPages(): number {
    return this.#memory.mappedPages;
  }

  /**
   * How many requests may be taken from a ring now. Whoever leaves some there looks again when responses have gone out, instead of
   * waiting for an event.
   */
  appetite(queue: number): number {
    if (this.#state !== 'open') return 0;
    const ring = this.#rings[queue]!;
    return Math.min(ring.limit - ring.count, this.#requests.room, this.#turnRequests);
  }

  /** An event came, and so many requests were there. False: leave the port shut; REARM comes with a tick. */
  event(queue: number, requests: number): boolean {
    if (requests === 0) this.statistics.idleEvents++;
    const open = this.#rings[queue]!.event(requests > 0);
    if (!open) this.statistics.delayedEvents++;
    return open;
  }

  /** A request, the private copy of its slot, in the order of the ring. Returns the number that it has until RESPOND. */
  request(queue: number, slot: Uint8Array): number {
    if (this.appetite(queue) === 0) throw new Error(`ring ${queue} takes no request now`);
    const request = this.#requests.take(queue);
    this.#rings[queue]!.push(request);
    this.#requests.parse(request, slot, this.layout, this.#indirectSegments);
    this.statistics.asked(this.#requests.op[request]!);
    if (this.#requests.phase[request] === Phase.FETCHING) {
      this.#memory.assignDescriptors(request);
      this.#tell(Effect.FETCH, request);
    }
    this.#arrived.push(request);
    return request;
  }

  /** Answers FETCH: the segments' bytes, which start somewhere; undefined if a grant was bad. */
  fetched(request: number, segments: Uint8Array | undefined, from: number = 0): void {
    this.#answered(request, Phase.FETCHING);
    this.#memory.releaseDescriptors(request);
    this.#requests.fetched(request, segments, from);
  }

  /** Answers MAP. */
  mapped(page: number, ok: boolean): void {
    this.#outside--;
    this.#memory.mapped(page, ok);
  }

  /** Answers LOAD. */
  loaded(request: number, ok: boolean): void {
    this.#answered(request, Phase.LOADING);
    if (ok && this.#memory.complete(request)) this.#toLoaded(request);
    else this.#finish(request, BlkifStatus.ERROR);
  }

  /** Answers READ, WRITE, FLUSH and the discards: bytes, 0 for those that move none, or minus an error number. */
  done(transfer: number, result: number): void {
    this.#outside--;
    const { link, solo, phase } = this.#requests;
    const kind = this.#transfers.kind[transfer]!;
    const moves = kind === Effect.READ || kind === Effect.WRITE;
    const expected = moves ? this.#transfers.sectors[transfer]! * SECTOR_BYTES : 0;
    const unsupported = !moves && result === NOT_SUPPORTED;
    let request = this.#transfers.give(transfer);
    const alone = link[request] === NONE;
    while (request !== NONE) {
      const next = link[request]!;
      if (phase[request] !== Phase.MOVING) throw new Error(`transfer ${transfer} was not under way`);
      if (result === expected) this.#moved(request);
      else if (alone || !moves) {
        this.#finish(request, unsupported ? BlkifStatus.EOPNOTSUPP : BlkifStatus.ERROR);
      } else {
        // One of them is bad: each again by itself, so that none pays for its neighbour.
        solo[request] = 1;
        this.#toLoaded(request);
      }
      request = next;
    }
  }

  /** Answers STORE. */
  stored(request: number, ok: boolean): void {
    this.#answered(request, Phase.STORING);
    this.#finish(request, ok ? BlkifStatus.OKAY : BlkifStatus.ERROR);
  }

  /** Time goes on: once a second. */
  tick(): void {
    if (this.#state !== 'open') return;
    this.#memory.expire();
    for (const [queue, ring] of this.#rings.entries()) {
      if (ring.refill()) this.#tell(Effect.REARM, queue);
    }
  }

  /** The disk has grown or shrunk; requests that have been checked go on. */
  resize(sectors: number): void {
    if (sectors === this.#disk.sectors) return;
    this.#disk = { ...this.#disk, sectors };
    this.#tell(Effect.RESIZED, 0);
  }

  /** Another medium, or `noMedium`. Requests that have been checked still go to the old one; later ones wait for MEDIUM. */
  insert(disk: Disk): void {
    this.#nextMedium = disk;
  }

  /** The ring's request index cannot be (`Back.unconsumed`): nothing of this guest's disk is believed any more. */
  ringBroken(queue: number): void {
    if (this.#state === 'broken' || this.#state === 'closed') return;
    this.#state = 'broken';
    this.#failure = `ring ${queue}: more requests than the ring has slots`;
    this.#tell(Effect.FATAL, queue);
  }

  /** Takes no more requests, finishes and answers those taken, and ends with CLOSED. */
  close(): void {
    if (this.#state === 'open') this.#state = 'closing';
  }

  /**
   * What is to be done now, in this order, at most `room` transfers among it; valid until the next call. Empty: nothing before another
   * event. To be called after events, and until it is empty.
   */
  take(room: number): EffectList {
    if (this.#state === 'open' || this.#state === 'closing') {
      this.#admit();
      this.#load();
      this.#publish();
      this.#plan(room);
    }
    this.#end();
    const list = this.#effects;
    this.#effects = this.#taken;
    this.#effects.clear();
    this.#taken = list;
    return list;
  }

  /** Checks what has arrived, strictly in order, and gives it its place among the others. */
  #admit(): void {
    const { phase, status } = this.#requests;
    for (;;) {
      if (this.#nextMedium !== undefined && this.#active === 0) this.#changeMedium(this.#nextMedium);
      const request = this.#arrived.first;
      if (request === NONE || phase[request] === Phase.FETCHING || this.#nextMedium !== undefined) return;
      this.#arrived.shift();
      if (status[request] === BlkifStatus.OKAY)
        status[request] = refusal(this.#disk, this.#requests, request);
      if (status[request] === BlkifStatus.OKAY) {
        phase[request] = Phase.ADMITTED;
        this.#active++;
        this.#order.enter(request);
      } else this.#conclude(request);
    }
  }

  #changeMedium(disk: Disk): void {
    this.#disk = disk;
    this.#nextMedium = undefined;
    this.#tell(Effect.MEDIUM, 0);
  }

  /** Gives memory to requests that wait for no other, strictly in order: a large one is not overtaken for ever. */
  #load(): void {
    while (this.#ready.first !== NONE) {
      const request = this.#ready.first;
      if (!movesData(this.#requests, request)) {
        this.#toLoaded(this.#ready.shift());
        continue;
      }
      const starved = !this.#memory.hasRoom(request);
      if (starved && !this.#starved) this.statistics.ooReq++;
      this.#starved = starved;
      if (starved) return;
      this.#ready.shift();
      if (this.#memory.assign(request)) {
        this.#requests.phase[request] = Phase.LOADING;
        this.#tell(Effect.LOAD, request);
      } else this.#toLoaded(request);
    }
  }

  /** Responses are shown before the transfers that follow: one of these may have waited for an answer. */
  #publish(): void {
    for (let queue = 0; queue < this.#rings.length; queue++) {
      const ring = this.#rings[queue]!;
      if (ring.dirty) this.#tell(Effect.PUBLISH, queue);
      ring.dirty = false;
    }
  }

  /** Begins transfers, as few as neighbours allow. */
  #plan(room: number): void {
    const { phase, solo, sectors } = this.#requests;
    const most = Math.min(room, this.#listTransfers);
    let planned = 0;
    while (this.#loaded.first !== NONE && planned < this.#listSectors) {
      const request = this.#loaded.shift();
      const kind = transferKind(this.#requests, request, this.#disk.secureDiscard);
      if (solo[request] === 0 && this.#transfers.join(request, kind)) this.statistics.merged++;
      else if (this.#transfers.fresh < most) this.#transfers.begin(request, kind);
      else {
        this.#loaded.unshift(request);
        break;
      }
      phase[request] = Phase.MOVING;
      planned += sectors[request]!;
    }
    const begun = this.#transfers.tell(this.#effects);
    this.#outside += begun;
    this.statistics.transfers += begun;
  }

  #toLoaded(request: number): void {
    this.#requests.phase[request] = Phase.LOADED;
    this.#loaded.push(request);
  }

  /** The disk has done one of its steps. */
  #moved(request: number): void {
    const { op, phase } = this.#requests;
    if (op[request] === BlkifOp.READ && this.#memory.copies(request)) {
      phase[request] = Phase.STORING;
      this.#tell(Effect.STORE, request);
    } else if (nextStep(this.#requests, request)) {
      phase[request] = Phase.ADMITTED;
      this.#ready.push(request);
    } else this.#finish(request, BlkifStatus.OKAY);
  }

  #finish(request: number, status: number): void {
    this.#active--;
    this.#memory.release(request);
    this.#requests.status[request] = status;
    const { op, sectors } = this.#requests;
    if (status === BlkifStatus.OKAY) this.statistics.done(op[request]!, sectors[request]!);
    // On one ring, who is begun before a change is answered is answered after it, and both are done again; on another ring he may be first.
    if (op[request] !== BlkifOp.READ && this.#rings.length === 1) this.#order.leave(request);
    this.#conclude(request);
  }

  /** Answers what is done; in order: as far as older ones of its ring are done too. */
  #conclude(request: number): void {
    const { phase, status, queue } = this.#requests;
    phase[request] = Phase.DONE;
    this.statistics.answered(status[request]!);
    if (this.#state === 'broken') return;
    const ring = this.#rings[queue[request]!]!;
    if (this.#inOrder) {
      for (let first = ring.first; first !== NONE && phase[first] === Phase.DONE; first = ring.first) {
        ring.shift();
        this.#respond(ring, first);
      }
    } else {
      ring.drop();
      this.#respond(ring, request);
    }
  }

  #respond(ring: RingOrder, request: number): void {
    ring.dirty = true;
    this.#order.leave(request);
    this.#tell(Effect.RESPOND, request);
  }

  #end(): void {
    const finished =
      this.#state === 'broken' ||
      (this.#state === 'closing' && this.#rings.every(({ count }) => count === 0));
    if (!finished || this.#outside > 0) return;
    this.#state = 'closed';
    this.#memory.unmapAll();
    this.#tell(Effect.CLOSED, 0);
  }

  #tell(kind: EffectKind, subject: number): void {
    if (kind <= Effect.STORE) this.#outside++;
    this.#effects.add(kind, subject);
  }

  #answered(request: number, phase: number): void {
    if (this.#requests.phase[request] !== phase) throw new Error(`request ${request} was not asked about`);
    this.#outside--;
  }
}
