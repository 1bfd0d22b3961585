// Killed at any moment, in the middle of anything, the store is what was acknowledged: at every step of absorbing, by real SIGKILLs, and on
// a disk that has no more room.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SavedState } from '../../xenstored/core/ports.ts';
import { Database } from '../../xenstored/io/database.ts';
import { Scene, type Step, StoreModel, seenOf } from './database-model.ts';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});
afterEach(() => scene.remove());

test('dying at any step of absorbing loses nothing and does nothing twice', async () => {
  const model = new StoreModel();
  const database = await Database.open(scene.options(undefined, { sentPosition: model.sentPosition }));
  let n = 0;
  const turn = (): void => {
    n += 1;
    const steps: Step[] = [
      { do: 'write', path: `/a/${n % 5}/x`, value: `${n}` },
      { do: 'rm', path: `/a/${(n + 2) % 5}` },
      { do: 'request', domid: 1, bytes: 20, reply: `reply ${n};` },
    ];
    if (n % 4 === 0) steps.push({ do: 'deliver', domid: 1 });
    if (n % 11 === 0) steps.push({ do: 'reset', domid: 1 });
    if (n % 13 === 0) steps.push({ do: 'drop', domid: 1 });
    database.append(model.turn(steps));
  };
  database.append(model.turn([{ do: 'introduce', domid: 1 }]));
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 7; i++) turn();
    const steps: string[] = [];
    for await (const step of database.absorption()) {
      steps.push(step);
      turn();
      const copy = scene.copy();
      expect(seenOf((await scene.reload(copy))!, model.sentPosition), `${step} in round ${round}`).toEqual(
        model.expected(),
      );
      // And again, absorbed by the daemon that found it so.
      const next = await Database.open(scene.options(copy, { sentPosition: model.sentPosition }));
      await next.absorb();
      await next.close();
      expect(seenOf((await scene.reload(copy))!, model.sentPosition), `${step}, absorbed`).toEqual(
        model.expected(),
      );
    }
    expect(steps).toEqual(['begun', 'read', 'written', 'deleted']);
  }
  await database.close();
});

test('dying between two deletions of absorbed journals, whichever are left', async () => {
  const model = new StoreModel();
  const first = await Database.open(scene.options());
  first.append(model.turn([{ do: 'write', path: '/gone', value: '' }]));
  await first.close();
  const second = await Database.open(scene.options());
  second.append(model.turn([{ do: 'rm', path: '/gone' }]));
  for await (const step of second.absorption()) {
    if (step !== 'written') continue;
    for (const left of ['journal.1', 'journal.2']) {
      const copy = scene.copy();
      for (const other of ['journal.1', 'journal.2']) {
        if (other !== left) rmSync(join(copy, other));
      }
      expect(seenOf((await scene.reload(copy))!, () => 0)).toEqual(model.expected());
      expect(readdirSync(copy)).not.toContain(left);
    }
  }
  await second.close();
});

const child = fileURLToPath(new URL('../../dist/test/xenstored/database-writer-main.js', import.meta.url));

interface Writer {
  /** The last turn it said was safe. */
  readonly acknowledged: () => number;
  readonly until: (turn: number) => Promise<void>;
  readonly ended: Promise<{ code: number | null; stderr: string }>;
  readonly kill: () => void;
}

/** A process that commits turn after turn and says which are safe. */
function startWriter(directory: string, fileLimitKiB?: number): Writer {
  const limit = fileLimitKiB === undefined ? '' : `ulimit -f ${fileLimitKiB * (1024 / 512)}; `;
  const writer = spawn(
    'sh',
    [
      '-c',
      `${limit}exec "$0" "$@"`,
      process.execPath,
      child,
      directory,
      ...(limit ? ['--never-absorb'] : []),
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let turn = 0;
  let stderr = '';
  let wake = (): void => {};
  writer.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const lines = createInterface(writer.stdout);
  lines.on('line', (line) => {
    turn = Number(line);
    wake();
  });
  const closed = once(lines, 'close');
  const ended = Promise.all([once(writer, 'close'), closed]).then(([[code]]) => ({
    code: code as number | null,
    stderr,
  }));
  return {
    acknowledged: () => turn,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        wake = () => {
          if (turn >= wanted) resolve();
        };
        wake();
        void ended.then(() => reject(new Error(`the writer ended early: ${stderr}`)));
      }),
    ended,
    kill: () => writer.kill('SIGKILL'),
  };
}

/** Checks that all of a turn is there, and answers which it is. */
function turnOf(saved: SavedState): number {
  const nodes = new Map([...saved.nodes].map((node) => [node.path, node.value]));
  const turn = Number(nodes.get('/turn'));
  expect(saved.generation).toBe(turn);
  expect(nodes.get(`/mark/${turn % 50}`)).toBe(`${turn}`);
  expect(nodes.get(`/mark/${(turn + 1) % 50}`)).not.toBe(`${turn}`);
  expect([...saved.rings]).toMatchObject([{ domid: 3, consumed: turn * 16 }]);
  const [ring] = [...saved.rings];
  expect(ring!.appendedAt + ring!.appended.length).toBe(turn * 8);
  return turn;
}

test.runIf(existsSync(child))(
  'a process killed with SIGKILL at any time has kept every turn it acknowledged',
  async () => {
    const directory = join(scene.root, 'db');
    let last = 0;
    for (let life = 0; life < 5; life++) {
      const writer = startWriter(directory);
      await writer.until(last + 150 + 117 * life);
      // Later lives die while LevelDB is at work.
      while (life > 1 && !existsSync(join(directory, 'level'))) await writer.until(writer.acknowledged() + 1);
      await expect(Database.open(scene.options(directory))).rejects.toThrow(
        `${directory} is in use by another xenstored: name another directory, or stop that one`,
      );
      writer.kill();
      await writer.ended;
      const database = await Database.open(scene.options(directory));
      last = turnOf(database.takeSaved()!);
      await database.close();
      expect(last).toBeGreaterThanOrEqual(writer.acknowledged());
      expect(last).toBeLessThanOrEqual(writer.acknowledged() + 1);
    }
    expect(readdirSync(directory)).toContain('level');
  },
);

test.runIf(existsSync(child))(
  'with no room for the journal it stops with one line, and has kept what it acknowledged',
  async () => {
    const writer = startWriter(join(scene.root, 'db'), 64);
    const { code, stderr } = await writer.ended;
    const [line, second] = stderr.split('\n');
    expect(line).toMatch(
      /^cannot write .*journal\.\d+: EFBIG: .*; nothing can be acknowledged, so xenstored stops: /,
    );
    expect(line).toMatch(/: make room and start it again, the store is as it was last acknowledged$/);
    expect(second).toMatch(/^the journal is not absorbed: cannot write /);
    expect(code).toBe(1);
    expect(writer.acknowledged()).toBeGreaterThan(100);
    expect(turnOf((await scene.reload())!)).toBe(writer.acknowledged());
  },
);
