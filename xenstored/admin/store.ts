/**
 * What this service wants of a store, and no more: to read, to change, to be told of changes, to pass on control commands. The client
 * library gives it, whichever daemon is behind. Errors carry an errno's name as `code`.
 */
export interface Permission {
  readonly domid: number;
  /** n none, r read, w write, b both. The first of a list names the owner, and what everybody else may. */
  readonly letter: 'n' | 'r' | 'w' | 'b';
}

export interface StoreView {
  read(path: string): Promise<Uint8Array>;
  directory(path: string): Promise<string[]>;
  permissions(path: string): Promise<Permission[]>;
}

/** An open transaction: it sees what it did itself. */
export interface StoreChange extends StoreView {
  /** Makes what is missing above it. */
  write(path: string, value: Uint8Array): Promise<void>;
  mkdir(path: string): Promise<void>;
  /** With all below it. */
  remove(path: string): Promise<void>;
  setPermissions(path: string, permissions: readonly Permission[]): Promise<void>;
}

export interface Store {
  readonly connected: boolean;
  /** How many connections there have been: after each further one, watches have told all again. */
  readonly connections: number;
  /** The store as it is, request by request. */
  readonly live: StoreView;
  /** All that `read` sees is of one moment, as far as the daemon has such a thing. Nothing is written. */
  snapshot<T>(read: (view: StoreView) => Promise<T>): Promise<T>;
  /** All of `body` is done, or nothing. It may run several times: begun again when others got in between, a bounded number of times. */
  change<T>(body: (tx: StoreChange) => Promise<T>): Promise<T>;
  /** Paths that changed at or below `path`; once `path` itself at the beginning. Ends with the signal. */
  changes(path: string, signal: AbortSignal): AsyncIterable<string>;
  /** Does the daemon serve this domain's ring? */
  introduced(domid: number): Promise<boolean>;
  /** A command for the daemon itself; answers its text. */
  control(command: string, args: readonly string[]): Promise<string>;
}

const pathPattern = /^\/(?:[a-zA-Z0-9\-_@]+(?:\/[a-zA-Z0-9\-_@]+)*)?$/;
const ABS_PATH_MAX = 3072;

/** An absolute path as xenstore.txt allows one, without a trailing slash. */
export function isPath(path: string): boolean {
  return path.length <= ABS_PATH_MAX && pathPattern.test(path);
}

export function childOf(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

/** Is it `path` itself, or below it? */
export function isWithin(path: string, other: string): boolean {
  return path === '/' || other === path || other.startsWith(`${path}/`);
}

/** The same store, which says what was changed through it, or may have been. */
export function told(store: Store, changed: (paths: ReadonlySet<string>) => void): Store {
  return {
    get connected() {
      return store.connected;
    },
    get connections() {
      return store.connections;
    },
    get live() {
      return store.live;
    },
    snapshot: (read) => store.snapshot(read),
    async change<T>(body: (tx: StoreChange) => Promise<T>): Promise<T> {
      const paths = new Set<string>();
      try {
        return await store.change((tx) => body(noting(tx, paths)));
      } finally {
        changed(paths);
      }
    },
    changes: (path, signal) => store.changes(path, signal),
    introduced: (domid) => store.introduced(domid),
    control: (command, args) => store.control(command, args),
  };
}

function noting(tx: StoreChange, paths: Set<string>): StoreChange {
  const noted =
    <A extends unknown[]>(act: (path: string, ...more: A) => Promise<void>) =>
    (path: string, ...more: A): Promise<void> => {
      paths.add(path);
      return act(path, ...more);
    };
  return {
    ...tx,
    write: noted((path, value: Uint8Array) => tx.write(path, value)),
    mkdir: noted((path) => tx.mkdir(path)),
    remove: noted((path) => tx.remove(path)),
    setPermissions: noted((path, permissions: readonly Permission[]) => tx.setPermissions(path, permissions)),
  };
}
