/**
 * What passes between a domain's process and the hypervisor process over a unix stream socket: frames, and a value
 * codec for the requests of world/requests.ts. Knows no socket. A reader of frames never trusts their lengths.
 *
 * A frame is a header of 8 bytes (u32 length of the body, u32 kind, little-endian) and the body. To the hypervisor:
 * ATTACH, CALL, OPEN_EVENTS and TOKEN, which are answered one by one with REPLY, and COPY, with COPIED; NOTIFY and UNMASK are
 * not answered. Descriptors that belong to a REPLY travel beside the bytes. Bodies are JSON, followed by the bytes that it names; but
 * those of NOTIFY and UNMASK are two u32, an event channel file and a port, and so are those of COPY, a mapping and how many rows of
 * the table in it; that of COPIED is one, an error number or 0.
 */
import type { OpName } from './world/requests.ts';

export const Kind = {
  ATTACH: 1,
  CALL: 2,
  NOTIFY: 3,
  UNMASK: 4,
  OPEN_EVENTS: 5,
  TOKEN: 6,
  REPLY: 7,
  COPY: 8,
  COPIED: 9,
} as const;

export const HEADER_BYTES = 8;
/** Bodies that the hypervisor takes: before attaching, from a domain, from the control domain. */
export const MAX_ATTACH_BYTES = 1024;
export const MAX_BODY_BYTES: number = 256 * 1024;
export const MAX_CONTROL_BODY_BYTES: number = 4 * 1024 * 1024;

export interface AttachArgs {
  readonly token: string;
}

/** What a process learns when it has become a domain. */
export interface Attached {
  readonly domid: number;
  /** Differs between any two runs of a hypervisor. */
  readonly instance: string;
  readonly maxBodyBytes: number;
}

export interface TokenArgs {
  readonly domid: number;
  /** Whether the domain outlives its processes; otherwise it crashes with the last one. */
  readonly restartable: boolean;
}

/** A stretch of a mapping: pages of the n-th descriptor beside the reply, or a hole where that is undefined. */
export interface SentRun {
  readonly descriptor: number | undefined;
  readonly page: number;
  readonly pages: number;
}

export interface SentReply {
  readonly errno?: number;
  readonly value?: unknown;
  readonly memory?: { readonly runs: readonly SentRun[]; readonly writable: boolean };
  /** How many descriptors come along in all. */
  readonly descriptors?: number;
}

/** Requests with bytes in arguments or answers; all others are plain JSON. */
const WITH_BYTES: ReadonlySet<string> = new Set<OpName>(['gntdevCopy', 'gnttabCopy', 'dmTrackDirty']);

export function hasBytes(op: string): boolean {
  return WITH_BYTES.has(op);
}

/** A whole frame. `bytes`: whether the value may contain Uint8Arrays. */
export function encodeFrame(kind: number, value: unknown, bytes: 'bytes' | 'plain'): Buffer {
  const blobs: Uint8Array[] = [];
  let offset = 0;
  const text = JSON.stringify(
    value,
    bytes === 'plain'
      ? undefined
      : function (this: Record<string, unknown>, key: string, encoded: unknown): unknown {
          // A Buffer has already been made something else of: look at what it was.
          const original = this[key];
          if (!(original instanceof Uint8Array)) return encoded;
          blobs.push(original);
          const at = offset;
          offset += original.length;
          return { $bytes: [at, original.length] };
        },
  );
  const json = Buffer.from(text);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 4 + json.length + offset);
  frame.writeUInt32LE(frame.length - HEADER_BYTES, 0);
  frame.writeUInt32LE(kind, 4);
  frame.writeUInt32LE(json.length, 8);
  json.copy(frame, 12);
  let at = 12 + json.length;
  for (const blob of blobs) {
    frame.set(blob, at);
    at += blob.length;
  }
  return frame;
}

/** The value of a body; throws whatever JSON.parse throws, or RangeError, when it is not one. */
export function decodeBody(body: Buffer): unknown {
  if (body.length < 4) throw new RangeError('a body without a length');
  const end = 4 + body.readUInt32LE(0);
  if (end > body.length) throw new RangeError('a body shorter than its text');
  const text = body.toString('utf8', 4, end);
  if (end === body.length) return JSON.parse(text);
  let left = body.length - end;
  return JSON.parse(text, (_key, value: unknown) => {
    const place = (value as { $bytes?: unknown } | null)?.$bytes;
    if (!Array.isArray(place)) return value;
    const [at, length] = place as unknown[];
    const inside =
      Number.isInteger(at) && Number.isInteger(length) && (at as number) >= 0 && (length as number) >= 0;
    if (!inside || end + (at as number) + (length as number) > body.length) {
      throw new RangeError('bytes outside of the body');
    }
    // Each byte stands for itself once, or a short text could name the same ones a thousand times.
    left -= length as number;
    if (left < 0) throw new RangeError('more bytes than the body has');
    // A copy: the body's buffer is used again.
    return Uint8Array.prototype.slice.call(
      body,
      end + (at as number),
      end + (at as number) + (length as number),
    );
  });
}

/** A frame of two numbers (a file and a port, a mapping and rows), into `target`. */
export function encodePairFrame(
  target: Buffer,
  at: number,
  kind: number,
  first: number,
  second: number,
): void {
  target.writeUInt32LE(8, at);
  target.writeUInt32LE(kind, at + 4);
  target.writeUInt32LE(first >>> 0, at + 8);
  target.writeUInt32LE(second >>> 0, at + 12);
}

export const PAIR_FRAME_BYTES: number = HEADER_BYTES + 8;

/** The answer to COPY. */
export function encodeCopied(errno: number): Buffer {
  const frame = Buffer.allocUnsafe(COPIED_FRAME_BYTES);
  frame.writeUInt32LE(4, 0);
  frame.writeUInt32LE(Kind.COPIED, 4);
  frame.writeUInt32LE(errno, 8);
  return frame;
}

export const COPIED_FRAME_BYTES: number = HEADER_BYTES + 4;

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #buffer: Buffer = Buffer.alloc(4096);
  #start = 0;
  #end = 0;
  /** Longest body taken. */
  maxBodyBytes: number;

  constructor(maxBodyBytes: number) {
    this.maxBodyBytes = maxBodyBytes;
  }

  push(bytes: Uint8Array, length: number): void {
    if (this.#end + length > this.#buffer.length) this.#makeRoom(length);
    this.#buffer.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.#end);
    this.#end += length;
  }

  /** The next frame, whose body is valid until the next `push`; undefined: not whole yet; `bad`: too long. */
  next(): { readonly kind: number; readonly body: Buffer } | undefined | 'bad' {
    if (this.#end - this.#start < HEADER_BYTES) return undefined;
    const length = this.#buffer.readUInt32LE(this.#start);
    if (length > this.maxBodyBytes) return 'bad';
    const end = this.#start + HEADER_BYTES + length;
    if (end > this.#end) return undefined;
    const kind = this.#buffer.readUInt32LE(this.#start + 4);
    const body = this.#buffer.subarray(this.#start + HEADER_BYTES, end);
    this.#start = end;
    return { kind, body };
  }

  #makeRoom(length: number): void {
    const kept = this.#end - this.#start;
    const wanted = kept + length;
    // Never larger than the longest frame and one piece: growth doubles, and what is idle shrinks again.
    const small = wanted <= 4096;
    if (wanted > this.#buffer.length || (small && this.#buffer.length > 4096)) {
      const next = Buffer.alloc(small ? 4096 : Math.max(wanted, this.#buffer.length * 2));
      this.#buffer.copy(next, 0, this.#start, this.#end);
      this.#buffer = next;
    } else {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = kept;
  }
}
