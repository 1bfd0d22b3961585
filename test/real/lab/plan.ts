/**
 * Which rows are run, and in which boots: rows of the same store and the same kind of machine share one, in a fixed order. Reads no file.
 */
import type { Scenario, StoreKind } from './scenario.ts';

/** A scenario, and where it came from. */
export interface Found {
  readonly file: string;
  readonly index: number;
  readonly scenario: Scenario;
}

/** A line of the table: a scenario on one store. */
export interface Row extends Found {
  readonly store: StoreKind;
}

export interface Boot {
  readonly store: StoreKind;
  readonly hap: boolean;
  readonly rows: readonly Row[];
}

export interface Choice {
  /** Every row, not only those that run always. */
  readonly all: boolean;
  /** Rows whose name or file matches, of all. */
  readonly only?: RegExp;
  readonly store?: StoreKind;
}

/** Several times what rows take on a machine that has nothing else to do. */
export const DEFAULT_LIMIT_S = 240;

export function chosenRows(found: readonly Found[], { all, only, store }: Choice): readonly Row[] {
  return found.flatMap((one) => {
    const { always, name, stores } = one.scenario;
    if (only !== undefined && !only.test(name) && !only.test(one.file)) return [];
    const narrow = !all && only === undefined;
    if (narrow && always !== true) return [];
    const wanted = stores.filter((kind) => store === undefined || kind === store);
    return (narrow ? wanted.slice(0, 1) : wanted).map((kind) => ({ ...one, store: kind }));
  });
}

export function bootsOf(rows: readonly Row[]): readonly Boot[] {
  const boots: { store: StoreKind; hap: boolean; alone: boolean; rows: Row[] }[] = [];
  for (const row of rows) {
    const { store } = row;
    const hap = row.scenario.hap === true;
    const alone = row.scenario.alone === true || store === 'none';
    const shared = boots.find((boot) => boot.store === store && boot.hap === hap && !boot.alone);
    if (shared !== undefined && !alone) shared.rows.push(row);
    else boots.push({ store, hap, alone, rows: [row] });
  }
  return boots;
}
