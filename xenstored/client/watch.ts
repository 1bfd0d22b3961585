/**
 * A watch as its user sees it: a queue of paths that something changed at, each waiting at most once, so that a peer who
 * changes a node a million times costs us one entry. Knows neither requests nor connections: its owner sets it and takes it down.
 */
import type { XenstoreError } from './error.ts';
import type { Watch, WatchEvent } from './store.ts';

export interface WatchOwner {
  /** Takes the watch down at the server, as far as there still is one; never rejects. */
  drop(watch: WatchQueue): Promise<void>;
}

interface Taker {
  readonly resolve: (event: WatchEvent | undefined) => void;
  readonly reject: (error: XenstoreError) => void;
}

export class WatchQueue implements Watch {
  readonly path: string;
  readonly token: string;
  readonly depth: number | undefined;
  readonly ready: Promise<void>;
  readonly #owner: WatchOwner;
  /** Paths that nobody has taken yet, oldest first. */
  readonly #paths = new Set<string>();
  readonly #takers: Taker[] = [];
  #settle: { resolve: () => void; reject: (error: XenstoreError) => void } | undefined;
  #over = false;
  #error: XenstoreError | undefined;
  #dropped: Promise<void> | undefined;
  #whenOver: () => void = () => {};

  constructor(owner: WatchOwner, path: string, token: string, depth: number | undefined) {
    this.#owner = owner;
    this.path = path;
    this.token = token;
    this.depth = depth;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever does not wait for it learns of a failure from the first event that he asks for.
    this.ready.catch(() => {});
  }

  /** One callback at the end, whatever brought it. */
  onOver(callback: () => void): void {
    this.#whenOver = callback;
  }

  /** Is this one of ours? A relative path's events are relative too, so that plain text decides. */
  covers(path: string): boolean {
    if (path === this.path || this.path === '/') return true;
    return path.length > this.path.length && path.startsWith(this.path) && path[this.path.length] === '/';
  }

  /** The server knows it. */
  accepted(): void {
    this.#settle?.resolve();
  }

  deliver(path: string): void {
    if (this.#over) return;
    const taker = this.#takers.shift();
    if (taker !== undefined) taker.resolve({ path, token: this.token });
    else this.#paths.add(path);
  }

  /** No more events: those that wait may still be taken, then comes the end, or the error. */
  finish(error?: XenstoreError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#whenOver();
    if (error === undefined) this.#settle?.resolve();
    else this.#settle?.reject(error);
    for (const taker of this.#takers.splice(0)) {
      if (this.#error === undefined) {
        taker.resolve(undefined);
        continue;
      }
      // One error is told once; whoever asks again is told that it is over.
      taker.reject(this.#error);
      this.#error = undefined;
    }
  }

  take(): Promise<WatchEvent | undefined> {
    const [path] = this.#paths;
    if (path !== undefined) {
      this.#paths.delete(path);
      return Promise.resolve({ path, token: this.token });
    }
    const error = this.#error;
    if (error !== undefined) {
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#over) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  async close(): Promise<void> {
    this.#paths.clear();
    this.finish();
    this.#dropped ??= this.#owner.drop(this);
    await this.#dropped;
  }

  async next(): Promise<IteratorResult<WatchEvent, undefined>> {
    const value = await this.take();
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  async return(): Promise<IteratorResult<WatchEvent, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
