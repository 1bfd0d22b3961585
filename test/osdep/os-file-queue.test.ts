/** The queue's own rules and what opening says: the same whoever carries requests out. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { folder, image } from './os-file-kit.ts';

let dir: ReturnType<typeof folder>;
let disk: DiskFile;
let poller: Poller;
beforeAll(() => {
  dir = folder(tmpdir());
});
afterAll(() => dir.remove());
beforeEach(() => {
  poller = new Poller();
  disk = new DiskFile(image(join(dir.path, 'image'), Buffer.alloc(8192, 1)), { direct: 'no' });
});
afterEach(async () => {
  await disk.close();
  poller.close();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is no disk is not opened, and one line says why', () => {
  const missing = join(dir.path, 'missing');
  expect(() => new DiskFile(missing)).toThrow(`open ${missing}: ENOENT`);
  expect(() => new DiskFile(dir.path)).toThrow(`${dir.path} is neither a file nor a block device: EINVAL`);
  expect(() => new DiskFile('/dev/null')).toThrow('neither a file nor a block device');
});

test('neighbours in memory count as one piece; a request takes so many pieces', async () => {
  const results: number[] = [];
  const queue = new IoQueue({ poller, maxVectors: 2, onDone: (_, result) => results.push(result) });
  const memory = new IoMemory(Buffer.alloc(8192));
  const other = new IoMemory(Buffer.alloc(512));
  expect(() => queue.add(memory, 0, 512)).toThrow('no request');
  queue.read(disk, 0);
  expect(queue.add(memory, 0, 512)).toBe(true);
  expect(queue.add(memory, 512, 1024)).toBe(true);
  expect(queue.add(memory, 1536, 512)).toBe(true);
  expect(queue.add(other, 0, 512)).toBe(true);
  expect(queue.add(memory, 4096, 512)).toBe(false);
  for (const [offset, length] of [
    [-1, 1],
    [0, 0],
    [8191, 2],
    [Number.NaN, 1],
  ] as const) {
    expect(() => queue.add(memory, offset, length)).toThrow(RangeError);
  }
  await queue.close();
  expect(results).toEqual([2560]);
  expect([memory.bytes[2047], memory.bytes[2048], other.bytes[511]]).toEqual([1, 0, 1]);
});

test('a full queue says so, and has room again once told', async () => {
  const told: number[] = [];
  const queue: IoQueue = new IoQueue({
    poller,
    depth: 2,
    onDone: (tag) => told.push(queue.room, tag),
  });
  const [a, b] = [queue.flush(disk), queue.flush(disk)];
  expect(queue.flush(disk)).toBe(-1);
  expect(new Set([a, b])).toEqual(new Set([0, 1]));
  await queue.close();
  expect(told.filter((_, i) => i % 2 === 0)).toEqual([1, 2]);
});

test('a callback that throws does not lose the others', async () => {
  const readOnly = new DiskFile(disk.path, { readOnly: true });
  const told: number[] = [];
  const queue = new IoQueue({
    poller,
    onDone: (tag, result) => {
      expect(result).toBe(-Errno.EROFS);
      told.push(tag);
      if (told.length === 1) throw new Error('told');
    },
  });
  const tags = [1, 2, 3].map(() => queue.write(readOnly, 0));
  queue.submit();
  expect(told).toEqual([]);
  expect(() => queue.reap()).toThrow('told');
  while (told.length < 3) await turn();
  expect(new Set(told)).toEqual(new Set(tags));
  await queue.close();
  await readOnly.close();
});

test.each([
  ['io_uring', 'submit'],
  ['io_uring', 'advance'],
  ['threads', 'submit'],
  ['threads', 'advance'],
] as const)('requests begun in a callback are carried out: %s, %s', async (engine, handOver) => {
  let left = 5;
  const memory = new IoMemory(Buffer.alloc(512));
  const done = new Promise<void>((resolve) => {
    const queue: IoQueue = new IoQueue({
      poller,
      depth: 1,
      engines: [engine, 'threads'],
      onDone: (_, result) => {
        expect(result).toBe(512);
        if (--left === 0) {
          resolve(queue.close());
          return;
        }
        expect(queue.read(disk, left * 512)).toBe(0);
        queue.add(memory, 0, 512);
        queue[handOver]();
      },
    });
    queue.read(disk, 0);
    queue.add(memory, 0, 512);
    queue.submit();
  });
  await done;
  expect(left).toBe(0);
});

test.for(['io_uring', 'libaio'] as const)(
  'who looks by himself finds what is done without a turn of the loop: %s',
  async (engine, { skip }) => {
    const direct = new DiskFile(disk.path);
    const told: string[] = [];
    const onDone = (_: number, result: number): void => void told.push(`done ${result}`);
    const engines = [engine, 'threads'] as const;
    const queue = new IoQueue({ poller, engines, onDone, onTold: () => told.push('told') });
    if (queue.engineOf(direct) !== engine) {
      await queue.close();
      await direct.close();
      skip(`${engine} is not for this machine or file system`);
    }
    const memory = IoMemory.allocate(8192);
    queue.waking = false;
    for (const offset of [0, 4096]) {
      queue.read(direct, offset);
      queue.add(memory, offset, 4096);
    }
    queue.advance();
    const until = performance.now() + 5000;
    while (queue.inFlight > 0 && performance.now() < until) if (queue.ready) queue.reap();
    expect(told.filter((word) => word !== 'told')).toEqual(['done 4096', 'done 4096']);
    expect(told.at(-1)).toBe('told');
    expect(queue.ready).toBe(false);
    expect(memory.bytes.every((byte) => byte === 1)).toBe(true);
    queue.waking = true;
    const last = queue.read(direct, 0);
    queue.add(memory, 0, 512);
    queue.submit();
    expect(last).toBeGreaterThanOrEqual(0);
    await queue.close();
    expect(told).toContain('done 512');
    await direct.close();
  },
);
