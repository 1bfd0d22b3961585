/**
 * The rows of the table: six loads at one base point, then one axis at a time. Forty at the most, so that a run of five rounds and three
 * daemons stays within a quarter of an hour; an axis that a load cannot feel (watches and reading) is measured once, not for every load.
 */
import type { Operation } from './load.ts';

export interface Row {
  readonly name: string;
  readonly op: Operation;
  readonly connections: number;
  /** Requests in flight on each connection. */
  readonly inFlight: number;
  /** On each connection, on paths that nobody touches. */
  readonly watches: number;
  /** In the tree that is read and written. */
  readonly nodes: number;
}

/** Most real hosts: some daemons and some tools connected, each waiting for its answer. */
const base = { connections: 50, inFlight: 1, watches: 0, nodes: 1000 } as const;

const axes = {
  base: {},
  '1 connection': { connections: 1 },
  '200 connections': { connections: 200 },
  '1000 connections': { connections: 1000 },
  '16 in flight': { inFlight: 16 },
  '20 watches each': { watches: 20 },
  '100 watches each': { watches: 100 },
  '100 watches on 100': { connections: 100, watches: 100 },
  '100000 nodes': { nodes: 100_000 },
} as const;

type Axis = keyof typeof axes;

const left: Readonly<Record<Operation, readonly Axis[]>> = {
  read: ['20 watches each', '100 watches on 100'],
  write: [],
  directory: ['200 connections', '20 watches each', '100 watches each', '100 watches on 100'],
  transaction: ['20 watches each', '100 watches on 100'],
  mixed: ['20 watches each', '100 watches on 100'],
  connect: ['16 in flight', '20 watches each', '100 watches each', '100 watches on 100'],
};

export const rows: readonly Row[] = (Object.keys(left) as Operation[]).flatMap((op) =>
  (Object.keys(axes) as Axis[])
    .filter((axis) => !left[op].includes(axis))
    .map((axis) => ({ name: `${op}, ${axis}`, op, ...base, ...axes[axis] })),
);
