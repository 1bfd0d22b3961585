/** Grant copies by table on the simulator: memory and copying are the machine's. Knows no packets and no disks. */
import { Errno, OsError } from '../errno.ts';
import { type Copier, type CopyTable, GrantStatus } from '../gnttab.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { SimMapping } from './area.ts';
import type { CopyMemory, Machine } from './machine.ts';

const NOTHING = new Uint8Array(0);

export class SimCopier implements Copier {
  readonly #length: number;
  readonly #opened: CopyMemory;
  readonly #mapping: SimMapping;
  #memory: Uint8Array;

  constructor(machine: Machine, memoryBytes: number) {
    if (!(memoryBytes > 0) || memoryBytes % PAGE_SIZE !== 0) throw new OsError(Errno.EINVAL, 'open a copier');
    this.#length = memoryBytes;
    this.#opened = machine.openCopies(memoryBytes);
    const { map, area } = this.#opened;
    this.#mapping = new SimMapping(machine, map, area, area.bytes.length / PAGE_SIZE, true);
    this.#memory = area.bytes.subarray(0, memoryBytes);
  }

  get memory(): Uint8Array {
    return this.#memory;
  }

  copy(table: CopyTable): void {
    const { count, positions, lengths } = table;
    for (let i = 0; i < count; i++) {
      if (positions[i]! + lengths[i]! > this.#length) throw new RangeError('a copy outside of the memory');
    }
    const done = this.#mapping.mapped && this.#opened.copy(table) === 0;
    if (!done) table.statuses.fill(GrantStatus.GENERAL_ERROR, 0, count);
  }

  close(): void {
    this.#memory = NOTHING;
    this.#mapping.unmap();
  }
}
