/**
 * What survives the process that serves a frontend: its sockets, the requests that wait for an answer, and how far both indices of its ring of commands
 * have come; in a file of the run directory, mapped. A turn's changes and responses are written into a log that counts all at once, by one word; then
 * they go into the cells and into the ring. Whoever attaches after a kill between any two of these stores does what is left, and asks again what was not
 * written down: each request is answered exactly once. Knows no socket of the machine, and does not read the ring.
 */
import { existsSync, statSync } from 'node:fs';
import { Page } from '../../../osdep/ring/page.ts';
import { RecordFile } from '../../../xenstored/client/ringrecord.ts';
import type { Ledger, SocketEntry } from '../core/entries.ts';
import { type Request, SLOT_BYTES } from '../core/pvcalls.ts';
import { CELL_WORDS, Cell, readRequest, readSocket, requestCell, socketCell } from './cells.ts';

/** Of the first part: 1 while the log counts, and what the indices are with it; then what they are without. */
const VALID = 0;
const RESPONSE_COUNT = 4;
const CHANGE_COUNT = 8;
const REQ_CONS = 12;
const RSP_PROD = 16;
const BASE_REQ_CONS = 20;
const BASE_RSP_PROD = 24;
const RESPONSES = 64;
const SLOT_WORDS = SLOT_BYTES / 4;
/** Slots of the ring. */
const MOST_REQUESTS = 32;
/** The number of a cell, then its words. */
const CHANGES = RESPONSES + MOST_REQUESTS * SLOT_BYTES;
const CHANGE_BYTES = 4 + 4 * CELL_WORDS;
const MOST_CHANGES = 100;
/** Each request that waits may still make one more change, when it is written down or answered. */
const MOST_PUTS = MOST_CHANGES - MOST_REQUESTS;
/** Whatever one command changes. */
const ENOUGH = 8;
const PART_BYTES = 12_288;
const PART_CELLS = PART_BYTES / 4 / CELL_WORDS;
const NOWHERE = -1;

/** A request without a response. */
interface Asked {
  readonly slot: Uint32Array;
  readonly order: number;
  /** Where it is written down; NOWHERE: it is not yet. */
  cell: number;
}

export class SocketRecord implements Ledger {
  /** Whoever shows the responses: called when the log has no room for a change that no request has made. */
  onFull: () => void = () => {};
  readonly #path: string;
  #file: RecordFile;
  #parts: readonly Page[] = [];
  /** The same as words, for what needs no order. */
  #wordsOf: readonly Uint32Array[] = [];
  readonly #free: number[] = [];
  readonly #cellOf = new Map<bigint, number>();
  #asked: Asked[] = [];
  #order = 0;
  #reqCons: number;
  #responses = 0;
  #changes = 0;
  #puts = 0;
  #left = false;
  /** A cell in the making. */
  readonly #words: Uint32Array = new Uint32Array(CELL_WORDS);

  /** Throws the file's error. `fresh`: a ring that was never served; its indices are `rspProd`. */
  constructor(path: string, how: 'fresh' | 'attach', rspProd: number) {
    this.#path = path;
    const there = how === 'attach' && existsSync(path) ? Math.ceil(statSync(path).size / PART_BYTES) : 0;
    this.#file = new RecordFile(path, Math.max(2, there), how);
    this.#map(Math.max(2, there));
    const head = this.#parts[0]!;
    if (there === 0) {
      head.store(BASE_REQ_CONS, rspProd);
      head.store(BASE_RSP_PROD, rspProd);
    }
    if (head.load(VALID) === 1) this.#apply();
    this.#reqCons = head.load(BASE_REQ_CONS);
    this.#scan();
  }

  /** How far requests were taken. */
  get reqCons(): number {
    return this.#reqCons;
  }

  /** Where responses end, once those that are `unsaid` have been shown. */
  get rspProd(): number {
    return this.#parts[0]!.load(BASE_RSP_PROD);
  }

  /** Responses that a predecessor was about to show to a guest who sees `rspProd` yet. */
  unsaid(rspProd: number): readonly Uint8Array[] {
    const head = this.#parts[0]!;
    const count = head.load(RESPONSE_COUNT);
    if (head.load(VALID) !== 1 || (head.load(RSP_PROD) - rspProd) >>> 0 !== count) return [];
    return Array.from({ length: count }, (_, at) => {
      const start = RESPONSES + at * SLOT_BYTES;
      return head.bytes.slice(start, start + SLOT_BYTES);
    });
  }

  /** Requests that wait, in the order in which they came: slots of a predecessor's when it attaches. */
  get requests(): readonly Uint8Array[] {
    return this.#asked.map(({ slot }) => new Uint8Array(slot.buffer));
  }

  get sockets(): readonly SocketEntry[] {
    return [...this.#cellOf.values()].map((cell) => readSocket(this.#load(cell)));
  }

  /** Another command may be taken: whatever it changes has room in the log. Otherwise what there is has to be shown first. */
  get hasRoom(): boolean {
    return this.#puts + ENOUGH <= MOST_PUTS;
  }

  /** A request was taken from the ring. */
  took(request: Uint8Array): void {
    const slot = new Uint32Array(SLOT_WORDS);
    new Uint8Array(slot.buffer).set(request);
    this.#reqCons = (this.#reqCons + 1) >>> 0;
    this.#asked.push({ slot, order: this.#order, cell: NOWHERE });
    this.#order = (this.#order + 1) >>> 0;
  }

  /** A response, 64 bytes: the first request that it fits is answered. */
  answer(response: Uint8Array): void {
    const view = new DataView(response.buffer, response.byteOffset);
    const u32 = (at: number): number => view.getUint32(at, true);
    const asked = this.#settle(u32(0), u32(4), u32(16), u32(20));
    this.#begin();
    const head = this.#wordsOf[0]!;
    const start = (RESPONSES + this.#responses++ * SLOT_BYTES) / 4;
    for (let word = 0; word < SLOT_WORDS; word++) head[start + word] = u32(4 * word);
    if (asked.cell !== NOWHERE) this.#clear(asked.cell);
  }

  /** A request that is never going to be answered; its slot in the ring is lost. */
  drop({ reqId, command, id }: Request): void {
    const { cell } = this.#settle(reqId, command, Number(id & 0xffff_ffffn), Number(id >> 32n));
    if (cell !== NOWHERE) this.#clear(cell);
  }

  put(entry: SocketEntry): void {
    if (this.#left) return;
    this.#makeRoom();
    const cell = this.#cellOf.get(entry.id) ?? this.#take();
    this.#cellOf.set(entry.id, cell);
    socketCell(entry, this.#words);
    this.#change(cell);
  }

  remove(id: bigint): void {
    const cell = this.#cellOf.get(id);
    if (cell === undefined || this.#left) return;
    this.#makeRoom();
    this.#cellOf.delete(id);
    this.#clear(cell);
  }

  /** What was answered and changed since the last time counts from now on; the responses are to be shown at once. Answers how many there are. */
  commit(): number {
    if (this.#left) return 0;
    for (const asked of this.#asked) {
      if (asked.cell !== NOWHERE) continue;
      asked.cell = this.#take();
      requestCell(asked.order, asked.slot, this.#words);
      this.#change(asked.cell);
    }
    const responses = this.#responses;
    const head = this.#parts[0]!;
    if (responses === 0 && this.#changes === 0 && head.load(BASE_REQ_CONS) === this.#reqCons) return 0;
    this.#begin();
    head.store(RESPONSE_COUNT, responses);
    head.store(CHANGE_COUNT, this.#changes);
    head.store(REQ_CONS, this.#reqCons);
    head.store(RSP_PROD, this.rspProd + responses);
    head.store(VALID, 1);
    this.#apply();
    this.#responses = 0;
    this.#changes = 0;
    this.#puts = 0;
    return responses;
  }

  /** One of the responses that count. */
  response(index: number, into: Uint8Array): void {
    const { bytes } = this.#parts[0]!;
    const start = RESPONSES + index * SLOT_BYTES;
    for (let i = 0; i < SLOT_BYTES; i++) into[i] = bytes[start + i]!;
  }

  /** Whoever comes next finds it as it is: what is told from now on is not written down. */
  leave(): void {
    this.#left = true;
    this.#file.leave();
  }

  #map(parts: number): void {
    this.#parts = Array.from({ length: parts }, (_, part) => new Page(this.#file.bytes(part)));
    this.#wordsOf = this.#parts.map(
      ({ bytes }) => new Uint32Array(bytes.buffer, bytes.byteOffset, PART_BYTES / 4),
    );
  }

  /** Does what the log says. Doing it again does nothing. */
  #apply(): void {
    const head = this.#parts[0]!;
    const log = this.#wordsOf[0]!;
    const changes = head.load(CHANGE_COUNT);
    for (let change = 0; change < changes; change++) {
      const at = (CHANGES + change * CHANGE_BYTES) / 4;
      const cell = log[at]!;
      const part = 1 + Math.floor(cell / PART_CELLS);
      const words = this.#wordsOf[part]!;
      const start = (cell % PART_CELLS) * CELL_WORDS;
      const kind = log[at + 1]!;
      if (kind !== Cell.FREE)
        for (let word = 1; word < CELL_WORDS; word++) words[start + word] = log[at + 1 + word]!;
      this.#parts[part]!.store(4 * start, kind);
    }
    head.store(BASE_REQ_CONS, head.load(REQ_CONS));
    head.store(BASE_RSP_PROD, head.load(RSP_PROD));
  }

  /** What the cells say. */
  #scan(): void {
    for (let cell = (this.#parts.length - 1) * PART_CELLS - 1; cell >= 0; cell--) {
      const words = this.#load(cell);
      if (words[0] === Cell.SOCKET) this.#cellOf.set(readSocket(words).id, cell);
      else if (words[0] === Cell.REQUEST) this.#asked.push({ ...readRequest(words), cell });
      else this.#free.push(cell);
    }
    this.#asked.sort((a, b) => (a.order - b.order) | 0);
    this.#order = ((this.#asked.at(-1)?.order ?? -1) + 1) >>> 0;
  }

  /** The first request that was so. */
  #settle(reqId: number, command: number, idLow: number, idHigh: number): Asked {
    const at = this.#asked.findIndex(
      ({ slot }) => slot[0] === reqId && slot[1] === command && slot[2] === idLow && slot[3] === idHigh,
    );
    const asked = this.#asked[at];
    if (asked === undefined) throw new RangeError('nothing to respond to');
    this.#asked.splice(at, 1);
    return asked;
  }

  /** From the first thing that is written into it on, the log no longer counts. */
  #begin(): void {
    if (this.#responses === 0 && this.#changes === 0) this.#parts[0]!.store(VALID, 0);
  }

  #makeRoom(): void {
    if (this.#puts === MOST_PUTS) this.onFull();
    this.#puts++;
  }

  #change(cell: number): void {
    this.#begin();
    const log = this.#wordsOf[0]!;
    const at = (CHANGES + this.#changes++ * CHANGE_BYTES) / 4;
    log[at] = cell;
    const length = this.#words[0] === Cell.FREE ? 1 : CELL_WORDS;
    for (let word = 0; word < length; word++) log[at + 1 + word] = this.#words[word]!;
  }

  #clear(cell: number): void {
    this.#words[0] = Cell.FREE;
    this.#change(cell);
    this.#free.push(cell);
  }

  /** A free cell; the file grows if there is none. Throws the file's error. */
  #take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const first = (this.#parts.length - 1) * PART_CELLS;
    const parts = this.#parts.length + 1;
    const larger = new RecordFile(this.#path, parts, 'attach');
    this.#file.leave();
    this.#file = larger;
    this.#map(parts);
    for (let cell = first + PART_CELLS - 1; cell > first; cell--) this.#free.push(cell);
    return first;
  }

  #load(cell: number): Uint32Array {
    const start = (cell % PART_CELLS) * CELL_WORDS;
    return this.#wordsOf[1 + Math.floor(cell / PART_CELLS)]!.slice(start, start + CELL_WORDS);
  }
}
