// Whom an order is about, when records and the hypervisor do not agree: on real files, with fakes of what makes and ends domains.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { DomainInfo } from '../../osdep/ctrl.ts';
import { type DomainRecord, recordText } from '../../toolstack/core/record.ts';
import { Manager } from '../../toolstack/io/manager.ts';
import type { Parts } from '../../toolstack/io/parts.ts';
import { Records } from '../../toolstack/io/records.ts';
import { Table } from '../../toolstack/io/table.ts';
import { guestNamed } from './servicehost.ts';

const uuid = '6d0c9e0f-23c5-4a53-8f3c-5f1f6b1c2d3e';
let run: string;
let folder: string;
/** By their numbers. */
let domains: Map<number, Partial<DomainInfo>>;
const pause = vi.fn();
const write = vi.fn(async () => {});
const print = vi.fn();
let manager: Manager;

beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'stubdom0-targets-'));
  folder = join(run, 'toolstack/domains');
  mkdirSync(folder, { recursive: true });
  domains = new Map();
  vi.clearAllMocks();
});
afterEach(async () => {
  await manager.close();
  rmSync(run, { recursive: true, force: true });
});

function manage(): void {
  const parts = {
    run,
    ctrl: {
      getDomainInfo: (domid: number) => domains.get(domid),
      getDomainInfoList: () => [...domains.values()],
      pause,
    },
    domains: { destroy: (domid: number) => domains.delete(domid), forget: async () => {} },
    store: {
      watch: async function* () {},
      findText: async () => undefined,
      directory: async () => [],
      transaction: async () => {},
      write,
    },
    hotplug: { detachAll: async () => {} },
    services: [],
    records: new Records(run),
    forgetRoom: () => {},
    log: { warn: () => {} },
    print,
  } as unknown as Parts;
  manager = new Manager(parts, new Table());
}

function domain(domid: number, handle: string): void {
  domains.set(domid, { domid, handle, shutdown: false, dying: false, paused: false });
}

test.each([
  ['destroy, by its number', () => manager.destroy('7')],
  ['destroy, by its uuid', () => manager.destroy(uuid)],
  ['gc', () => manager.gc()],
])('a domain whose record cannot be read goes on, and is taken by %s', async (_, order) => {
  writeFileSync(join(folder, `${uuid}.json`), '{"garbage');
  domain(7, uuid);
  manage();
  expect(print).toHaveBeenCalledWith(
    expect.stringMatching(`^guest ${uuid} \\(domain 7\\): .*cannot be read`),
  );
  expect(domains.size).toBe(1);
  await order();
  expect(domains.size).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});

test('what is kept of a domain is not the domain that has its number now', async () => {
  const nothing = { process: undefined, model: undefined, endedBy: 3 };
  const life = { phase: 'preserved', start: 'running', madeMs: 0, quickEnds: 0 } as const;
  const kept: DomainRecord = { version: 1, uuid, config: guestNamed('kept'), domid: 7, ...life, ...nothing };
  writeFileSync(join(folder, `${uuid}.json`), recordText(kept));
  domain(7, 'another');
  manage();
  const orders = [
    () => manager.pause('kept'),
    () => manager.shutdown('kept', 'poweroff', 'return'),
    () => manager.sysrq('kept', 'b'),
    () => manager.rename('kept', 'renamed'),
    () => manager.detach('kept', 'vif', '0', 'force'),
  ];
  for (const order of orders)
    await expect(order()).rejects.toThrow('kept has no domain now: it is only written down (preserved)');
  expect(await manager.consoleNode('kept', 'pv', 0)).not.toContain('/7/');
  expect(pause).not.toHaveBeenCalled();
  expect(write).not.toHaveBeenCalled();
  await manager.destroy('kept');
  expect([domains.size, readdirSync(folder)]).toEqual([1, []]);
});
