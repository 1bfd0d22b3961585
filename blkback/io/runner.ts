/**
 * The hands of one disk: takes requests off its rings, does what the core wants with grants and medium, and puts answers back. Follows
 * the core's effects in their order (core/effects.ts). Decides nothing, and knows neither the store nor how a medium is made.
 */
import { SEGMENT_BYTES } from '../core/blkif.ts';
import { Effect, type EffectKind } from '../core/effects.ts';
import type { Vbd } from '../core/vbd.ts';
import type { GuestMemory } from './guestmemory.ts';
import type { Medium, MediumQueue } from './medium.ts';
import type { BackRing } from './ring.ts';

const PAGE_BYTES = 4096;

export interface RunnerOptions {
  readonly vbd: Vbd;
  /** The first; `insert` changes it. */
  readonly medium: Medium;
  readonly memory: GuestMemory;
  readonly rings: readonly BackRing[];
  /** The core has given the guest's rings up: a line for the error node. */
  readonly onBroken: (reason: string) => void;
  /** The disk has become larger or smaller, or is another one: this one. */
  readonly onChanged: (medium: Medium) => void;
}

export class Runner {
  readonly #options: RunnerOptions;
  readonly #vbd: Vbd;
  #medium: Medium;
  #next: Medium | undefined;
  #queue: MediumQueue;
  /** The core's number of each transfer, by the queue's tag. */
  #transfers: Uint32Array = new Uint32Array(0);
  readonly #slot: Uint8Array;
  readonly #response: Uint8Array;
  /** Requests taken since a ring's last event, whatever made us look. */
  readonly #taken: Uint32Array;
  #scheduled = false;
  /** Something that cannot be was: nothing is done any more. */
  #failed = false;
  readonly #closed: Promise<void>;
  #whenClosed: () => void = () => {};

  constructor(options: RunnerOptions) {
    const { vbd, medium, rings } = options;
    this.#options = options;
    this.#vbd = vbd;
    this.#medium = medium;
    this.#queue = this.#queueOf(medium);
    this.#slot = new Uint8Array(vbd.layout.slotBytes);
    this.#response = new Uint8Array(vbd.layout.responseBytes);
    this.#taken = new Uint32Array(rings.length);
    this.#closed = new Promise((resolve) => {
      this.#whenClosed = resolve;
    });
  }

  get manner(): string {
    return this.#queue.manner;
  }

  /** Once for all that happens in a turn of the loop. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#guarded(() => this.#turn()));
  }

  /** A ring's port has fired. */
  event(ring: number): void {
    this.#guarded(() => {
      const back = this.#options.rings[ring]!;
      const there = back.unconsumed();
      const requests = this.#taken[ring]! + (there.ok ? there.slots : 0);
      this.#taken[ring] = 0;
      if (this.#vbd.event(ring, requests)) back.listen();
      this.schedule();
    });
  }

  /** Once a second. */
  tick(): void {
    this.#guarded(() => {
      this.#vbd.tick();
      this.#medium.refresh();
      this.#vbd.resize(this.#medium.disk.sectors);
      this.schedule();
    });
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
    await this.#queue.close();
    this.#options.memory.unmapAll();
    await this.#next?.close();
  }

  /** A mistake of ours costs the disk in whose service it shows, not the others. */
  #guarded(act: () => void): void {
    if (this.#failed) return;
    try {
      act();
    } catch (error) {
      this.#failed = true;
      this.#options.onBroken(`internal error: ${error instanceof Error ? error.message : String(error)}`);
      this.#whenClosed();
    }
  }

  #queueOf(medium: Medium): MediumQueue {
    const queue = medium.queue((tag, result) =>
      this.#guarded(() => {
        this.#vbd.done(this.#transfers[tag]!, result);
        this.schedule();
      }),
    );
    this.#transfers = new Uint32Array(queue.depth);
    return queue;
  }

  #turn(): void {
    this.#scheduled = false;
    let more = false;
    for (let ring = 0; ring < this.#options.rings.length; ring++) more = this.#look(ring) || more;
    this.#work();
    // Others have their turn before this one's next requests.
    if (!more || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#guarded(() => this.#turn()));
  }

  /** Takes requests: true, there are more that may be taken. */
  #look(ring: number): boolean {
    if (this.#vbd.state !== 'open') return false;
    const back = this.#options.rings[ring]!;
    const there = back.unconsumed();
    if (!there.ok) {
      this.#vbd.ringBroken(ring);
      return false;
    }
    const count = Math.min(there.slots, this.#vbd.appetite(ring));
    for (let i = 0; i < count; i++) {
      back.take(this.#slot);
      this.#vbd.request(ring, this.#slot);
    }
    this.#taken[ring]! += count;
    if (count < there.slots) return this.#vbd.appetite(ring) > 0;
    const last = back.finalCheck();
    return !last.ok || last.slots > 0;
  }

  #work(): void {
    for (;;) {
      const list = this.#vbd.take(this.#queue.room);
      if (list.count === 0) return;
      for (let i = 0; i < list.count; i++) this.#do(list.kind(i), list.subject(i));
      this.#options.memory.copy();
      this.#queue.submit();
    }
  }

  #do(kind: EffectKind, subject: number): void {
    const { rings, memory, onBroken, onChanged } = this.#options;
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
        if (details.writes(subject)) this.#move('in', subject);
        memory.group((ok) => vbd.loaded(subject, ok));
        break;
      case Effect.STORE:
        this.#move('out', subject);
        memory.group((ok) => vbd.stored(subject, ok));
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
        // What did not fit so far may now.
        this.schedule();
        break;
      case Effect.REARM:
        rings[subject]!.listen();
        this.schedule();
        break;
      case Effect.RESIZED:
        onChanged(this.#medium);
        break;
      case Effect.MEDIUM:
        void this.#queue.close();
        this.#medium = this.#next!;
        this.#next = undefined;
        this.#queue = this.#queueOf(this.#medium);
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

  #move(direction: 'in' | 'out', request: number): void {
    this.#vbd.details.eachCopy(request, (gref, page, offset, length) =>
      this.#options.memory.move(direction, gref, page, offset, length),
    );
  }

  #fetch(request: number): void {
    const { memory } = this.#options;
    const bytes = new Uint8Array(this.#vbd.details.segmentsOf(request) * SEGMENT_BYTES);
    for (let at = 0, page = 0; at < bytes.length; at += PAGE_BYTES, page++)
      memory.fetch(this.#vbd.details.descriptorGref(request, page), bytes.subarray(at, at + PAGE_BYTES));
    memory.group((ok) => this.#vbd.fetched(request, ok ? bytes : undefined));
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
    const { memory } = this.#options;
    details.eachVector(transfer, (page, offset, length) =>
      this.#queue.add(memory.memoryOf(page), memory.offsetOf(page) + offset, length),
    );
    return tag;
  }
}
