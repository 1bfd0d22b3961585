/**
 * What a disk is to those who serve it: measured, locked, and transferred to and from in batches. Knows no image format and no system call;
 * `blkback/disk` has the kinds there are.
 */
import type { IoMemory } from '../../osdep/os/iomemory.ts';
import type { Disk } from '../core/disk.ts';

/** Where transfers go. Sectors are of 512 bytes; a tag is below `depth` and free again when it was told to be done. */
export interface MediumQueue {
  readonly depth: number;
  /** Who transfers, and how; for the log. */
  readonly manner: string;
  /** Transfers that may still be begun. */
  readonly room: number;
  /** Begins one, to which memory is added next. */
  read(sector: number): number;
  write(sector: number): number;
  add(memory: IoMemory, offset: number, length: number): void;
  /** What had been told to be done is on the medium when this is. */
  flush(): number;
  discard(sector: number, sectors: number): number;
  secureDiscard(sector: number, sectors: number): number;
  /** Hands over what was begun, and tells of what is done by then. */
  advance(): void;
  /** Whether `advance` would tell of something. A look at memory. */
  readonly ready: boolean;
  /** False: whoever set it looks by himself for a while, and need not be called. To be set back before he sleeps, and `ready` looked at. */
  waking: boolean;
  /** Whether `ready` shows what is done while Node's loop stands still: if not, to look out for it only keeps it away. */
  readonly visible: boolean;
  /** Settles when nothing touches memory any more. */
  close(): Promise<void>;
}

export interface Medium {
  /** One line, for messages. */
  readonly name: string;
  /** As it is now. */
  readonly disk: Disk;
  /** Bytes. */
  readonly physicalSectorSize: number;
  /** Bytes; undefined: it takes no discards. */
  readonly discard: { readonly granularity: number; readonly alignment: number } | undefined;
  /** False: somebody is still writing to it. */
  lock(): boolean;
  /** Looks at the size again. */
  refresh(): void;
  /** `onDone`: bytes moved, 0 for what moves none, or minus an error number. `onTold`: so much for now, after one or several. */
  queue(onDone: (tag: number, result: number) => void, onTold: () => void): MediumQueue;
  close(): Promise<void>;
}

/** What the toolstack has ordered, as far as it is the medium's. */
export interface MediumOrder {
  /** An absolute path. */
  readonly path: string;
  readonly writable: boolean;
  /** Others may write to it too. */
  readonly shared: boolean;
  readonly discard: boolean;
}
