/**
 * The store's conformance suite, as a function: a factory that starts a store on a host of its own, and what that host supports,
 * go in; every row of test/conformance/rows is one test. The same rows run on our core, our daemon and Xen's daemons.
 */
import { describe, it } from 'vitest';
import type { Link } from './link.ts';
import { Play } from './play.ts';
import type { Column, Row, Step } from './row.ts';
import { chapters } from './rows/index.ts';

/** A running store and the hypervisor that it believes in. */
export interface Host {
  connect(): Promise<Link>;
  addDomain(domid: number): void | Promise<void>;
  /** The domain's end of its ring. With `pages`, its fields can be seen (`RingLink`). */
  ring(domid: number): Link;
  shutdownDomain(domid: number): void | Promise<void>;
  killDomain(domid: number): void | Promise<void>;
  stop(): Promise<void>;
  /** The daemon ends and starts again on its database, if it has one: sockets are lost, and transactions. */
  restart?(): Promise<void>;
}

export interface HostOptions {
  readonly args?: readonly string[];
  readonly config?: readonly string[];
}

export type Factory = (options: HostOptions) => Promise<Host>;

export interface Supports {
  readonly column: Column;
  /** Domains and their rings. */
  readonly rings: boolean;
  /** The ring page can be looked at and overwritten. */
  readonly pages: boolean;
  /** Command line options of the C daemon, or oxenstored's configuration. */
  readonly options: boolean;
}

/** Declares the suite. */
export function storeSuite(name: string, factory: Factory, supports: Supports): void {
  describe(name, () => {
    for (const chapter of chapters)
      describe(chapter.title, () => {
        for (const row of chapter.rows) {
          if (runs(row, supports)) it(row.title, () => playRow(row, factory, supports.column));
        }
      });
  });
}

/** Plays one row on a store of its own; rejects with the conversation where it went wrong. */
export async function playRow(row: Row, factory: Factory, column: Column): Promise<void> {
  const host = await factory({ args: row.args ?? [], config: row.config ?? [] });
  try {
    await new Play(host, row, column).run();
  } finally {
    await host.stop();
  }
}

/** Can this row be put to such a host? */
export function runs(row: Row, supports: Supports): boolean {
  if (row.skip?.[supports.column]) return false;
  if (row.args && supports.column !== 'ox' && !supports.options) return false;
  if (!supports.rings && row.steps.some(needsRing)) return false;
  return supports.pages || !row.steps.some((step) => ['PEEK', 'POKE', 'PAUSE'].includes(step[1]));
}

function needsRing(step: Step): boolean {
  return step[0] === 'host' || /^d[1-9]/.test(step[0]);
}
