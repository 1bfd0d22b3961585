/**
 * Memory that direct I/O does not take as it lies (a Buffer at an odd address, a piece of half a sector) is copied through a
 * buffer that it takes. Granted pages never come this way: their sectors lie well. Knows slots (iorequests.ts).
 */
import { IoMemory } from './iomemory.ts';
import { type IoRequests, Op } from './iorequests.ts';

interface Piece {
  readonly memory: IoMemory;
  readonly offset: number;
  readonly length: number;
}

export class Bounces {
  readonly #requests: IoRequests;
  readonly #running = new Map<number, { readonly buffer: IoMemory; readonly pieces: readonly Piece[] }>();

  constructor(requests: IoRequests) {
    this.#requests = requests;
  }

  /** Whether a slot's memory has to be copied: some address, or some length but the last, is off. */
  wants(slot: number): boolean {
    const requests = this.#requests;
    const { direct, memoryAlignBytes, sectorBytes } = requests.files[slot]!;
    if (!direct) return false;
    const from = requests.firstVector(slot);
    const end = from + requests.vectorsLeft(slot);
    for (let i = from; i < end; i++) {
      if (requests.address(i) % memoryAlignBytes !== 0 || requests.vectorLength(i) % sectorBytes !== 0) {
        return true;
      }
    }
    return false;
  }

  /** The slot's vectors become one, of memory that lies well. */
  begin(slot: number): void {
    const requests = this.#requests;
    const from = requests.firstVector(slot);
    const count = requests.vectorsLeft(slot);
    const pieces = Array.from({ length: count }, (_, i): Piece => {
      const memory = requests.memory(from + i);
      const offset = requests.address(from + i) - memory.address;
      return { memory, offset, length: requests.vectorLength(from + i) };
    });
    const length = requests.length[slot]!;
    const buffer = IoMemory.allocate(length);
    this.#running.set(slot, { buffer, pieces });
    if (requests.op[slot] === Op.WRITE) {
      let at = 0;
      for (const { memory, offset, length } of pieces) {
        buffer.bytes.set(memory.bytes.subarray(offset, offset + length), at);
        at += length;
      }
    }
    // The last of them, so that the others, and what they refer to, are still there when the slot is given back.
    requests.first[slot] = requests.end[slot]! - 1;
    requests.aim(from + count - 1, buffer.address, length);
  }

  /** A slot is done, so many bytes of it. */
  end(slot: number, bytes: number): void {
    const bounce = this.#running.get(slot);
    if (bounce === undefined) return;
    this.#running.delete(slot);
    if (this.#requests.op[slot] !== Op.READ) return;
    let at = 0;
    for (const { memory, offset, length } of bounce.pieces) {
      const count = Math.min(length, bytes - at);
      if (count <= 0) return;
      memory.bytes.set(bounce.buffer.bytes.subarray(at, at + count), offset);
      at += count;
    }
  }
}
