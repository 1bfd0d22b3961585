/**
 * What dom0 tells the host while it runs scenarios: one JSON object a line, appended to a file that both see. The console is no good for it:
 * Xen and the kernel write into the middle of other people's lines there. Knows no file and no process.
 */
import type { StoreKind } from './scenario.ts';

/** What the host asks of a boot; lies beside the events. */
export interface Order {
  readonly store: StoreKind;
  /** Of the machine. */
  readonly processors: number;
  readonly rows: readonly RowOrder[];
  /** A person's shell instead of scenarios, and the size of the terminal. */
  readonly shell?: { readonly columns: number; readonly rows: number };
}

export interface RowOrder {
  /** Of this boot, from 0. */
  readonly row: number;
  /** Which file of test/real/scenarios, without its ending, and which of the scenarios in it. */
  readonly file: string;
  readonly index: number;
  /** The folder for what is kept. */
  readonly folder: string;
  readonly limitS: number;
}

/** `uptime`: of dom0's kernel, seconds. */
export type Event =
  | { readonly kind: 'up'; readonly uptime: number }
  | { readonly kind: 'ready'; readonly uptime: number }
  | { readonly kind: 'begin'; readonly row: number; readonly uptime: number }
  | { readonly kind: 'step'; readonly row: number; readonly text: string; readonly seconds: number }
  | { readonly kind: 'log'; readonly row: number; readonly text: string }
  | { readonly kind: 'figure'; readonly row: number; readonly name: string; readonly value: number | string }
  | { readonly kind: 'end'; readonly row: number; readonly seconds: number; readonly error?: string }
  /** Nothing else can run in this boot. */
  | { readonly kind: 'broken'; readonly error: string }
  | { readonly kind: 'done' };

export function lineOf(event: Event): string {
  return `${JSON.stringify(event)}\n`;
}

/** Turns what was read so far into events; a line may come in pieces, and one that is none is passed over. */
export class EventReader {
  #rest = '';

  push(text: string): readonly Event[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    return lines.flatMap((line) => {
      try {
        const event = JSON.parse(line) as Event;
        return typeof event?.kind === 'string' ? [event] : [];
      } catch {
        return [];
      }
    });
  }
}
