// Our frontend with other backends: models of Linux's blkback and netback by what they do in the store (drivers/block/xen-blkback and
// drivers/net/xen-netback, xenbus.c), and one that writes what it likes. Every interleaving of late, merged watches, of a guest that
// closes and opens, and of a kexec at any step.
import { expect, test } from 'vitest';
import { Frontend, type FrontendEffect, type FrontendEvent } from '../../xenstored/xenbus/frontend.ts';
import { states, type XenbusState } from '../../xenstored/xenbus/state.ts';
import { explore, type Move } from './xenbus-explore.ts';
import { type Ours, ours } from './xenbus-fronts.ts';
import type { Deed } from './xenbus-state.ts';

/** Starts a frontend on what it finds, and plays events to it; each answer is one line. */
function play(
  published: 3 | 4,
  own: XenbusState,
  back: XenbusState,
  events: readonly FrontendEvent[],
): string[] {
  const machine = new Frontend({ published }, { own, back });
  const line = (effects: readonly FrontendEffect[]): string =>
    effects
      .map((effect) => {
        if (effect.kind !== 'write')
          return effect.kind === 'error' ? `error: ${effect.message}` : effect.kind;
        return [`${effect.from} -> ${effect.state}`, ...Object.keys(effect.keys)].join(' ');
      })
      .join('; ');
  return [line(machine.begin()), ...events.map((event) => line(machine.step(event)))];
}

const saw = (state: XenbusState) => ({ kind: 'back', state }) as const;
const up = [
  saw(2),
  { kind: 'shared', keys: { 'ring-ref': '8' } },
  saw(2),
  saw(4),
  { kind: 'activated' },
  saw(4),
] as const;

test('a disk comes up, is resized, is detached', () => {
  const lines = play(3, 1, 1, [...up, saw(4), saw(5), { kind: 'quiesced' }, saw(5), saw(5), saw(6)]);
  expect(lines).toEqual([
    '',
    'share',
    'look',
    '1 -> 3 ring-ref',
    'activate',
    'look',
    '3 -> 4',
    'refresh',
    '4 -> 5; look; quiesce',
    'look',
    '5 -> 6; look',
    '',
    'release',
  ]);
});

test('a network interface says 4 when it has published; after kexec it is led back to 1 first', () => {
  const begin = play(4, 4, 4, [
    saw(4),
    saw(5),
    saw(6),
    saw(6),
    saw(2),
    { kind: 'shared', keys: { mac: '' } },
    saw(2),
  ]);
  expect(begin).toEqual([
    '4 -> 5; look',
    '',
    '5 -> 6; look',
    '6 -> 1; look',
    '',
    'share',
    'look',
    '1 -> 4 mac',
  ]);
});

test('a frontend that fails says so; one whose node others write puts it right; one whose device goes lets go', () => {
  const failed = play(3, 1, 2, [{ kind: 'failed', error: 'no grants' }]);
  expect(failed).toEqual(['share', 'error: no grants; 1 -> 6; look']);
  const broken = play(3, 1, 1, [...up, { kind: 'broken', error: 'rsp_prod' }, { kind: 'quiesced' }]);
  expect(broken.slice(-2)).toEqual(['error: rsp_prod; 4 -> 5; look; quiesce', 'look']);
  const written = play(3, 1, 1, [...up.slice(0, 3), { kind: 'own', state: 2 }, { kind: 'own', state: 0 }]);
  expect(written.slice(-2)).toEqual(['2 -> 3 ring-ref', 'release; remove']);
});

/** The states that a backend goes through when it sees its frontend in one. */
type React = (own: XenbusState, front: XenbusState) => readonly XenbusState[];

interface World {
  readonly front: XenbusState;
  readonly back: XenbusState;
  /** States that the backend goes on to write; the first one is written when the frontend's is read. */
  readonly todo: readonly XenbusState[];
  readonly guest: Ours | undefined;
  readonly dirty: { readonly front: boolean; readonly back: boolean; readonly own: boolean };
  readonly kexecs: number;
  readonly writes: number;
}

const blkback: React = (own, front) => {
  if (front === 1) return own === 6 || own === 1 ? [2] : [];
  if (front === 3 || front === 4) return own === 4 ? [] : [4];
  return front === 5 || front === 6 ? [front] : [];
};

/** Each step of netback on its way to a state. */
const next: Readonly<Record<number, Readonly<Record<number, XenbusState>>>> = {
  1: { 2: 2, 4: 2, 5: 2, 6: 6 },
  2: { 4: 4, 5: 5, 6: 5 },
  4: { 2: 5, 5: 5, 6: 5 },
  5: { 2: 6, 4: 6, 6: 6 },
  6: { 2: 2, 4: 2, 5: 5 },
};

const netback: React = (own, front) => {
  const target = { 1: 2, 4: 4, 5: 5, 6: 6 }[front as number];
  const way: XenbusState[] = [];
  for (let at = own; target !== undefined && at !== target; at = way.at(-1)!) way.push(next[at]![target]!);
  return way;
};

function moves(world: World, make: ReturnType<typeof ours>, react: React): readonly Move<World>[] {
  const { front, back, guest, dirty, todo } = world;
  const found: Move<World>[] = [];
  const deeds = (from: World, [self, done]: readonly [Ours, readonly Deed[]]): World => {
    const written = done.filter((deed) => deed.kind === 'write').at(-1);
    return {
      ...from,
      guest: self,
      front: written?.state ?? from.front,
      dirty: {
        ...from.dirty,
        front: from.dirty.front || written !== undefined,
        back: from.dirty.back || done.some(({ kind }) => kind === 'look'),
      },
    };
  };
  if (guest === undefined)
    found.push({ name: `front starts at ${front}`, next: () => deeds(world, make.boot(front, back)) });
  else {
    if (dirty.back)
      found.push({
        name: `front: back is ${back}`,
        next: () => deeds({ ...world, dirty: { ...dirty, back: false } }, make.back(guest, back)),
      });
    for (const [name, optional, self, done] of make.moves(guest))
      found.push({ name: `front: ${name}`, optional, next: () => deeds(world, [self, done]) });
    if (world.kexecs > 0)
      found.push({
        name: 'kexec',
        optional: true,
        next: () => ({ ...world, guest: undefined, kexecs: world.kexecs - 1 }),
      });
  }
  const write = (state: XenbusState): World => ({ ...world, back: state, dirty: { ...dirty, back: true } });
  if (todo.length > 0)
    found.push({ name: `back writes ${todo[0]}`, next: () => ({ ...write(todo[0]!), todo: todo.slice(1) }) });
  else if (dirty.front)
    found.push({
      name: `back: front is ${front}`,
      next: () => {
        const [now, ...later] = react(back, front);
        const seen = now === undefined ? world : write(now);
        return { ...seen, dirty: { ...seen.dirty, front: false }, todo: later };
      },
    });
  if (world.writes > 0)
    for (const state of states)
      found.push({
        name: `somebody writes ${state}`,
        optional: true,
        next: () => ({ ...write(state), writes: world.writes - 1 }),
      });
  return found;
}

const first: World = {
  front: 1,
  back: 1,
  todo: [2],
  guest: undefined,
  dirty: { front: true, back: false, own: false },
  kexecs: 0,
  writes: 0,
};

for (const [name, published, react] of [
  ['blkback', 3, blkback],
  ['netback', 4, netback],
] as const)
  test(`Linux's ${name}: connected, closed, opened, its guest rebooted by kexec at any step`, () => {
    const make = ours(published, { closes: 2 });
    explore(
      { ...first, kexecs: 2 },
      (world) => moves(world, make, react),
      ({ front, back, guest }) => {
        const rest = guest?.machine.wanted ? [4, 4, true] : [6, 6, false];
        expect([back, front, guest?.machine.active]).toEqual(rest);
      },
    );
  });

test('a backend that writes what it likes: the frontend rests, and what it shares it shares once', () => {
  const hostile = (
    front: XenbusState,
    back: XenbusState,
    writes: number,
    make: ReturnType<typeof ours>,
  ): void => {
    explore<World>(
      { ...first, front, back, todo: [], dirty: { ...first.dirty, front: false }, writes },
      (world) => moves(world, make, () => []),
      ({ guest }) => {
        expect(guest?.machine.job).toBe('none');
        if (guest?.machine.active) expect([3, 4]).toContain(guest.machine.own);
      },
    );
  };
  for (const back of states)
    for (const front of states.slice(1)) hostile(front, back, 1, ours(3, { closes: 1 }));
  hostile(1, 1, 3, ours(4, { fails: 1 }));
});
