// Ends of domains, one soon after the other, and orders that come in between. Fakes of who makes domains.
import { expect, onTestFinished, test } from 'vitest';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import type { DomainRecord } from '../../toolstack/core/record.ts';
import type { Keeper } from '../../toolstack/io/keeper.ts';
import { Lives } from '../../toolstack/io/lives.ts';
import type { Parts } from '../../toolstack/io/parts.ts';
import { Table } from '../../toolstack/io/table.ts';
import { guestNamed } from './servicehost.ts';

const lines: string[] = [];
const tx = { write: async () => {}, rm: async () => {} };
const parts = {
  run: '/nowhere',
  ctrl: { getDomainInfo: () => undefined, getDomainInfoList: () => [] },
  records: { save: () => {} },
  store: { watch: async function* () {}, transaction: (work: (one: typeof tx) => unknown) => work(tx) },
  print: (text: string) => lines.push(text),
} as unknown as Parts;

/** One whose domain is no more. */
function gone(more: Partial<DomainRecord>, config: Partial<DomainConfig>): DomainRecord {
  const nothing = { domid: 7, process: undefined, model: undefined, endedBy: undefined };
  const uuid = '6d0c9e0f-23c5-4a53-8f3c-5f1f6b1c2d3e';
  const life = { phase: 'running', start: 'running', madeMs: Date.now(), quickEnds: 0 } as const;
  return { version: 1, uuid, config: guestNamed('web', config), ...life, ...nothing, ...more };
}

function begin(table: Table, record: DomainRecord, keeper: Partial<Keeper>): void {
  const save = (one: DomainRecord): void => table.update(one);
  const lives = new Lives(parts, table, { save, ...keeper } as Keeper);
  onTestFinished(() => lives.end());
  lives.begin([record]);
}

test('each of several that end within a minute is kept, under a name of its own', async () => {
  for (let count = 1; count <= 2; count++) {
    const table = new Table();
    const others = count === 1 ? [] : [keptName()];
    for (const [index, name] of others.entries())
      table.add(gone({ uuid: `${index}`, phase: 'preserved' }, { name }));
    let made = false;
    const make = async (): Promise<DomainRecord> => {
      made = true;
      return gone({ domid: 8 }, {});
    };
    begin(table, gone({}, { onCrash: 'rename-restart' }), { clear: async () => {}, make });
    await expect.poll(() => made, { timeout: 1_000 }).toBe(true);
    expect(table.all()).toHaveLength(1 + count);
  }
});

function keptName(): string {
  return lines.map((line) => /is kept as (.*)$/.exec(line)?.[1]).find((name) => name !== undefined)!;
}

test('a domain that is destroyed while what was before it is taken away is not waited for', async () => {
  const table = new Table();
  const record = gone({ quickEnds: 3 }, { onCrash: 'restart' });
  let broken: boolean | undefined;
  begin(table, record, {
    clear: async () => table.get(record.uuid)?.creating?.abort(),
    make: async ({ signal }) => {
      broken = signal.aborted;
      throw new Error('broken off');
    },
  });
  await expect.poll(() => broken, { timeout: 1_000 }).toBe(true);
});
