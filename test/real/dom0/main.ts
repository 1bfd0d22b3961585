/**
 * What dom0 runs in place of an init system: starts the store and what lives on it, then the scenarios of this boot one after the other, and
 * tells the host. The machine is switched off when it ends.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { type Event, lineOf, type Order, type RowOrder } from '../lab/protocol.ts';
import type { Scenario } from '../lab/scenario.ts';
import { Dom0Lab, uptime } from './dom0lab.ts';
import { Store } from './store.ts';
import { afterwards, keep } from './tidyup.ts';

const OUT = '/out';
/** What cleaning up after a scenario may take. */
const CLEAN_LIMIT_S = 60;

const order = JSON.parse(readFileSync(`${OUT}/order.json`, 'utf8')) as Order;
const store = new Store(order.store);
const tell = (event: Event): void => appendFileSync(`${OUT}/events`, lineOf(event));

async function prepare(): Promise<void> {
  if (store.kind === 'none') return;
  await store.start();
  const { processors } = order;
  await new Dom0Lab({ row: -1, store, processors, tell, signal: AbortSignal.timeout(60_000) }).services();
  tell({ kind: 'ready', uptime: uptime() });
}

/** False: nothing else can run here. */
async function play({ row, file, index, limitS, folder }: RowOrder): Promise<boolean> {
  tell({ kind: 'begin', row, uptime: uptime() });
  const begun = performance.now();
  const { kills } = store;
  const timeUp = new AbortController();
  const { processors } = order;
  const lab = new Dom0Lab({ row, store, processors, tell, signal: timeUp.signal });
  let timer: NodeJS.Timeout | undefined;
  let error: string | undefined;
  try {
    const module = (await import(`../scenarios/${file}.js`)) as { readonly scenarios: readonly Scenario[] };
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`not done within ${limitS} s; it was at: ${lab.doing}`)),
        limitS * 1000,
      );
    });
    await Promise.race([module.scenarios[index]!.run(lab), late]);
  } catch (thrown) {
    error = described(thrown);
  }
  clearTimeout(timer);
  const time = (performance.now() - begun) / 1000;
  timeUp.abort(new Error('the scenario is over'));
  const broken = await afterwards(store, store.kills > kills, AbortSignal.timeout(CLEAN_LIMIT_S * 1000));
  await keep(`${OUT}/${folder}`, lab.kept);
  tell({ kind: 'end', row, seconds: time, ...(error !== undefined && { error }) });
  if (broken !== undefined) tell({ kind: 'broken', error: `${broken} after what ran before it` });
  return broken === undefined;
}

/** The message, and where in the scenario. */
function described(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const places = (thrown.stack ?? '').match(/\/scenarios\/[\w.-]+\.js:\d+/g) ?? [];
  return [thrown.message, ...places.map((place) => `  at ${place.slice(1)}`)].join('\n');
}

// What a scenario left behind must not end what comes after it.
process.on('unhandledRejection', (reason) => console.error('left behind:', reason));

tell({ kind: 'up', uptime: uptime() });
try {
  await prepare();
  const { shell } = order;
  if (shell !== undefined) writeFileSync('/run/shell', `stty columns ${shell.columns} rows ${shell.rows}\n`);
  for (const row of order.rows) if (!(await play(row))) break;
} catch (error) {
  await keep(`${OUT}/start`, new Set());
  tell({ kind: 'broken', error: (error as Error).message });
  console.error((error as Error).message);
}
tell({ kind: 'done' });
process.exit(0);
