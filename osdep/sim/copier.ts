/** Grant copies by table on the simulator. Knows no packets and no disks. */
import { Errno, OsError } from '../errno.ts';
import { type Copier, type CopySegment, type CopyTable, type Gnttab, GrantStatus } from '../gnttab.ts';
import { PAGE_SIZE } from '../mapping.ts';
import { type MappedArea, mapPieces } from '../os/mmap.ts';

export class SimCopier implements Copier {
  readonly #gnttab: Gnttab;
  readonly #area: MappedArea;

  constructor(gnttab: Gnttab, memoryBytes: number) {
    if (!(memoryBytes > 0) || memoryBytes % PAGE_SIZE !== 0) throw new OsError(Errno.EINVAL, 'open a copier');
    this.#gnttab = gnttab;
    this.#area = mapPieces([{ fd: undefined, offset: 0, length: memoryBytes }], 'rw');
  }

  get memory(): Uint8Array {
    return this.#area.bytes;
  }

  copy(table: CopyTable): void {
    const memory = this.#area.bytes;
    const segments = Array.from({ length: table.count }, (_, i): CopySegment => {
      const length = table.lengths[i]!;
      const position = table.positions[i]!;
      if (position + length > this.#area.length) throw new RangeError('a copy outside of the memory');
      const guest = { domid: table.domids[i]!, ref: table.grefs[i]!, offset: table.offsets[i]! };
      const ours = { bytes: memory.subarray(position, position + length) };
      return table.toGuest[i] === 1
        ? { source: ours, dest: guest, length }
        : { source: guest, dest: ours, length };
    });
    let statuses: readonly number[] = [];
    try {
      statuses = this.#gnttab.grantCopy(segments);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
    for (let i = 0; i < table.count; i++) table.statuses[i] = statuses[i] ?? GrantStatus.GENERAL_ERROR;
  }

  close(): void {
    this.#gnttab.close();
    this.#area.unmap();
  }
}
