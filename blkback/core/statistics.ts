/**
 * What a disk has been asked for and what became of it: Linux's counters (the directory `statistics` of a vbd in sysfs), by their names,
 * and a few of our own. Numbers only; who shows them is not known here.
 */
import { BlkifOp, BlkifStatus, SECTOR_BYTES } from './blkif.ts';

export class Statistics {
  /** Requests taken, by kind, whatever became of them. */
  readReq = 0;
  writeReq = 0;
  flushReq = 0;
  barrierReq = 0;
  discardReq = 0;
  /** Sectors of 512 bytes of requests that went well; a guest's 512 bytes are a sector on every disk. */
  readSect = 0;
  writeSect = 0;
  discardSect = 0;
  /** How often requests had to wait for memory (Linux: `oo_req`). */
  ooReq = 0;
  /** Requests answered ERROR, and EOPNOTSUPP. */
  errors = 0;
  unsupported = 0;
  /** Requests that went to the disk together with another one's transfer. */
  merged = 0;
  /** Transfers of any kind, flushes and discards too. */
  transfers = 0;
  /** Segments whose page was mapped already, and those copied. */
  persistent = 0;
  copied = 0;
  /** Events without a request, and events put off because there were too many of them. */
  idleEvents = 0;
  delayedEvents = 0;

  get readBytes(): number {
    return this.readSect * SECTOR_BYTES;
  }

  get writeBytes(): number {
    return this.writeSect * SECTOR_BYTES;
  }

  get discardBytes(): number {
    return this.discardSect * SECTOR_BYTES;
  }

  /** All of them by the names that Linux has, or would have. */
  named(): Readonly<Record<string, number>> {
    return {
      rd_req: this.readReq,
      wr_req: this.writeReq,
      f_req: this.flushReq,
      barrier_req: this.barrierReq,
      ds_req: this.discardReq,
      oo_req: this.ooReq,
      rd_sect: this.readSect,
      wr_sect: this.writeSect,
      ds_sect: this.discardSect,
      errors: this.errors,
      unsupported: this.unsupported,
      merged: this.merged,
      transfers: this.transfers,
      persistent: this.persistent,
      copied: this.copied,
      idle_events: this.idleEvents,
      delayed_events: this.delayedEvents,
    };
  }

  /** A request has been taken. */
  asked(op: number): void {
    if (op === BlkifOp.READ) this.readReq++;
    else if (op === BlkifOp.WRITE) this.writeReq++;
    else if (op === BlkifOp.FLUSH_DISKCACHE) this.flushReq++;
    else if (op === BlkifOp.WRITE_BARRIER) this.barrierReq++;
    else if (op === BlkifOp.DISCARD) this.discardReq++;
  }

  /** It went well. */
  done(op: number, sectors: number): void {
    if (op === BlkifOp.READ) this.readSect += sectors;
    else if (op === BlkifOp.DISCARD) this.discardSect += sectors;
    else this.writeSect += sectors;
  }

  /** It has its answer. */
  answered(status: number): void {
    if (status === BlkifStatus.ERROR) this.errors++;
    else if (status === BlkifStatus.EOPNOTSUPP) this.unsupported++;
  }
}
