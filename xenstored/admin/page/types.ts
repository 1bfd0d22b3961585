/**
 * What the service answers, as far as this page looks at it: the shapes of `/v1`. Types only; what a reply may hold besides is left alone.
 */
export interface Value {
  /** ASCII; a backslash as `\\`, newline, return and tab as `\n` `\r` `\t`, every other byte as `\xNN`. */
  readonly text: string;
  readonly base64: string;
  /** The service does not show it. */
  readonly masked?: boolean;
}

export type Letter = 'n' | 'r' | 'w' | 'b';

export interface Permission {
  readonly domid: number;
  readonly letter: Letter;
}

export interface StoreNode {
  readonly path: string;
  readonly value: Value;
  readonly permissions: readonly Permission[];
  readonly children: readonly string[];
  readonly etag?: string;
}

export interface Tree {
  readonly nodes: readonly StoreNode[];
  /** Where the next page begins. */
  readonly next?: string | null;
}

export interface Change {
  readonly path: string;
  /** Who wrote it, where the daemon tells. */
  readonly by?: number;
  /** null: it is gone; undefined: ask. */
  readonly node?: StoreNode | null;
}

export interface Session {
  readonly role: 'read' | 'write';
  readonly daemon?: string;
  /** false: its store cannot be reached. */
  readonly connected?: boolean;
  /** false: this service only shows. */
  readonly writable?: boolean;
  readonly version?: string;
}

export interface Domain {
  readonly domid: number;
  readonly name?: string | null;
  readonly uuid?: string | null;
  readonly type?: string | null;
  /** Is its ring served? null: nobody can tell. */
  readonly introduced?: boolean | null;
  /** What it was asked for and has not done. */
  readonly shutdown?: string | null;
  readonly memory?: { readonly target_kib: number | null; readonly max_kib: number | null };
  readonly quotas?: Row;
}

export interface DeviceEnd {
  readonly domid: number;
  readonly path: string;
  /** XenbusState; 0: none. */
  readonly state: number;
  readonly keys?: Readonly<Record<string, unknown>>;
  /** Is there such a directory? */
  readonly there?: boolean;
  /** Why it failed, in its own words. */
  readonly error?: string;
}

export interface Device {
  readonly kind: string;
  readonly devid: number;
  readonly frontend: DeviceEnd;
  readonly backend: DeviceEnd;
  readonly rings?: unknown;
}

/** A row of one of the daemon's lists: plain values by name. */
export type Row = Readonly<Record<string, unknown>>;
