// What a backend writes down before it says it, in a file: found again by a successor, larger if need be; and all of it has its place on the medium, since
// who writes into a mapped file that finds no room is killed.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RecordFile } from '../../xenstored/client/ringrecord.ts';

const RECORD_BYTES = 12_288;
let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'records-')), 'run/1-0');
});
afterEach(() => rmSync(join(path, '../..'), { recursive: true }));

test('a file has room for all that may be written into it', () => {
  for (const [rings, how] of [
    [2, 'fresh'],
    [5, 'attach'],
    [3, 'attach'],
  ] as const) {
    const file = new RecordFile(path, rings, how);
    const { size, blocks } = statSync(path);
    expect(size).toBe(rings * RECORD_BYTES);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
    file.leave();
  }
});

test('what was written is there for who attaches, and for nobody else', () => {
  const first = new RecordFile(path, 2, 'fresh');
  first.record(1).seal(7);
  first.bytes(1)[100] = 9;
  first.leave();
  const second = new RecordFile(path, 3, 'attach');
  expect([second.bytes(1)[100], second.bytes(2)[100]]).toEqual([9, 0]);
  second.leave();
  const third = new RecordFile(path, 3, 'fresh');
  expect(third.bytes(1)[100]).toBe(0);
  third.close();
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
});
