/**
 * Asks for what a model lacks: a directory that is opened, a path to be shown, rows that are looked at and have become stale. A few requests
 * at a time, each thing once. Knows no document.
 */
import { type Api, ApiError } from './api.ts';
import type { StoreModel } from './model.ts';
import type { StoreNode, Tree } from './types.ts';
import { childPath, parentPath } from './words.ts';

const AT_ONCE = 4;
const PAGE_NODES = 5_000;
/** Most nodes that one opening brings. */
const OPEN_MAX = 30_000;

export class Loader {
  readonly #api: Api;
  readonly #model: StoreModel;
  /** Called when something has come, or is not to be had. */
  readonly #done: (error: ApiError | undefined) => void;
  readonly #wanted = new Map<string, () => Promise<void>>();
  readonly #asked = new Map<string, Promise<void>>();

  constructor(api: Api, model: StoreModel, done: (error: ApiError | undefined) => void) {
    this.#api = api;
    this.#model = model;
    this.#done = done;
  }

  get busy(): boolean {
    return this.#asked.size + this.#wanted.size > 0;
  }

  /** What there is to see at first: the domains' directories, and what else is near the root. */
  async first(): Promise<void> {
    await this.#subtree('/', 3, PAGE_NODES);
    for (const path of ['/', '/local', '/local/domain']) this.#model.open(path);
  }

  /** A directory and its children. */
  async children(path: string): Promise<void> {
    await this.#subtree(path, 1, PAGE_NODES * 4);
  }

  /** All that is at and below a path, up to a bound; opened. */
  async everything(path: string): Promise<void> {
    await this.#subtree(path, 64, OPEN_MAX);
    this.#model.openAll(path);
  }

  /** Every directory on the way to a path, opened. Answers false if it is not there. */
  async reveal(path: string): Promise<boolean> {
    const way: string[] = [];
    for (let at = path; at !== '/'; at = parentPath(at)) way.unshift(at);
    for (const at of way) {
      const parent = parentPath(at);
      // Whoever has just made a node may know of it before the stream tells.
      if (!this.#model.get(parent)?.loaded || !this.#model.get(at)) await this.children(parent);
      this.#model.open(parent);
    }
    return this.#model.get(path) !== undefined;
  }

  /** Rows somebody looks at: what is stale among them is asked for, together where many have one parent. */
  look(paths: readonly string[]): void {
    const byParent = new Map<string, string[]>();
    for (const path of paths) {
      const entry = this.#model.get(path);
      if (!entry || (!entry.stale && entry.node !== undefined)) continue;
      const parent = parentPath(path);
      byParent.set(parent, [...(byParent.get(parent) ?? []), path]);
    }
    for (const [parent, stale] of byParent) {
      if (stale.length > 3 && parent !== stale[0])
        this.#want(`children ${parent}`, () => this.#children(parent));
      else for (const path of stale) this.#want(path, () => this.#node(path));
    }
  }

  #want(name: string, work: () => Promise<void>): void {
    if (this.#asked.has(name) || this.#wanted.has(name)) return;
    this.#wanted.set(name, work);
    this.#next();
  }

  #next(): void {
    for (const [name, work] of this.#wanted) {
      if (this.#asked.size >= AT_ONCE) return;
      this.#wanted.delete(name);
      const asked = work().then(
        () => this.#finished(name, undefined),
        (error: unknown) => this.#finished(name, error as ApiError),
      );
      this.#asked.set(name, asked);
    }
  }

  #finished(name: string, error: ApiError | undefined): void {
    this.#asked.delete(name);
    this.#done(error);
    // A service that does not answer is not asked on: the stream's return asks for everything again.
    if (error && error.status === 0) this.#wanted.clear();
    this.#next();
  }

  async #node(path: string): Promise<void> {
    try {
      const { version } = this.#model;
      this.#model.put(await this.#api.get<StoreNode>('/v1/node', { path }), version);
    } catch (error) {
      this.#gone(path, error);
    }
  }

  async #children(path: string): Promise<void> {
    try {
      await this.#subtree(path, 1, PAGE_NODES * 4);
    } catch (error) {
      this.#gone(path, error);
    }
  }

  #gone(path: string, error: unknown): void {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    this.#model.remove(path);
  }

  async #subtree(path: string, depth: number, most: number): Promise<void> {
    const { version } = this.#model;
    const nodes: StoreNode[] = [];
    let after: string | undefined;
    do {
      const page: Tree = await this.#api.get<Tree>('/v1/tree', { path, depth, limit: PAGE_NODES, after });
      nodes.push(...page.nodes);
      after = page.next ?? undefined;
    } while (after !== undefined && nodes.length < most);
    const there = new Set(nodes.map((node) => node.path));
    const byPath = new Map(nodes.map((node) => [node.path, node]));
    this.#model.putTree(nodes, version, (at) => {
      const { children } = byPath.get(at)!;
      return at === path || (children.length > 0 && there.has(childPath(at, children[0]!)));
    });
  }
}
