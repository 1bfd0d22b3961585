/**
 * What survives the process that serves a frontend: its sockets, the requests that wait for an answer, and how far both indices of its ring of commands
 * have come. A turn's changes and responses count all at once, before the ring shows any of them. Whoever attaches after a kill shows what was to be
 * shown, and asks again what was not written down: each request is answered exactly once. Knows no socket of the machine, and does not read the ring.
 */
import type { Ledger, SocketEntry } from '../core/entries.ts';
import { type Request, SLOT_BYTES } from '../core/pvcalls.ts';
import { CellFile, MOST_CHANGES } from './cellfile.ts';
import { CELL_WORDS, Cell, readRequest, readSocket, requestCell, socketCell } from './cells.ts';

/** Slots of the ring: each request that waits may still make one more change, when it is written down or answered. */
const MOST_REQUESTS = 32;
const MOST_PUTS = MOST_CHANGES - MOST_REQUESTS;
/** Whatever one command changes. */
const ENOUGH = 8;
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
  readonly #file: CellFile;
  readonly #cellOf = new Map<bigint, number>();
  readonly #asked: Asked[] = [];
  #order: number;
  #reqCons: number;
  #puts = 0;
  #left = false;
  /** A cell in the making. */
  readonly #words: Uint32Array = new Uint32Array(CELL_WORDS);

  /** Throws the file's error. `fresh`: of a ring that was never served; its indices are `rspProd`. */
  constructor(path: string, how: 'fresh' | 'attach', rspProd: number) {
    this.#file = new CellFile(path, how, rspProd);
    this.#reqCons = this.#file.reqCons;
    for (const cell of this.#file.used) {
      const words = this.#file.load(cell);
      if (words[0] === Cell.SOCKET) this.#cellOf.set(readSocket(words).id, cell);
      else this.#asked.push({ ...readRequest(words), cell });
    }
    this.#asked.sort((a, b) => (a.order - b.order) | 0);
    this.#order = ((this.#asked.at(-1)?.order ?? -1) + 1) >>> 0;
  }

  /** How far requests were taken. */
  get reqCons(): number {
    return this.#reqCons;
  }

  /** Where responses end, once those that are `unsaid` have been shown. */
  get rspProd(): number {
    return this.#file.rspProd;
  }

  /** Responses that a predecessor was about to show to a guest who sees `rspProd` yet. */
  unsaid(rspProd: number): readonly Uint8Array[] {
    return this.#file.unsaid(rspProd);
  }

  /** Requests that wait, in the order in which they came: slots of a predecessor's when it attaches. */
  get requests(): readonly Uint8Array[] {
    return this.#asked.map(({ slot }) => new Uint8Array(slot.buffer));
  }

  get sockets(): readonly SocketEntry[] {
    return [...this.#cellOf.values()].map((cell) => readSocket(this.#file.load(cell)));
  }

  /** Another command may be taken: whatever it changes has room in the log. Otherwise what there is has to be shown first. */
  get hasRoom(): boolean {
    return this.#puts + ENOUGH <= MOST_PUTS;
  }

  /** A request was taken from the ring. */
  took(request: Uint8Array): void {
    const slot = new Uint32Array(SLOT_BYTES / 4);
    new Uint8Array(slot.buffer).set(request);
    this.#reqCons = (this.#reqCons + 1) >>> 0;
    this.#asked.push({ slot, order: this.#order, cell: NOWHERE });
    this.#order = (this.#order + 1) >>> 0;
  }

  /** A response, 64 bytes: the first request that it fits is answered. */
  answer(response: Uint8Array): void {
    const view = new DataView(response.buffer, response.byteOffset);
    const u32 = (at: number): number => view.getUint32(at, true);
    const { cell } = this.#settle(u32(0), u32(4), u32(16), u32(20));
    this.#file.say(view);
    if (cell !== NOWHERE) this.#file.clear(cell);
  }

  /** A request that is never going to be answered; its slot in the ring is lost. */
  drop({ reqId, command, id }: Request): void {
    const { cell } = this.#settle(reqId, command, Number(id & 0xffff_ffffn), Number(id >> 32n));
    if (cell !== NOWHERE) this.#file.clear(cell);
  }

  put(entry: SocketEntry): void {
    if (this.#left) return;
    this.#makeRoom();
    const cell = this.#cellOf.get(entry.id) ?? this.#file.take();
    this.#cellOf.set(entry.id, cell);
    socketCell(entry, this.#words);
    this.#file.put(cell, this.#words);
  }

  remove(id: bigint): void {
    const cell = this.#cellOf.get(id);
    if (cell === undefined || this.#left) return;
    this.#makeRoom();
    this.#cellOf.delete(id);
    this.#file.clear(cell);
  }

  /** What was answered and changed since the last time counts from now on; the responses are to be shown at once. Answers how many there are. */
  commit(): number {
    if (this.#left) return 0;
    for (const asked of this.#asked) {
      if (asked.cell !== NOWHERE) continue;
      asked.cell = this.#file.take();
      requestCell(asked.order, asked.slot, this.#words);
      this.#file.put(asked.cell, this.#words);
    }
    this.#puts = 0;
    return this.#file.commit(this.#reqCons);
  }

  /** One of the responses that count. */
  response(index: number, into: Uint8Array): void {
    this.#file.response(index, into);
  }

  /** Whoever comes next finds it as it is: what is told from now on is not written down. */
  leave(): void {
    this.#left = true;
    this.#file.leave();
  }

  #makeRoom(): void {
    if (this.#puts === MOST_PUTS) this.onFull();
    this.#puts++;
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
}
