/**
 * The hands of one disk: takes requests off its rings, does what the core wants with grants and medium, and puts answers back. Follows
 * the core's effects in their order (core/effects.ts). Decides nothing, and knows neither the store nor how a medium is made.
 */
import { SEGMENT_BYTES } from '../core/blkif.ts';
import { Effect, type EffectKind } from '../core/effects.ts';
import type { Vbd } from '../core/vbd.ts';
import type { GuestMemory } from './guestmemory.ts';
import type { Lookout, Watched } from './lookout.ts';
import type { Medium, MediumQueue } from './medium.ts';
import type { BackRing } from './ring.ts';

const PAGE_BYTES = 4096;

export interface RunnerOptions {
  readonly vbd: Vbd;
  /** The first; `insert` changes it. */
  readonly medium: Medium;
  readonly memory: GuestMemory;
  readonly rings: readonly BackRing[];
  /** Gives it its turns. */
  readonly lookout: Lookout;
  /** The core has given the guest's rings up: a line for the error node. */
  readonly onBroken: (reason: string) => void;
  /** The disk has become larger or smaller, or is another one: this one. */
  readonly onChanged: (medium: Medium) => void;
}

export class Runner implements Watched {
  readonly #options: RunnerOptions;
  readonly #vbd: Vbd;
  readonly #memory: GuestMemory;
  #medium: Medium;
  #next: Medium | undefined;
  #queue: MediumQueue;
  /** The core's number of each transfer, by the queue's tag. */
  #transfers: Uint32Array = new Uint32Array(0);
  readonly #slot: Uint8Array;
  readonly #response: Uint8Array;
  /** Requests taken since a ring's last event, whatever made us look. */
  readonly #taken: Uint32Array;
  /** Rings whose ports have fired, and may again when nobody looks any more. */
  readonly #fired: Uint8Array;
  /** Something was done since it last rested. */
  #awake = false;
  /** Something that cannot be was: nothing is done any more. */
  #failed = false;
  readonly #closed: Promise<void>;
  #whenClosed: () => void = () => {};
  // Made once, not for each request.
  readonly #load = (gref: number, page: number, offset: number, length: number): void =>
    this.#memory.load(gref, page, offset, length);
  readonly #store = (gref: number, page: number, offset: number, length: number): void =>
    this.#memory.store(gref, page, offset, length);
  readonly #vector = (page: number, offset: number, length: number): void =>
    this.#queue.add(this.#memory.memoryOf(page), this.#memory.offsetOf(page) + offset, length);

  constructor(options: RunnerOptions) {
    const { vbd, medium, memory, rings, lookout } = options;
    this.#options = options;
    this.#vbd = vbd;
    this.#memory = memory;
    this.#medium = medium;
    this.#queue = this.#queueOf(medium);
    this.#slot = new Uint8Array(vbd.layout.slotBytes);
    this.#response = new Uint8Array(vbd.layout.responseBytes);
    this.#taken = new Uint32Array(rings.length);
    this.#fired = new Uint8Array(rings.length);
    this.#closed = new Promise((resolve) => {
      this.#whenClosed = resolve;
    });
    lookout.add(this);
  }

  get manner(): string {
    return this.#queue.manner;
  }

  get statistics(): Readonly<Record<string, number>> {
    return this.#vbd.statistics.named();
  }

  /** Has its turn soon. */
  schedule(): void {
    this.#options.lookout.soon(this);
  }

  /** A ring's port has fired. */
  event(ring: number): void {
    const there = this.#options.rings[ring]!.unconsumed();
    const requests = this.#taken[ring]! + (there.ok ? there.slots : 0);
    this.#taken[ring] = 0;
    if (this.#vbd.event(ring, requests)) this.#fired[ring] = 1;
    this.#awake = true;
    // Who rings for nothing shall not have us look out for more of it.
    if (requests > 0) this.#wake();
    else this.#options.lookout.serve(this);
  }

  /** Once a second. */
  tick(): void {
    if (this.#failed) return;
    try {
      this.#vbd.tick();
      this.#medium.refresh();
      this.#vbd.resize(this.#medium.disk.sectors);
    } catch (error) {
      this.#fail(error);
    }
    this.schedule();
  }

  /** Requests that come from now on are for another medium; `onChanged` tells when nothing uses the old one any more. */
  insert(medium: Medium): void {
    void this.#next?.close();
    this.#next = medium;
    this.#vbd.insert(medium.disk);
    this.schedule();
  }

  /** Finishes what was taken; settles when nothing is under way or mapped. */
  async close(): Promise<void> {
    this.#vbd.close();
    this.schedule();
    await this.#closed;
    this.#options.lookout.remove(this);
    await this.#queue.close();
    this.#memory.close();
    await this.#next?.close();
  }

  stirs(): boolean {
    if (this.#failed) return false;
    if (this.#queue.ready) return true;
    const { rings } = this.#options;
    for (let ring = 0; ring < rings.length; ring++) if (this.#asked(ring)) return true;
    return false;
  }

  turn(): void {
    if (this.#failed) return;
    this.#awake = true;
    this.#queue.waking = false;
    try {
      for (let ring = 0; ring < this.#options.rings.length; ring++) this.#look(ring);
      this.#work();
    } catch (error) {
      this.#fail(error);
    }
  }

  rest(): boolean {
    if (!this.#awake || this.#failed) return true;
    try {
      this.#awake = !this.#lieDown();
    } catch (error) {
      this.#fail(error);
    }
    return this.#failed || !this.#awake;
  }

  /** Asks to be told of everything there is to be told of. False: there is something already. */
  #lieDown(): boolean {
    const { rings } = this.#options;
    this.#queue.waking = true;
    let resting = !this.#queue.ready;
    for (let ring = 0; ring < rings.length; ring++) {
      // Where no more may be taken there will be an answer first, and a look after it.
      if (this.#vbd.appetite(ring) === 0) continue;
      const last = rings[ring]!.finalCheck();
      if (!last.ok || last.slots > 0) resting = false;
    }
    if (!resting) {
      this.#queue.waking = false;
      return false;
    }
    for (let ring = 0; ring < rings.length; ring++) {
      if (this.#fired[ring] === 1) rings[ring]!.listen();
      this.#fired[ring] = 0;
    }
    return true;
  }

  /** A mistake of ours costs the disk in whose service it shows, not the others. */
  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onBroken(`internal error: ${error instanceof Error ? error.message : String(error)}`);
    this.#whenClosed();
  }

  #queueOf(medium: Medium): MediumQueue {
    const queue = medium.queue(
      (tag, result) => this.#done(this.#transfers[tag]!, result),
      () => this.#wake(),
    );
    this.#transfers = new Uint32Array(queue.depth);
    return queue;
  }

  #done(transfer: number, result: number): void {
    if (this.#failed) return;
    try {
      this.#vbd.done(transfer, result);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Something has come that more may follow soon. */
  #wake(): void {
    if (this.#queue.visible) this.#options.lookout.wake(this);
    else this.#options.lookout.serve(this);
  }

  /** Whether a ring has requests that may be taken, or what cannot be. */
  #asked(ring: number): boolean {
    if (this.#vbd.state !== 'open') return false;
    const there = this.#options.rings[ring]!.unconsumed();
    return !there.ok || (there.slots > 0 && this.#vbd.appetite(ring) > 0);
  }

  /** Takes requests. */
  #look(ring: number): void {
    if (this.#vbd.state !== 'open') return;
    const back = this.#options.rings[ring]!;
    const there = back.unconsumed();
    if (!there.ok) {
      this.#vbd.ringBroken(ring);
      return;
    }
    const count = Math.min(there.slots, this.#vbd.appetite(ring));
    for (let i = 0; i < count; i++) {
      back.take(this.#slot);
      this.#vbd.request(ring, this.#slot);
    }
    this.#taken[ring]! += count;
  }

  /** Does what the core wants until it wants nothing; what the medium has done by then is part of it. */
  #work(): void {
    if (this.#queue.ready) this.#queue.advance();
    for (;;) {
      const list = this.#vbd.take(this.#queue.room);
      if (list.count === 0) return;
      for (let i = 0; i < list.count; i++) this.#do(list.kind(i), list.subject(i));
      this.#memory.copy();
      this.#queue.advance();
    }
  }

  #do(kind: EffectKind, subject: number): void {
    const { rings, onBroken, onChanged } = this.#options;
    const memory = this.#memory;
    const vbd = this.#vbd;
    const { details } = vbd;
    switch (kind) {
      case Effect.FETCH:
        this.#fetch(subject);
        break;
      case Effect.MAP:
        vbd.mapped(subject, memory.map(subject, details.grefOf(subject)));
        break;
      case Effect.UNMAP:
        memory.unmap(subject);
        break;
      case Effect.LOAD:
        if (details.writes(subject)) details.eachCopy(subject, this.#load);
        memory.loaded(subject);
        break;
      case Effect.STORE:
        details.eachCopy(subject, this.#store);
        memory.stored(subject);
        break;
      case Effect.READ:
      case Effect.WRITE:
      case Effect.FLUSH:
      case Effect.DISCARD:
      case Effect.SECURE_DISCARD:
        this.#transfers[this.#begin(kind, subject)] = subject;
        break;
      case Effect.RESPOND: {
        const ring = rings[details.queueOf(subject)]!;
        details.response(subject, this.#response);
        ring.answer(this.#response);
        break;
      }
      case Effect.PUBLISH:
        rings[subject]!.publish();
        break;
      case Effect.REARM:
        rings[subject]!.listen();
        break;
      case Effect.RESIZED:
        onChanged(this.#medium);
        break;
      case Effect.MEDIUM:
        void this.#queue.close();
        this.#medium = this.#next!;
        this.#next = undefined;
        this.#queue = this.#queueOf(this.#medium);
        this.#queue.waking = false;
        onChanged(this.#medium);
        break;
      case Effect.FATAL:
        onBroken(vbd.failure ?? 'the ring is broken');
        break;
      case Effect.CLOSED:
        this.#whenClosed();
        break;
    }
  }

  #fetch(request: number): void {
    const { details } = this.#vbd;
    const pages = details.descriptorPages(request);
    let left = details.segmentsOf(request) * SEGMENT_BYTES;
    this.#memory.beginFetch(pages);
    for (let i = 0; i < pages; i++, left -= PAGE_BYTES) {
      const length = Math.min(left, PAGE_BYTES);
      this.#memory.fetch(details.descriptorPage(request, i), details.descriptorGref(request, i), length);
    }
    this.#memory.fetched(request);
  }

  #begin(kind: EffectKind, transfer: number): number {
    const { details } = this.#vbd;
    const sector = details.sectorOf(transfer);
    switch (kind) {
      case Effect.FLUSH:
        return this.#queue.flush();
      case Effect.DISCARD:
        return this.#queue.discard(sector, details.sectorsOf(transfer));
      case Effect.SECURE_DISCARD:
        return this.#queue.secureDiscard(sector, details.sectorsOf(transfer));
    }
    const tag = kind === Effect.READ ? this.#queue.read(sector) : this.#queue.write(sector);
    details.eachVector(transfer, this.#vector);
    return tag;
  }
}
