/**
 * What becomes of a boot's rows, event by event: lines for people meanwhile, a result for each row at the end, however it ended. Decided by
 * what it is told alone.
 */
import type { Row } from './plan.ts';
import type { Event } from './protocol.ts';
import { indent, type RowResult, resultLine, seconds } from './report.ts';

/** What is known of each row so far. */
export class Progress {
  readonly #rows: readonly Row[];
  readonly #say: (line: string) => void;
  readonly #now: () => number;
  readonly #results = new Map<number, RowResult>();
  readonly #figures = new Map<number, [string, number | string][]>();
  #running: number | undefined;
  #broken: string | undefined;
  #began = 0;
  #done = false;

  /** `now`: milliseconds. */
  constructor(rows: readonly Row[], say: (line: string) => void, now: () => number) {
    this.#rows = rows;
    this.#say = say;
    this.#now = now;
  }

  take(event: Event): void {
    switch (event.kind) {
      case 'up':
        this.#say(`  dom0 is up ${seconds(event.uptime)} after its kernel's start`);
        return;
      case 'ready':
        this.#say(`  store and console are up at ${seconds(event.uptime)}`);
        return;
      case 'begin':
        this.#running = event.row;
        this.#began = this.#now();
        this.#say(`  ${this.#rows[event.row]?.scenario.name} ...`);
        return;
      case 'step':
        this.#say(`    ${event.text}  ${seconds(event.seconds)}`);
        return;
      case 'log':
        this.#say(indent(event.text.trimEnd(), '    '));
        return;
      case 'figure':
        this.#figures.set(event.row, [...(this.#figures.get(event.row) ?? []), [event.name, event.value]]);
        return;
      case 'end':
        this.#running = undefined;
        this.#settle(event.row, event.error === undefined ? 'passed' : 'failed', event.error, event.seconds);
        return;
      case 'broken':
        this.#broken = event.error;
        return;
      case 'done':
        this.#done = true;
        return;
    }
  }

  /** All rows; those that dom0 said nothing of are settled by how the machine ended. */
  results(why: string): readonly RowResult[] {
    const reason = this.#broken ?? (this.#done ? 'dom0 left it out' : why);
    if (this.#running !== undefined)
      this.#settle(this.#running, 'failed', reason, (this.#now() - this.#began) / 1000);
    for (const row of this.#rows.keys()) {
      if (this.#results.has(row)) continue;
      // Where nothing began, the first one has failed for all.
      if (row === 0) this.#settle(row, 'failed', reason);
      else this.#settle(row, 'not run', reason.split('\n')[0]);
    }
    return this.#rows.map((_, row) => this.#results.get(row)!);
  }

  #settle(row: number, outcome: RowResult['outcome'], why?: string, time?: number): void {
    const { scenario, store } = this.#rows[row]!;
    const result: RowResult = {
      name: scenario.name,
      store,
      outcome,
      figures: this.#figures.get(row) ?? [],
      ...(time !== undefined && { seconds: time }),
      ...(why !== undefined && { why }),
    };
    this.#results.set(row, result);
    this.#say(resultLine(result));
  }
}
