/** Mapped memory, its end with I/O in flight, and descriptors that travel over a socket. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, open as openFile, read as readFile, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import {
  createMemory,
  DESCRIPTORS_PER_MESSAGE,
  receiveWithDescriptors,
  reopenReadOnly,
  sendWithDescriptors,
} from '../../osdep/os/fdpass.ts';
import { ftruncate } from '../../osdep/os/ffi.ts';
import { mapDescriptor, mapPieces } from '../../osdep/os/mmap.ts';
import * as sock from '../../osdep/os/sock.ts';

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) sock.close(fd);
});

function keep(fd: number): number {
  open.push(fd);
  return fd;
}

const memory = (pages: number): number => keep(createMemory('test', pages * 4096));

test('two mappings of a memory see each other, and nobody can shrink it', () => {
  const fd = memory(2);
  const one = mapDescriptor(fd, 0, 8192, 'rw');
  const other = mapDescriptor(fd, 4096, 4096, 'r');
  one.bytes[4096] = 7;
  expect(other.bytes[0]).toBe(7);
  expect(other.writable).toBe(false);
  expect(ftruncate(fd, 0)).toBe(-1);
  one.unmap();
  other.unmap();
});

test('pieces of several memories lie side by side, holes between them', () => {
  const [a, b] = [memory(3), memory(1)];
  mapDescriptor(a, 0, 3 * 4096, 'rw').bytes.forEach((_, i, bytes) => {
    bytes[i] = 1 + Math.floor(i / 4096);
  });
  const area = mapPieces(
    [
      { fd: a, offset: 8192, length: 4096 },
      { fd: undefined, offset: 0, length: 4096 },
      { fd: b, offset: 0, length: 4096 },
      { fd: a, offset: 0, length: 8192 },
    ],
    'rw',
  );
  expect([0, 1, 2, 3, 4].map((page) => area.bytes[page * 4096])).toEqual([3, 0, 0, 1, 2]);
  area.bytes[2 * 4096] = 9;
  expect(mapDescriptor(b, 0, 4096, 'r').bytes[0]).toBe(9);
  area.unmap();
  expect(area.bytes).toHaveLength(0);
});

test('a read-only descriptor cannot be mapped for writing', () => {
  const fd = keep(reopenReadOnly(memory(1)));
  mapDescriptor(fd, 0, 4096, 'r').unmap();
  expect(() => mapDescriptor(fd, 0, 4096, 'rw')).toThrow(expect.objectContaining({ errno: Errno.EACCES }));
});

test('a view kept after unmapping reaches nothing and harms nobody', () => {
  const fd = memory(1);
  const [area, witness] = [mapDescriptor(fd, 0, 4096, 'rw'), mapDescriptor(fd, 0, 4096, 'r')];
  const kept = area.bytes;
  kept[0] = 1;
  let gone = 0;
  area.unmap(() => gone++);
  area.unmap(() => gone++);
  expect(gone).toBe(1);
  kept[0] = 2;
  expect(witness.bytes[0]).toBe(1);
});

/** Starts a file read into `bytes` that is not done before `finish`. */
async function slowRead(bytes: Uint8Array): Promise<{ done: Promise<number>; finish(): void }> {
  const dir = mkdtempSync(join(tmpdir(), 'mmap-'));
  const fifo = join(dir, 'fifo');
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0);
  const fd = keep(await promisify(openFile)(fifo, 'r+'));
  rmSync(dir, { recursive: true });
  const done = new Promise<number>((resolve, reject) => {
    readFile(fd, bytes, 0, 1, null, (error, count) => (error ? reject(error) : resolve(count)));
  });
  return { done, finish: () => expect(sock.write(fd, Buffer.from([42]))).toBe(1) };
}

test('revoked with I/O in flight, held: it ends in the shared page, which goes afterwards', async () => {
  const fd = memory(1);
  const [area, witness] = [mapDescriptor(fd, 0, 4096, 'rw'), mapDescriptor(fd, 0, 4096, 'r')];
  let gone = false;
  const kept = area.bytes;
  const letGo = area.hold();
  const io = await slowRead(kept);
  area.unmap(() => {
    gone = true;
  });
  expect(area.bytes).toHaveLength(0);
  expect(area.inFlight).toBe(1);
  expect(gone).toBe(false);
  io.finish();
  expect(await io.done).toBe(1);
  expect(witness.bytes[0]).toBe(42);
  letGo();
  letGo();
  expect(gone).toBe(true);
  expect(area.inFlight).toBe(0);
  kept[0] = 1;
  expect(witness.bytes[0]).toBe(42);
});

test('revoked with I/O in flight, not held: it ends in private memory', async () => {
  const fd = memory(1);
  const [area, witness] = [mapDescriptor(fd, 0, 4096, 'rw'), mapDescriptor(fd, 0, 4096, 'r')];
  const io = await slowRead(area.bytes);
  area.unmap();
  io.finish();
  expect(await io.done).toBe(1);
  expect(witness.bytes[0]).toBe(0);
});

test('descriptors travel with bytes, as many as a message takes', () => {
  const [near, far] = sock.pair().map(keep) as [number, number];
  const fd = memory(1);
  mapDescriptor(fd, 0, 4096, 'rw').bytes[0] = 5;
  const many = Array.from({ length: DESCRIPTORS_PER_MESSAGE }, () => fd);
  expect(sendWithDescriptors(near, Buffer.from('abc'), many)).toBe(3);
  expect(sendWithDescriptors(near, Buffer.from('d'), [])).toBe(1);
  expect(sendWithDescriptors(near, Buffer.from('d'), [...many, fd])).toBe(-Errno.EINVAL);

  const bytes = Buffer.alloc(8);
  const received: number[] = [];
  expect(receiveWithDescriptors(far, bytes, 2, received)).toBe(3);
  expect(bytes.toString('latin1', 2, 5)).toBe('abc');
  expect(received).toHaveLength(DESCRIPTORS_PER_MESSAGE);
  expect(mapDescriptor(received.at(-1)!, 0, 4096, 'r').bytes[0]).toBe(5);
  open.push(...received);

  received.length = 0;
  expect(receiveWithDescriptors(far, bytes, 0, received)).toBe(1);
  expect(received).toEqual([]);
  expect(receiveWithDescriptors(far, bytes, 0, received)).toBe(sock.WOULD_BLOCK);
});
