// The journal's last entry may be cut anywhere: what was acknowledged before it comes back. Damage among acknowledged entries is told
// apart from that, and never guessed at.
import { copyFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Database } from '../../xenstored/io/database.ts';
import { JournalCursor } from '../../xenstored/io/journal.ts';
import { Scene, type Step, StoreModel, seenOf } from './database-model.ts';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});
afterEach(() => scene.remove());

const TURNS: readonly (readonly Step[])[] = [
  [{ do: 'write', path: '/local/domain/0/name', value: 'Domain-0' }],
  [
    { do: 'introduce', domid: 1 },
    { do: 'watch', domid: 1, path: 'device', depth: 2 },
  ],
  [{ do: 'request', domid: 1, bytes: 30, reply: 'OK' }],
  [{ do: 'rm', path: '/local/domain' }],
  [
    { do: 'write', path: '/local/domain/1', value: '\0\xff' },
    { do: 'quota', name: 'nodes', value: 9 },
  ],
];

/** A store of a few turns, with what it was and how long its journal was after each. */
async function written(): Promise<{ journal: string; sizes: number[]; states: unknown[] }> {
  const model = new StoreModel();
  const database = await Database.open(scene.options());
  const journal = join(scene.root, 'db', 'journal.1');
  const sizes = [readFileSync(journal).length];
  const states = [undefined as unknown];
  for (const turn of TURNS) {
    database.append(model.turn(turn));
    sizes.push(readFileSync(journal).length);
    states.push(model.expected());
  }
  await database.close();
  return { journal, sizes, states };
}

/** What a daemon that starts on these bytes finds. */
async function startOn(bytes: Buffer): Promise<unknown> {
  const directory = join(scene.root, 'db');
  rmSync(join(directory, 'journal.2'), { force: true });
  writeFileSync(join(directory, 'journal.1'), bytes);
  const saved = await scene.reload(directory);
  return saved && seenOf(saved, () => 0);
}

test('a journal cut at any byte gives the turns that are whole in it, and says so once', async () => {
  const { journal, sizes, states } = await written();
  const bytes = readFileSync(journal);
  for (let cut = 0; cut <= bytes.length; cut++) {
    scene.log.length = 0;
    const whole = sizes.filter((size) => size <= cut).length - 1;
    expect(await startOn(bytes.subarray(0, cut)), `cut at ${cut}`).toEqual(states[Math.max(0, whole)]);
    expect(scene.log.length, `cut at ${cut}`).toBe(sizes.includes(cut) ? 0 : 1);
  }
});

test('a tail that the disk filled with zeros or with other bytes is dropped as well', async () => {
  const { journal, sizes, states } = await written();
  const bytes = readFileSync(journal);
  const last = sizes.at(-2)!;
  for (const filler of [0, 0xff]) {
    const filled = Buffer.concat([bytes, Buffer.alloc(5000, filler)]);
    expect(await startOn(filled)).toEqual(states.at(-1));
    filled.fill(filler, last + 20);
    expect(await startOn(filled)).toEqual(states.at(-2));
  }
});

test('after a cut the daemon goes on, and a second death finds both lives', async () => {
  const { journal, sizes } = await written();
  truncateSync(journal, sizes[2]! + 3);
  const model = new StoreModel();
  for (const turn of TURNS.slice(0, 2)) model.turn(turn);
  const database = await Database.open(scene.options());
  database.append(model.turn(TURNS[4]!));
  const copy = scene.copy();
  expect(seenOf((await scene.reload(copy))!, () => 0)).toEqual(model.expected());
  await database.absorb();
  await database.close();
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
  expect(readdirSync(join(scene.root, 'db'))).not.toContain('journal.1');
});

test('any changed bit before the last entry is damage, not a torn tail', async () => {
  const { journal, sizes } = await written();
  const bytes = readFileSync(journal);
  for (let bit = 0; bit < sizes.at(-2)! * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const cursor = new JournalCursor(bytes);
    while (cursor.next());
    expect(cursor.state, `bit ${bit}`).toBe('damaged');
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

test('damage refuses to start, with a line that says what to do, and leaves everything as it is', async () => {
  const { journal, sizes } = await written();
  const bytes = readFileSync(journal);
  bytes[sizes[1]! + 30]! ^= 4;
  const directory = join(scene.root, 'db');
  await expect(startOn(bytes)).rejects.toThrow(
    `${directory}/journal.1: damaged at byte ${sizes[1]}; the store cannot be read back: move ${directory} away to start ` +
      'with an empty store (running guests must then be restarted), or put back a copy of it',
  );
  expect(readFileSync(journal)).toEqual(bytes);
});

test('a journal that others followed must be whole', async () => {
  const { journal, sizes } = await written();
  copyFileSync(journal, join(scene.root, 'db', 'journal.2'));
  truncateSync(journal, sizes[3]! + 1);
  await expect(scene.reload()).rejects.toThrow(`journal.1: cut short at byte ${sizes[3]}`);
});

test('a guest cannot make a torn tail look like damage by storing what looks like an entry', async () => {
  const { journal, sizes, states } = await written();
  const entry = readFileSync(journal).subarray(sizes[0], sizes[1]);
  const model = new StoreModel();
  for (const turn of TURNS) model.turn(turn);
  const database = await Database.open(scene.options());
  // Entries copied from another journal: right in everything but the salt, which no guest sees.
  database.append(model.turn([{ do: 'write', path: '/bait', value: entry.toString('latin1').repeat(20) }]));
  await database.close();
  const second = join(scene.root, 'db', 'journal.2');
  truncateSync(second, readFileSync(second).length - 1);
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(states.at(-1));
});

test('the cursor never reads past what it is given', () => {
  for (let length = 0; length < 200; length++) {
    const cursor = new JournalCursor(Buffer.alloc(length, 'stubdom0 journal'));
    expect(cursor.next()).toBe(false);
  }
});
