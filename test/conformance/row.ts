/**
 * The shape of a conformance row: a short conversation with a store, written so that it reads as the protocol's specification
 * does. Follows docs/misc/xenstore.txt. Knows nothing of how a store is started or reached.
 *
 * A step is `[who, request, payload, answer]`. Payloads, answers and events are written with `|` for NUL. `who` is
 * `dom0` or any `sock...` (a socket client), `d<n>` (domain n through its ring, introduced beforehand unless the row says otherwise),
 * and may carry a transaction: `dom0:t` (the label bound by the answer `<t>` to TRANSACTION_START), `dom0:7` (that very number).
 *
 * An answer is the reply's payload, `!EINVAL` for an error, a RegExp, `<closed>` (the peer ended the link), `<silence>` (nothing comes)
 * or a list: everything that the link receives until it is quiet, in order, events as `EVENT path|token|`.
 */
import type { OpName, Ring } from '../../xenstored/wire/ops.ts';

/** Whose answer: ours, today's C daemon, Debian's of 4.17, Debian's oxenstored of 4.17. */
export type Column = 'ours' | 'chead' | 'c417' | 'ox';

export type Answer = string | RegExp | readonly string[];

/** What differs by column. Absent: `chead` and `ox` are as `ours`, `c417` as `chead`. */
export interface Cells {
  readonly ours: Answer;
  readonly chead?: Answer;
  readonly c417?: Answer;
  readonly ox?: Answer;
}

export type Cell = Answer | Cells;

export type RequestStep = readonly [who: string, request: OpName, payload: string, answer: Cell];
/** Bytes as they are; the answer is to the last request in them. */
export type RawStep = readonly [who: string, 'RAW', bytes: Uint8Array, answer: Cell];
/** All events that `who` got since the last time it was asked. */
export type EventsStep = readonly [who: string, 'EVENTS', events: readonly string[] | EventCells];
/** The rest of what an interrupted conversation owes: one more reply, to nothing sent now. */
export type ReplyStep = readonly [who: string, 'REPLY', answer: Cell];
/** The client goes away. */
export type CloseStep = readonly [who: string, 'CLOSE'];
/** A field of the ring page, read or overwritten by the guest (and the daemon told). */
export type PeekStep = readonly [who: string, 'PEEK', field: keyof typeof Ring, value: number | FieldCells];
export type PokeStep = readonly [who: string, 'POKE', field: keyof typeof Ring, value: number];
/** A guest that leaves what comes in its ring, and one that takes it out again. */
export type PauseStep = readonly [who: string, 'PAUSE' | 'UNPAUSE'];
/** What happens to a domain in the hypervisor. */
export type HostStep = readonly ['host', 'create' | 'shutdown' | 'kill', domid: number];
export type Step =
  | RequestStep
  | RawStep
  | EventsStep
  | ReplyStep
  | CloseStep
  | PeekStep
  | PokeStep
  | PauseStep
  | HostStep;

export interface EventCells {
  readonly ours: readonly string[];
  readonly chead?: readonly string[];
  readonly c417?: readonly string[];
  readonly ox?: readonly string[];
}

export interface FieldCells {
  readonly ours: number;
  readonly chead?: number;
  readonly c417?: number;
  readonly ox?: number;
}

export interface Row {
  readonly title: string;
  readonly steps: readonly Step[];
  /** Command line of the C daemon and of ours. */
  readonly args?: readonly string[];
  /** Configuration lines of oxenstored. */
  readonly config?: readonly string[];
  /** Further domains, introduced beforehand though they say nothing. */
  readonly domains?: readonly number[];
  /** Domains that exist but are not introduced when the row begins. */
  readonly unintroduced?: readonly number[];
  /** Why the row cannot be put to somebody. */
  readonly skip?: Partial<Record<Column, string>>;
}

export interface Chapter {
  readonly title: string;
  readonly rows: readonly Row[];
}

/** `at('OK|', { ox: '!EIO' })`: the answer of ours, and of whom it differs. */
export function at(ours: Answer, others: Omit<Cells, 'ours'>): Cells {
  return { ours, ...others };
}

/** The cell's answer in one column. */
export function answerOf(cell: Cell, column: Column): Answer {
  return isCells(cell) ? pick(cell, column) : cell;
}

function isCells(cell: Cell): cell is Cells {
  return typeof cell === 'object' && 'ours' in cell;
}

/** The value of one column, with the defaults described at `Cells`. */
export function pick<T>(
  cells: { readonly ours: T; readonly chead?: T; readonly c417?: T; readonly ox?: T },
  column: Column,
): T {
  const chead = cells.chead ?? cells.ours;
  switch (column) {
    case 'ours':
      return cells.ours;
    case 'chead':
      return chead;
    case 'c417':
      return cells.c417 ?? chead;
    case 'ox':
      return cells.ox ?? cells.ours;
  }
}

/** A request without a second thought: WRITE of an empty value at each path, by dom0. */
export function have(...paths: string[]): RequestStep[] {
  return paths.map((path) => ['dom0', 'WRITE', `${path}|`, 'OK|'] as const);
}

/** A node with these permissions, `n0|r3|`, made by dom0. */
export function node(path: string, perms: string): RequestStep[] {
  return [
    ['dom0', 'WRITE', `${path}|`, 'OK|'],
    ['dom0', 'SET_PERMS', `${path}|${perms}`, 'OK|'],
  ];
}

export function watch(who: string, path: string, token: string = 't'): Step[] {
  return [
    [who, 'WATCH', `${path}|${token}|`, 'OK|'],
    [who, 'EVENTS', [`${path}|${token}|`]],
  ];
}
