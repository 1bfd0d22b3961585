/**
 * Bytes to messages, incrementally: a stream may be cut anywhere, in the header or in the payload. Messages that lie whole
 * in the bytes just given are read in place; only a part that is still growing is copied. Follows xs_wire.h.
 * Knows nothing of what a message means. `len` is never trusted: above PAYLOAD_MAX, or what the reader says, the stream is over.
 */
import { writeLatin1 } from './latin1.ts';
import { HEADER_BYTES, PAYLOAD_MAX } from './ops.ts';

/** `message`: the fields below hold the next one. `more`: bytes are missing. `oversize`: the peer broke the protocol. */
export type FrameStatus = 'message' | 'more' | 'oversize';

const NOTHING: Buffer = Buffer.alloc(0);

export class Framer {
  type = 0;
  reqId = 0;
  txId = 0;
  /** The payload is `data[start, end)`, valid until the next call of `next` or `push`. */
  data: Buffer = NOTHING;
  start = 0;
  end = 0;

  readonly #payloadMax: number;
  #input: Buffer = NOTHING;
  #at = 0;
  #partial: Buffer = NOTHING;
  #partialBytes = 0;

  constructor(payloadMax: number = PAYLOAD_MAX) {
    this.#payloadMax = payloadMax;
  }

  /** Gives the next piece of the stream. It is read in place: it may be reused once `next` has answered `more`, or after `settle`. */
  push(bytes: Buffer): void {
    const done = this.#at === this.#input.length;
    this.#input = done ? bytes : Buffer.concat([this.#input.subarray(this.#at), bytes]);
    this.#at = 0;
  }

  next(): FrameStatus {
    if (this.#partialBytes > 0) return this.#nextJoined();
    const input = this.#input;
    const at = this.#at;
    const available = input.length - at;
    if (available >= HEADER_BYTES) {
      const len = input.readUInt32LE(at + 12);
      if (len > this.#payloadMax) return 'oversize';
      if (available >= HEADER_BYTES + len) {
        this.#at = at + HEADER_BYTES + len;
        return this.#found(input, at, len);
      }
    }
    if (available > 0) this.#keep(input.subarray(at));
    this.#input = NOTHING;
    this.#at = 0;
    return 'more';
  }

  /** Hands back what was pushed and not read: answers how many bytes, and forgets them. A message begun before stays begun. */
  giveBack(): number {
    const unread = this.#input.length - this.#at;
    this.#input = NOTHING;
    this.#at = 0;
    return unread;
  }

  /** Bytes of a message that has begun and not ended: what a dump or a journal must keep. A copy. */
  partial(): Buffer {
    const rest = this.#input.subarray(this.#at);
    return Buffer.concat([this.#partial.subarray(0, this.#partialBytes), rest]);
  }

  /** Takes up a message that had begun. */
  restore(partial: Buffer): void {
    this.reset();
    this.#keep(partial);
  }

  /** Forgets everything not yet read: the stream starts afresh. */
  reset(): void {
    this.#input = NOTHING;
    this.#at = 0;
    this.#partialBytes = 0;
  }

  #nextJoined(): FrameStatus {
    if (!this.#fill(HEADER_BYTES)) return 'more';
    const len = this.#partial.readUInt32LE(12);
    if (len > this.#payloadMax) return 'oversize';
    if (!this.#fill(HEADER_BYTES + len)) return 'more';
    this.#partialBytes = 0;
    return this.#found(this.#partial, 0, len);
  }

  /** Moves input behind the kept part until it has `wanted` bytes. */
  #fill(wanted: number): boolean {
    const missing = wanted - this.#partialBytes;
    if (missing <= 0) return true;
    const taken = Math.min(missing, this.#input.length - this.#at);
    this.#keep(this.#input.subarray(this.#at, this.#at + taken));
    this.#at += taken;
    return taken === missing;
  }

  #keep(bytes: Buffer): void {
    const wanted = this.#partialBytes + bytes.length;
    if (this.#partial.length < wanted) {
      const grown = Buffer.allocUnsafe(Math.max(wanted, HEADER_BYTES + PAYLOAD_MAX));
      this.#partial.copy(grown, 0, 0, this.#partialBytes);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#partialBytes);
    this.#partialBytes = wanted;
  }

  #found(data: Buffer, at: number, len: number): FrameStatus {
    this.type = data.readUInt32LE(at);
    this.reqId = data.readUInt32LE(at + 4);
    this.txId = data.readUInt32LE(at + 8);
    this.data = data;
    this.start = at + HEADER_BYTES;
    this.end = this.start + len;
    return 'message';
  }
}

/** One whole message as bytes. Strings are bytes, one per character (latin1). `len` is not limited here: tests need bad ones. */
export function encodeMessage(
  type: number,
  reqId: number,
  txId: number,
  payload: string | Uint8Array,
): Buffer {
  const length = payload.length;
  const message = Buffer.allocUnsafe(HEADER_BYTES + length);
  writeHeader(message, 0, type, reqId, txId, length);
  if (typeof payload === 'string') writeLatin1(message, payload, HEADER_BYTES);
  else message.set(payload, HEADER_BYTES);
  return message;
}

/** Writes the 16 header bytes at `at`. */
export function writeHeader(
  target: Buffer,
  at: number,
  type: number,
  reqId: number,
  txId: number,
  len: number,
): void {
  target.writeUInt32LE(type, at);
  target.writeUInt32LE(reqId, at + 4);
  target.writeUInt32LE(txId, at + 8);
  target.writeUInt32LE(len, at + 12);
}
