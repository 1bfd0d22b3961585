// The bench's figures: medians, ratios of what was measured in one round, and how they are shown.
import { expect, test } from 'vitest';
import { median, ratios, short, times } from './figures.ts';
import { allocationRate } from './processes.ts';
import { rows } from './rows.ts';
import { markdown, plain } from './table.ts';

test('medians', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a ratio compares within a round, so a machine that slows down between rounds does not show', () => {
  expect(ratios([200, 20, 2], [100, 10, 1])).toEqual({ median: 2, low: 2, high: 2 });
  expect(ratios([200, undefined, 3], [100, 10, 1])).toEqual({ median: 2.5, low: 2, high: 3 });
});

test('figures are shown with three digits', () => {
  expect([0.5, 12.345, 123.4, 12_345, 1_234_567].map(short)).toEqual([
    '0.500',
    '12.3',
    '123',
    '12.3k',
    '1.23M',
  ]);
  expect(times({ median: 1.234, low: 1, high: 20.4 })).toBe('1.23 (1.00-20)');
});

test('at most forty rows, each with its own name, and one with ten thousand unrelated watches', () => {
  expect(rows.length).toBeLessThanOrEqual(40);
  expect(new Set(rows.map((row) => row.name)).size).toBe(rows.length);
  expect(rows.some((row) => row.op === 'write' && row.watches * row.connections >= 10_000)).toBe(true);
});

test('a table as text and as Markdown', () => {
  const table = { title: 'T', head: ['what', 'ours'], body: [['read', '1k']], notes: ['n'] };
  expect(plain(table)).toBe('T\n\nwhat  ours\nread    1k\n\nn\n');
  expect(markdown(table)).toBe('### T\n\n| what | ours |\n| --- | ---: |\n| read | 1k |\n\n- n\n');
});

test('what JavaScript allocates a second, by its own account of collections', () => {
  const trace = [
    '[1:0x5581f0]      100 ms: Scavenge 10.0 (12.0) -> 4.0 (14.0) MB, 1.2 / 0.0 ms  (average mu = 1.000) allocation failure;',
    'something else',
    '[1:0x5581f0]     1100 ms: Scavenge 20.0 (22.0) -> 5.0 (24.0) MB, 1.2 / 0.0 ms  (average mu = 1.000) allocation failure;',
    '[1:0x5581f0]     2100 ms: Mark-Compact (reduce) 21.0 (22.0) -> 5.0 (24.0) MB, 1.2 / 0.0 ms  (average mu = 1.000) idle task;',
  ];
  expect(allocationRate(trace.join('\n'))).toBe(16 * 2 ** 20);
  expect(allocationRate(trace.slice(0, 2).join('\n'))).toBeUndefined();
});
