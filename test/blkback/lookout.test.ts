// Between two sleeps: disks have their turns as long as they have something to do, are looked at for a while longer where that was worth it, and nothing
// is slept through.
import { beforeEach, expect, test } from 'vitest';
import { Lookout, type Watched, worthLookingMs } from '../../blkback/io/lookout.ts';

const LONGEST = 1;

let time = 0;
let flushed = 0;
beforeEach(() => {
  time = 0;
  flushed = 0;
});

/** A disk with so many things to do; each look at it takes a tenth of a millisecond. */
class Disk implements Watched {
  left = 0;
  turns = 0;
  looks = 0;
  rests = 0;
  /** Called before each look. */
  meanwhile: (look: number) => void = () => {};
  /** Called when it is about to rest. */
  atRest: () => void = () => {};

  stirs(): boolean {
    time += 0.1;
    this.meanwhile(++this.looks);
    return this.left > 0;
  }

  turn(): void {
    this.turns++;
    if (this.left > 0) this.left--;
  }

  rest(): boolean {
    this.atRest();
    if (this.left === 0) this.rests++;
    return this.left === 0;
  }
}

function lookout(...disks: readonly Disk[]): Lookout {
  const made = new Lookout({ now: () => time, longestMs: LONGEST, flush: () => flushed++ });
  for (const disk of disks) made.add(disk);
  return made;
}

test('works until there is nothing to do, then rests', () => {
  const disk = new Disk();
  const out = lookout(disk);
  time = 100;
  disk.left = 3;
  out.wake(disk);
  expect(disk).toMatchObject({ left: 0, turns: 3, rests: 1 });
});

test('turns go round: one busy disk does not keep another waiting', () => {
  const order: string[] = [];
  const [a, b] = [new Disk(), new Disk()];
  a.left = b.left = 3;
  a.meanwhile = () => order.push('a');
  b.meanwhile = () => order.push('b');
  const out = lookout(a, b);
  out.wake(a);
  expect(order.slice(0, 4)).toEqual(['a', 'b', 'a', 'b']);
  expect([a.left, b.left]).toEqual([0, 0]);
});

test('woken late it sleeps at once; woken soon it looks for a while, and finds what comes', () => {
  const disk = new Disk();
  const out = lookout(disk);
  time = 100;
  out.wake(disk);
  const late = disk.looks;
  expect(late).toBe(1);
  time += LONGEST / 2;
  disk.looks = 0;
  disk.meanwhile = (look) => {
    if (look === 5) disk.left = 1;
  };
  out.wake(disk);
  expect(disk.looks, 'until it came, and as long again').toBeGreaterThanOrEqual(14);
  expect(disk).toMatchObject({ left: 0, turns: 3, rests: 2 });
});

test('looking that is in vain again and again is given up', () => {
  const disk = new Disk();
  const out = lookout(disk);
  time = 100;
  out.wake(disk);
  time += LONGEST / 2;
  out.wake(disk);
  for (let i = 0; i < 6; i++) {
    time += 100;
    disk.looks = 0;
    out.wake(disk);
  }
  expect(disk.looks).toBe(1);
});

test('turns that disks take by themselves are no reason to look', () => {
  const disks = Array.from({ length: 10 }, () => new Disk());
  const out = lookout(...disks);
  time = 100;
  out.wake(disks[0]!);
  time += LONGEST / 2;
  out.wake(disks[0]!);
  time += 1000;
  for (const disk of disks) disk.looks = 0;
  for (const disk of disks) out.serve(disk);
  expect(disks.map(({ turns, looks }) => [turns, looks]).slice(1)).toEqual(Array(9).fill([1, 10]));
});

test('who looks for longer than a stretch comes to rest all the same', async () => {
  const disk = new Disk();
  const out = new Lookout({ now: () => time, longestMs: 20, flush: () => {} });
  out.add(disk);
  out.wake(disk);
  while (disk.rests === 0 && time < 100) await new Promise((resolve) => setImmediate(resolve));
  expect(time).toBeCloseTo(20, 0);
});

test('what comes when nobody looks any more, but before anybody is told, is not slept through', () => {
  const disk = new Disk();
  const out = lookout(disk);
  let once = true;
  disk.atRest = () => {
    if (once) disk.left = 1;
    once = false;
  };
  out.wake(disk);
  expect(disk).toMatchObject({ left: 0, turns: 2, rests: 1 });
});

test('a disk that never ends leaves the loop its turns, and guests are told meanwhile', async () => {
  const disk = new Disk();
  const out = lookout(disk);
  disk.left = Number.POSITIVE_INFINITY;
  let immediate = false;
  setImmediate(() => {
    immediate = true;
  });
  out.wake(disk);
  const turns = disk.turns;
  expect(flushed).toBeGreaterThanOrEqual(turns - 1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(immediate).toBe(true);
  expect(disk.turns, 'goes on by itself').toBeGreaterThan(turns);
  disk.left = 0;
  await new Promise((resolve) => setImmediate(resolve));
  expect(disk.rests).toBe(1);
});

test('what looking is worth is a matter of the machine, within limits', async () => {
  expect(await worthLookingMs(() => 0)).toBe(0.05);
  let now = 0;
  expect(await worthLookingMs(() => now++)).toBe(3);
});

test('a thousand disks that want a turn at the same time are looked at once', async () => {
  const disks = Array.from({ length: 1000 }, () => new Disk());
  const out = lookout(...disks);
  for (const disk of disks) {
    out.soon(disk);
    out.soon(disk);
  }
  expect(disks[0]!.turns).toBe(0);
  await Promise.resolve();
  for (const { turns, looks, rests } of disks)
    expect({ turns, looks, rests }).toEqual({ turns: 1, looks: 1, rests: 1 });
});
