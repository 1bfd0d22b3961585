/**
 * One connection: requests out, answers matched by req_id, events passed on. Any number of requests may be under way. It lives
 * from `open` until the way is lost or closed, and is then of no more use. Follows xs_wire.h. Knows neither what requests mean nor how
 * to begin again.
 */
import { encodeMessage, Framer } from '../wire/frame.ts';
import { Op, type OpName, PAYLOAD_MAX, wireError } from '../wire/ops.ts';
import { XenstoreError } from './error.ts';
import { readString } from './payload.ts';
import type { WatchEvent } from './store.ts';
import type { Connector, Transport, TransportUser } from './transport.ts';

export interface SessionUser {
  event(event: WatchEvent): void;
  /** The way is lost, by the peer's doing; every request under way has been rejected with ECONNRESET. Not called for `close`. */
  lost(session: Session, reason: Error): void;
}

/** oxenstored answers with a directory whole, however large: a 4.17's has no DIRECTORY_PART. */
const ANSWER_MAX = 1 << 20;

interface Waiting {
  readonly op: OpName;
  readonly path: string | undefined;
  readonly resolve: (answer: Buffer) => void;
  readonly reject: (error: XenstoreError) => void;
}

export class Session implements TransportUser {
  readonly #user: SessionUser;
  readonly #framer = new Framer(ANSWER_MAX);
  readonly #waiting = new Map<number, Waiting>();
  #transport: Transport | undefined;
  #nextId = 1;
  #ended = false;

  private constructor(user: SessionUser) {
    this.#user = user;
  }

  /** Rejects with a `XenstoreError` of op CONNECT. */
  static async open(connector: Connector, user: SessionUser): Promise<Session> {
    const session = new Session(user);
    const transport = await connector.connect(session).catch((error: unknown) => {
      throw new XenstoreError(codeOf(error), 'CONNECT', connector.name, { cause: error });
    });
    session.#transport = transport;
    if (session.#ended) transport.close();
    return session;
  }

  /** Is it of no more use? */
  get ended(): boolean {
    return this.#ended;
  }

  /** The answer's payload. Sent before this returns. */
  request(op: OpName, txId: number, payload: Uint8Array, path?: string): Promise<Buffer> {
    if (payload.length > PAYLOAD_MAX) return Promise.reject(new XenstoreError('E2BIG', op, path));
    const transport = this.#transport;
    if (this.#ended || transport === undefined) {
      return Promise.reject(new XenstoreError('ECONNRESET', op, path));
    }
    const reqId = this.#freeId();
    return new Promise((resolve, reject) => {
      this.#waiting.set(reqId, { op, path, resolve, reject });
      transport.send(encodeMessage(Op[op], reqId, txId, payload));
    });
  }

  /** Ends it; what is under way is rejected with ENOTCONN. Idempotent. */
  close(): void {
    this.#end('ENOTCONN');
  }

  receive(bytes: Buffer): void {
    if (this.#ended) return;
    const framer = this.#framer;
    framer.push(bytes);
    while (!this.#ended) {
      const status = framer.next();
      if (status === 'more') return;
      if (status === 'oversize') this.#broken(`a message longer than ${ANSWER_MAX} bytes`);
      else this.#message(framer.type, framer.reqId, framer.data.subarray(framer.start, framer.end));
    }
  }

  closed(reason: Error): void {
    if (this.#ended) return;
    this.#end('ECONNRESET', reason);
    this.#user.lost(this, reason);
  }

  /** `payload` lies in the transport's buffer: what is kept is copied. */
  #message(type: number, reqId: number, payload: Buffer): void {
    if (type === Op.WATCH_EVENT) {
      const [path, token] = payload.toString().split('\0');
      if (path === undefined || token === undefined) this.#broken('an event without a token');
      else this.#user.event({ path, token });
      return;
    }
    const waiting = this.#waiting.get(reqId);
    if (waiting === undefined) {
      this.#broken('an answer to nothing');
      return;
    }
    this.#waiting.delete(reqId);
    const { op, path } = waiting;
    if (type === Op[op]) {
      waiting.resolve(Buffer.from(payload));
    } else if (type === Op.ERROR) {
      waiting.reject(new XenstoreError(wireError(readString(payload)), op, path));
    } else {
      waiting.reject(new XenstoreError('EPROTO', op, path));
      this.#broken(`an answer of another kind to ${op}`);
    }
  }

  #broken(what: string): void {
    this.closed(new XenstoreError('EPROTO', `the server sent ${what}`));
  }

  #end(code: string, cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#transport?.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { op, path, reject } of waiting) reject(new XenstoreError(code, op, path, { cause }));
  }

  /** 0 is what clients use that do not tell requests apart; it stays free for them and for events. */
  #freeId(): number {
    do {
      this.#nextId = this.#nextId === 0xffffffff ? 1 : this.#nextId + 1;
    } while (this.#waiting.has(this.#nextId));
    return this.#nextId;
  }
}

function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'EIO';
}
