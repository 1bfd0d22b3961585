/**
 * A disk in memory, for blkback on a stepped machine: transfers take a little virtual time, by chance, so that they end in any order. What was under way when
 * its server dies has not happened. Knows no guest.
 */
import type { Medium, MediumQueue } from '../../blkback/io/medium.ts';
import type { IoMemory } from '../../osdep/os/iomemory.ts';
import type { Actor } from './process.ts';

const SECTOR_BYTES = 512;
const DEPTH = 64;

interface Transfer {
  readonly kind: 'read' | 'write' | 'other';
  readonly at: number;
  readonly pieces: { readonly memory: IoMemory; readonly offset: number; readonly length: number }[];
}

export class MemoryDisk {
  /** What is on it. */
  readonly bytes: Uint8Array;
  #holder: Actor | undefined;

  /** @param sectors of 512 bytes */
  constructor(sectors: number) {
    this.bytes = new Uint8Array(sectors * SECTOR_BYTES);
  }

  /** As a process opens it; one at a time may write to it. */
  open(actor: Actor): Medium {
    return {
      name: 'a disk in memory',
      disk: {
        sectors: this.bytes.length / SECTOR_BYTES,
        sectorSize: SECTOR_BYTES,
        readOnly: false,
        flush: true,
        barrier: true,
        discard: false,
        secureDiscard: false,
      },
      physicalSectorSize: SECTOR_BYTES,
      discard: undefined,
      lock: () => {
        if (this.#holder !== undefined && this.#holder !== actor && !this.#holder.dead) return false;
        this.#holder = actor;
        return true;
      },
      refresh: () => {},
      queue: (onDone) => new MemoryQueue(this.bytes, actor, onDone),
      close: async () => {
        if (this.#holder === actor) this.#holder = undefined;
      },
    };
  }
}

class MemoryQueue implements MediumQueue {
  readonly depth = DEPTH;
  readonly manner = 'in memory';
  waking = true;
  readonly visible = true;
  readonly #bytes: Uint8Array;
  readonly #actor: Actor;
  readonly #onDone: (tag: number, result: number) => void;
  readonly #transfers = new Map<number, Transfer>();
  #begun: number[] = [];
  readonly #done: { readonly tag: number; readonly result: number }[] = [];
  #idle: (() => void) | undefined;

  constructor(bytes: Uint8Array, actor: Actor, onDone: (tag: number, result: number) => void) {
    this.#bytes = bytes;
    this.#actor = actor;
    this.#onDone = onDone;
  }

  get room(): number {
    return DEPTH - this.#transfers.size;
  }

  get ready(): boolean {
    return this.#done.length > 0;
  }

  read(sector: number): number {
    return this.#begin('read', sector);
  }

  write(sector: number): number {
    return this.#begin('write', sector);
  }

  flush(): number {
    return this.#begin('other', 0);
  }

  discard(sector: number): number {
    return this.#begin('other', sector);
  }

  secureDiscard(sector: number): number {
    return this.#begin('other', sector);
  }

  add(memory: IoMemory, offset: number, length: number): void {
    this.#transfers.get(this.#begun.at(-1)!)!.pieces.push({ memory, offset, length });
  }

  advance(): void {
    const { clock, random } = this.#actor.platform;
    for (const tag of this.#begun.splice(0)) {
      for (const { memory } of this.#transfers.get(tag)!.pieces) memory.retain();
      clock.after((1 + random.below(1000)) / 1000, () => this.#finish(tag));
    }
    for (let done = this.#done.shift(); done !== undefined; done = this.#done.shift()) {
      this.#transfers.delete(done.tag);
      this.#onDone(done.tag, done.result);
    }
    if (this.#transfers.size === 0) this.#idle?.();
  }

  async close(): Promise<void> {
    this.waking = true;
    if (this.#transfers.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      this.advance();
    });
  }

  #begin(kind: Transfer['kind'], sector: number): number {
    let tag = 0;
    while (this.#transfers.has(tag)) tag += 1;
    this.#transfers.set(tag, { kind, at: sector * SECTOR_BYTES, pieces: [] });
    this.#begun.push(tag);
    return tag;
  }

  #finish(tag: number): void {
    const { kind, at, pieces } = this.#transfers.get(tag)!;
    let moved = 0;
    for (const { memory, offset, length } of pieces) {
      const theirs = memory.bytes.subarray(offset, offset + length);
      const ours = this.#bytes.subarray(at + moved, at + moved + length);
      if (kind === 'read') theirs.set(ours);
      else ours.set(theirs);
      memory.release();
      moved += length;
    }
    this.#done.push({ tag, result: moved });
    if (this.waking) this.advance();
  }
}
