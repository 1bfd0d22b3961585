/**
 * One boot from power-on to power-off: hands dom0 its order, follows its events, keeps the time limits, and says for each row how it ended,
 * whatever happened to the machine.
 */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Machine, type MachineOptions, processors } from './machine.ts';
import { type Boot, DEFAULT_LIMIT_S, type Row } from './plan.ts';
import { Progress } from './progress.ts';
import { type Event, EventReader, type Order } from './protocol.ts';
import { type RowResult, whatMatters } from './report.ts';
import { writeOrder } from './stage.ts';

export interface BootOptions extends Omit<MachineOptions, 'hap' | 'serial' | 'out'> {
  /** The folder of this boot's logs. */
  readonly logs: string;
  readonly say: (line: string) => void;
  /** Ends the boot early. */
  readonly signal: AbortSignal;
}

/** Until dom0's node runs, until the store and its friends do, and what a row may take beyond its own limit. */
const [UP_LIMIT_S, READY_LIMIT_S, SLACK_S] = [180, 180, 120];
const POLL_MS = 100;

export async function runBoot(boot: Boot, options: BootOptions): Promise<readonly RowResult[]> {
  const { logs, say, signal } = options;
  const order: Order = {
    store: boot.store,
    processors: processors(),
    rows: boot.rows.map(({ file, index, scenario: { limitS = DEFAULT_LIMIT_S, name } }, row) => ({
      row,
      file,
      index,
      limitS,
      folder: folderOf(row, name),
    })),
  };
  const out = join(logs, 'dom0');
  await rm(logs, { recursive: true, force: true });
  await mkdir(logs, { recursive: true });
  await writeOrder(out, order);
  const progress = new Progress(boot.rows, say, () => performance.now());
  const serial = join(logs, 'serial.log');
  const machine = new Machine({ ...options, hap: boot.hap, out, serial });
  const limit = {
    until: performance.now() + UP_LIMIT_S * 1000,
    what: `dom0 did not come up within ${UP_LIMIT_S} s`,
  };
  const stopEarly = () => void machine.stop('interrupted');
  signal.addEventListener('abort', stopEarly);
  if (signal.aborted) stopEarly();
  const follow = async (): Promise<void> => {
    for (const event of await events.next()) {
      progress.take(event);
      const [limitS, what] = patience(event, boot.rows);
      if (what !== undefined) Object.assign(limit, { until: performance.now() + limitS * 1000, what });
    }
    if (performance.now() > limit.until) await machine.stop(limit.what);
  };
  const events = new EventFile(join(out, 'events'));
  let off = false;
  const ended = machine.off.then((why) => {
    off = true;
    return why;
  });
  try {
    while (!off) {
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
      await follow();
    }
  } finally {
    signal.removeEventListener('abort', stopEarly);
    await machine.stop('interrupted');
    await events.close();
  }
  return progress.results((await ended) ?? (await lastWords(serial)));
}

/** What to wait for after an event, and how long. */
function patience(event: Event, rows: readonly Row[]): readonly [limitS: number, what: string | undefined] {
  if (event.kind === 'up') return [READY_LIMIT_S, 'the store, xen-init-dom0 and xenconsoled did not come up'];
  if (event.kind === 'begin') {
    const own = rows[event.row]?.scenario.limitS ?? DEFAULT_LIMIT_S;
    return [own + SLACK_S, `dom0 did not end it within its ${own} s, nor ${SLACK_S} s later`];
  }
  if (event.kind === 'ready' || event.kind === 'end') return [SLACK_S, 'dom0 began nothing more'];
  if (event.kind === 'done' || event.kind === 'broken') return [SLACK_S, 'dom0 did not switch itself off'];
  return [0, undefined];
}

/** A file that grows, and may not be there yet. */
class EventFile {
  readonly #path: string;
  readonly #reader = new EventReader();
  #file: Awaited<ReturnType<typeof open>> | undefined;
  #position = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async next(): Promise<readonly Event[]> {
    this.#file ??= await open(this.#path).catch(() => undefined);
    if (this.#file === undefined) return [];
    const { size } = await this.#file.stat();
    const bytes = Buffer.alloc(Math.max(0, size - this.#position));
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, this.#position);
    this.#position += bytesRead;
    // Events are plain text but for what a scenario says; a character cut in two spoils at most that.
    return this.#reader.push(bytes.toString('utf8', 0, bytesRead));
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

/** Why a machine that ended by itself did so, as far as its console tells. */
async function lastWords(serial: string): Promise<string> {
  const text = await readFile(serial, 'utf8').catch(() => '');
  return `the machine switched itself off\n${whatMatters(text).join('\n')}`;
}

export function folderOf(row: number, name: string): string {
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return `${row + 1}-${slug.slice(0, 48)}`;
}
