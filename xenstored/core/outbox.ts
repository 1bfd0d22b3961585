/**
 * What waits to be sent on one link: replies and events as messages, turned into bytes only when io has room for them. It knows how many bytes
 * the peer is sure to take, and so which messages count as delivered; an event that is still waiting behind that point is not queued twice.
 * Positions count bytes since the link's last reset.
 */
import { writeHeader } from '../wire/frame.ts';
import { writeLatin1 } from '../wire/latin1.ts';
import { HEADER_BYTES } from '../wire/ops.ts';

/** Told when a message is with the peer, or was dropped. */
export type Settled = (message: Message) => void;

export interface Message {
  /** -1: `payload` is the rest of a message, header included, as it was recorded. */
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: string;
  /** The request that an event or a reply comes from, while it counts as outstanding. */
  readonly cause: Cause | undefined;
  /** When an event that has not begun to be sent expires (ms); 0: never. */
  readonly expiresAt: number;
  /** Where its first byte stands in the stream. Changes only when messages before it are dropped. */
  start: number;
  end: number;
}

/** A request of an unprivileged domain, outstanding until its reply and all events it caused are settled. */
export interface Cause {
  unsettled: number;
  readonly done: () => void;
}

const RAW = -1;

export class Outbox {
  /** How many bytes the peer has been given. */
  sent = 0;
  #queue: Message[] = [];
  #head = 0;
  /** Messages before this index count as delivered. */
  #settled = 0;
  #granted = Number.POSITIVE_INFINITY;
  #end = 0;
  /** Where the bytes not yet recorded begin. */
  #recorded = 0;
  /** Made when the first event has to wait. */
  #waiting: Set<string> | undefined = undefined;
  readonly #onSettled: Settled | undefined;

  constructor(onSettled: Settled | undefined) {
    this.#onSettled = onSettled;
  }

  get pending(): boolean {
    return this.#head < this.#queue.length;
  }

  get bytes(): number {
    return this.#end - this.sent;
  }

  /** The stream's position behind the last byte queued. */
  get end(): number {
    return this.#end;
  }

  push(type: number, reqId: number, txId: number, payload: string, cause: Cause | undefined): void {
    this.#append({
      type,
      reqId,
      txId,
      payload,
      cause,
      expiresAt: 0,
      start: this.#end,
      end: this.#end + HEADER_BYTES + payload.length,
    });
  }

  /** Is the same event already waiting? */
  waits(payload: string): boolean {
    return this.#waiting?.has(payload) ?? false;
  }

  /** Answers whether the event has to wait for the peer to read. */
  pushEvent(type: number, payload: string, cause: Cause | undefined, expiresAt: number): boolean {
    const start = this.#end;
    const end = start + HEADER_BYTES + payload.length;
    const waits = end > this.#granted;
    if (waits) {
      this.#waiting ??= new Set();
      this.#waiting.add(payload);
    }
    this.#append({ type, reqId: 0, txId: 0, payload, cause, expiresAt, start, end });
    return waits;
  }

  /** The peer is sure to take `bytes` more than what it has been given. */
  grant(bytes: number): void {
    this.#granted = this.sent + bytes;
    this.#settle();
  }

  /** Writes unsent bytes to `target`; answers how many. Changes nothing. */
  peek(target: Buffer, offset: number, limit: number): number {
    let at = offset;
    const stop = offset + limit;
    for (let i = this.#head; i < this.#queue.length && at < stop; i++) {
      const message = this.#queue[i]!;
      const skip = Math.max(0, this.sent - message.start);
      at += write(message, target, at, stop - at, skip);
    }
    return at - offset;
  }

  /** `bytes` more are with the peer. */
  advance(bytes: number): void {
    this.sent += bytes;
    if (this.sent > this.#granted) this.#granted = this.sent;
    this.#settle();
    const queue = this.#queue;
    while (this.#head < queue.length && queue[this.#head]!.end <= this.sent) this.#head++;
    if (this.#head === queue.length) this.#compact(queue.length);
    else if (this.#head > 512 && this.#head * 2 > queue.length) this.#compact(this.#head);
  }

  /** Drops events that have waited too long and have not begun to be sent. Answers whether any was. */
  expire(now: number): boolean {
    return this.#drop((message) => message.expiresAt > 0 && message.expiresAt <= now);
  }

  /** When the next waiting event expires; `undefined`: none does. One that has begun to be sent never will. */
  get nextExpiry(): number | undefined {
    for (let i = this.#settled; i < this.#queue.length; i++) {
      const message = this.#queue[i]!;
      if (message.expiresAt > 0 && !this.#begun(message)) return message.expiresAt;
    }
    return undefined;
  }

  /** Forgets everything; the stream starts again at 0. */
  reset(): void {
    for (const message of this.#queue.slice(this.#settled)) this.#done(message);
    this.#waiting?.clear();
    this.#queue = [];
    this.#head = 0;
    this.#settled = 0;
    this.sent = 0;
    this.#end = 0;
    this.#recorded = 0;
    this.#granted = 0;
  }

  /** Bytes queued since the last call: what must be recorded before any of it is sent. `all`: everything unsent. */
  takeAppended(all: boolean): { at: number; bytes: Buffer } {
    const at = all ? this.sent : Math.max(this.#recorded, this.sent);
    const bytes = Buffer.allocUnsafe(this.#end - at);
    const queue = this.#queue;
    // From the end: what is new is little, what waits for a peer that does not read may be much.
    let first = queue.length;
    while (first > this.#head && queue[first - 1]!.end > at) first--;
    let to = 0;
    for (const message of queue.slice(first))
      to += write(message, bytes, to, bytes.length - to, Math.max(0, at - message.start));
    this.#recorded = this.#end;
    return { at, bytes };
  }

  /** Takes up a recorded stream: `bytes` starts at `at`, and the peer has been given everything before `sent`. */
  restore(at: number, bytes: string, sent: number): void {
    this.sent = sent;
    this.#end = sent;
    this.#granted = sent;
    const payload = bytes.slice(sent - at);
    const end = sent + payload.length;
    if (payload !== '') {
      this.#append({
        type: RAW,
        reqId: 0,
        txId: 0,
        payload,
        cause: undefined,
        expiresAt: 0,
        start: sent,
        end,
      });
    }
    this.#recorded = this.#end;
  }

  #append(message: Message): void {
    this.#queue.push(message);
    this.#end = message.end;
    if (message.end <= this.#granted) this.#settle();
  }

  #settle(): void {
    const queue = this.#queue;
    while (this.#settled < queue.length && queue[this.#settled]!.end <= this.#granted) {
      this.#done(queue[this.#settled++]!);
    }
  }

  #done(message: Message): void {
    this.#waiting?.delete(message.payload);
    const { cause } = message;
    if (cause && --cause.unsettled === 0) cause.done();
    this.#onSettled?.(message);
  }

  /** Removes messages that are neither delivered nor begun and closes the gaps. */
  #drop(unwanted: (message: Message) => boolean): boolean {
    const kept = this.#queue.slice(0, this.#settled);
    let end = kept.at(-1)?.end ?? this.sent;
    let dropped = false;
    for (const message of this.#queue.slice(this.#settled)) {
      if (!this.#begun(message) && unwanted(message)) {
        dropped = true;
        this.#done(message);
        continue;
      }
      const length = message.end - message.start;
      if (message.start >= this.sent) {
        message.start = end;
        message.end = end + length;
      }
      end = message.end;
      kept.push(message);
    }
    this.#queue = kept;
    this.#end = end;
    return dropped;
  }

  /** Has some of it been given to the peer, or will it be for sure? */
  #begun({ start }: Message): boolean {
    return start < this.sent || start < this.#granted;
  }

  #compact(from: number): void {
    this.#queue = from === this.#queue.length ? [] : this.#queue.slice(from);
    this.#settled -= from;
    this.#head = 0;
  }
}

/** Writes the bytes of a message from its byte `skip` on, at most `room`; answers how many. */
function write(message: Message, target: Buffer, at: number, room: number, skip: number): number {
  const { type, payload } = message;
  const length = message.end - message.start;
  const bytes = Math.min(room, length - skip);
  if (skip === 0 && bytes === length && type !== RAW) {
    writeHeader(target, at, type, message.reqId, message.txId, payload.length);
    writeLatin1(target, payload, at + HEADER_BYTES);
    return length;
  }
  const whole = Buffer.allocUnsafe(length);
  if (type === RAW) {
    writeLatin1(whole, payload, 0);
  } else {
    writeHeader(whole, 0, type, message.reqId, message.txId, payload.length);
    writeLatin1(whole, payload, HEADER_BYTES);
  }
  whole.copy(target, at, skip, skip + bytes);
  return bytes;
}
