// The domains that a manager knows: counts and look-ups go with what is added, changed and taken away.
import { expect, test } from 'vitest';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import type { DomainRecord } from '../../toolstack/core/record.ts';
import { Table } from '../../toolstack/io/table.ts';

function record(name: string, devices: string, more: Partial<DomainRecord> = {}): DomainRecord {
  const cfg = parseCfg(`name="${name}"\n${devices}`);
  if (!cfg.ok) throw new Error(cfg.errors[0]!.text);
  const nothing = { domid: undefined, process: undefined, model: undefined, endedBy: undefined };
  const { config } = cfg;
  return {
    ...{ version: 1, uuid: name, phase: 'running', config, start: 'running', madeMs: 0, quickEnds: 0 },
    ...nothing,
    ...more,
  };
}

test('devices are counted, consoles among them, as domains come, change and go', () => {
  const table = new Table();
  table.add(record('a', 'vif=[""]\ndisk=["/d,,xvda"]'));
  table.add(record('b', ''));
  expect(table.devices()).toBe(4);
  table.update(record('b', 'vif=["",""]'));
  expect(table.devices()).toBe(6);
  table.remove('a');
  table.remove('a');
  expect(table.devices()).toBe(3);
});

test('whose an address is: of one that is there, not of one of which only what is left is kept', () => {
  const mac = '00:16:3e:00:00:01';
  const table = new Table();
  table.add(record('kept', `vif=["mac=${mac}"]`, { phase: 'preserved' }));
  expect(table.withMac(mac)).toBeUndefined();
  expect(table.macs()).toEqual([mac]);
  table.add(record('a', `vif=["", "mac=${mac}"]`));
  expect(table.withMac(mac)?.record.config.name).toBe('a');
});
