// What becomes of a domain that ended, and of one that a manager finds in its records.
import { expect, test } from 'vitest';
import { endText, fateOf, preservedName, recovery } from '../../toolstack/core/lifecycle.ts';
import { parseRecord, recordText } from '../../toolstack/core/record.ts';
import { guestNamed } from './servicehost.ts';

const [POWEROFF, REBOOT, SUSPEND, CRASH, WATCHDOG] = [0, 1, 2, 3, 4];
const calm = { livedMs: 60_000, quickEnds: 0 };

test('each reason has its action', () => {
  const config = guestNamed('a', { onPoweroff: 'preserve', onReboot: 'destroy', onWatchdog: 'restart' });
  const kind = (reason: number | undefined): string => fateOf(config, { ...calm, reason }).fate.kind;
  expect(kind(POWEROFF)).toBe('preserve');
  expect(kind(REBOOT)).toBe('destroy');
  expect(kind(WATCHDOG)).toBe('restart');
  expect(kind(SUSPEND)).toBe('stay');
  expect(kind(CRASH)).toBe('destroy');
  // Nobody knows any more why: it crashed.
  expect(kind(undefined)).toBe('destroy');
  expect(kind(77)).toBe('destroy');
});

test('what the simulator cannot do is done as nearly as it can, and said', () => {
  const of = (
    onCrash: 'coredump-destroy' | 'coredump-restart' | 'rename-restart',
  ): ReturnType<typeof fateOf> => fateOf(guestNamed('a', { onCrash }), { ...calm, reason: CRASH });
  expect(of('coredump-destroy')).toMatchObject({
    fate: { kind: 'destroy' },
    note: expect.stringMatching(/core/),
  });
  expect(of('coredump-restart')).toMatchObject({ fate: { kind: 'restart', rename: false } });
  expect(of('rename-restart')).toMatchObject({ fate: { kind: 'restart', rename: true } });
});

test('a domain in a hurry is made anew later each time, and at last not at all', () => {
  const config = guestNamed('a', { onCrash: 'restart' });
  const pauses: number[] = [];
  let quickEnds = 0;
  for (;;) {
    const { fate, note } = fateOf(config, { reason: CRASH, livedMs: 100, quickEnds });
    if (fate.kind !== 'restart') {
      expect(note).toMatch(/5 times in a row/);
      break;
    }
    pauses.push(fate.pauseMs);
    quickEnds = fate.quickEnds;
  }
  expect(pauses).toEqual([0, 1000, 2000, 4000]);
  // One that had lived for a while begins afresh.
  expect(fateOf(config, { reason: CRASH, livedMs: 20_000, quickEnds: 4 }).fate).toMatchObject({
    quickEnds: 0,
  });
});

test('what is found half done is undone, what was to be made anew is, what ran goes on', () => {
  expect([recovery('creating', true), recovery('ending', true)]).toEqual(['undo', 'undo']);
  expect([recovery('restarting', true), recovery('preserved', false)]).toEqual(['restart', 'keep']);
  expect([recovery('running', true), recovery('running', false)]).toEqual(['go on', 'it ended']);
});

test('an end in words, and the name of what is kept as xl writes it', () => {
  expect([endText(POWEROFF), endText(undefined), endText(9)]).toEqual([
    'shut down',
    'crashed',
    'shut down for reason 9',
  ]);
  const taken: string[] = [];
  const kept = (): unknown =>
    taken.push(preservedName('web', '2026-03-04T05:06:07.890Z', (name) => taken.includes(name)));
  for (let count = 0; count < 3; count++) kept();
  expect(taken).toEqual(['web-20260304T0506Z', 'web-20260304T0506Z-2', 'web-20260304T0506Z-3']);
});

test('a record is read as it was written; what is none is none', () => {
  const nothing = { domid: undefined, process: undefined, model: undefined, endedBy: undefined };
  const uuid = '6d0c9e0f-23c5-4a53-8f3c-5f1f6b1c2d3e';
  const record = { version: 1, uuid, phase: 'creating', config: guestNamed('a'), start: 'running' } as const;
  const whole = { ...record, ...nothing, madeMs: 1, quickEnds: 0 };
  expect(parseRecord(recordText(whole))).toEqual(JSON.parse(JSON.stringify(whole)));
  for (const text of ['', '{', 'null', '[]', '{"version":2}', '{"version":1,"uuid":"x"}'])
    expect(parseRecord(text)).toBeUndefined();
  // What it lacks would be asked for whenever any domain is made.
  expect(
    parseRecord(recordText({ ...whole, config: { ...whole.config, disks: undefined! } })),
  ).toBeUndefined();
});
