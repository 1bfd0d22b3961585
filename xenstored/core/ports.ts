/**
 * The edge of the daemon's core: what it asks of the machine it runs on, what it tells a tracer, and what it hands out at the end of a turn.
 * Everything that crosses is plain data. The core calls `Machine` in the middle of a request only where the reply depends on the
 * answer (is there such a domain, can its ring be mapped); all other work on the outside is an `Effect`, done in order after the turn's
 * changes are safe.
 */
import type { PermEntry } from '../wire/reply.ts';
import type { Link } from './link.ts';

/** What the hypervisor says of a domain (libxenmanage's view, or getdomaininfo's where that is all there is). */
export interface DomainState {
  readonly domid: number;
  readonly exists: boolean;
  readonly shutdown: boolean;
  readonly dying: boolean;
  readonly dead: boolean;
  /** Differs between two domains that reuse a domid; 0 where the hypervisor cannot say. */
  readonly uniqueId: bigint;
}

export type Attached =
  | { readonly ok: true; readonly port: number }
  | { readonly ok: false; readonly errno: string };

export interface Machine {
  /** `undefined`: no such domain. */
  domain(domid: number): DomainState | undefined;
  /** The next domain whose state changed since it was last asked about. */
  pollChanged(): DomainState | undefined;
  /**
   * Maps the store page of a domain (grant 1; the kernel's own page for the store domain) and binds its event channel. The page's own
   * port field, where not 0, wins over `evtchn`. Answers the remote port used, or the errno that failed.
   */
  attach(domid: number, evtchn: number): Attached;
  /** Binds another port of a domain that is attached already. `false`: it could not be bound, the ring stays mapped without one. */
  rebind(domid: number, evtchn: number): boolean;
  /** For CONTROL: the ring's fields; `undefined` where no ring is mapped. */
  ring(domid: number): RingFields | undefined;
}

/** Done by io after the turn's commit is safe, in order. */
export type Effect =
  /** Writes the features field. */
  | { readonly kind: 'features'; readonly domid: number; readonly features: number }
  /** Sets the four indices to 0; if the connection field is 1 sets it to 0 and signals. */
  | { readonly kind: 'reset'; readonly domid: number }
  /** Sets the connection field to 0 and signals: the store is there. */
  | { readonly kind: 'connected'; readonly domid: number }
  /** Sets `req_cons` to what `link.consumed` says, after a restart, and signals. */
  | { readonly kind: 'resume'; readonly link: Link }
  /** Writes the error field. */
  | { readonly kind: 'error'; readonly domid: number; readonly error: number }
  /** Unbinds the port and unmaps the page. */
  | { readonly kind: 'detach'; readonly domid: number }
  /** A socket link is over: send what is queued (as far as the peer takes it), then close. */
  | { readonly kind: 'shut'; readonly link: Link }
  /** A line for syslog or the daemon's log. */
  | { readonly kind: 'note'; readonly level: 'info' | 'warn'; readonly text: string };

/** A node as it is kept: one record. `born` orders children, `generation` is that of the last change. */
export interface NodeRecord {
  readonly path: string;
  readonly value: string;
  readonly perms: readonly StoredPerm[];
  readonly generation: number;
  readonly born: number;
}

/** `stale`: the domid was of a domain that is gone; the entry grants nothing. */
export interface StoredPerm extends PermEntry {
  readonly stale: boolean;
}

export interface WatchRecord {
  /** Unique in the daemon's life and over restarts; orders a link's watches. */
  readonly seq: number;
  readonly domid: number;
  /** As the client gave it: a relative path stays relative. */
  readonly path: string;
  readonly token: string;
  /** `undefined`: any depth. */
  readonly depth: number | undefined;
}

export interface DomainRecord {
  readonly domid: number;
  readonly uniqueId: bigint;
  /** The store's generation when the record was made: older permission entries for this domid are stale. */
  readonly generation: number;
  readonly introduced: boolean;
  readonly port: number;
  readonly features: number;
  readonly shutdownReported: boolean;
  readonly ignored: boolean;
  readonly target: { readonly domid: number; readonly uniqueId: bigint } | undefined;
  /** Values in the order of `quotaNames`; soft ones after the hard ones. */
  readonly quotas: readonly number[];
}

/**
 * What a ring link must not lose. Positions count bytes since the link's last reset; the ring's indices are their low 32 bits. Output is
 * kept as the bytes appended: how much of it the peer has been given already is told by `rsp_prod` itself.
 */
export interface RingRecord {
  readonly domid: number;
  /** Bytes taken off the request ring. */
  readonly consumed: number;
  /** The beginning of a request whose rest is still to come. */
  readonly partial: Buffer;
  /** The output stream's position at which `appended` starts. */
  readonly appendedAt: number;
  readonly appended: Buffer;
  /**
   * Everything recorded of this ring before is void: its unsent output is exactly `appended`, and starts at `appendedAt`. Set when the link
   * was reset (all positions 0 then), and when queued events were dropped.
   */
  readonly reset: boolean;
}

/** All changes of one turn. io writes it in one piece before any effect or output of the turn. */
export interface Commit {
  readonly nodes: readonly NodeRecord[];
  readonly removed: readonly string[];
  readonly domains: readonly DomainRecord[];
  readonly removedDomains: readonly number[];
  readonly watches: readonly WatchRecord[];
  readonly removedWatches: readonly number[];
  readonly rings: readonly RingRecord[];
  /** Global values, present when changed: the quota defaults by name. */
  readonly settings: Readonly<Record<string, number>> | undefined;
  readonly generation: number;
}

/** What a restarted daemon finds: the store as it was acknowledged. Parents come before children, children in the order of `born`. */
export interface SavedState {
  readonly generation: number;
  readonly settings: Readonly<Record<string, number>>;
  readonly nodes: Iterable<NodeRecord>;
  readonly domains: Iterable<DomainRecord>;
  readonly watches: Iterable<WatchRecord>;
  readonly rings: Iterable<RingRecord>;
}

/** What CONTROL can do to the daemon's own surroundings. */
export interface Surroundings {
  /** The switches of the trace (obj io wrl acc tdb), by name. */
  readonly switches: Map<string, boolean>;
  /** Opens or closes the trace file. */
  setTrace(on: boolean): void;
  /** Traces to another file; `false`: it cannot be opened. */
  setLogFile(file: string): boolean;
  /** Appends a report on memory to a file, by default the trace; `false`: it cannot be opened, or there is none. */
  memreport(file: string | undefined): boolean;
  print(text: string): void;
}

/** The indices and fields of a ring page as they stand. */
export interface RingFields {
  readonly reqCons: number;
  readonly reqProd: number;
  readonly rspCons: number;
  readonly rspProd: number;
  readonly connection: number;
  readonly error: number;
}

export interface Turn {
  /** `undefined`: nothing that must survive has changed. */
  readonly commit: Commit | undefined;
  readonly effects: readonly Effect[];
  /** Links whose outbox holds something that may be sent now. */
  readonly output: readonly Link[];
}

/** Watches the traffic and the objects' lives; absent unless somebody looks. Strings are latin1. */
export interface Tracer {
  io(direction: 'IN' | 'OUT', link: Link, type: number, reqId: number, txId: number, payload: string): void;
  object(action: 'CREATE' | 'DESTROY', kind: 'connection' | 'watch' | 'transaction', link: Link): void;
}
