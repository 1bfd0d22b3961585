// The handshake in every interleaving: our backend with our frontend, with models of Linux's and Windows', and with a guest that
// writes what it likes, while processes are killed between any two effects, jobs fail, and the toolstack detaches, destroys and
// attaches. What is shown each time: somebody always comes to rest, in a pair of states that one may rest in; what is mapped is
// unmapped once, and before the frontend takes it back; states change only as the table says (both asserted in xenbus-world.ts).
import { expect, test } from 'vitest';
import type { XenbusState } from '../../xenstored/xenbus/state.ts';
import { explore, type Visit } from './xenbus-explore.ts';
import { anything, blkfront, type Driver, netfront, type Ours, ours, windows } from './xenbus-fronts.ts';
import type { Budget, FrontMake, World } from './xenbus-state.ts';
import { Play, pair } from './xenbus-world.ts';

const plain = { hotplug: 'self', reconfigures: false } as const;

function walk<S>(
  make: FrontMake<S>,
  left: Partial<Budget>,
  rest: (world: World<S>) => void,
  [own, front]: readonly [XenbusState, XenbusState] = [1, 1],
  options: ConstructorParameters<typeof Play>[0] = plain,
): Visit {
  const play = new Play(options, make);
  return explore(
    play.first(own, front, left),
    (world) => play.moves(world),
    (world) => {
      try {
        always(world);
        rest(world);
      } catch (error) {
        throw new Error(`${pair(world)}: ${(error as Error).message}`, { cause: error });
      }
    },
  );
}

/** What holds wherever the world may rest. */
function always(world: World<unknown>): void {
  const { back, own, front, online, mapped } = world;
  if (own === 0) expect({ back, mapped }, 'removed').toEqual({ back: undefined, mapped: 0 });
  if (own === 6) expect(mapped, 'rings of a closed device').toBe(0);
  if (world.backGone && own !== 0) expect([own, online], 'forgotten').toEqual([6, false]);
  if (front === 0 || front === 1 || front === 6) expect(mapped, `rings with a frontend at ${front}`).toBe(0);
  if (world.toolstack === 'detaching')
    expect([4, 5, 7, 8, 3], 'a frontend that does not let go').toContain(front);
  if (back === undefined) return;
  expect([back.job, back.rings === 'broken'], 'at work').toEqual(['none', false]);
  if (!online || back.insists) return;
  if (front === 1 || front === 2) expect(own, 'what a new frontend finds').toBe(2);
  if (front === 3 || front === 4) expect([own, mapped > 0], 'what a ready frontend finds').toEqual([4, true]);
}

/** Two ends that want each other, and nothing failed. */
function together(world: World<unknown>): void {
  if (world.toolstack === 'removed' || world.errors) return;
  expect([world.own, world.front]).toEqual([4, 4]);
  expect([world.mapped, world.granted]).toEqual([world.keys, world.keys]);
}

function oursAtRest(world: World<Ours>): void {
  const { guest, own, front, mapped, granted } = world;
  expect(world.toolstack === 'detaching', 'detached').toBe(false);
  if (world.toolstack === 'removed')
    expect([guest, granted], 'no guest of a removed device').toEqual([undefined, 0]);
  else if (world.errors || guest?.failed || guest?.machine.wanted === false)
    expect(
      [
        [4, 4],
        [6, 6],
      ],
      'together or apart',
    ).toContainEqual([own, front]);
  else together(world);
  expect(guest?.machine.active ?? false, 'requests flow').toBe(own === 4 && front === 4);
  expect(mapped, 'mapped is what is granted').toBe(granted);
}

test('ours with ours: both killed at every step, closed and opened', () => {
  walk(ours(3, { closes: 1 }), { killBack: 2 }, oursAtRest);
  walk(ours(4), { killBack: 1, killFront: 2 }, oursAtRest);
});

test('ours with ours: every job fails once, a ring breaks, the backend is killed', () => {
  walk(ours(3, { fails: 1 }), { killBack: 1, fail: 1, break: 1 }, oursAtRest);
  walk(ours(4, { closes: 1 }), { killBack: 1, fail: 1 }, oursAtRest);
});

test('ours with ours: detached, removed by force, destroyed, attached again', () => {
  for (const budget of [{ detach: 1 }, { force: 1 }, { death: 1 }] as const)
    walk(ours(3), { ...budget, killBack: 1, attach: 1 }, oursAtRest);
  walk(ours(4), { detach: 1, death: 1 }, oursAtRest);
  walk(ours(4, { closes: 1 }), { force: 1, attach: 1 }, oursAtRest);
  walk(ours(3), { closeForIt: 1 }, oursAtRest);
});

test('a backend that waits for a hotplug script', () => {
  const options = { hotplug: 'script', reconfigures: false } as const;
  walk(ours(4), { killBack: 1, detach: 1 }, oursAtRest, [1, 1], options);
});

/** Other drivers have no orders from us: they come together, or the device is closed, or they have left it alone. */
function driverAtRest(world: World<Driver>): void {
  const { guest, own, front } = world;
  const stuck = guest?.doing === 'ignored' && front === 5; // for the toolstack to remove by force
  expect(world.toolstack === 'detaching' && !stuck, 'detached').toBe(false);
  if (guest === undefined) expect(front, 'a device without a guest').toBe(0);
  else if (guest.doing === 'unloaded') expect([own, front]).toEqual([6, 6]);
  else if (guest.doing !== 'ignored') together(world);
}

test("Linux's netfront: unloaded, its guest rebooted by kexec, destroyed; the backend killed at every step", () => {
  walk(netfront(1), { killBack: 1, killFront: 1, detach: 1, attach: 1 }, driverAtRest);
});

test("Linux's blkfront: the same, and a mounted disk that is detached stays served until it is unmounted", () => {
  walk(blkfront({ unloads: 1 }), { killBack: 1, detach: 1, death: 1, attach: 1 }, driverAtRest);
  walk(blkfront({ busy: true }), { killBack: 2, detach: 1 }, (world) => {
    if (world.front !== 5) return driverAtRest(world);
    expect([world.own, world.mapped > 0, world.mapped]).toEqual([5, true, world.granted]);
  });
});

test('the Windows drivers: closed before they are connected, whatever state they find', () => {
  for (const front of [1, 4] as const)
    walk(windows, { killBack: 1, killFront: 1, detach: 1 }, driverAtRest, [1, front]);
});

test('a guest that writes what it likes: the backend rests, and holds no rings of a frontend that is not there', () => {
  const all: readonly XenbusState[] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  for (const own of all.slice(1))
    for (const front of all) walk(anything(1, all), { killBack: 1 }, () => {}, [own, front]);
  for (const own of [4, 8] as const) walk(anything(3, [1, 3]), {}, () => {}, [own, 4]);
  for (const reconfigures of [true, false])
    walk(anything(2, all), { detach: 1, death: 1 }, () => {}, [1, 1], {
      hotplug: 'self',
      reconfigures,
    });
  walk(anything(2, [1, 4, 5, 6, 7]), { fail: 1, break: 1, killBack: 1 }, () => {});
});
