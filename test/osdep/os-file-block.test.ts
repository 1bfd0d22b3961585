/** Block devices: a loop device over a file shows what is asked of the kernel. Root alone has them. */
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { DiskFile } from '../../osdep/os/diskfile.ts';
import type { EngineName } from '../../osdep/os/file.ts';
import { Asker, attempt, folder, has } from './os-file-kit.ts';

const dir = folder(tmpdir());
afterAll(() => dir.remove());

function loop(path: string, sectorBytes: number): string | undefined {
  return attempt('losetup', '--find', '--show', '--sector-size', String(sectorBytes), path);
}

const probe = join(dir.path, 'probe');
writeFileSync(probe, Buffer.alloc(65536));
const probed = loop(probe, 512);
if (probed !== undefined) attempt('losetup', '--detach', probed);

for (const engine of ['io_uring', 'libaio', 'threads'] as const satisfies readonly EngineName[]) {
  const suite = probed !== undefined && (await has(engine)) ? describe : describe.skip;
  suite(`${engine} on a loop device`, () => behaves(engine));
}

function behaves(engine: EngineName): void {
  const backing = join(dir.path, `backing-${engine}`);
  let asker: Asker;
  let device: string;
  let disk: DiskFile;
  const attach = (sectorBytes: number): void => {
    device = loop(backing, sectorBytes)!;
    disk = new DiskFile(device);
  };
  beforeEach(() => {
    asker = new Asker({ engine });
    writeFileSync(backing, Buffer.alloc(1 << 20, 7));
  });
  afterEach(async () => {
    await asker.close();
    await disk.close();
    attempt('losetup', '--detach', device);
  });

  test('its size and sectors are told; direct; flushed data is in the file behind', async () => {
    attach(512);
    expect(disk).toMatchObject({ kind: 'block', sectorBytes: 512, sizeBytes: 1 << 20, direct: true });
    const requests = [
      asker.write(disk, 512, Buffer.alloc(1024, 1)),
      asker.read(disk, 65536, Buffer.alloc(4096)),
    ];
    asker.queue.submit();
    expect(await Promise.all(requests)).toEqual([1024, 4096]);
    expect(await asker.now(asker.flush(disk))).toBe(0);
    const bytes = readFileSync(backing);
    expect([bytes[511], bytes[512], bytes[1535], bytes[1536]]).toEqual([7, 1, 1, 7]);
  });

  test('sectors of 4096 bytes: a part of one is refused', async () => {
    attach(4096);
    expect(disk).toMatchObject({ sectorBytes: 4096, direct: true });
    expect(await asker.now(asker.write(disk, 512, Buffer.alloc(4096)))).toBe(-Errno.EINVAL);
    expect(await asker.now(asker.write(disk, 4096, Buffer.alloc(4096)))).toBe(4096);
  });

  test('at the end: what is there, no more', async () => {
    attach(512);
    const bytes = Buffer.alloc(8192);
    expect(await asker.now(asker.read(disk, (1 << 20) - 4096, bytes))).toBe(4096);
    expect(bytes.indexOf(0)).toBe(4096);
    expect(await asker.now(asker.write(disk, 1 << 20, Buffer.alloc(512)))).toBe(-Errno.ENOSPC);
  });

  test('discarding frees the blocks behind it; erasing for good is refused where it does not go', async () => {
    attach(512);
    expect(disk.discard).toMatchObject({ secure: false });
    expect(disk.discard!.granularityBytes).toBeGreaterThanOrEqual(512);
    const before = statSync(backing).blocks;
    expect(await asker.now(asker.discard(disk, 65536, 65536 * 8))).toBe(0);
    expect(statSync(backing).blocks).toBeLessThan(before);
    const bytes = Buffer.alloc(512);
    expect(await asker.now(asker.read(disk, 65536, bytes))).toBe(512);
    expect(bytes.equals(Buffer.alloc(512))).toBe(true);
    expect(await asker.now(asker.discard(disk, 1, 512))).toBe(-Errno.EINVAL);
    expect(await asker.now(asker.secureDiscard(disk, 0, 65536))).toBe(-Errno.EOPNOTSUPP);
  });

  test('a range becomes zeros', async () => {
    attach(512);
    expect(await asker.now(asker.zero(disk, 4096, 12288))).toBe(0);
    const bytes = Buffer.alloc(20480);
    expect(await asker.now(asker.read(disk, 0, bytes))).toBe(20480);
    expect(bytes.equals(Buffer.alloc(20480, 7).fill(0, 4096, 16384))).toBe(true);
  });

  test('a device that grows under us is noticed', async () => {
    attach(512);
    truncateSync(backing, 2 << 20);
    expect(attempt('losetup', '--set-capacity', device)).toBeDefined();
    expect(disk.refresh()).toBe(true);
    expect(disk.sizeBytes).toBe(2 << 20);
    expect(disk.refresh()).toBe(false);
    expect(await asker.now(asker.write(disk, (2 << 20) - 512, Buffer.alloc(512, 1)))).toBe(512);
  });
}
