// Real Xen's devices without Xen: the structures that grants are asked for with, byte for byte as the kernel's headers lay them out, and what is
// said where there is no such device. (linux/include/uapi/xen/{gntdev,gntalloc,evtchn}.h)
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Errno, OsError } from '../../osdep/errno.ts';
import { addressOf } from '../../osdep/os/ffi.ts';
import { ioc } from '../../osdep/xen/device.ts';
import { shareRequest } from '../../osdep/xen/gntshr.ts';
import { mapRequest } from '../../osdep/xen/gnttab.ts';
import { copyRequest, copySegments } from '../../osdep/xen/grantcopy.ts';
import { xenIsThere, xenPlatform } from '../../osdep/xen/platform.ts';
import { areaRequest, notifyRequest } from '../../osdep/xen/unmapnotify.ts';

const hex = (bytes: Uint8Array): string =>
  (Buffer.from(bytes).toString('hex').match(/.{8}/g) ?? []).join(' ');

describe('structures', () => {
  test('a request number is its device’s letter, number and size', () => {
    expect(ioc('E', 1, 8)).toBe(0x00084501);
    expect(ioc('G', 0, 24)).toBe(0x00184700);
    expect(ioc('B', 0, 0)).toBe(0x00004200);
  });

  test('mapping: how many, room for the index, then domain and reference of each', () => {
    const refs = [
      { domid: 3, ref: 1 },
      { domid: 0x7fef, ref: 0x01020304 },
    ];
    expect(hex(mapRequest(refs))).toBe(
      '02000000 00000000 00000000 00000000 03000000 01000000 ef7f0000 04030201',
    );
  });

  test('unmapping, and what is to happen then', () => {
    expect(hex(areaRequest(0x3000, 2))).toBe('00300000 00000000 02000000 00000000');
    const area = { index: 0x3000, pages: 1 };
    expect(hex(notifyRequest(area, { clearByte: 5, port: 9 }))).toBe('05300000 00000000 03000000 09000000');
    expect(hex(notifyRequest(area, { clearByte: 0 }))).toBe('00300000 00000000 01000000 00000000');
    expect(hex(notifyRequest(area, { port: 9 }))).toBe('00300000 00000000 02000000 09000000');
    expect(() => notifyRequest(area, { clearByte: 4096 })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  test('sharing: whom with, may he write, how many, room for the answers', () => {
    expect(hex(shareRequest(3, 1, 'r'))).toBe('03000000 01000000 00000000 00000000 00000000 00000000');
    expect(hex(shareRequest(3, 3, 'rw'))).toBe(
      '03000100 03000000 00000000 00000000 00000000 00000000 00000000',
    );
  });

  test('copying: a grant by reference, offset and domain, our bytes by address', () => {
    const bytes = Buffer.alloc(256);
    const grant = { domid: 3, ref: 7, offset: 0x123 };
    const address = Buffer.alloc(8);
    address.writeBigUInt64LE(addressOf(bytes));
    const list = copySegments([
      { source: grant, dest: { bytes }, length: 256 },
      { source: { bytes }, dest: grant, length: 16 },
      { source: grant, dest: { domid: 4, ref: 8, offset: 0 }, length: 1 },
    ]);
    expect(hex(list)).toBe(
      [
        ['07000000 23010300', hex(address), '00010100 00000000'],
        [hex(address), '07000000 23010300', '10000200 00000000'],
        ['07000000 23010300', '08000000 00000400', '01000300 00000000'],
      ]
        .flat()
        .join(' '),
    );
    const at = Buffer.alloc(8);
    at.writeBigUInt64LE(addressOf(list));
    expect(hex(copyRequest(list, 3))).toBe(`03000000 00000000 ${hex(at)}`);
  });

  test('no bytes of ours are read or written past their end', () => {
    const short = { bytes: Buffer.alloc(15) };
    const grant = { domid: 3, ref: 7, offset: 0 };
    const einval = expect.objectContaining({ code: 'EINVAL' });
    expect(() => copySegments([{ source: short, dest: grant, length: 16 }])).toThrow(einval);
    expect(() => copySegments([{ source: grant, dest: short, length: 16 }])).toThrow(einval);
    expect(() => copySegments([{ source: grant, dest: grant, length: 0x10000 }])).toThrow(einval);
    expect(() => copySegments([{ source: grant, dest: grant, length: -1 }])).toThrow(einval);
  });
});

describe.skipIf(existsSync('/dev/xen'))('where there is no Xen', () => {
  const platform = xenPlatform();

  test('nothing is taken for it', () => {
    expect(xenIsThere()).toBe(false);
    expect(platform.domid).toBeUndefined();
    expect(platform.store.kernelRing()).toBeUndefined();
    expect(platform.store.device).toBeUndefined();
  });

  test('one that is to ask who it is does without an answer', () => {
    expect(xenPlatform({ domid: 'ask' }).domid).toBeUndefined();
    expect(xenPlatform({ domid: 7 }).domid).toBe(7);
  });

  test.each([
    ['evtchn', () => platform.openEvtchn(), 'xen-evtchn'],
    ['gntdev', () => platform.openGnttab(), 'xen-gntdev'],
    ['gntalloc', () => platform.openGntshr(), 'xen-gntalloc'],
    ['privcmd', () => platform.openCall(), 'xen-privcmd'],
    ['privcmd', () => platform.openForeignmemory(), 'xen-privcmd'],
    ['privcmd', () => platform.openDevicemodel(), 'xen-privcmd'],
    ['privcmd', () => platform.openCtrl(), 'xen-privcmd'],
    ['privcmd', () => platform.openManage(), 'xen-privcmd'],
  ])('no /dev/xen/%s: says which driver to load', (name, open, module) => {
    expect(open).toThrow(OsError);
    expect(open).toThrow(
      `opening /dev/xen/${name}: load its driver (modprobe ${module}), or this is not a Xen domain: ENOENT`,
    );
    expect(platform.handles.size).toBe(0);
  });

  test('the rings of this domain are its kernel’s', () => {
    const enoent = expect.objectContaining({ errno: Errno.ENOENT });
    expect(() => platform.store.ring()).toThrow(enoent);
    expect(() => platform.console.ring()).toThrow(enoent);
  });
});
