// The pure parts of the lab: which rows run in which boots, what dom0's events become, the table, and what names a build of boot files. No
// machine is started here.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { nameOf } from './lab/bootfiles.ts';
import { qemuArguments } from './lab/machine.ts';
import { packagesFor } from './lab/packages.ts';
import { bootsOf, chosenRows, type Found } from './lab/plan.ts';
import { Progress } from './lab/progress.ts';
import { type Event, EventReader, lineOf } from './lab/protocol.ts';
import { table, verdict, whatMatters } from './lab/report.ts';
import type { Scenario } from './lab/scenario.ts';

const scenario = (name: string, more: Partial<Scenario> = {}): Scenario => ({
  name,
  stores: ['ours', 'c'],
  run: async () => {},
  ...more,
});
const found = (...scenarios: readonly Scenario[]): readonly Found[] =>
  scenarios.map((one) => ({ file: one.name, index: 0, scenario: one }));

test('alone it is the scenario that runs always, on the first of its stores', () => {
  const all = found(scenario('first', { always: true }), scenario('second'));
  const names = (rows: ReturnType<typeof chosenRows>) =>
    rows.map((row) => `${row.scenario.name} ${row.store}`);
  expect(names(chosenRows(all, { all: false }))).toEqual(['first ours']);
  expect(names(chosenRows(all, { all: false, store: 'c' }))).toEqual(['first c']);
  expect(names(chosenRows(all, { all: false, only: /second/ }))).toEqual(['second ours', 'second c']);
  expect(names(chosenRows(all, { all: true, store: 'c' }))).toEqual(['first c', 'second c']);
});

test('rows share a boot where store and machine are the same and none wants to be alone', () => {
  const all = found(
    scenario('one'),
    scenario('lonely', { alone: true }),
    scenario('two'),
    scenario('pvh', { hap: true }),
    scenario('own', { stores: ['none'] }),
    scenario('other', { stores: ['none'] }),
  );
  const boots = bootsOf(chosenRows(all, { all: true }));
  expect(
    boots.map(({ store, hap, rows }) => [store, hap, rows.map((row) => row.scenario.name).join()]),
  ).toEqual([
    ['ours', false, 'one,two'],
    ['c', false, 'one,two'],
    ['ours', false, 'lonely'],
    ['c', false, 'lonely'],
    ['ours', true, 'pvh'],
    ['c', true, 'pvh'],
    ['none', false, 'own'],
    ['none', false, 'other'],
  ]);
});

test('events come whole out of pieces, and noise is passed over', () => {
  const events: readonly Event[] = [
    { kind: 'up', uptime: 7.5 },
    { kind: 'log', row: 0, text: 'a\nb' },
    { kind: 'done' },
  ];
  const text = `noise\n{"kind":1}\nnull\n${events.map(lineOf).join('{broken\n')}`;
  const reader = new EventReader();
  expect([...text].flatMap((letter) => reader.push(letter))).toEqual(events);
});

/** Three rows, and what becomes of them. */
function play(events: readonly Event[], why: string) {
  const rows = chosenRows(found(scenario('a'), scenario('b'), scenario('c')), { all: true, store: 'c' });
  const said: string[] = [];
  const progress = new Progress(
    rows,
    (line) => said.push(line),
    () => 1000,
  );
  for (const event of events) progress.take(event);
  return { results: progress.results(why), said };
}

test('a row ends as dom0 says', () => {
  const { results, said } = play(
    [
      { kind: 'up', uptime: 7 },
      { kind: 'ready', uptime: 8 },
      { kind: 'begin', row: 0, uptime: 9 },
      { kind: 'figure', row: 0, name: 'reads/s', value: 3 },
      { kind: 'step', row: 0, text: 'xl create', seconds: 4.25 },
      { kind: 'end', row: 0, seconds: 5 },
      { kind: 'begin', row: 1, uptime: 14 },
      { kind: 'end', row: 1, seconds: 1, error: 'it broke' },
      { kind: 'broken', error: 'no store' },
      { kind: 'done' },
    ],
    'off',
  );
  expect(results).toEqual([
    { name: 'a', store: 'c', outcome: 'passed', seconds: 5, figures: [['reads/s', 3]] },
    { name: 'b', store: 'c', outcome: 'failed', seconds: 1, figures: [], why: 'it broke' },
    { name: 'c', store: 'c', outcome: 'not run', figures: [], why: 'no store' },
  ]);
  expect(said).toContain('    xl create  4.3 s');
  expect(verdict(results)).toBe('1 of 3 passed, 1 failed, 1 not run');
});

test('a machine that ends by itself fails what was running, and the rest is not run', () => {
  const { results } = play(
    [
      { kind: 'up', uptime: 7 },
      { kind: 'begin', row: 0, uptime: 9 },
    ],
    'panic\nand more',
  );
  expect(results.map(({ outcome, why }) => [outcome, why])).toEqual([
    ['failed', 'panic\nand more'],
    ['not run', 'panic'],
    ['not run', 'panic'],
  ]);
});

test('a machine that never comes up is a failure, not a table without failures', () => {
  expect(play([], 'no dom0').results.map(({ outcome }) => outcome)).toEqual(['failed', 'not run', 'not run']);
});

test('the table aligns, and folds many figures', () => {
  const figures = Array.from({ length: 9 }, (_, index) => [`figure number ${index}`, index] as const);
  const text = table([
    { name: 'short', store: 'c', outcome: 'passed', seconds: 1.25, figures },
    { name: 'a longer name', store: 'ours', outcome: 'not run', figures: [] },
  ]);
  const lines = text.split('\n');
  expect(lines[0]).toBe('scenario       store  result   seconds  figures');
  expect(lines[2]).toMatch(/^short {10}c {6}ok {11}1\.3 {2}figure number 0 0, /);
  expect(lines[3]).toMatch(/^ {40}\s*figure number \d/);
  expect(lines.at(-1)).toBe('a longer name  ours   not run');
});

test('of a console, the crash is shown, not the stack that came after it', () => {
  const stack = Array.from({ length: 40 }, (_, line) => `[ 9.1] RSP ${line}`);
  expect(whatMatters(['up', '[ 9.0] Kernel panic - not syncing', ...stack].join('\r\n'))[0]).toContain(
    'panic',
  );
  expect(whatMatters(['up', ...stack].join('\n')).at(-1)).toBe('[ 9.1] RSP 39');
});

test('a build of boot files is named by each of its ingredients and by their borders', () => {
  expect(nameOf(['ab', 'c'])).toBe(nameOf(['ab', 'c']));
  expect(nameOf(['ab', 'c'])).not.toBe(nameOf(['a', 'bc']));
  expect(nameOf(['ab'])).not.toBe(nameOf(['ab', '']));
  expect(nameOf(['ab'])).toMatch(/^boot-[0-9a-f]{16}$/);
});

test('who sets a machine up for all tests has all that the lab asks for', () => {
  const listed = readFileSync(new URL('../apt.txt', import.meta.url), 'utf8').split('\n');
  expect(
    packagesFor(['package', 'stubdom', 'node', 'pvcalls']).filter((name) => !listed.includes(name)),
  ).toEqual([]);
});

test('a comma in a path does not end what QEMU reads there', () => {
  const options = { boot: '/b', app: '/a,b', packages: '/p', out: '/o', hap: true, serial: '/s,t' };
  const line = qemuArguments(options).join(' ');
  expect(line).toContain('path=/a,,b,mount_tag=app');
  expect(line).toContain('path=/s,,t');
  expect(line).toContain('+npt');
});
