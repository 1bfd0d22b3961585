/**
 * A client that lasts: over one session after another, it keeps its watches, lets requests wait while there is no session, and begins
 * transactions again. Follows docs/misc/xenstore.txt. Knows no address, no transport and no time.
 */
import type { OpName } from '../wire/ops.ts';
import { XenstoreError } from './error.ts';
import { type KeeperOptions, type KeeperUser, SessionKeeper } from './keeper.ts';
import { readNumber, readString, strings } from './payload.ts';
import { Requests } from './requests.ts';
import type { Session } from './session.ts';
import type {
  Client,
  Transaction,
  TransactionOptions,
  Value,
  Watch,
  WatchEvent,
  WatchOptions,
} from './store.ts';
import { OpenTransaction } from './transaction.ts';
import { type WatchOwner, WatchQueue } from './watch.ts';

const TRANSACTION_RETRIES = 100;

/** Asking these twice does no harm, so an answer lost with its connection is asked for again. */
const harmless: ReadonlySet<OpName> = new Set<OpName>([
  'READ',
  'DIRECTORY',
  'DIRECTORY_PART',
  'GET_PERMS',
  'GET_DOMAIN_PATH',
  'IS_DOMAIN_INTRODUCED',
  'GET_FEATURE',
  'GET_QUOTA',
]);

export class LastingClient extends Requests implements Client, KeeperUser, WatchOwner {
  readonly #keeper: SessionKeeper;
  readonly #watches = new Map<string, Set<WatchQueue>>();
  /** Settles when the server has answered the last attempt to set a watch; never rejects. */
  readonly #setting = new WeakMap<WatchQueue, Promise<void>>();
  /** On which session the server knows a watch. */
  readonly #setOn = new WeakMap<WatchQueue, Session>();
  #nextToken = 1;
  #connections = 0;

  private constructor(options: KeeperOptions) {
    super();
    this.#keeper = new SessionKeeper(options, this);
  }

  static async open(options: KeeperOptions): Promise<LastingClient> {
    const client = new LastingClient(options);
    await client.#keeper.start();
    return client;
  }

  get connected(): boolean {
    return this.#keeper.session !== undefined;
  }

  get connections(): number {
    return this.#connections;
  }

  async transaction<T>(
    body: (tx: Transaction) => Promise<T>,
    { retries = TRANSACTION_RETRIES }: TransactionOptions = {},
  ): Promise<T> {
    for (let left = retries; ; left--) {
      const outcome = await this.#attempt(body);
      if (outcome.done) return outcome.value;
      const { over } = this.#keeper;
      if (over !== undefined) throw new XenstoreError(over.code, outcome.error.op);
      if (left <= 0) throw outcome.error;
    }
  }

  watch(path: string, options: WatchOptions = {}): Watch {
    const token = options.token ?? `w${this.#nextToken++}`;
    const watch = new WatchQueue(this, path, token, options.depth);
    const { signal } = options;
    const { over, session } = this.#keeper;
    const refused = over ?? unfit(watch);
    if (refused !== undefined || signal?.aborted) {
      watch.finish(refused);
      return watch;
    }
    const close = (): void => void watch.close();
    signal?.addEventListener('abort', close, { once: true });
    watch.onOver(() => signal?.removeEventListener('abort', close));
    const others = this.#watches.get(token) ?? new Set();
    this.#watches.set(token, others.add(watch));
    // Without a session the next one sets it.
    if (session !== undefined) this.#set(watch, session);
    return watch;
  }

  async resetWatches(): Promise<void> {
    const watches = [...this.#allWatches()];
    try {
      await this.ask('RESET_WATCHES', strings({ op: 'RESET_WATCHES' }, ''));
    } catch (error) {
      // The connection is not ours alone.
      if (!(error instanceof XenstoreError && error.code === 'ENOSYS')) throw error;
      await Promise.all(watches.map((watch) => watch.close()));
      return;
    }
    for (const watch of watches) {
      this.#setOn.delete(watch);
      void watch.close();
    }
  }

  async getDomainPath(domid: number): Promise<string> {
    return readString(await this.#words('GET_DOMAIN_PATH', domid));
  }

  async isDomainIntroduced(domid: number): Promise<boolean> {
    return readString(await this.#words('IS_DOMAIN_INTRODUCED', domid)) === 'T';
  }

  async introduce(domid: number, gfn: number | bigint, port: number): Promise<void> {
    await this.#words('INTRODUCE', domid, gfn, port);
  }

  async release(domid: number): Promise<void> {
    await this.#words('RELEASE', domid);
  }

  async resume(domid: number): Promise<void> {
    await this.#words('RESUME', domid);
  }

  async setTarget(domid: number, target: number): Promise<void> {
    await this.#words('SET_TARGET', domid, target);
  }

  async getFeature(domid?: number): Promise<number> {
    const op = 'GET_FEATURE';
    return readNumber({ op }, await this.#words(op, ...(domid === undefined ? [] : [domid])));
  }

  async setFeature(domid: number, features: number): Promise<void> {
    await this.#words('SET_FEATURE', domid, features);
  }

  async quotaNames(): Promise<string[]> {
    const names = readString(await this.#words('GET_QUOTA'));
    return names === '' ? [] : names.split(' ');
  }

  async getQuota(name: string, domid?: number): Promise<number> {
    const op = 'GET_QUOTA';
    const answer = await this.#words(op, ...(domid === undefined ? [] : [domid]), name);
    return readNumber({ op, path: name }, answer);
  }

  async setQuota(name: string, value: number, domid?: number): Promise<void> {
    await this.#words('SET_QUOTA', ...(domid === undefined ? [] : [domid]), name, value);
  }

  async control(command: string, ...args: readonly Value[]): Promise<string> {
    const subject = { op: 'CONTROL', path: command } as const;
    return readString(await this.ask('CONTROL', strings(subject, command, ...args), command));
  }

  async close(): Promise<void> {
    this.#endWatches(undefined);
    this.#keeper.end(new XenstoreError('ENOTCONN', 'CLOSED'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  event({ path, token }: WatchEvent): void {
    for (const watch of this.#watches.get(token) ?? []) if (watch.covers(path)) watch.deliver(path);
  }

  begun(session: Session): void {
    this.#connections++;
    for (const watch of this.#allWatches()) this.#set(watch, session);
  }

  ended(reason: XenstoreError): void {
    this.#endWatches(reason);
  }

  async drop(watch: WatchQueue): Promise<void> {
    const { path, token } = watch;
    const others = this.#watches.get(token);
    others?.delete(watch);
    if (others?.size === 0) this.#watches.delete(token);
    // One that the server refuses is not taken down: the pair may be another's.
    await this.#setting.get(watch);
    const session = this.#setOn.get(watch);
    if (session === undefined || session.ended) return;
    const op = 'UNWATCH';
    await session.request(op, 0, strings({ op, path }, path, token), path).catch(() => {});
  }

  protected override async ask(op: OpName, payload: Buffer, path?: string): Promise<Buffer> {
    for (;;) {
      const session = this.#keeper.session ?? (await this.#keeper.next(op, path));
      try {
        return await session.request(op, 0, payload, path);
      } catch (error) {
        const again = error instanceof XenstoreError && error.code === 'ECONNRESET' && harmless.has(op);
        if (!again || this.#keeper.over !== undefined) throw error;
      }
    }
  }

  /** A request whose arguments are words, and numbers in decimal. */
  #words(op: OpName, ...parts: readonly (string | number | bigint)[]): Promise<Buffer> {
    const path = parts.length > 0 ? String(parts[0]) : undefined;
    return this.ask(op, strings({ op, path }, ...parts.map(String)), path);
  }

  async #attempt<T>(
    body: (tx: Transaction) => Promise<T>,
  ): Promise<{ done: true; value: T } | { done: false; error: XenstoreError }> {
    const op = 'TRANSACTION_START';
    const session = this.#keeper.session ?? (await this.#keeper.next(op));
    let tx: OpenTransaction;
    try {
      tx = await OpenTransaction.start(session);
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ECONNRESET') return { done: false, error };
      throw error;
    }
    let value: T;
    try {
      value = await body(tx);
    } catch (error) {
      if ((await tx.abort()) === 'aborted') throw error;
      return { done: false, error: new XenstoreError('EAGAIN', op, undefined, { cause: error }) };
    }
    try {
      await tx.commit();
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'EAGAIN') return { done: false, error };
      throw error;
    }
    return { done: true, value };
  }

  #set(watch: WatchQueue, session: Session): void {
    const { path } = watch;
    const setting = session.request('WATCH', 0, watchPayload(watch), path).then(
      () => {
        this.#setOn.set(watch, session);
        watch.accepted();
      },
      (error: XenstoreError) => {
        // Lost with its connection: the next one sets it again.
        if (error.code === 'ECONNRESET' && this.#keeper.over === undefined) return;
        watch.finish(error);
        void watch.close();
      },
    );
    this.#setting.set(watch, setting);
  }

  *#allWatches(): Generator<WatchQueue> {
    for (const watches of [...this.#watches.values()]) yield* [...watches];
  }

  #endWatches(error: XenstoreError | undefined): void {
    const watches = [...this.#allWatches()];
    this.#watches.clear();
    for (const watch of watches) watch.finish(error);
  }
}

function watchPayload({ path, token, depth }: WatchQueue): Buffer {
  const subject = { op: 'WATCH', path };
  return strings(subject, path, token, ...(depth === undefined ? [] : [String(depth)]));
}

/** Why a watch cannot even be asked for. */
function unfit(watch: WatchQueue): XenstoreError | undefined {
  try {
    watchPayload(watch);
    return undefined;
  } catch (error) {
    return error as XenstoreError;
  }
}
