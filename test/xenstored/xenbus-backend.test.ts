// A backend's effects, step by step, in the stories that matter; the README's tables against the data that the machines run on. All
// interleavings of such stories are walked in xenbus-handshake.test.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Backend } from '../../xenstored/xenbus/backend.ts';
import type { BackendEffect, BackendEvent, BackendFound } from '../../xenstored/xenbus/backend-events.ts';
import { stateName, states } from '../../xenstored/xenbus/state.ts';
import { printed, restOf } from './xenbus-tables.ts';

const README = new URL('../../xenstored/xenbus/README.md', import.meta.url);

/** An effect in a few words: `4 -> 5`, `connect k attach`. */
function short(effect: BackendEffect<string>): string {
  switch (effect.kind) {
    case 'write': {
      const keys = Object.entries(effect.keys).map(([key, value]) => ` ${key}=${value}`);
      return `${effect.from} -> ${effect.state}${keys.join('')}`;
    }
    case 'connect':
      return `connect ${effect.keys}${effect.attach ? ' attach' : ''}`;
    case 'error':
      return `error: ${effect.message}`;
    default:
      return effect.kind;
  }
}

/** Starts a backend on what it finds, and plays events to it; each answer is one line. */
function play(
  found: Partial<BackendFound>,
  events: readonly BackendEvent<string>[],
  hotplug: 'self' | 'script' = 'self',
): string[] {
  const machine = new Backend<string>(
    { hotplug, reconfigures: false },
    { own: 1, front: 1, online: true, hotplugStatus: '', ...found },
  );
  const line = (effects: readonly BackendEffect<string>[]): string => effects.map(short).join('; ');
  return [line(machine.begin()), ...events.map((event) => line(machine.step(event)))];
}

const prepared = { kind: 'prepared', features: { 'feature-sg': '1' } } as const;
const keys = { kind: 'keys', keys: 'k' } as const;
const connected = { kind: 'connected', properties: { sectors: '8' } } as const;
const front = (state: 0 | 1 | 2 | 3 | 4 | 5 | 6) => ({ kind: 'front', state }) as const;
const up = [prepared, front(1), front(3), keys, connected, front(3)] as const;
const upLines = [
  'prepare',
  'look',
  '1 -> 2 feature-sg=1 hotplug-status=connected',
  'read',
  'connect k',
  'look',
  '2 -> 4 sectors=8',
];

test('a device comes up, its frontend closes and comes back, the toolstack detaches it', () => {
  const lines = play({}, [
    ...up,
    front(4),
    front(5),
    front(6),
    { kind: 'disconnected' },
    front(6),
    front(1),
    { kind: 'online', online: false },
  ]);
  expect(lines).toEqual([
    ...upLines,
    '',
    '4 -> 5',
    'disconnect',
    'look',
    '5 -> 6',
    '6 -> 2 feature-sg=1 hotplug-status=connected',
    '2 -> 6; remove',
  ]);
});

test('a backend that was restarted attaches to a connected frontend and writes nothing', () => {
  const found = { own: 4, front: 4, hotplugStatus: 'connected' } as const;
  expect(play(found, [prepared, front(4), keys, connected, front(4)])).toEqual([
    'prepare',
    'look',
    'read',
    'connect k attach',
    'look',
    '',
  ]);
});

test('a hotplug script is waited for with the frontend ready, and its failure is told', () => {
  const lines = play(
    {},
    [
      prepared,
      front(4),
      { kind: 'hotplug', status: 'busy' },
      { kind: 'hotplug', status: 'error' },
      { kind: 'hotplug', status: 'connected' },
    ],
    'script',
  );
  expect(lines).toEqual([
    'prepare',
    'look',
    '1 -> 2 feature-sg=1',
    '',
    'error: the hotplug script failed, see hotplug-error',
    'read',
  ]);
});

test('keys that are wrong, and a ring that is: the error node, Closing, and no rings; the frontend may come again', () => {
  const wrong = [
    prepared,
    front(3),
    { kind: 'failed', error: 'ring-ref: missing' },
    front(3),
    front(6),
    front(1),
  ] as const;
  expect(play({}, wrong).slice(2)).toEqual([
    '1 -> 2 feature-sg=1 hotplug-status=connected; read',
    'error: ring-ref: missing; 2 -> 5',
    '',
    '5 -> 6',
    '6 -> 2 feature-sg=1 hotplug-status=connected',
  ]);
  const broken = [
    ...up,
    { kind: 'broken', error: 'req_prod' },
    { kind: 'disconnected' },
    front(4),
    front(6),
  ] as const;
  expect(play({}, broken).slice(upLines.length)).toEqual([
    'error: req_prod; 4 -> 5; disconnect',
    'look',
    '',
    '5 -> 6',
  ]);
});

test('a guest that dies, and a device that is removed, while requests are in flight', () => {
  expect(play({}, [...up, { kind: 'dead' }, { kind: 'disconnected' }]).slice(upLines.length)).toEqual([
    'disconnect',
    'look; 4 -> 6; remove',
  ]);
  const own = { kind: 'own', state: 0 } as const;
  expect(play({}, [...up, own, { kind: 'disconnected' }]).slice(upLines.length)).toEqual([
    'disconnect',
    'look; remove',
  ]);
});

test('a frontend that begins again without a word gets InitWait in one write, once its rings are let go', () => {
  const again = [...up, front(1), { kind: 'disconnected' }, front(1)] as const;
  expect(play({}, again).slice(upLines.length)).toEqual([
    'disconnect',
    'look',
    '4 -> 2 feature-sg=1 hotplug-status=connected',
  ]);
});

test('a frontend that closed and began again between two looks is connected with its new rings', () => {
  const again = [...up, front(4), front(3), { kind: 'disconnected' }, front(3), keys, connected, front(4)];
  expect(play({}, again as readonly BackendEvent<string>[]).slice(upLines.length)).toEqual([
    '',
    'disconnect',
    'look',
    '4 -> 2 feature-sg=1 hotplug-status=connected; read',
    'connect k',
    'look',
    '2 -> 4 sectors=8',
  ]);
});

test('a saved machine goes on where it was', () => {
  const options = { hotplug: 'self', reconfigures: false } as const;
  const found = { own: 1, front: 1, online: true, hotplugStatus: '' } as const;
  const machine = new Backend<string>(options, found);
  machine.begin();
  for (const event of up) machine.step(event);
  const copy = new Backend<string>(options, JSON.parse(JSON.stringify(machine.state)));
  expect(copy.step(front(6)).map(short)).toEqual(['disconnect']);
});

test('every pair of states comes to rest, and at the same place however often it is looked at', () => {
  for (const own of states.slice(1))
    for (const other of states)
      for (const online of [true, false]) {
        const rest = restOf(own, other, online);
        const again = states[Number(rest[0])]!;
        if (!rest.endsWith('gone'))
          expect(restOf(again, other, online)[0], `${stateName(own)}/${stateName(other)}`).toBe(rest[0]);
      }
});

test('the tables of the README are those that the machines run on', () => {
  const text = readFileSync(README, 'utf8');
  const fresh = text.replace(
    /(<!-- table: ([a-z ]+) -->)[\s\S]*?(<!-- end -->)/g,
    (_, mark: string, name: string, end: string) => `${mark}\n\n${printed[name]}\n\n${end}`,
  );
  // To print them again: UPDATE_README=1
  if (process.env.UPDATE_README === '1') writeFileSync(README, fresh);
  else expect(text).toBe(fresh);
  const named = [...text.matchAll(/<!-- table: ([a-z ]+) -->/g)].map(([, name]) => name);
  expect(named).toEqual(Object.keys(printed));
});
