/**
 * A source of load: one frame, written once into pages of its own as often as they have room for it, and sent again and again without a byte
 * copied or allocated. For measuring; a host has no use for it.
 */
import { PAGE_SIZE } from '../../../osdep/mapping.ts';
import type { FrameMeta } from './meta.ts';
import type { PageOwner, Transmit } from './transmit.ts';

/** What an interface's user sees of it. */
export interface PumpControl {
  /** Frames that the backend has answered. */
  readonly sent: number;
  /** Sends that many more, as fast as the ring takes them: from now on, whenever there is room. `Infinity`: without end. */
  send(count: number): void;
  /** Sends no more; its pages are given back as they are answered. */
  stop(): void;
}

export class Pump implements PumpControl, PageOwner {
  sent = 0;
  readonly #queue: Transmit;
  readonly #length: number;
  readonly #meta: FrameMeta;
  readonly #perFrame: number;
  /** Pages, a frame's next to each other; by page, its copy of the frame; by copy, how many pages are lent. */
  readonly #pages: readonly number[];
  readonly #copyOf: Uint16Array = new Uint16Array(256);
  readonly #lent: Uint8Array;
  /** Copies that are not lent. */
  readonly #free: Uint16Array;
  #freeCount: number;
  #wanted = 0;
  #stopped = false;
  readonly #wake: () => void;

  /** @param wake called when there is something to send */
  constructor(queue: Transmit, frame: Uint8Array, meta: FrameMeta, wake: () => void) {
    this.#queue = queue;
    this.#length = frame.length;
    this.#meta = meta;
    this.#wake = wake;
    this.#perFrame = Math.ceil(frame.length / PAGE_SIZE);
    const copies = Math.floor(queue.room / this.#perFrame);
    this.#pages = queue.reserve(copies * this.#perFrame, this);
    for (const [index, page] of this.#pages.entries()) {
      const part = index % this.#perFrame;
      queue.fill(page, frame.subarray(part * PAGE_SIZE, (part + 1) * PAGE_SIZE));
      this.#copyOf[page] = Math.floor(index / this.#perFrame);
    }
    this.#lent = new Uint8Array(copies);
    this.#free = Uint16Array.from({ length: copies }, (_, copy) => copy);
    this.#freeCount = copies;
  }

  send(count: number): void {
    this.#wanted += count;
    this.#wake();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wanted = 0;
    while (this.#freeCount > 0) this.#restore(this.#free[--this.#freeCount]!);
  }

  /** Puts as many frames in the ring as go. True: it was one or more. */
  fill(): boolean {
    const before = this.#freeCount;
    while (this.#wanted > 0 && this.#freeCount > 0) {
      const copy = this.#free[this.#freeCount - 1]!;
      if (!this.#queue.putReserved(this.#pages, copy * this.#perFrame, this.#length, this.#meta)) break;
      this.#lent[copy] = this.#perFrame;
      this.#freeCount--;
      this.#wanted--;
    }
    return this.#freeCount !== before;
  }

  answered(page: number): void {
    const copy = this.#copyOf[page]!;
    if (--this.#lent[copy]! > 0) return;
    this.sent++;
    if (this.#stopped) this.#restore(copy);
    else this.#free[this.#freeCount++] = copy;
  }

  #restore(copy: number): void {
    for (let i = 0; i < this.#perFrame; i++) this.#queue.restore(this.#pages[copy * this.#perFrame + i]!);
  }
}
