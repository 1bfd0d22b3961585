// Our frontend with other backends: models of Linux's blkback and netback by what they do in the store (drivers/block/xen-blkback and
// drivers/net/xen-netback, xenbus.c), and one that writes what it likes. Every interleaving of late, merged watches, of a guest that
// closes and opens, and of a kexec at any step.
import { expect, test } from 'vitest';
import { states, type XenbusState } from '../../xenstored/xenbus/state.ts';
import { explore, type Move } from './xenbus-explore.ts';
import { type Ours, ours } from './xenbus-fronts.ts';
import type { Deed } from './xenbus-world.ts';

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
