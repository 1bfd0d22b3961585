/**
 * What a run of commits comes to: for each record its last state, and which subtrees went. The same outcome is laid over the database when
 * a daemon starts and written into it when journals are absorbed. Record payloads are kept as views of the journals' bytes. Knows
 * no file and no database.
 */
import type { RingRecord } from '../core/ports.ts';
import {
  decodeNumber,
  decodeRing,
  decodeText,
  domidOf,
  Kind,
  nodePath,
  type RecordCursor,
  settingName,
} from './records.ts';

interface Latest {
  /** Counts records, to tell what came first. */
  readonly at: number;
  readonly payload: Buffer;
}

export class JournalFold {
  generation: number | undefined;
  /** `undefined`: gone. */
  readonly domains: Map<number, Buffer | undefined> = new Map();
  readonly watches: Map<number, Buffer | undefined> = new Map();
  readonly rings: Map<number, RingOutput | undefined> = new Map();
  readonly settings: Map<string, Buffer> = new Map();
  /** Roots of the subtrees that went, and when they last did. What was made anew below them is among the nodes. */
  readonly removed: Map<string, number> = new Map();
  readonly #nodes: Map<string, Latest> = new Map();
  #at = 0;

  /** The nodes that are left, in bytes: about what will have to be written. */
  get bytes(): number {
    let bytes = 0;
    for (const { payload } of this.#nodes.values()) bytes += payload.length;
    return bytes;
  }

  get empty(): boolean {
    return this.generation === undefined;
  }

  /** Takes the record on which the cursor stands. */
  take(record: RecordCursor): void {
    const payload = record.payload();
    this.#at += 1;
    switch (record.kind) {
      case Kind.generation:
        this.generation = decodeNumber(payload);
        break;
      case Kind.node:
        this.#nodes.set(nodePath(payload), { at: this.#at, payload });
        break;
      case Kind.removed: {
        const path = decodeText(payload);
        this.#nodes.delete(path);
        this.removed.set(path, this.#at);
        break;
      }
      case Kind.domain:
        this.domains.set(domidOf(payload), payload);
        break;
      case Kind.removedDomain:
        this.domains.set(domidOf(payload), undefined);
        this.rings.set(domidOf(payload), undefined);
        break;
      case Kind.watch:
        this.watches.set(decodeNumber(payload), payload);
        break;
      case Kind.removedWatch:
        this.watches.set(decodeNumber(payload), undefined);
        break;
      case Kind.ring:
        this.#takeRing(decodeRing(payload));
        break;
      case Kind.setting:
        this.settings.set(settingName(payload), payload);
        break;
      default:
        throw new RangeError(`there is no record of kind ${record.kind}`);
    }
  }

  /** Nodes that exist in the end. */
  *nodes(): Generator<readonly [path: string, payload: Buffer]> {
    for (const [path, { at, payload }] of this.#nodes) {
      if (!this.#removedAfter(path, at)) yield [path, payload];
    }
  }

  /** Does what is said here void an older record of this node? */
  supersedes(path: string): boolean {
    return this.#nodes.has(path) || this.#removedAfter(path, 0);
  }

  #removedAfter(path: string, at: number): boolean {
    if (this.removed.size === 0) return false;
    for (let p: string | undefined = path; p !== undefined; p = parentOf(p)) {
      const removedAt = this.removed.get(p);
      if (removedAt !== undefined && removedAt > at) return true;
    }
    return false;
  }

  #takeRing(record: RingRecord): void {
    const output = this.rings.get(record.domid);
    if (output !== undefined) {
      output.push(record);
    } else {
      // `undefined` in the map: the ring of an earlier domain of this number went, so nothing older than this counts.
      this.rings.set(record.domid, new RingOutput(record, this.rings.has(record.domid)));
    }
  }
}

/** A ring's latest record and its output, joined from what each commit appended. */
class RingOutput {
  /** Nothing recorded earlier than this counts. */
  complete: boolean;
  #latest: RingRecord;
  #start: number;
  #end: number;
  #pieces: Buffer[] = [];

  constructor(first: RingRecord, complete = false) {
    this.complete = complete || first.reset;
    this.#latest = first;
    this.#start = first.appendedAt;
    this.#end = first.appendedAt;
    this.#append(first);
  }

  push(record: RingRecord): void {
    this.#latest = record;
    if (record.reset) {
      this.complete = true;
      this.#restart(record.appendedAt);
    }
    this.#append(record);
  }

  get domid(): number {
    return this.#latest.domid;
  }

  /** As it continues `older`, the record that the database has. */
  over(older: RingRecord | undefined): RingOutput {
    if (older === undefined || this.complete) return this;
    const joined = new RingOutput(older);
    joined.push(this.record(undefined));
    return joined;
  }

  /** `sent`: the peer has everything before this position. What it has is dropped. */
  record(sent: number | undefined): RingRecord {
    const from = Math.min(Math.max(sent ?? this.#start, this.#start), this.#end);
    const appended = this.#output().subarray(from - this.#start);
    return { ...this.#latest, appendedAt: from, appended, reset: false };
  }

  /** Where a record does not go on from the last one, what was recorded behind its position is void. */
  #append({ appendedAt, appended }: RingRecord): void {
    if (appendedAt < this.#start || appendedAt > this.#end) this.#restart(appendedAt);
    else if (appendedAt < this.#end) this.#pieces = [this.#output().subarray(0, appendedAt - this.#start)];
    this.#end = appendedAt + appended.length;
    if (appended.length > 0) this.#pieces.push(appended);
  }

  #output(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  #restart(at: number): void {
    this.#start = at;
    this.#end = at;
    this.#pieces = [];
  }
}

/** `undefined` above `/`, and for special names such as `@releaseDomain`, which have no parent. */
function parentOf(path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  if (slash < 0 || path === '/') return undefined;
  return slash === 0 ? '/' : path.slice(0, slash);
}
