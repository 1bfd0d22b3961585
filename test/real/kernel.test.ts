// Taking a kernel out of a bzImage, shown on images made up here: header fields at their places, payloads compressed by the real tools.
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { payloadOf, vmlinuxOf } from '../../xenstored/stubdom/kernel.ts';

const elf = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(5000, 7)]);

/** Setup of `sectors` sectors behind the boot sector, the payload 64 bytes into what follows. */
function bzImage(payload: Uint8Array, sectors = 3): Buffer {
  const image = Buffer.alloc((sectors + 1) * 512 + 64 + payload.length + 100);
  image[0x1f1] = sectors;
  image.write('HdrS', 0x202);
  image.writeUInt32LE(64, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  image.set(payload, (sectors + 1) * 512 + 64);
  return image;
}

test('the ELF file inside is found and unpacked', async () => {
  expect(await vmlinuxOf(bzImage(gzipSync(elf)))).toEqual(elf);
});

test('lz4, xz and zstd payloads lose the length that the kernel build appends', () => {
  const xz = Buffer.concat([Buffer.from('fd377a585a00', 'hex'), Buffer.from('packed'), Buffer.alloc(4, 9)]);
  expect(payloadOf(bzImage(xz))).toEqual({ compression: 'xz', payload: xz.subarray(0, -4) });
  const lz4 = Buffer.concat([Buffer.from('02214c18', 'hex'), Buffer.from('packed'), Buffer.alloc(4, 9)]);
  expect(payloadOf(bzImage(lz4))).toEqual({ compression: 'lz4', payload: lz4.subarray(0, -4) });
  const zstd = Buffer.concat([Buffer.from('28b52ffd', 'hex'), Buffer.from('packed'), Buffer.alloc(4, 9)]);
  expect(payloadOf(bzImage(zstd))).toEqual({ compression: 'zstd', payload: zstd.subarray(0, -4) });
});

test('what is no such image is refused in one line', async () => {
  expect(() => payloadOf(Buffer.alloc(10))).toThrow('not a bzImage');
  expect(() => payloadOf(Buffer.alloc(5000))).toThrow('not a bzImage');
  expect(() => payloadOf(bzImage(Buffer.from('BZh9....')))).toThrow(/neither with gzip/);
  await expect(vmlinuxOf(bzImage(gzipSync('no kernel')))).rejects.toThrow(/not an ELF/);
});
