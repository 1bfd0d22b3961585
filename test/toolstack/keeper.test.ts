// Domains that are taken away whatever becomes of what is written down about them.
import { expect, test, vi } from 'vitest';
import type { DomainRecord } from '../../toolstack/core/record.ts';
import { Keeper } from '../../toolstack/io/keeper.ts';
import type { Parts } from '../../toolstack/io/parts.ts';
import { Table } from '../../toolstack/io/table.ts';
import { guestNamed } from './servicehost.ts';

/** Nothing of it is made yet. */
const record: DomainRecord = {
  version: 1,
  uuid: '6d0c9e0f-23c5-4a53-8f3c-5f1f6b1c2d3e',
  phase: 'running',
  config: guestNamed('full'),
  start: 'running',
  madeMs: 0,
  quickEnds: 0,
  ...{ domid: undefined, process: undefined, model: undefined, endedBy: undefined },
};

test('a domain can be taken away though the disk is full', async () => {
  const full = (): never => {
    throw new Error('ENOSPC: no space left on device, write');
  };
  const remove = vi.fn();
  const parts = {
    records: { save: full, remove },
    ctrl: { getDomainInfoList: () => [] },
    log: { warn: () => {} },
  } as unknown as Parts;
  const table = new Table();
  table.add(record);
  await new Keeper(parts, table, () => {}).remove(record);
  expect(remove).toHaveBeenCalledWith(record.uuid);
  expect(table.all()).toEqual([]);
});

test('whoever served devices and is gone has no room in the store any more, should its number be used again', async () => {
  const forgetRoom = vi.fn();
  const parts = {
    records: { save: () => {}, remove: () => {} },
    ctrl: { getDomainInfo: () => undefined },
    store: { findText: async () => '/vm/of-another' },
    forgetRoom,
  } as unknown as Parts;
  await new Keeper(parts, new Table(), () => {}).remove({ ...record, domid: 9 });
  expect(forgetRoom).toHaveBeenCalledWith(9);
});
