/**
 * What a user of a xenstore holds in his hand: a client, a transaction, a watch. Types alone; the requests, their grammar and
 * their errors are those of docs/misc/xenstore.txt. Knows neither how requests travel nor who answers them.
 */
import type { PermEntry, PermLetter } from '../wire/reply.ts';

export type { PermEntry, PermLetter };

/** A permission entry as libxenstore writes it: `n0`, `r3`, `b5`. */
export type PermText = `${PermLetter}${number}`;

/** Bytes as they are, or a string in UTF-8. */
export type Value = string | Uint8Array;

/**
 * The requests that also work inside a transaction. A path that does not begin with `/` or `@` is below the caller's home,
 * `/local/domain/<domid>/`. Every promise may be rejected with a `XenstoreError`.
 */
export interface Store {
  /** The value's bytes. ENOENT, EACCES. */
  read(path: string): Promise<Buffer>;
  /** The value as UTF-8. ENOENT, EACCES. */
  readText(path: string): Promise<string>;
  /** The value as UTF-8; undefined where there is no such node. */
  findText(path: string): Promise<string | undefined>;
  /** Makes the node, and what is missing above it. EACCES, ENOSPC; E2BIG: path and value together over 4095 bytes. */
  write(path: string, value: Value): Promise<void>;
  /** Makes an empty node if there is none. */
  mkdir(path: string): Promise<void>;
  /** Removes the node and all below it; it need not exist, its parent must (ENOENT). */
  rm(path: string): Promise<void>;
  /** The children's names in the server's order, however many. */
  directory(path: string): Promise<string[]>;
  /** The first entry names the owner and everybody else's rights. */
  getPerms(path: string): Promise<PermEntry[]>;
  setPerms(path: string, perms: readonly (PermEntry | PermText)[]): Promise<void>;
  /** Can the node be read? As `xenstore-exists`, one that may not be read counts as absent. */
  exists(path: string): Promise<boolean>;
}

/** A transaction that is open. Its requests see the store as this transaction left it; nobody else sees them before the end. */
export interface Transaction extends Store {
  readonly id: number;
}

export interface TransactionOptions {
  /** How often to begin again when others got in between (EAGAIN); default 100. Then the EAGAIN is the caller's. */
  readonly retries?: number;
}

export interface WatchEvent {
  /** What changed, in the form in which the watch was set: below a relative path it is relative. */
  readonly path: string;
  readonly token: string;
}

export interface WatchOptions {
  /** Default: one of its own for each watch of the connection. A pair of path and token can be watched once (EEXIST). */
  readonly token?: string;
  /** Levels below the path that count: 0 itself, 1 its children, and so on. Needs a server of Xen 4.22 (else EINVAL). */
  readonly depth?: number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/**
 * A watch, set from the moment it is made; iterate over it once. The first event comes at once and says nothing but "look". Events of
 * the same path that have not been taken yet are one. After the connection was lost and made anew the first event comes
 * again. Leaving the loop, `close` and the signal end it; so does the client's end. It throws if the watch cannot be set.
 */
export interface Watch extends AsyncIterableIterator<WatchEvent, undefined, undefined>, AsyncDisposable {
  readonly path: string;
  readonly token: string;
  /** Settles when the server has answered. */
  readonly ready: Promise<void>;
  /** The next event, or undefined at the end: for those who do not loop. */
  take(): Promise<WatchEvent | undefined>;
  close(): Promise<void>;
}

export interface Client extends Store, AsyncDisposable {
  /**
   * Runs `body` in a transaction and commits it; begins again if it conflicts (EAGAIN) or if the connection was lost in it, so `body` must
   * bear to run more than once. Whatever else `body` throws aborts it and is passed on.
   */
  transaction<T>(body: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  watch(path: string, options?: WatchOptions): Watch;
  /** Ends every watch and open transaction of this connection; through the kernel's device, which is shared, watches alone. */
  resetWatches(): Promise<void>;

  /** `/local/domain/<domid>`; the domain need not exist. */
  getDomainPath(domid: number): Promise<string>;
  isDomainIntroduced(domid: number): Promise<boolean>;
  /** Privileged, as all below: EACCES. */
  introduce(domid: number, gfn: number | bigint, port: number): Promise<void>;
  release(domid: number): Promise<void>;
  resume(domid: number): Promise<void>;
  /** Lets `domid` act with the rights of `target`. */
  setTarget(domid: number, target: number): Promise<void>;
  /** Bits of `Feature`: of this connection, or (privileged) what a domain may use. Xen 4.21; before: ENOSYS. */
  getFeature(domid?: number): Promise<number>;
  /** Before the domain is introduced: EBUSY. */
  setFeature(domid: number, features: number): Promise<void>;
  /** Xen 4.22; before: ENOSYS, as for the two below. */
  quotaNames(): Promise<string[]>;
  /** The value for new domains, or for one domain; 0: no limit. */
  getQuota(name: string, domid?: number): Promise<number>;
  setQuota(name: string, value: number, domid?: number): Promise<void>;
  /** A command for the daemon itself, such as `check` or `quota`; answers its text. EINVAL: unknown. */
  control(command: string, ...args: readonly Value[]): Promise<string>;

  /** Is there a connection at this moment? */
  readonly connected: boolean;
  /** How many there have been: one more tells that events may have been missed. */
  readonly connections: number;
  /** Ends the connection and all watches; what is on its way fails with ENOTCONN. Idempotent. */
  close(): Promise<void>;
}
