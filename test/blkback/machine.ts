/**
 * Everything around a disk's core that its tests need, in one place and in one thread: a guest with granted pages and real rings, a
 * medium that is an array, and the hands that do what the core wants. Transfers are under way until a test says that they are done, in the
 * order it likes. What must never happen is asserted here, whatever is tested.
 */
import { expect } from 'vitest';
import { layoutOf, PAGE_SEGMENTS, SEGMENT_BYTES } from '../../blkback/core/blkif.ts';
import type { Disk } from '../../blkback/core/disk.ts';
import { Effect, type EffectKind } from '../../blkback/core/effects.ts';
import { Vbd, type VbdOptions } from '../../blkback/core/vbd.ts';
import { Back, Front } from '../../osdep/ring/slotring.ts';
import { type Asked, type Response, readResponse, slotOf } from './slots.ts';

const PAGE = 4096;
const KILLED = new Error('killed');

export const plainDisk: Disk = {
  sectors: 256,
  sectorSize: 512,
  readOnly: false,
  flush: true,
  barrier: true,
  discard: true,
  secureDiscard: false,
};

export interface Transfer {
  readonly number: number;
  readonly kind: EffectKind;
  readonly sector: number;
  readonly sectors: number;
}

interface Told {
  readonly request: number;
  readonly bytes: Uint8Array;
}

const names = new Map<number, string>(Object.entries(Effect).map(([name, kind]) => [kind, name]));

export interface MachineOptions extends Partial<Omit<VbdOptions, 'ringSizes'>> {
  readonly queues?: number;
  readonly ringPages?: number;
}

export class Machine {
  readonly options: VbdOptions;
  readonly guest: Map<number, Uint8Array> = new Map();
  /** Grants that the hypervisor refuses. */
  readonly bad: Set<number> = new Set();
  readonly medium: Uint8Array;
  readonly fronts: readonly Front[];
  /** Responses by ring, as the guest found them. */
  readonly responses: readonly Response[][];
  /** All effects so far, as words. */
  readonly log: string[] = [];
  vbd: Vbd;
  underWay: Transfer[] = [];
  room = 64;
  readonly mapped: Map<number, number> = new Map();
  /** Told by the core and not yet in the ring. */
  #answers: Told[][];
  /** What survives the process, a ring each: responses about to be put into the ring, and what rsp_prod will be then. */
  readonly #records: { responses: Told[]; rspProd: number }[];
  /** What survives if answers come as done: the requests without one, a ring each, in the order in which they were taken. */
  readonly #outstanding: Map<number, Uint8Array>[];
  #stepsToLive = Number.POSITIVE_INFINITY;
  #backs: Back[];
  readonly #rings: readonly Uint8Array[];
  #pool: Uint8Array;

  constructor({ queues = 1, ringPages = 1, ...rest }: MachineOptions = {}) {
    this.#rings = Array.from({ length: queues }, () => new Uint8Array(ringPages * PAGE));
    const protocol = rest.protocol ?? 'x86_64-abi';
    const { slotBytes } = layoutOf(protocol);
    this.fronts = this.#rings.map((bytes) => Front.init(bytes, slotBytes));
    this.responses = this.#rings.map(() => []);
    this.#records = this.#rings.map(() => ({ responses: [], rspProd: 0 }));
    this.#outstanding = this.#rings.map(() => new Map());
    this.#answers = this.#rings.map(() => []);
    this.options = {
      disk: plainDisk,
      protocol,
      persistent: false,
      indirectSegments: 32,
      answers: 'in order',
      ringSizes: this.fronts.map((front) => front.size),
      ...rest,
      limits: { poolPages: 64, ...rest.limits },
    };
    this.medium = new Uint8Array(this.options.disk.sectors * 512);
    this.#backs = this.#rings.map((bytes) => Back.attach(bytes, slotBytes));
    this.vbd = new Vbd(this.options);
    this.#pool = new Uint8Array(this.vbd.poolPages * PAGE);
  }

  /** A page of the guest, granted. */
  page(gref: number): Uint8Array {
    let page = this.guest.get(gref);
    if (page === undefined) {
      page = new Uint8Array(PAGE);
      this.guest.set(gref, page);
    }
    return page;
  }

  /** Puts a request into a ring and publishes it. */
  ask(asked: Asked, queue = 0): void {
    this.fronts[queue]!.request(slotOf(this.vbd.layout, asked));
    this.fronts[queue]!.publish();
  }

  /** The backend looks at all rings and does what is to be done, but for the transfers. */
  turn(): void {
    this.#backs.forEach((back, queue) => {
      const there = back.unconsumed();
      if (!there.ok) {
        this.vbd.ringBroken(queue);
        return;
      }
      const slot = new Uint8Array(this.vbd.layout.slotBytes);
      for (let left = Math.min(there.slots, this.vbd.appetite(queue)); left > 0; left--) {
        back.take(slot);
        this.#request(queue, slot);
        slot.fill(0xee);
      }
    });
    this.work();
  }

  /** Does effects until there are none. */
  work(): void {
    for (;;) {
      const list = this.vbd.take(this.room - this.underWay.length);
      if (list.count === 0) return;
      for (let i = 0; i < list.count; i++) this.#do(list.kind(i), list.subject(i));
    }
  }

  /** The disk is done with one of the transfers that are under way; `result` as the disk's, by default success. */
  complete(index = 0, result?: number): void {
    const [transfer] = this.underWay.splice(index, 1);
    if (result === undefined || result >= 0) this.#transfer(transfer!, transfer!.sectors);
    const moves = transfer!.kind === Effect.READ || transfer!.kind === Effect.WRITE;
    this.vbd.done(transfer!.number, result ?? (moves ? transfer!.sectors * 512 : 0));
    this.work();
  }

  /** Turns and completions, oldest first, until all requests are answered. */
  finish(): void {
    this.turn();
    while (this.underWay.length > 0) {
      this.complete();
      this.turn();
    }
  }

  /** Does something with a process that is killed after so many steps: whether it was. A response in a slot is a step. */
  killed(steps: number, act: () => void): boolean {
    this.#stepsToLive = steps;
    try {
      act();
      return false;
    } catch (error) {
      if (error !== KILLED) throw error;
      return true;
    } finally {
      this.#stepsToLive = Number.POSITIVE_INFINITY;
    }
  }

  /** After the process was killed: of what was under way, so many sectors of each have been written. Another one attaches. */
  restart(written: (transfer: Transfer) => number): void {
    for (const transfer of this.underWay) {
      if (transfer.kind === Effect.WRITE)
        this.#transfer(transfer, Math.min(written(transfer), transfer.sectors));
    }
    this.underWay = [];
    this.mapped.clear();
    this.#answers = this.#rings.map(() => []);
    this.#backs = this.#rings.map((bytes) => Back.attach(bytes, this.vbd.layout.slotBytes));
    this.vbd = new Vbd(this.options);
    this.#pool = new Uint8Array(this.vbd.poolPages * PAGE);
    this.#rings.forEach((_, queue) => {
      this.#recover(queue);
    });
  }

  /** Raises the index that the guest publishes, as no frontend would. */
  forge(queue: number, reqProd: number): void {
    new DataView(this.#rings[queue]!.buffer).setUint32(0, reqProd, true);
  }

  #step(): void {
    if (this.#stepsToLive-- <= 0) throw KILLED;
  }

  /** Puts the responses of a ring into it. Their slots are no requests any more before rsp_prod says so: hence the record. */
  #publish(queue: number): void {
    const back = this.#backs[queue]!;
    const { responses } = this.#records[queue]!;
    for (const { bytes } of responses) {
      this.#step();
      back.respond(bytes);
    }
    this.#step();
    back.publish();
    this.#forget(queue);
    this.#collect(queue);
  }

  /** The responses in the record are in the ring. */
  #forget(queue: number): void {
    const record = this.#records[queue]!;
    for (const { request } of record.responses) this.#outstanding[queue]!.delete(request);
    record.responses = [];
  }

  #request(queue: number, slot: Uint8Array): void {
    this.#step();
    this.#outstanding[queue]!.set(this.vbd.request(queue, slot), slot.slice());
  }

  /** What the last process was about to say is said before anything is done again. */
  #recover(queue: number): void {
    const record = this.#records[queue]!;
    const back = this.#backs[queue]!;
    const slot = new Uint8Array(this.vbd.layout.slotBytes);
    const missing = (record.rspProd - this.#rspProd(queue)) >>> 0;
    if (missing > 0 && missing === record.responses.length) {
      for (const _ of record.responses) back.take(slot);
      this.#publish(queue);
    }
    this.#forget(queue);
    this.#collect(queue);
    const again = this.options.answers === 'as done' ? [...this.#outstanding[queue]!.values()] : [];
    this.#outstanding[queue]!.clear();
    for (const each of again) {
      back.take(slot);
      this.#request(queue, each);
    }
  }

  #rspProd(queue: number): number {
    return new DataView(this.#rings[queue]!.buffer).getUint32(8, true);
  }

  #do(kind: EffectKind, subject: number): void {
    this.#step();
    this.log.push(`${names.get(kind)} ${subject}`);
    const { vbd } = this;
    switch (kind) {
      case Effect.FETCH:
        vbd.fetched(subject, this.#fetch(subject));
        break;
      case Effect.MAP: {
        const gref = vbd.details.grefOf(subject);
        const ok = this.guest.has(gref) && !this.bad.has(gref);
        expect(subject, 'a mapped page is none of the pool').toBeGreaterThanOrEqual(vbd.poolPages);
        expect(this.mapped.has(subject), 'mapped once').toBe(false);
        if (ok) this.mapped.set(subject, gref);
        vbd.mapped(subject, ok);
        break;
      }
      case Effect.UNMAP:
        expect(this.mapped.delete(subject), 'unmapped once').toBe(true);
        break;
      case Effect.LOAD:
        vbd.loaded(subject, !vbd.details.writes(subject) || this.#copy(subject, true));
        break;
      case Effect.STORE:
        vbd.stored(subject, this.#copy(subject, false));
        break;
      case Effect.READ:
      case Effect.WRITE:
      case Effect.FLUSH:
      case Effect.DISCARD:
      case Effect.SECURE_DISCARD:
        this.#begin({
          number: subject,
          kind,
          sector: vbd.details.sectorOf(subject),
          sectors: vbd.details.sectorsOf(subject),
        });
        break;
      case Effect.RESPOND: {
        const bytes = new Uint8Array(vbd.layout.responseBytes).fill(0xee);
        const queue = vbd.details.queueOf(subject);
        vbd.details.response(subject, bytes);
        this.#answers[queue]!.push({ request: subject, bytes });
        break;
      }
      case Effect.PUBLISH:
        this.#records[subject] = {
          responses: this.#answers[subject]!,
          rspProd: (this.#rspProd(subject) + this.#answers[subject]!.length) >>> 0,
        };
        this.#answers[subject] = [];
        this.#publish(subject);
        break;
      case Effect.CLOSED:
        expect(this.underWay, 'nothing is under way').toEqual([]);
        expect(this.mapped.size, 'nothing is mapped').toBe(0);
        break;
      default:
    }
  }

  #begin(transfer: Transfer): void {
    const changes = ({ kind }: Transfer): boolean => kind !== Effect.READ && kind !== Effect.FLUSH;
    expect(this.#answers.flat(), 'what is answered has been shown before a transfer begins').toEqual([]);
    for (const other of this.underWay) {
      if (other.kind === Effect.FLUSH || transfer.kind === Effect.FLUSH) continue;
      const apart =
        other.sector >= transfer.sector + transfer.sectors || transfer.sector >= other.sector + other.sectors;
      expect(apart || !(changes(other) || changes(transfer)), 'under way together').toBe(true);
    }
    expect(
      transfer.kind === Effect.FLUSH || transfer.sector + transfer.sectors <= this.vbd.disk.sectors,
    ).toBe(true);
    this.underWay.push(transfer);
  }

  #transfer({ number, kind, sector, sectors }: Transfer, part: number): void {
    const at = sector * 512;
    if (kind === Effect.DISCARD || kind === Effect.SECURE_DISCARD) this.medium.fill(0, at, at + part * 512);
    if (kind !== Effect.READ && kind !== Effect.WRITE) return;
    let done = 0;
    this.vbd.details.eachVector(number, (page, offset, length) => {
      const some = Math.max(0, Math.min(length, part * 512 - done));
      const memory = this.#memory(page).subarray(offset, offset + some);
      const disk = this.medium.subarray(at + done, at + done + some);
      if (kind === Effect.READ) memory.set(disk);
      else disk.set(memory);
      done += length;
    });
    expect(done, 'as much memory as disk').toBe(sectors * 512);
  }

  #memory(page: number): Uint8Array {
    if (page < this.vbd.poolPages) return this.#pool.subarray(page * PAGE, (page + 1) * PAGE);
    const gref = this.mapped.get(page);
    expect(gref, 'only what is mapped is used').toBeDefined();
    return this.guest.get(gref!)!;
  }

  #copy(request: number, out: boolean): boolean {
    let ok = true;
    this.vbd.details.eachCopy(request, (gref, page, offset, length) => {
      const theirs = this.guest.get(gref)?.subarray(offset, offset + length);
      const ours = this.#memory(page).subarray(offset, offset + length);
      if (theirs === undefined || this.bad.has(gref)) ok = false;
      else if (out) ours.set(theirs);
      else theirs.set(ours);
    });
    return ok;
  }

  #fetch(request: number): Uint8Array | undefined {
    const count = this.vbd.details.segmentsOf(request);
    const bytes = new Uint8Array(count * SEGMENT_BYTES);
    for (let i = 0; i * PAGE_SEGMENTS < count; i++) {
      const gref = this.vbd.details.descriptorGref(request, i);
      const mapped = this.mapped.get(this.vbd.details.descriptorPage(request, i));
      if (mapped !== undefined) expect(mapped, 'mapped for what it is').toBe(gref);
      const page = this.guest.get(gref);
      if (page === undefined || this.bad.has(gref)) return undefined;
      bytes.set(page.subarray(0, Math.min(PAGE, bytes.length - i * PAGE)), i * PAGE);
    }
    return bytes;
  }

  #collect(queue: number): void {
    const front = this.fronts[queue]!;
    const there = front.unconsumed();
    expect(there.ok, 'no more responses than requests').toBe(true);
    const bytes = new Uint8Array(this.vbd.layout.responseBytes);
    for (let left = there.ok ? there.slots : 0; left > 0; left--) {
      const slot = new Uint8Array(this.vbd.layout.slotBytes);
      front.take(slot);
      bytes.set(slot.subarray(0, bytes.length));
      this.responses[queue]!.push(readResponse(bytes));
    }
  }
}
