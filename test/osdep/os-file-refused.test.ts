/**
 * Where system calls are refused, as containers do: disk I/O goes on by the next best way and says so. A seccomp filter
 * refuses them for this file's process for good, one after the other: the tests' order matters.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import { type EngineName, IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { TapWriter } from '../../osdep/os/tapwriter.ts';
import { folder, has, image } from './os-file-kit.ts';

const IO_URING_SETUP = 425;
const IO_SETUP = process.arch === 'x64' ? 206 : 0;
const [PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER] = [22, 38, 2];
const [LOAD_WORD, JUMP_IF_EQUAL, RETURN] = [0x20, 0x15, 0x06];
const [RET_ERRNO, RET_ALLOW] = [0x0005_0000, 0x7fff_0000];

const prctl = koffi
  .load(null)
  .func('int prctl(int option, uint64_t b, void *argument, uint64_t d, uint64_t e)') as (
  option: number,
  b: number,
  argument: Uint8Array | null,
  d: number,
  e: number,
) => number;

/** From now on, in this thread: this system call fails so. */
function refuse(number: number, errno: number): boolean {
  // struct sock_filter: u16 code, u8 jump if true, u8 jump if false, u32 value. struct sock_fprog: u16 count, pointer.
  const program = Buffer.alloc(32);
  const steps = [
    [LOAD_WORD, 0, 0, 0],
    [JUMP_IF_EQUAL, 0, 1, number],
    [RETURN, 0, 0, RET_ERRNO | errno],
    [RETURN, 0, 0, RET_ALLOW],
  ] as const;
  for (const [i, [code, yes, no, value]] of steps.entries()) {
    program.writeUInt16LE(code, i * 8);
    program.writeUInt8(yes, i * 8 + 2);
    program.writeUInt8(no, i * 8 + 3);
    program.writeUInt32LE(value, i * 8 + 4);
  }
  const header = Buffer.alloc(16);
  header.writeUInt16LE(steps.length, 0);
  header.writeBigUInt64LE(koffi.address(program), 8);
  prctl(PR_SET_NO_NEW_PRIVS, 1, null, 0, 0);
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) === 0;
}

const dir = folder(tmpdir());
afterAll(() => dir.remove());

/** Who serves by itself, why not another, who serves a disk through the page cache; and it does. */
async function served(): Promise<readonly unknown[]> {
  const poller = new Poller();
  const disk = new DiskFile(image(join(dir.path, 'image'), Buffer.alloc(4096, 3)), { direct: 'no' });
  const memory = new IoMemory(Buffer.alloc(4096));
  const results: number[] = [];
  const queue = new IoQueue({ poller, onDone: (_, result) => results.push(result) });
  queue.read(disk, 0);
  queue.add(memory, 0, 4096);
  await queue.close();
  expect(results).toEqual([4096]);
  expect(memory.bytes[4095]).toBe(3);
  const told = [queue.engine, queue.refused, queue.engineOf(disk)];
  await disk.close();
  poller.close();
  return told;
}

const all: readonly EngineName[] = ['io_uring', 'libaio'];
const granted = (await Promise.all(all.map(has))).every((yes) => yes);

test.skipIf(!granted)('nothing refused: io_uring', async () => {
  expect(await served()).toEqual(['io_uring', [], 'io_uring']);
});

test.skipIf(!granted)('io_uring refused: libaio, and threads for what it would wait for', async (context) => {
  if (!refuse(IO_URING_SETUP, Errno.EPERM)) context.skip('this kernel has no seccomp');
  expect(await served()).toEqual(['libaio', ['io_uring: EPERM'], 'threads']);
});

test.skipIf(!granted)('io_uring refused: frames are written one by one', async (context) => {
  if (await has('io_uring')) context.skip('not refused');
  const writer = new TapWriter({ memory: Buffer.alloc(4096) });
  expect(writer.refused).toBe('io_uring_setup: EPERM');
  const written: number[] = [];
  for (const position of [0, 100, 200]) writer.add(position, 60);
  writer.write({
    fd: -1,
    write(position, length) {
      written.push(position);
      return position === 100 ? -Errno.EIO : length;
    },
  });
  expect(written).toEqual([0, 100, 200]);
  expect([...writer.results.subarray(0, 3)]).toEqual([60, -Errno.EIO, 60]);
  writer.close();
});

test.skipIf(!granted)('both refused: threads', async (context) => {
  if (!refuse(IO_SETUP, Errno.ENOSYS)) context.skip('this kernel has no seccomp');
  expect(await served()).toEqual(['threads', ['io_uring: EPERM', 'libaio: ENOSYS'], 'threads']);
});

test.skipIf(!granted)('insisted upon: an error that says so', async (context) => {
  if (await has('io_uring')) context.skip('not refused');
  const poller = new Poller();
  expect(() => new IoQueue({ poller, engines: ['io_uring'], onDone() {} })).toThrow(
    'no way of disk I/O (io_uring: EPERM): EPERM',
  );
  poller.close();
});
