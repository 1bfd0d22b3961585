// Guests of a host file are let run: as many as they are, their records are looked at once a turn.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { GuestFile } from '../../toolstack/core/host.ts';
import type { DomainRecord } from '../../toolstack/core/record.ts';
import { guestLog } from '../../toolstack/io/guestprocess.ts';
import { HostGuests } from '../../toolstack/io/hostguests.ts';
import type { Toolstack } from '../../toolstack/io/toolstack.ts';
import { guestNamed } from './servicehost.ts';

const readRecords = vi.hoisted(() => vi.fn<() => DomainRecord[]>());
vi.mock('../../toolstack/io/records.ts', () => ({ readRecords }));

test('a hundred guests cost one look at the records for all; who is no more is not waited for', async () => {
  const run = mkdtempSync(join(tmpdir(), 'stubdom0-guests-'));
  onTestFinished(() => rmSync(run, { recursive: true, force: true }));
  const unpaused: string[] = [];
  const toolstack = {
    create: async () => 1,
    unpause: async (name: string) => unpaused.push(name),
  } as unknown as Toolstack;
  const guests = new HostGuests(run, toolstack);
  const names = Array.from({ length: 100 }, (_, index) => `g${index}`);
  const { signal } = new AbortController();
  for (const name of names) {
    const guest = { name, memoryMb: 1, vcpus: 1, greets: [], disks: [], vifs: [], sockets: [], fetches: [] };
    await guests.create(guest satisfies GuestFile, 0, signal);
    mkdirSync(dirname(guestLog(run, name)), { recursive: true });
    if (name !== 'g99') writeFileSync(guestLog(run, name), 'guest is ready\n');
  }
  const recordOf = (name: string): DomainRecord => ({ config: guestNamed(name) }) as DomainRecord;
  readRecords.mockReturnValueOnce(names.map(recordOf)).mockReturnValue(names.slice(0, 99).map(recordOf));
  await guests.letRun(signal);
  expect(unpaused).toEqual(names);
  expect(readRecords).toHaveBeenCalledTimes(2);
});
