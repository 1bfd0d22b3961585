/**
 * A raw file or a block device as a medium: sector n lies at byte 512 n. Knows nothing of guests.
 */
import { OsError } from '../../osdep/errno.ts';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { IoQueue } from '../../osdep/os/file.ts';
import type { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { SECTOR_BYTES } from '../core/blkif.ts';
import type { Disk } from '../core/disk.ts';
import { vbdLimits } from '../core/limits.ts';

interface RawOptions {
  readonly path: string;
  readonly writable: boolean;
  /** Others may write to it too. */
  readonly shared: boolean;
  /** Whether discards are wanted where the disk takes them. */
  readonly discard: boolean;
  readonly poller: Poller;
  /** Transfers under way at a time. */
  readonly depth?: number;
}

/** Raw disks of one process, whose completions come through one poller. */
export class RawDisks {
  readonly #poller: Poller = new Poller();

  /** Throws OsError with the path in its message if it cannot be opened. */
  open(options: Omit<RawOptions, 'poller'>): RawDisk {
    return new RawDisk({ ...options, poller: this.#poller });
  }

  /** After all of them. */
  close(): void {
    this.#poller.close();
  }
}

class RawDisk {
  readonly name: string;
  readonly #file: DiskFile;
  readonly #options: RawOptions;

  constructor(options: RawOptions) {
    this.#options = options;
    this.#file = new DiskFile(options.path, { readOnly: !options.writable });
    this.name = options.path;
  }

  get disk(): Disk {
    const { sizeBytes, sectorBytes, readOnly } = this.#file;
    return {
      sectors: Math.floor(sizeBytes / SECTOR_BYTES),
      sectorSize: sectorBytes,
      readOnly,
      flush: true,
      barrier: !readOnly,
      discard: this.discard !== undefined,
      secureDiscard: this.discard !== undefined && this.#file.discard?.secure === true,
    };
  }

  get physicalSectorSize(): number {
    return this.#file.physicalSectorBytes;
  }

  get discard(): { readonly granularity: number; readonly alignment: number } | undefined {
    const { discard } = this.#file;
    if (discard === undefined || !this.#options.discard) return undefined;
    return { granularity: discard.granularityBytes, alignment: discard.alignmentBytes };
  }

  lock(): boolean {
    const { writable, shared } = this.#options;
    return this.#file.lock(writable && !shared ? 'exclusive' : 'shared');
  }

  /** A device that is gone keeps its size; its transfers fail. */
  refresh(): void {
    try {
      this.#file.refresh();
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
  }

  queue(onDone: (tag: number, result: number) => void, onTold: () => void): RawQueue {
    const { poller, depth = 128 } = this.#options;
    const maxVectors = vbdLimits.transferVectors;
    return new RawQueue(this.#file, new IoQueue({ poller, depth, maxVectors, onDone, onTold }));
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

class RawQueue {
  readonly #file: DiskFile;
  readonly #queue: IoQueue;

  constructor(file: DiskFile, queue: IoQueue) {
    this.#file = file;
    this.#queue = queue;
  }

  get depth(): number {
    return this.#queue.depth;
  }

  get manner(): string {
    const { direct, directRefused = 'not asked for' } = this.#file;
    const { refused } = this.#queue;
    const instead = refused.length === 0 ? '' : ` (${refused.join(', ')})`;
    const cached = direct ? 'direct' : `through the page cache (${directRefused})`;
    return `${this.#queue.engineOf(this.#file)}${instead}, ${cached}`;
  }

  get room(): number {
    return this.#queue.room;
  }

  read(sector: number): number {
    return this.#queue.read(this.#file, sector * SECTOR_BYTES);
  }

  write(sector: number): number {
    return this.#queue.write(this.#file, sector * SECTOR_BYTES);
  }

  add(memory: IoMemory, offset: number, length: number): void {
    if (!this.#queue.add(memory, offset, length)) throw new Error('a transfer takes no more memory');
  }

  flush(): number {
    return this.#queue.flush(this.#file);
  }

  discard(sector: number, sectors: number): number {
    return this.#queue.discard(this.#file, sector * SECTOR_BYTES, sectors * SECTOR_BYTES);
  }

  secureDiscard(sector: number, sectors: number): number {
    return this.#queue.secureDiscard(this.#file, sector * SECTOR_BYTES, sectors * SECTOR_BYTES);
  }

  advance(): void {
    this.#queue.advance();
  }

  get ready(): boolean {
    return this.#queue.ready;
  }

  get waking(): boolean {
    return this.#queue.waking;
  }

  set waking(wanted: boolean) {
    this.#queue.waking = wanted;
  }

  /** What Node's threads have done, its loop tells. */
  get visible(): boolean {
    return this.#queue.engineOf(this.#file) !== 'threads';
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}
