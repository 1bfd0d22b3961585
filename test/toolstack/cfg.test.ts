// xl.cfg as its user sees it: what is taken, what is said of each mistake and in which line, and what stricter rules there are than xl's, which cfg-xl.test.ts
// asks itself.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mistakeLine, parseCfg } from '../../toolstack/core/cfg.ts';
import { parseDisk, parseSockets, parseVif } from '../../toolstack/core/cfgdevices.ts';
import { resolvedConfig } from '../../toolstack/core/cfgpaths.ts';
import { diskNumber } from '../../toolstack/core/vdev.ts';

const told = (text: string): string[] => {
  const result = parseCfg(text);
  return (result.ok ? result.warnings : result.errors).map((mistake) => mistakeLine('g.cfg', mistake));
};

test('a guest', () => {
  const result = parseCfg(`# carol
name   = "carol"
kernel = 'guest'
memory = 8
disk = [
  'carol.img,raw,xvda,w',   # hers
  'format=raw, vdev=xvdb, access=r, backend=store, target=/srv/a,b.img',
]
vif = [ 'mac=00:16:3E:00:00:09, ip=10.53.0.9/24, rate=8Mb/s' ]
xensock = [ 'backend=sockets' ]
vm_data = [ 'web/port=80', 'motto=a=b' ]
serial = 'pty' ; device_model = 'serial'`);
  expect(result).toMatchObject({
    ok: true,
    warnings: [],
    config: {
      name: 'carol',
      type: 'pv',
      kernel: 'guest',
      memoryMb: 8,
      maxmemMb: 8,
      vcpus: 1,
      disks: [
        { target: 'carol.img', format: 'raw', vdev: 'xvda', access: 'w', backend: undefined },
        { target: '/srv/a,b.img', vdev: 'xvdb', access: 'r', backend: 'store' },
      ],
      vifs: [{ mac: '00:16:3e:00:00:09', ip: '10.53.0.9/24', rate: { bytes: 50_000, intervalUs: 50_000 } }],
      sockets: [{ backend: 'sockets' }],
      serial: 'pty',
      deviceModel: 'serial',
      onPoweroff: 'destroy',
      onReboot: 'restart',
      onCrash: 'destroy',
      data: { 'web/port': '80', motto: 'a=b' },
    },
  });
});

test('every mistake is told, in its line', () => {
  const lines = told(`name = "b"
memory = 512M
disk = [ '/a,raw,xvda,w',
   "/b,foo,xvdb",
   '/c,raw,xvdz1x',
  'x
]
vif = [ 'mac=1:2',
kernel = x
Extra = 5
type = pv
vcpus = "two"
on_crash = "reboot"
maxmem = 1
disk = 5 6
extra = "a\\qb"
device_model = "/usr/lib/xen/bin/qemu-dm"
ramdisk = [ "a" ]
`);
  expect(lines).toEqual([
    'g.cfg:2: expected a plain number or a string in quotes, not 512M',
    'g.cfg:6: expected the end of this string: its closing quote is missing in this line',
    'g.cfg:9: expected an element of the list, or ]: a number, a string in quotes or a list in brackets, not kernel',
    'g.cfg:9: expected a value for kernel: a number, a string in quotes or a list in brackets, not x',
    'g.cfg:10: expected a name in lower case or a string in quotes, not Extra',
    'g.cfg:11: expected a value for type: a number, a string in quotes or a list in brackets, not pv',
    'g.cfg:12: expected a number for vcpus',
    'g.cfg:13: expected on_crash to be one of destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset',
    'g.cfg:14: expected maxmem of at least memory, which is 32',
    'g.cfg:15: expected the end of the line after the value of disk, not 6',
    `g.cfg:16: expected one of \\\\ \\' \\" \\a \\b \\f \\n \\r \\t \\v in this string, not \\q`,
    'g.cfg:17: expected device_model="serial", or none: paths of device models are of old',
    'g.cfg:18: expected one value for ramdisk, not a list',
  ]);
});

test.each([
  ['disk=["/a,foo,xvda"]', 'disk: foo is no format: it is one of raw, qcow, qcow2, vhd, empty, qed'],
  [
    'disk=["constructor:/a,,xvda"]',
    'disk: constructor: is no prefix that is known; a target with a colon in it is given as target=',
  ],
  [
    'disk=["/a,raw,xvdaa9x"]',
    'disk: xvdaa9x is no name for a disk: expected xvda (xvdb2, sda, hdc, d0p1 ...)',
  ],
  [
    'disk=["/a"]',
    'disk: expected what the guest calls it: vdev=, or third, as xvda (xvdb2, sda, hdc, d0p1 ...)',
  ],
  ['disk=[",raw,xvda"]', 'disk: expected what it is kept in, a file or a device, first or as target='],
  ['disk=["/a,raw,xvda,w","/b,raw,d0p0,w"]', 'expected each disk once: d0p0 is there twice'],
  ['vif=["mac=00:16:3e:0:0"]', 'vif: expected mac= and six bytes, 00:16:3e:12:34:56, not mac=00:16:3e:0:0'],
  ['vif=["rate=5"]', 'vif: expected rate= as 10Mb/s or 250KB/s@20ms, not rate=5'],
  [
    'vif=["mak=1"]',
    'vif: expected mac=, bridge=, ip=, rate= or another key of xl-network-configuration(5), not mak=1',
  ],
  ['vif=["","devid=1","devid=1"]', 'expected each devid once: 1 is there twice'],
  ['kernel="a\0"', 'expected text, not a byte 0, in this string'],
  ['vif="mac=1"', 'expected a list for vif, as vif = [ "..." ]'],
  ['disk=[["/a,raw,xvda"]]', 'expected strings in the list of disk, not another list'],
  ['xensock=["bakend=1"]', 'sockets: expected backend= and a domain, or nothing, not bakend=1'],
  ['memory=0', 'expected memory of at least 1'],
  ['memory=1\nmemory+=2', 'expected memory =, since numbers are not added', 3],
  ['kernel="a"\nkernel+=["b"]', 'expected a string after kernel +=, as it was in line 2', 3],
  ['device_model="qemu"', 'expected device_model="serial"'],
  ['vm_data=["=x"]', 'expected key=value, not =x'],
  [
    'disk=[',
    'expected an element of the list, or ]: a number, a string in quotes or a list in brackets, not the end of the file',
  ],
])('%s', (text, said, line = 2) => {
  expect(told(`name="g"\n${text}`)).toEqual([`g.cfg:${line}: ${said}`]);
});

test('a name there has to be, and one that is none of anything else', () => {
  expect(told('memory=5')).toEqual(['g.cfg:1: expected a name for the domain: name="..."']);
  expect(told('\nname="7"')).toEqual(['g.cfg:2: expected a name, not a number, which 7 would be taken for']);
  expect(told('name="a/b"')).toHaveLength(1);
});

test('what is not acted upon is said, and of what means nothing the nearest that does', () => {
  expect(
    told('name="g"\ncpus="2"\nvnc=1\nmemroy=5\nfoo=1\ndisk=["grant_usage=1,vdev=xvda,target=/a"]'),
  ).toEqual([
    'g.cfg:2: cpus is not acted upon here',
    'g.cfg:3: vnc is not acted upon here',
    'g.cfg:4: memroy means nothing: is it memory?',
    'g.cfg:5: foo means nothing',
    'g.cfg:6: disk: grant_usage is not acted upon here',
  ]);
});

test('devices in words of a command', () => {
  expect(parseDisk(['vdev=xvdb', 'access=r', 'target=/a b,c'])).toMatchObject({
    ok: true,
    value: { vdev: 'xvdb', access: 'r', target: '/a b,c' },
  });
  expect(parseVif(['mac=2-3-4-5-6-7', 'bridge=br0'])).toMatchObject({
    ok: true,
    value: { mac: '02:03:04:05:06:07', bridge: 'br0' },
  });
  expect(parseSockets([])).toMatchObject({ ok: true, value: { backend: undefined } });
});

// xen-vbd-interface(7)
test.each([
  ['xvda', 51712],
  ['xvdp15', 51967],
  ['xvdq', (1 << 28) | (16 << 8)],
  ['xvdaa1', (1 << 28) | (26 << 8) | 1],
  ['xvda16', (1 << 28) | 16],
  ['hda', 768],
  ['hdd3', 5699],
  ['sdc1', 2081],
  ['d1p2', 51730],
  ['51712', 51712],
  ['0xca00', 51712],
  ['xvd', undefined],
  ['xvda01', undefined],
  ['hde', undefined],
  ['sdq', undefined],
  ['sda16', undefined],
  ['d1048576p0', undefined],
  ['', undefined],
])('the number of disk %s', (vdev, number) => {
  expect(diskNumber(vdev)).toBe(number);
});

test('paths are from where their writer is; names of programs and what others serve are none', () => {
  const result = parseCfg(
    'name="g"\nkernel="k/x.js"\nramdisk="r"\ndisk=["a.img,,xvda","/b,,xvdb","c,,xvdc,backend=d","cdrom,vdev=xvdd","script=s,vdev=xvde,target=t"]',
  );
  if (!result.ok) throw new Error(result.errors[0]!.text);
  const config = resolvedConfig(result.config, (path) => (path.startsWith('/') ? path : `/there/${path}`));
  expect(config).toMatchObject({ kernel: '/there/k/x.js', ramdisk: '/there/r' });
  expect(config.disks.map(({ target }) => target)).toEqual(['/there/a.img', '/b', 'c', '', 't']);
  const named = resolvedConfig({ ...result.config, kernel: 'guest' }, () => 'wrong');
  expect(named.kernel).toBe('guest');
});

test('whatever the text, it is answered, and with lines that it has', () => {
  const word = fc.constantFrom(
    ...'name = += [ ] , ; \n \t # \' " \\ "a" \'b\' 5 0x9 disk vif "/a,raw,xvda" { \r é'.split(' '),
    '\n',
  );
  const text = fc.oneof(
    fc.array(word, { maxLength: 40 }).map((words) => words.join('')),
    fc.string({ unit: 'binary', maxLength: 60 }),
  );
  fc.assert(
    fc.property(text, (given) => {
      const result = parseCfg(given);
      const lines = given.split('\n').length;
      const said = [...result.warnings, ...(result.ok ? [] : result.errors)];
      for (const { line } of said) expect(line >= 1 && line <= lines).toBe(true);
      if (!result.ok) expect(result.errors.length).toBeGreaterThan(0);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 20 }), { maxLength: 4 }), (words) => {
      for (const parsed of [parseDisk(words), parseVif(words), parseSockets(words)])
        expect(parsed.ok || parsed.error !== '').toBe(true);
    }),
  );
});

test('a file of a mebibyte of brackets or quotes costs no time and no stack', () => {
  for (const letter of ['[', '"', "'a", 'a', '=', '\\', '[[],']) {
    const result = parseCfg(letter.repeat(2 ** 20 / letter.length));
    expect(result.ok).toBe(false);
  }
});
