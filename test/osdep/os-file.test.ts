/** Disk I/O, the same on every engine: data, errors, ends of files, memory that goes away, more requests than fit. */
import { readFileSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { createMemory } from '../../osdep/os/fdpass.ts';
import { type EngineName, IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { mapDescriptor } from '../../osdep/os/mmap.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { close } from '../../osdep/os/sock.ts';
import { Asker, attempt, folder, has, image } from './os-file-kit.ts';

const SECTOR = 512;
const engines: readonly EngineName[] = ['io_uring', 'libaio', 'threads'];

let dir: ReturnType<typeof folder>;
beforeAll(() => {
  dir = folder(tmpdir());
});
afterAll(() => dir.remove());

for (const engine of engines) {
  // Containers often refuse the first.
  const suite = (await has(engine)) ? describe : describe.skip;
  suite(engine, () => {
    describe.each(['try', 'no'] as const)('direct: %s', (direct) => behaves(engine, direct));
  });
}

function behaves(engine: EngineName, direct: 'try' | 'no'): void {
  let asker: Asker;
  const disks: DiskFile[] = [];
  beforeEach(() => {
    asker = new Asker({ engine });
  });
  afterEach(async () => {
    await asker.close();
    for (const disk of disks.splice(0)) await disk.close();
  });

  function disk(bytes: Uint8Array, readOnly = false): DiskFile {
    const path = image(join(dir.path, 'image'), bytes);
    const opened = new DiskFile(path, { direct, readOnly });
    disks.push(opened);
    return opened;
  }
  const onMedium = (): Buffer => readFileSync(join(dir.path, 'image'));

  test('what is written is read, piece by piece, in this order', async () => {
    const it = disk(Buffer.alloc(8192));
    const [a, b, c] = [1, 2, 3].map((value) => Buffer.alloc(SECTOR, value));
    expect(await asker.now(asker.write(it, 1024, a!, b!, c!))).toBe(3 * SECTOR);
    expect(await asker.now(asker.flush(it))).toBe(0);
    const [x, y] = [Buffer.alloc(1024), Buffer.alloc(SECTOR)];
    expect(await asker.now(asker.read(it, 1536, x, y))).toBe(3 * SECTOR);
    expect([x[0], x[512], y[0]]).toEqual([2, 3, 0]);
    expect(onMedium().subarray(1024, 2560)).toEqual(Buffer.concat([a!, b!, c!]));
  });

  test('memory that lies badly works too', async () => {
    const it = disk(Buffer.alloc(8192));
    const memory = new IoMemory(Buffer.from(Uint8Array.from({ length: 4096 }, (_, i) => i % 251)));
    const odd = { memory, offset: 3, length: 700 };
    const rest = { memory, offset: 1001, length: 324 };
    expect(await asker.now(asker.write(it, 0, odd, rest))).toBe(1024);
    const back = new IoMemory(Buffer.alloc(4096));
    const parts = [
      { memory: back, offset: 1, length: 1 },
      { memory: back, offset: 5, length: 1023 },
    ];
    expect(await asker.now(asker.read(it, 0, ...parts))).toBe(1024);
    const expected = Buffer.concat([memory.bytes.subarray(3, 703), memory.bytes.subarray(1001, 1325)]);
    expect(Buffer.from(back.bytes.subarray(1, 2))).toEqual(expected.subarray(0, 1));
    expect(Buffer.from(back.bytes.subarray(5, 1028))).toEqual(expected.subarray(1));
    expect(back.bytes[1028]).toBe(0);
  });

  test('past the end: as much as there is, then nothing', async () => {
    const it = disk(Buffer.alloc(5 * SECTOR, 9));
    const bytes = Buffer.alloc(8 * SECTOR);
    expect(await asker.now(asker.read(it, 2 * SECTOR, bytes))).toBe(3 * SECTOR);
    expect(bytes.indexOf(0)).toBe(3 * SECTOR);
    expect(await asker.now(asker.read(it, 16 * SECTOR, bytes))).toBe(0);
    expect(await asker.now(asker.read(it, 0))).toBe(0);
  });

  test('discarded and zeroed ranges are zeros, their neighbours are not, the size stays', async () => {
    const it = disk(Buffer.alloc(65536, 7));
    expect(it.discard?.secure).toBe(false);
    expect(await asker.now(asker.discard(it, 4096, 8192))).toBe(0);
    expect(await asker.now(asker.zero(it, 61440, 8192))).toBe(0);
    const expected = Buffer.alloc(65536, 7).fill(0, 4096, 12288).fill(0, 61440);
    expect(onMedium().equals(expected)).toBe(true);
    expect(await asker.now(asker.secureDiscard(it, 0, 4096))).toBe(-Errno.EOPNOTSUPP);
  });

  test('opened for reading: nothing changes it', async () => {
    const it = disk(Buffer.alloc(4096, 7), true);
    const all = [
      asker.write(it, 0, Buffer.alloc(SECTOR)),
      asker.discard(it, 0, 4096),
      asker.zero(it, 0, 4096),
      asker.read(it, 0, Buffer.alloc(SECTOR)),
    ];
    asker.queue.submit();
    expect(await Promise.all(all)).toEqual([-Errno.EROFS, -Errno.EROFS, -Errno.EROFS, SECTOR]);
    expect(it.discard).toBeUndefined();
    expect(onMedium().equals(Buffer.alloc(4096, 7))).toBe(true);
  });

  test('closing waits for what is in flight, and refuses the rest', async () => {
    const it = disk(Buffer.alloc(1 << 20, 5));
    const bytes = Buffer.alloc(1 << 20);
    const reading = asker.read(it, 0, bytes);
    let closed = false;
    const closing = it.close().then(() => {
      closed = true;
    });
    const late = asker.read(it, 0, Buffer.alloc(SECTOR));
    asker.queue.submit();
    expect(it.inFlight).toBe(2);
    expect(await late).toBe(-Errno.EBADF);
    expect(await reading).toBe(1 << 20);
    expect(bytes.equals(Buffer.alloc(1 << 20, 5))).toBe(true);
    await closing;
    expect(closed).toBe(true);
    expect(it.fd).toBe(-1);
    await it.close();
    expect(await asker.now(asker.flush(it))).toBe(-Errno.EBADF);
  });

  test('closing the queue submits and waits', async () => {
    const it = disk(Buffer.alloc(1 << 20));
    const other = new Asker({ engine });
    const writes = Array.from({ length: 64 }, (_, i) =>
      other.write(it, i * 16384, Buffer.alloc(16384, i + 1)),
    );
    const closing = other.close();
    expect(await Promise.all(writes)).toEqual(writes.map(() => 16384));
    await closing;
    expect(Array.from({ length: 64 }, (_, i) => onMedium()[i * 16384 + 16383])).toEqual(
      Array.from({ length: 64 }, (_, i) => i + 1),
    );
    expect(() => other.queue.read(it, 0)).toThrow('closed');
  });

  test('a mapping unmapped with I/O in flight stays until it is answered', async () => {
    const it = disk(Buffer.alloc(1 << 20, 6));
    const fd = createMemory('disk-test', 1 << 20);
    const [area, witness] = [mapDescriptor(fd, 0, 1 << 20, 'rw'), mapDescriptor(fd, 0, 1 << 20, 'r')];
    close(fd);
    let gone = false;
    const reading = asker.read(it, 0, area.bytes.subarray(4096));
    asker.queue.submit();
    area.unmap(() => {
      gone = true;
    });
    expect(area.inFlight).toBe(1);
    expect(gone).toBe(false);
    expect(await reading).toBe((1 << 20) - 4096);
    expect(gone).toBe(true);
    expect(Buffer.from(witness.bytes).indexOf(6)).toBe(4096);
    expect(witness.bytes.lastIndexOf(6)).toBe((1 << 20) - 1);
    witness.unmap();
  });

  test('a guest page that may not be written costs its request, not the process', async () => {
    const it = disk(Buffer.alloc(8192, 6));
    const fd = createMemory('disk-test', 4096);
    const area = mapDescriptor(fd, 0, 4096, 'r');
    close(fd);
    const good = Buffer.alloc(4096);
    const requests = [asker.read(it, 0, area.bytes), asker.read(it, 4096, good)];
    asker.queue.submit();
    expect(await Promise.all(requests)).toEqual([-Errno.EFAULT, 4096]);
    expect(area.inFlight).toBe(0);
    area.unmap();
  });

  test('a file that has grown or shrunk is noticed', async () => {
    const it = disk(Buffer.alloc(4096));
    expect(it.refresh()).toBe(false);
    truncateSync(it.path, 1 << 20);
    expect(it.refresh()).toBe(true);
    expect(it.sizeBytes).toBe(1 << 20);
    expect(await asker.now(asker.read(it, 1 << 19, Buffer.alloc(4096)))).toBe(4096);
  });

  test('thousands of requests, never more than the depth in flight', async () => {
    const [depth, total] = [128, 4000];
    const poller = new Poller();
    const it = disk(Buffer.from(Uint32Array.from({ length: 1 << 16 }, (_, i) => i >> 7).buffer));
    const memory = IoMemory.allocate(depth * SECTOR);
    const wanted = new Uint32Array(depth);
    let [begun, answered, wrong] = [0, 0, 0];
    let finish: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const queue: IoQueue = new IoQueue({
      poller,
      depth,
      engines: [engine],
      onDone(tag, result) {
        const word = new DataView(memory.bytes.buffer, memory.bytes.byteOffset).getUint32(tag * SECTOR, true);
        if (result !== SECTOR || word !== wanted[tag]) wrong += 1;
        if (++answered === total) finish();
      },
    });
    const fill = (): void => {
      while (begun < total) {
        const sector = (begun * 197) % 512;
        const tag = queue.read(it, sector * SECTOR);
        if (tag < 0) break;
        expect(queue.add(memory, tag * SECTOR, SECTOR)).toBe(true);
        wanted[tag] = sector;
        begun += 1;
      }
      queue.submit();
    };
    poller.onTurn(fill);
    fill();
    expect([queue.room, queue.inFlight, begun]).toEqual([0, depth, depth]);
    await done;
    expect([answered, wrong, queue.inFlight]).toEqual([total, 0, 0]);
    await queue.close();
    poller.close();
  });

  test('beyond four gigabytes', async () => {
    const it = disk(Buffer.alloc(0));
    const far = 5 * 2 ** 30 + SECTOR;
    expect(await asker.now(asker.write(it, far, Buffer.alloc(SECTOR, 3)))).toBe(SECTOR);
    expect(it.refresh()).toBe(true);
    expect(it.sizeBytes).toBe(far + SECTOR);
    const bytes = Buffer.alloc(2 * SECTOR);
    expect(await asker.now(asker.read(it, far - SECTOR, bytes))).toBe(2 * SECTOR);
    expect([bytes[SECTOR - 1], bytes[SECTOR]]).toEqual([0, 3]);
    expect(await asker.now(asker.discard(it, far - SECTOR, 4096))).toBe(0);
    expect(await asker.now(asker.read(it, far, bytes))).toBe(SECTOR);
    expect(bytes[0]).toBe(0);
  });

  test('against a model: any requests that do not touch each other, in any order', async () => {
    const sectors = 128;
    const range = { at: fc.nat(sectors - 1), count: fc.integer({ min: 1, max: 24 }) };
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), ...range, fill: fc.integer({ min: 1, max: 255 }) }),
      fc.record({ kind: fc.constant('read' as const), ...range, fill: fc.nat(SECTOR) }),
      fc.record({
        kind: fc.constantFrom('zero' as const, 'discard' as const),
        ...range,
        fill: fc.constant(0),
      }),
      fc.record({
        kind: fc.constant('flush' as const),
        at: fc.constant(0),
        count: fc.constant(0),
        fill: fc.nat(1),
      }),
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const model = Buffer.alloc(sectors * SECTOR, 1);
      const it = disk(model);
      let busy: { readonly at: number; readonly end: number }[] = [];
      let open: Promise<void>[] = [];
      for (const { kind, at, count, fill } of steps) {
        const end = Math.min(at + count, sectors);
        const [from, length] = [at * SECTOR, (end - at) * SECTOR];
        if (open.length >= 32 || busy.some((other) => other.at < end && at < other.end)) {
          asker.queue.submit();
          await Promise.all(open);
          [busy, open] = [[], []];
        }
        busy.push({ at, end });
        if (kind === 'flush') open.push(asker.flush(it).then((result) => expect(result).toBe(0)));
        else if (kind === 'read') {
          // In two pieces, wherever that cuts it.
          const bytes = Buffer.alloc(length);
          const cut = Math.min(fill, length - 1);
          const pieces = cut === 0 ? [bytes] : [bytes.subarray(0, cut), bytes.subarray(cut)];
          const expected = Buffer.from(model.subarray(from, from + length));
          open.push(
            asker.read(it, from, ...pieces).then((result) => {
              expect(result).toBe(length);
              expect(bytes.equals(expected)).toBe(true);
            }),
          );
        } else {
          model.fill(kind === 'write' ? fill : 0, from, from + length);
          const request =
            kind === 'write'
              ? asker.write(it, from, Buffer.alloc(length, fill))
              : asker[kind](it, from, length);
          open.push(request.then((result) => expect(result).toBe(kind === 'write' ? length : 0)));
        }
      }
      asker.queue.submit();
      await Promise.all(open);
      expect(onMedium().equals(model)).toBe(true);
      await disks.pop()!.close();
    });
    await fc.assert(property, { numRuns: 25 });
  });

  test('a disk that is full: an error, and what fits is no success', async (context) => {
    const mount = join(dir.path, 'small');
    if (attempt('mkdir', '-p', mount) === undefined) context.skip();
    if (attempt('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', mount) === undefined) {
      context.skip('mounting wants root');
    }
    try {
      const it = new DiskFile(image(join(mount, 'image'), Buffer.alloc(0)), { direct });
      disks.push(it);
      const requests = [asker.write(it, 0, Buffer.alloc(128 << 10, 1)), asker.flush(it)];
      asker.queue.submit();
      expect(await Promise.all(requests)).toEqual([-Errno.ENOSPC, 0]);
      await it.close();
    } finally {
      attempt('umount', mount);
    }
  });
}
