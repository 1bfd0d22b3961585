/**
 * A transaction over one connection: its requests carry its id, and it ends with that connection. Who begins again after a conflict is
 * the client. Follows docs/misc/xenstore.txt.
 */
import type { OpName } from '../wire/ops.ts';
import { XenstoreError } from './error.ts';
import { readNumber, strings } from './payload.ts';
import { Requests } from './requests.ts';
import type { Session } from './session.ts';
import type { Transaction } from './store.ts';

const START = { op: 'TRANSACTION_START' } as const;
const END = { op: 'TRANSACTION_END' } as const;

export class OpenTransaction extends Requests implements Transaction {
  readonly id: number;
  readonly #session: Session;

  private constructor(session: Session, id: number) {
    super();
    this.#session = session;
    this.id = id;
  }

  static async start(session: Session): Promise<OpenTransaction> {
    const answer = await session.request(START.op, 0, strings(START, ''));
    return new OpenTransaction(session, readNumber(START, answer));
  }

  /** EAGAIN: begin again, nothing has been done. ECONNRESET: it may or may not have been done. */
  async commit(): Promise<void> {
    if (this.#session.ended) throw new XenstoreError('EAGAIN', END.op);
    try {
      await this.#session.request(END.op, this.id, strings(END, 'T'));
    } catch (error) {
      // A daemon that was restarted behind a ring knows no transaction of before.
      const gone = error instanceof XenstoreError && error.code === 'ENOENT';
      throw gone ? new XenstoreError('EAGAIN', END.op) : error;
    }
  }

  /** Gives it up. Was it gone already, so that what its requests answered means nothing? */
  async abort(): Promise<'aborted' | 'gone'> {
    try {
      await this.#session.request(END.op, this.id, strings(END, 'F'));
      return 'aborted';
    } catch {
      return 'gone';
    }
  }

  protected override async ask(op: OpName, payload: Buffer, path?: string): Promise<Buffer> {
    try {
      return await this.#session.request(op, this.id, payload, path);
    } catch (error) {
      const lost = error instanceof XenstoreError && error.code === 'ECONNRESET';
      throw lost ? new XenstoreError('EAGAIN', op, path) : error;
    }
  }
}
