/**
 * The records of core/ports.ts as bytes, and back. A commit becomes a run of records, each a kind, a size and a payload; a node, domain,
 * watch or ring is kept in the database as that same payload. Knows no file. The format is our own: little-endian, strings one byte a
 * character, numbers that may pass 32 bits as doubles; `FORMAT` changes with it.
 */
import type { Commit, DomainRecord, NodeRecord, RingRecord, StoredPerm, WatchRecord } from '../core/ports.ts';
import { readLatin1 } from '../wire/latin1.ts';
import type { PermLetter } from '../wire/reply.ts';
import { Decoder, Encoder } from './journal-bytes.ts';

/** Version of everything in this file and in journal.ts. */
export const FORMAT = 2;

export const Kind = {
  generation: 1,
  node: 2,
  /** The path and all that lies below it. */
  removed: 3,
  domain: 4,
  /** Its ring goes with it. */
  removedDomain: 5,
  watch: 6,
  removedWatch: 7,
  ring: 8,
  setting: 9,
} as const;

/** Bytes before a payload: kind, size. */
const HEAD_BYTES = 5;
const ANY_DEPTH = 0xffff_ffff;

function begin(to: Encoder, kind: number, size: number): void {
  to.reserve(HEAD_BYTES + size);
  to.u8(kind);
  to.u32(size);
}

/** Removals come before what replaces them, so that reading in order gives the turn's outcome. */
export function encodeCommit(to: Encoder, commit: Commit): void {
  begin(to, Kind.generation, 8);
  to.f64(commit.generation);
  for (const path of commit.removed) {
    begin(to, Kind.removed, path.length);
    to.text(path);
  }
  for (const node of commit.nodes) encodeNode(to, node);
  for (const domid of commit.removedDomains) {
    begin(to, Kind.removedDomain, 2);
    to.u16(domid);
  }
  for (const domain of commit.domains) encodeDomain(to, domain);
  for (const seq of commit.removedWatches) {
    begin(to, Kind.removedWatch, 8);
    to.f64(seq);
  }
  for (const watch of commit.watches) encodeWatch(to, watch);
  for (const ring of commit.rings) encodeRing(to, ring);
  if (commit.settings !== undefined) {
    for (const [name, value] of Object.entries(commit.settings)) {
      begin(to, Kind.setting, 8 + name.length);
      to.f64(value);
      to.text(name);
    }
  }
}

function encodeNode(to: Encoder, node: NodeRecord): void {
  const { path, perms, value } = node;
  begin(to, Kind.node, 20 + path.length + 6 * perms.length + value.length);
  to.u16(path.length);
  to.text(path);
  to.f64(node.generation);
  to.f64(node.born);
  to.u16(perms.length);
  for (const { letter, domid, stale } of perms) {
    // Whatever a guest has written is kept as it is printed, also what no domain can be.
    to.u32(domid >>> 0);
    to.u8(letter.charCodeAt(0));
    to.u8(stale ? 1 : 0);
  }
  to.text(value);
}

function encodeDomain(to: Encoder, domain: DomainRecord): void {
  const { target, quotas } = domain;
  begin(to, Kind.domain, 37 + 8 * quotas.length);
  to.u16(domain.domid);
  to.u64(domain.uniqueId);
  to.f64(domain.generation);
  to.u8(
    (domain.introduced ? 1 : 0) |
      (domain.shutdownReported ? 2 : 0) |
      (domain.ignored ? 4 : 0) |
      (target !== undefined ? 8 : 0),
  );
  to.u32(domain.port);
  to.u32(domain.features);
  to.u16(target?.domid ?? 0);
  to.u64(target?.uniqueId ?? 0n);
  for (const quota of quotas) to.f64(quota);
}

function encodeWatch(to: Encoder, watch: WatchRecord): void {
  begin(to, Kind.watch, 16 + watch.path.length + watch.token.length);
  to.f64(watch.seq);
  to.u16(watch.domid);
  to.u32(watch.depth ?? ANY_DEPTH);
  to.u16(watch.path.length);
  to.text(watch.path);
  to.text(watch.token);
}

function encodeRing(to: Encoder, ring: RingRecord): void {
  begin(to, Kind.ring, 23 + ring.partial.length + ring.appended.length);
  to.u16(ring.domid);
  to.u8(ring.reset ? 1 : 0);
  to.f64(ring.consumed);
  to.f64(ring.appendedAt);
  to.u32(ring.partial.length);
  to.blob(ring.partial);
  to.blob(ring.appended);
}

/** The payload of one record, for the database. A copy. */
export function ringPayload(ring: RingRecord): Buffer {
  const encoder = new Encoder();
  encoder.restart(0);
  encodeRing(encoder, ring);
  return Buffer.from(encoder.bytes.subarray(HEAD_BYTES, encoder.at));
}

/** Walks the records of a commit: `kind` and the payload `bytes[start, end)`. Throws RangeError where they do not add up. */
export class RecordCursor {
  readonly bytes: Buffer;
  kind = 0;
  start = 0;
  end = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  next(): boolean {
    if (this.end === this.bytes.length) return false;
    this.kind = this.bytes.readUInt8(this.end);
    this.start = this.end + HEAD_BYTES;
    this.end = this.start + this.bytes.readUInt32LE(this.end + 1);
    if (this.end > this.bytes.length) throw new RangeError('a record is longer than its commit');
    return true;
  }

  payload(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }
}

export function decodeText(payload: Buffer): string {
  return readLatin1(payload, 0, payload.length);
}

export function decodeNumber(payload: Buffer): number {
  return payload.readDoubleLE(0);
}

/** What a node, a domain, a watch or a ring is found by, without reading the rest. */
export function nodePath(payload: Buffer): string {
  return readLatin1(payload, 2, 2 + payload.readUInt16LE(0));
}

export function domidOf(payload: Buffer): number {
  return payload.readUInt16LE(0);
}

export function decodeNode(payload: Buffer): NodeRecord {
  const from = new Decoder(payload);
  const path = from.text(from.u16());
  const generation = from.f64();
  const born = from.f64();
  const count = from.u16();
  const perms: StoredPerm[] = [];
  for (let i = 0; i < count; i++) {
    const domid = from.u32() | 0;
    const letter = String.fromCharCode(from.u8()) as PermLetter;
    perms.push({ letter, domid, stale: from.u8() === 1 });
  }
  return { path, value: from.text(from.left), perms, generation, born };
}

export function decodeDomain(payload: Buffer): DomainRecord {
  const from = new Decoder(payload);
  const domid = from.u16();
  const uniqueId = from.u64();
  const generation = from.f64();
  const flags = from.u8();
  const port = from.u32();
  const features = from.u32();
  const target = { domid: from.u16(), uniqueId: from.u64() };
  const quotas: number[] = [];
  while (from.left > 0) quotas.push(from.f64());
  return {
    domid,
    uniqueId,
    generation,
    introduced: (flags & 1) !== 0,
    port,
    features,
    shutdownReported: (flags & 2) !== 0,
    ignored: (flags & 4) !== 0,
    target: (flags & 8) !== 0 ? target : undefined,
    quotas,
  };
}

export function decodeWatch(payload: Buffer): WatchRecord {
  const from = new Decoder(payload);
  const seq = from.f64();
  const domid = from.u16();
  const depth = from.u32();
  const path = from.text(from.u16());
  const token = from.text(from.left);
  return { seq, domid, path, token, depth: depth === ANY_DEPTH ? undefined : depth };
}

/** `partial` and `appended` are views of the payload. */
export function decodeRing(payload: Buffer): RingRecord {
  const from = new Decoder(payload);
  const domid = from.u16();
  const reset = from.u8() === 1;
  const consumed = from.f64();
  const appendedAt = from.f64();
  const partial = from.blob(from.u32());
  return { domid, consumed, partial, appendedAt, appended: from.blob(from.left), reset };
}

/** The value is what `decodeNumber` reads of the payload. */
export function settingName(payload: Buffer): string {
  return readLatin1(payload, 8, payload.length);
}
