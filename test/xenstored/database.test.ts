// What is kept on disk comes back: random turns against a model, absorbed and reopened anywhere between.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Commit } from '../../xenstored/core/ports.ts';
import { Database } from '../../xenstored/io/database.ts';
import { Scene, type Step, StoreModel, seenOf } from './database-model.ts';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});
afterEach(() => scene.remove());

const name = fc.constantFrom('a', 'a-', 'a0', 'b', '~');
const path = fc
  .array(name, { minLength: 1, maxLength: 4 })
  .map((names) => `/${names.join('/')}`)
  .chain((p) => fc.constantFrom(p, p, p, '/', '@releaseDomain'));
const domid = fc.constantFrom(1, 2, 0x7fef);
const value = fc.string({ unit: 'binary-ascii', maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), path, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rm' as const), path }) },
  fc.record({ do: fc.constantFrom('introduce', 'introduce', 'release'), domid }),
  fc.record({
    do: fc.constant('watch' as const),
    domid,
    path,
    depth: fc.option(fc.nat(9), { nil: undefined }),
  }),
  fc.record({ do: fc.constant('unwatch' as const), nth: fc.nat(9) }),
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('request' as const), domid, bytes: fc.nat(5000), reply: value }),
  },
  fc.record({ do: fc.constantFrom('deliver', 'deliver', 'deliver', 'reset', 'drop'), domid }),
  fc.record({
    do: fc.constant('quota' as const),
    name: fc.constantFrom('nodes', 'watches'),
    value: fc.nat(),
  }),
);
const turns = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.array(step, { minLength: 1, maxLength: 6 }) },
    fc.constantFrom('absorb' as const, 'restart' as const, 'crash' as const),
  ),
  { maxLength: 40, size: 'max' },
);

test('after any turns, absorbed, closed or crashed anywhere, the store is the one of the model', async () => {
  await fc.assert(
    fc.asyncProperty(turns, async (plan) => {
      const model = new StoreModel();
      const directory = join(scene.root, `run-${readdirSync(scene.root).length}`);
      const more = { sentPosition: model.sentPosition };
      let database = await Database.open(scene.options(directory, more));
      const abandoned: Database[] = [];
      let home = directory;
      for (const turn of plan) {
        if (turn === 'absorb') await database.absorb();
        else if (turn === 'restart') {
          await database.close();
          database = await Database.open(scene.options(home, more));
        } else if (turn === 'crash') {
          abandoned.push(database);
          home = scene.copy(home);
          database = await Database.open(scene.options(home, more));
        } else database.append(model.turn(turn));
      }
      await database.close();
      const saved = await scene.reload(home);
      const nothing = seenOf(
        { generation: 0, settings: {}, nodes: [], domains: [], watches: [], rings: [] },
        () => 0,
      );
      expect(saved ? seenOf(saved, model.sentPosition) : nothing).toEqual(model.expected());
      for (const one of abandoned) await one.close();
    }),
    { numRuns: 60 },
  );
  expect(scene.log).toEqual([]);
});

test('children come back in the order in which they were made, parents before them', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options());
  database.append(model.turn([{ do: 'write', path: '/z/y', value: '' }]));
  await database.absorb();
  database.append(model.turn([{ do: 'write', path: '/z/b', value: '' }]));
  database.append(model.turn([{ do: 'write', path: '/z/a', value: '' }]));
  database.append(model.turn([{ do: 'write', path: '/z/y', value: 'again' }]));
  await database.close();
  const saved = await scene.reload();
  expect([...saved!.nodes].map((node) => node.path)).toEqual(['/', '/z', '/z/y', '/z/b', '/z/a']);
});

test('removing a node takes what an earlier journal had below it, and no neighbour', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options());
  const paths = ['/a/b/c', '/a-/b', '/a0', '/a/b-'];
  database.append(model.turn(paths.map((path) => ({ do: 'write', path, value: path }))));
  await database.absorb();
  database.append(model.turn([{ do: 'rm', path: '/a' }]));
  database.append(model.turn([{ do: 'write', path: '/a/new', value: '' }]));
  await database.absorb();
  await database.close();
  expect(readdirSync(join(scene.root, 'db')).filter((file) => file.startsWith('journal'))).toEqual([
    'journal.3',
  ]);
  const saved = await scene.reload();
  expect([...saved!.nodes].map((node) => node.path)).toEqual(['/', '/a-', '/a-/b', '/a0', '/a', '/a/new']);
});

test('a journal that has grown is absorbed without being asked for, turns going on meanwhile', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options(undefined, { journalLimitBytes: 2000 }));
  const journals = (): number[] =>
    readdirSync(join(scene.root, 'db')).flatMap(
      (file) => Number(/^journal\.(\d+)$/.exec(file)?.[1] ?? 0) || [],
    );
  for (let i = 0; !journals().some((number) => number > 3); i++) {
    database.append(model.turn([{ do: 'write', path: `/n/${i % 100}`, value: `${i}` }]));
    await new Promise(setImmediate);
  }
  await database.close();
  expect(journals().length).toBeLessThan(3);
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
});

test('journals that short lives left behind are absorbed by the next that finds many', async () => {
  const model = new StoreModel();
  for (let life = 0; life < 4; life++) {
    const database = await Database.open(scene.options());
    database.append(model.turn([{ do: 'write', path: `/life/${life}`, value: 'x'.repeat(1000) }]));
    await database.close();
  }
  const database = await Database.open(scene.options(undefined, { journalLimitBytes: 4000 }));
  while (readdirSync(join(scene.root, 'db')).includes('journal.4')) await new Promise(setImmediate);
  await database.close();
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
});

test('an idle daemon absorbs too', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options(undefined, { idleMs: 1 }));
  database.append(model.turn([{ do: 'write', path: '/big', value: 'x'.repeat(300_000) }]));
  while (readdirSync(join(scene.root, 'db')).includes('journal.1')) await new Promise(setImmediate);
  await database.close();
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
});

test('sync keeps the same, and so does a turn larger than any buffer', async () => {
  const model = new StoreModel();
  const options = scene.options(undefined, { durability: 'sync' });
  const database = await Database.open(options);
  const many: Step[] = [];
  for (let i = 0; i < 3000; i++) many.push({ do: 'write', path: `/x/${i}`, value: 'v'.repeat(i) });
  database.append(model.turn(many));
  database.append(model.turn([{ do: 'write', path: '/after', value: '' }]));
  await database.absorb();
  database.append(model.turn([{ do: 'rm', path: '/x/7' }]));
  await database.close();
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
});

test('output that a ring has been given is not kept when the journal is absorbed', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options(undefined, { sentPosition: model.sentPosition }));
  database.append(model.turn([{ do: 'introduce', domid: 1 }]));
  database.append(model.turn([{ do: 'request', domid: 1, bytes: 40, reply: 'given,' }]));
  database.append(model.turn([{ do: 'deliver', domid: 1 }]));
  database.append(model.turn([{ do: 'request', domid: 1, bytes: 40, reply: 'waiting' }]));
  await database.absorb();
  await database.close();
  const [ring] = [...(await scene.reload())!.rings];
  expect(ring).toMatchObject({ consumed: 80, appendedAt: 6, appended: Buffer.from('waiting') });
});

test('a ring that starts over takes nothing from the ring before it', async () => {
  const ring = (appendedAt: number, text: string, consumed: number): Commit => ({
    ...new StoreModel().turn([]),
    rings: [
      { domid: 1, consumed, partial: Buffer.alloc(0), appendedAt, appended: Buffer.from(text), reset: false },
    ],
  });
  const database = await Database.open(scene.options());
  database.append(ring(900, 'of the domain before', 900));
  await database.absorb();
  database.append(ring(0, 'hello', 16));
  await database.absorb();
  database.append(ring(2, 'y', 32));
  await database.close();
  const [kept] = [...(await scene.reload())!.rings];
  expect(kept).toMatchObject({ consumed: 32, appendedAt: 0, appended: Buffer.from('hey') });
});

test('a store of another boot is set aside with one line, each under its own name', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options());
  database.append(model.turn([{ do: 'write', path: '/old', value: '' }]));
  await database.close();
  for (const boot of ['boot/2', 'boot-1', 'boot-3']) {
    const next = await Database.open(scene.options(undefined, { boot }));
    expect(next.takeSaved()).toBeUndefined();
    await next.close();
  }
  const db = join(scene.root, 'db');
  expect(scene.log).toEqual([
    `the store in ${db} is of another boot of the host: set aside as ${db}.boot-1`,
    `the store in ${db} is of another boot of the host: set aside as ${db}.boot_2`,
    `the store in ${db} is of another boot of the host: set aside as ${db}.boot-1.2`,
  ]);
  expect(await scene.reload(`${db}.boot-1`)).toBeDefined();
});

test('a directory that holds other things, or is no directory, is refused in one line', async () => {
  const strange = join(scene.root, 'strange');
  mkdirSync(strange);
  writeFileSync(join(strange, 'thesis.tex'), '');
  await expect(Database.open(scene.options(strange))).rejects.toThrow(
    `${strange} holds other things (thesis.tex): name another directory for the store`,
  );
  await expect(Database.open(scene.options(join(strange, 'thesis.tex')))).rejects.toThrow(
    /^cannot use .*thesis.tex for the store: /,
  );
});

test('a directory of another version is refused, and left as it is', async () => {
  await (await Database.open(scene.options())).close();
  const boot = join(scene.root, 'db', 'boot');
  const later = readFileSync(boot, 'utf8').replace(/format \d+/, 'format 99');
  writeFileSync(boot, later);
  await expect(Database.open(scene.options())).rejects.toThrow('is of another version of xenstored');
  expect(readFileSync(boot, 'utf8')).toBe(later);
});

test('where LevelDB cannot be opened the line says what to do', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options());
  database.append(model.turn([{ do: 'write', path: '/a', value: '' }]));
  await database.absorb();
  await database.close();
  writeFileSync(join(scene.root, 'db', 'level', 'CURRENT'), 'nonsense\n');
  await expect(scene.reload()).rejects.toThrow(
    /level: .*; the store cannot be read back: move .* away to start/,
  );
});

test('absorbing that fails loses nothing and is tried again', async () => {
  const model = new StoreModel();
  const level = join(scene.root, 'db', 'level');
  const database = await Database.open(scene.options());
  database.append(model.turn([{ do: 'write', path: '/a', value: '' }]));
  writeFileSync(level, 'in the way');
  await database.absorb();
  expect(scene.log).toEqual([expect.stringMatching(/^the journal is not absorbed: .*tried again$/)]);
  database.append(model.turn([{ do: 'write', path: '/b', value: '' }]));
  expect(seenOf((await scene.reload(scene.copy()))!, () => 0)).toEqual(model.expected());
  rmSync(level);
  await database.absorb();
  await database.close();
  expect(scene.log).toHaveLength(1);
  expect(seenOf((await scene.reload())!, () => 0)).toEqual(model.expected());
});
