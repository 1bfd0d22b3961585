/**
 * The devices below one directory of the store, as they come and go: one watch for all of them, whose events are told apart by their
 * paths, so that an event costs the same however many there are. Only what stands above devices (at the start, after the
 * connection was lost, when a whole directory is removed) is listed. Knows nothing of what is done with a device.
 */
import { XenstoreError } from './error.ts';
import type { Client, Watch } from './store.ts';
import type { Taker, Turns } from './turns.ts';

/** A device that is run. */
export interface Run {
  /** A key of its directory, undefined: perhaps all of it. */
  changed(key: string | undefined): void;
  stop(): Promise<void>;
}

export interface DevicesOptions {
  readonly store: Client;
  readonly turns: Turns;
  readonly log: (line: string) => void;
  readonly root: string;
  /** Directories from the root to a device: 2 for backends (domain, device), 1 for frontends. */
  readonly levels: 1 | 2;
  /** Of the directory's path; undefined: no device, leave it alone. */
  readonly make: (path: string) => Run | undefined;
}

export class Devices implements Taker {
  readonly #options: DevicesOptions;
  readonly #watch: Watch;
  /** By the directory above them, then by path. */
  readonly #runs = new Map<string, Map<string, Run>>();
  readonly #toList = new Set<string>();
  /** Settles when the watch is no more; rejects if the store is lost for good. */
  readonly ended: Promise<void>;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#watch = options.store.watch(options.root);
    this.ended = this.#follow();
    // Whoever wants to know asks.
    this.ended.catch(() => {});
  }

  get ready(): Promise<void> {
    return this.#watch.ready;
  }

  forget(path: string): void {
    const above = parent(path);
    const group = this.#runs.get(above);
    group?.delete(path);
    if (group?.size === 0) this.#runs.delete(above);
  }

  async stop(): Promise<void> {
    await this.#watch.close();
    const runs = [...this.#runs.values()].flatMap((group) => [...group.values()]);
    await Promise.all(runs.map((run) => run.stop()));
  }

  /** Lists one directory. */
  async turn(): Promise<void> {
    const { turns, store } = this.#options;
    const [path] = this.#toList;
    if (path === undefined) return;
    this.#toList.delete(path);
    try {
      for (const name of await store.directory(path)) this.#changed(`${path}/${name}`);
    } catch (error) {
      if (!(error instanceof XenstoreError && (error.code === 'ENOENT' || error.code === 'EACCES'))) {
        this.#toList.add(path);
        throw error;
      }
    }
    if (this.#toList.size > 0) turns.soon(this);
  }

  failed(error: unknown): void {
    const { log, root } = this.#options;
    log(`${root}: tried again: ${error instanceof Error ? error.message : String(error)}`);
  }

  async #follow(): Promise<void> {
    for await (const { path } of this.#watch) this.#changed(path);
  }

  #changed(path: string): void {
    const { root, levels, turns, make } = this.#options;
    const names = path === root ? [] : path.slice(root.length + 1).split('/');
    if (names.length < levels) {
      for (const [above, group] of this.#runs)
        if (above === path || path === root) for (const run of [...group.values()]) run.changed(undefined);
      this.#toList.add(path);
      turns.soon(this);
      return;
    }
    const device = [root, ...names.slice(0, levels)].join('/');
    const above = parent(device);
    let run = this.#runs.get(above)?.get(device);
    if (run === undefined) {
      run = make(device);
      if (run === undefined) return;
      this.#runs.set(above, (this.#runs.get(above) ?? new Map<string, Run>()).set(device, run));
      run.changed(undefined);
      return;
    }
    run.changed(names[levels]);
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
