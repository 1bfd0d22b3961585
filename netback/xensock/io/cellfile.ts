/**
 * A file of cells that outlives its process, mapped, and of responses about to be shown in a ring. Changes and responses are written into a log, which
 * counts all at once, by one word; then the changes go into the cells. Whoever opens the file after a kill between any two of these stores does what is
 * left. Grows as cells are taken. Knows what neither cells nor responses mean.
 */
import { existsSync, statSync } from 'node:fs';
import { Page } from '../../../osdep/ring/page.ts';
import { RecordFile } from '../../../xenstored/client/ringrecord.ts';
import { SLOT_BYTES } from '../core/pvcalls.ts';
import { CELL_WORDS, Cell } from './cells.ts';

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
/** As many responses as the ring has slots. */
const MOST_RESPONSES = 32;
const CHANGES = RESPONSES + MOST_RESPONSES * SLOT_BYTES;
/** The number of a cell, then its words. */
const CHANGE_WORDS = 1 + CELL_WORDS;
const PART_BYTES = 12_288;
const PART_CELLS = PART_BYTES / 4 / CELL_WORDS;

/** Changes that the log has room for. */
export const MOST_CHANGES = 100;

export class CellFile {
  readonly #path: string;
  #file: RecordFile;
  /** The first has the log, the others cells. */
  #parts: readonly Page[] = [];
  /** The same as words, for what needs no order. */
  #words: readonly Uint32Array[] = [];
  readonly #free: number[] = [];
  #responses = 0;
  #changes = 0;

  /** Throws the file's error. `fresh`: of a ring that was never served; both its indices are `rspProd`. */
  constructor(path: string, how: 'fresh' | 'attach', rspProd: number) {
    this.#path = path;
    const there = how === 'attach' && existsSync(path) ? Math.ceil(statSync(path).size / PART_BYTES) : 0;
    this.#file = new RecordFile(path, Math.max(2, there), how);
    this.#map(Math.max(2, there));
    const head = this.#head;
    if (there === 0) {
      head.store(BASE_REQ_CONS, rspProd);
      head.store(BASE_RSP_PROD, rspProd);
    }
    if (head.load(VALID) === 1) this.#apply();
    for (let cell = this.#size - 1; cell >= 0; cell--)
      if (this.load(cell)[0] === Cell.FREE) this.#free.push(cell);
  }

  /** How far requests were taken, as far as that counts. */
  get reqCons(): number {
    return this.#head.load(BASE_REQ_CONS);
  }

  /** Where responses end, once those that are `unsaid` have been shown. */
  get rspProd(): number {
    return this.#head.load(BASE_RSP_PROD);
  }

  /** Responses that a predecessor was about to show to a guest who sees `rspProd` yet. */
  unsaid(rspProd: number): readonly Uint8Array[] {
    const head = this.#head;
    const count = head.load(RESPONSE_COUNT);
    if (head.load(VALID) !== 1 || (head.load(RSP_PROD) - rspProd) >>> 0 !== count) return [];
    return Array.from({ length: count }, (_, at) => {
      const start = RESPONSES + at * SLOT_BYTES;
      return head.bytes.slice(start, start + SLOT_BYTES);
    });
  }

  /** Those that are not free. */
  get used(): readonly number[] {
    const free = new Set(this.#free);
    return Array.from({ length: this.#size }, (_, cell) => cell).filter((cell) => !free.has(cell));
  }

  /** A copy of a cell. */
  load(cell: number): Uint32Array {
    const start = (cell % PART_CELLS) * CELL_WORDS;
    return this.#words[1 + Math.floor(cell / PART_CELLS)]!.slice(start, start + CELL_WORDS);
  }

  /** A free cell, to be put. Throws the file's error if there is none and it cannot grow. */
  take(): number {
    if (this.#free.length === 0) this.#grow();
    return this.#free.pop()!;
  }

  /** A cell becomes this; there is room in the log. */
  put(cell: number, words: Uint32Array): void {
    const at = this.#change(cell);
    const log = this.#words[0]!;
    for (let word = 0; word < CELL_WORDS; word++) log[at + word] = words[word]!;
  }

  /** A cell becomes free; there is room in the log. */
  clear(cell: number): void {
    this.#words[0]![this.#change(cell)] = Cell.FREE;
    this.#free.push(cell);
  }

  /** A response, 64 bytes. */
  say(response: DataView): void {
    this.#begin();
    const log = this.#words[0]!;
    const start = (RESPONSES + this.#responses++ * SLOT_BYTES) / 4;
    for (let word = 0; word < SLOT_WORDS; word++) log[start + word] = response.getUint32(4 * word, true);
  }

  /** All of that counts from now on, and so does `reqCons`. The responses are to be shown at once: how many there are. */
  commit(reqCons: number): number {
    const responses = this.#responses;
    const head = this.#head;
    if (responses === 0 && this.#changes === 0 && this.reqCons === reqCons) return 0;
    this.#begin();
    head.store(RESPONSE_COUNT, responses);
    head.store(CHANGE_COUNT, this.#changes);
    head.store(REQ_CONS, reqCons);
    head.store(RSP_PROD, this.rspProd + responses);
    head.store(VALID, 1);
    this.#apply();
    this.#responses = 0;
    this.#changes = 0;
    return responses;
  }

  /** One of the responses that count. */
  response(index: number, into: Uint8Array): void {
    const { bytes } = this.#head;
    const start = RESPONSES + index * SLOT_BYTES;
    for (let i = 0; i < SLOT_BYTES; i++) into[i] = bytes[start + i]!;
  }

  /** Whoever comes next finds it as it is. */
  leave(): void {
    this.#file.leave();
  }

  get #head(): Page {
    return this.#parts[0]!;
  }

  /** How many cells there are. */
  get #size(): number {
    return (this.#parts.length - 1) * PART_CELLS;
  }

  #map(parts: number): void {
    this.#parts = Array.from({ length: parts }, (_, part) => new Page(this.#file.bytes(part)));
    this.#words = this.#parts.map(
      ({ bytes }) => new Uint32Array(bytes.buffer, bytes.byteOffset, PART_BYTES / 4),
    );
  }

  #grow(): void {
    const first = this.#size;
    const parts = this.#parts.length + 1;
    const larger = new RecordFile(this.#path, parts, 'attach');
    this.#file.leave();
    this.#file = larger;
    this.#map(parts);
    for (let cell = this.#size - 1; cell >= first; cell--) this.#free.push(cell);
  }

  /** From the first thing that is written into it on, the log no longer counts. */
  #begin(): void {
    if (this.#responses === 0 && this.#changes === 0) this.#head.store(VALID, 0);
  }

  /** Answers where in the log the cell's words go. */
  #change(cell: number): number {
    this.#begin();
    const at = CHANGES / 4 + this.#changes++ * CHANGE_WORDS;
    this.#words[0]![at] = cell;
    return at + 1;
  }

  /** Does what the log says. Doing it again does nothing. */
  #apply(): void {
    const head = this.#head;
    const log = this.#words[0]!;
    const changes = head.load(CHANGE_COUNT);
    for (let change = 0; change < changes; change++) {
      const at = CHANGES / 4 + change * CHANGE_WORDS;
      const cell = log[at]!;
      const part = 1 + Math.floor(cell / PART_CELLS);
      const words = this.#words[part]!;
      const start = (cell % PART_CELLS) * CELL_WORDS;
      const kind = log[at + 1]!;
      if (kind !== Cell.FREE)
        for (let word = 1; word < CELL_WORDS; word++) words[start + word] = log[at + 1 + word]!;
      this.#parts[part]!.store(4 * start, kind);
    }
    head.store(BASE_REQ_CONS, head.load(REQ_CONS));
    head.store(BASE_RSP_PROD, head.load(RSP_PROD));
  }
}
