// What the other end has written into the store: read as the headers say, refused with one line when it is not what they say.
import { expect, test } from 'vitest';
import { deviceNodes } from '../../xenstored/xenbus/attach.ts';
import {
  backendPath,
  backendRoot,
  errorPath,
  frontendPath,
  parseBackendPath,
} from '../../xenstored/xenbus/path.ts';
import { pvcallsKeys, readPvcallsBack, readPvcallsFront } from '../../xenstored/xenbus/pvcalls.ts';
import { parseState } from '../../xenstored/xenbus/state.ts';
import {
  type Checked,
  type KeyReader,
  parseMac,
  parseNumber,
  readKeys,
} from '../../xenstored/xenbus/value.ts';
import { readVbdBack, readVbdFront, readVbdOrder, vbdKeys } from '../../xenstored/xenbus/vbd.ts';
import { readVifBack, readVifFront, readVifOrder, vifKeys } from '../../xenstored/xenbus/vif.ts';

type Directory = Readonly<Record<string, string>>;

function read<T>(reader: KeyReader<T>, keys: Directory): Checked<T> {
  return readKeys(reader, (key) => keys[key]);
}

const disk = { maxRingPageOrder: 4, maxQueues: 4, protocol: 'x86_64-abi' } as const;
const net = { maxQueues: 2, splitEventChannels: true, ctrlRing: true } as const;

test('a disk in each of the ways in which frontends announce their rings', () => {
  const one = { persistent: false, protocol: 'x86_64-abi' };
  const rows: readonly (readonly [Directory, unknown])[] = [
    [
      { 'ring-ref': '8', 'event-channel': '12' },
      { ...one, queues: [{ ringRefs: [8], eventChannel: 12 }] },
    ],
    [
      {
        'ring-page-order': '1',
        'ring-ref0': '8',
        'ring-ref1': '9',
        'event-channel': '12',
        protocol: 'x86_32-abi',
      },
      { ...one, protocol: 'x86_32-abi', queues: [{ ringRefs: [8, 9], eventChannel: 12 }] },
    ],
    [
      { 'num-ring-pages': '2', 'ring-ref0': '8', 'ring-ref1': '9', 'event-channel': '12' },
      { ...one, queues: [{ ringRefs: [8, 9], eventChannel: 12 }] },
    ],
    [
      { 'ring-page-order': '0', 'ring-ref0': '8', 'event-channel': '12' },
      { ...one, queues: [{ ringRefs: [8], eventChannel: 12 }] },
    ],
    [
      { 'ring-page-order': '0', 'ring-ref': '8', 'event-channel': '12' },
      { ...one, queues: [{ ringRefs: [8], eventChannel: 12 }] },
    ],
    [
      {
        'multi-queue-num-queues': '2',
        'queue-0/ring-ref': '8',
        'queue-0/event-channel': '12',
        'queue-1/ring-ref': '9',
        'queue-1/event-channel': '13',
        'feature-persistent': '1',
      },
      {
        ...one,
        persistent: true,
        queues: [
          { ringRefs: [8], eventChannel: 12 },
          { ringRefs: [9], eventChannel: 13 },
        ],
      },
    ],
  ];
  for (const [keys, value] of rows) expect(read(readVbdFront(disk), keys)).toEqual({ ok: true, value });
});

test('a disk whose keys are not what they should be: one line, and nothing is asked in vain', () => {
  const good = { 'ring-ref': '8', 'event-channel': '12' };
  const rows: readonly (readonly [Directory, string])[] = [
    [{}, 'event-channel: missing'],
    [{ ...good, 'event-channel': '0' }, 'event-channel: "0" is not a number from 1 to 131071'],
    [{ ...good, 'event-channel': '12 ' }, 'event-channel: "12 " is not a number from 1 to 131071'],
    [{ ...good, 'ring-ref': '-1' }, 'ring-ref: "-1" is not a number from 0 to 4294967295'],
    [{ ...good, 'ring-ref': '4294967296' }, 'ring-ref: "4294967296" is not a number from 0 to 4294967295'],
    [{ ...good, 'ring-ref': '' }, 'ring-ref: "" is not a number from 0 to 4294967295'],
    [{ ...good, 'ring-page-order': '5' }, 'ring-page-order: "5" is not a number from 0 to 4'],
    [{ ...good, 'ring-page-order': '1' }, 'ring-ref0: missing'],
    [{ ...good, 'num-ring-pages': '3' }, 'num-ring-pages: 3 is not a power of two'],
    [{ ...good, 'multi-queue-num-queues': '5' }, 'multi-queue-num-queues: "5" is not a number from 1 to 4'],
    [{ ...good, 'multi-queue-num-queues': '2' }, 'queue-0/event-channel: missing'],
    [{ ...good, protocol: 'mips' }, 'protocol: "mips" is none of x86_64-abi, x86_32-abi, arm-abi'],
    [
      { ...good, protocol: `\u0000\u001b[2J${'x'.repeat(4000)}` },
      `protocol: "??[2J${'x'.repeat(27)}..." is none of x86_64-abi, x86_32-abi, arm-abi`,
    ],
  ];
  for (const [keys, error] of rows)
    expect(read(readVbdFront(disk), keys), JSON.stringify(keys)).toEqual({ ok: false, error });
  let asked = 0;
  const hostile = { 'multi-queue-num-queues': '4', 'ring-page-order': '4' } as Directory;
  readKeys(readVbdFront(disk), (key) => {
    asked++;
    return hostile[key];
  });
  expect(asked).toBeLessThan(8);
});

test('a network interface: one queue, several, split ports, a control ring', () => {
  const base = { 'request-rx-copy': '1', 'tx-ring-ref': '8', 'rx-ring-ref': '9', 'event-channel': '3' };
  const one = read(readVifFront(net), { ...base, 'feature-rx-notify': '1', 'feature-sg': '1' });
  expect(one).toMatchObject({
    ok: true,
    value: {
      queues: [{ txRingRef: 8, rxRingRef: 9, txEventChannel: 3, rxEventChannel: 3 }],
      features: { sg: true, gsoTcpv4: false, ipv4CsumOffload: true, ipv6CsumOffload: false },
      rxNotify: true,
      ctrl: undefined,
    },
  });
  const queue = (at: string, ref: number): Directory => ({
    [`${at}tx-ring-ref`]: `${ref}`,
    [`${at}rx-ring-ref`]: `${ref + 1}`,
    [`${at}event-channel-tx`]: `${ref + 2}`,
    [`${at}event-channel-rx`]: `${ref + 3}`,
  });
  const two = {
    'request-rx-copy': '1',
    'multi-queue-num-queues': '2',
    ...queue('queue-0/', 10),
    ...queue('queue-1/', 20),
    'ctrl-ring-ref': '30',
    'event-channel-ctrl': '31',
  };
  expect(read(readVifFront(net), two)).toMatchObject({
    ok: true,
    value: {
      queues: [
        { txRingRef: 10, rxRingRef: 11, txEventChannel: 12, rxEventChannel: 13 },
        { txRingRef: 20, rxRingRef: 21, txEventChannel: 22, rxEventChannel: 23 },
      ],
      ctrl: { ringRef: 30, eventChannel: 31 },
    },
  });
  const errors: readonly (readonly [Directory, string])[] = [
    [{ ...base, 'request-rx-copy': '0' }, 'request-rx-copy: not 1, and pages are not flipped'],
    [{ ...base, 'multi-queue-num-queues': '3' }, 'multi-queue-num-queues: "3" is not a number from 1 to 2'],
    [{ ...base, 'multi-queue-num-queues': '0' }, 'multi-queue-num-queues: "0" is not a number from 1 to 2'],
    [{ ...base, 'event-channel-tx': '4' }, 'event-channel-rx: missing'],
    [{ ...base, 'ctrl-ring-ref': '30' }, 'event-channel-ctrl: missing'],
    [{ ...base, 'xdp-headroom': '32768' }, 'xdp-headroom: "32768" is not a number from 0 to 32767'],
  ];
  for (const [keys, error] of errors) expect(read(readVifFront(net), keys)).toEqual({ ok: false, error });
});

test('a socket device: its ring of commands, and the extension where both ends want it', () => {
  const base = { version: '1', 'ring-ref': '8', port: '12' };
  const asked = { ...base, 'feature-xensock': '1' };
  const value = { ringRef: 8, port: 12, extended: false };
  const front = (keys: Directory, extension = true): Checked<unknown> =>
    read(readPvcallsFront({ extension }), keys);
  expect(front(base)).toEqual({ ok: true, value });
  expect(front(asked)).toEqual({ ok: true, value: { ...value, extended: true } });
  expect(front(asked, false)).toEqual({ ok: true, value });
  const errors: readonly (readonly [Directory, string])[] = [
    [{ ...base, version: '2' }, 'version: "2" is not spoken here'],
    [{ 'ring-ref': '8', port: '12' }, 'version: missing'],
    [{ version: '1', port: '12' }, 'ring-ref: missing'],
    [{ ...base, 'ring-ref': '4294967296' }, 'ring-ref: "4294967296" is not a number from 0 to 4294967295'],
    [{ version: '1', 'ring-ref': '8' }, 'port: missing'],
    [{ ...base, port: '0' }, 'port: "0" is not a number from 1 to 131071'],
    [{ ...base, port: '131072' }, 'port: "131072" is not a number from 1 to 131071'],
    [{ ...base, 'feature-xensock': 'yes' }, 'feature-xensock: "yes" is not a number from 0 to 4294967295'],
  ];
  for (const [keys, error] of errors) expect(front(keys), JSON.stringify(keys)).toEqual({ ok: false, error });
});

test('what a socket backend offers', () => {
  const linux = { versions: '1', 'max-page-order': '4', 'function-calls': '1' };
  const back = (keys: Directory): Checked<unknown> => read(readPvcallsBack(), keys);
  expect(back(linux)).toEqual({ ok: true, value: { maxPageOrder: 4, extension: false } });
  const newer = { ...linux, versions: '1,2', 'max-page-order': '11', 'feature-xensock': '1' };
  expect(back(newer), 'an index page names 2^9 pages').toEqual({
    ok: true,
    value: { maxPageOrder: 9, extension: true },
  });
  const errors: readonly (readonly [Directory, string])[] = [
    [{}, 'versions: missing'],
    [{ ...linux, versions: '2,11' }, 'versions: "2,11" does not have 1'],
    [{ ...linux, 'max-page-order': '0' }, 'max-page-order: "0" is not a number from 1 to 4294967295'],
    [{ ...linux, 'function-calls': '0' }, 'function-calls: "0" is not a number from 1 to 1'],
    [{ versions: '1', 'max-page-order': '4' }, 'function-calls: missing'],
  ];
  for (const [keys, error] of errors) expect(back(keys), JSON.stringify(keys)).toEqual({ ok: false, error });
});

test("the toolstack's orders", () => {
  expect(read(readVbdOrder(), { params: '/dev/vg/disk', mode: 'w', 'discard-enable': '0' })).toEqual({
    ok: true,
    value: {
      params: '/dev/vg/disk',
      writable: true,
      type: 'phy',
      deviceType: 'disk',
      removable: false,
      discard: false,
    },
  });
  expect(read(readVbdOrder(), {})).toEqual({ ok: false, error: 'params: missing' });
  const vif = { mac: '00:16:3e:01:02:03', handle: '0', rate: '131072,50000', mtu: '9000' };
  expect(read(readVifOrder(), vif)).toEqual({
    ok: true,
    value: {
      mac: [0, 0x16, 0x3e, 1, 2, 3],
      handle: 0,
      mtu: 9000,
      bridge: '',
      vifname: '',
      rate: { bytes: 131072, microseconds: 50000 },
    },
  });
  expect(read(readVifOrder(), { ...vif, mac: 'ff:ff:ff:ff:ff:ff' })).toEqual({
    ok: false,
    error: 'mac: "ff:ff:ff:ff:ff:ff" is not a MAC address',
  });
  expect(read(readVifOrder(), { ...vif, rate: '5' })).toEqual({
    ok: false,
    error: 'rate: "5" is not bytes,microseconds',
  });
});

test("a backend's features and properties, with the headers' defaults for what is missing", () => {
  expect(read(readVbdBack(), {})).toEqual({
    ok: true,
    value: {
      sectors: 0,
      sectorSize: 512,
      physicalSectorSize: 512,
      info: 0,
      maxRingPageOrder: 0,
      maxQueues: 1,
      maxIndirectSegments: 0,
      persistent: false,
      flush: false,
      barrier: false,
      discard: undefined,
    },
  });
  expect(read(readVbdBack(), { 'sector-size': '4096', sectors: '80', 'feature-discard': '1' })).toMatchObject(
    {
      ok: true,
      value: {
        sectors: 80,
        physicalSectorSize: 4096,
        discard: { granularity: 4096, alignment: 0, secure: false },
      },
    },
  );
  expect(read(readVbdBack(), { 'sector-size': '1000' })).toEqual({
    ok: false,
    error: 'sector-size: 1000 is not a power of two',
  });
  expect(read(readVifBack(), { 'feature-rx-copy': '1', 'feature-no-csum-offload': '1' })).toMatchObject({
    ok: true,
    value: { rxCopy: true, maxQueues: 1, features: { ipv4CsumOffload: false } },
  });
});

test('every key that a reader asks for is in the table of its kind', () => {
  const asked = (reader: KeyReader<unknown>, answers: Directory = {}): readonly string[] => {
    const keys: string[] = [];
    readKeys(reader, (key) => {
      keys.push(key);
      return answers[key];
    });
    return keys.map((key) => key.replace(/^queue-\d+\//, '').replace(/^(ring-ref)\d+$/, '$1%'));
  };
  const known = (rows: readonly { readonly key: string }[]): readonly string[] => rows.map(({ key }) => key);
  for (const [names, rows] of [
    [asked(readVbdFront(disk), { 'event-channel': '1', 'ring-page-order': '0' }), vbdKeys.frontend],
    [[...asked(readVbdOrder()), ...asked(readVbdBack(), { 'feature-discard': '1' })], vbdKeys.backend],
    [
      asked(readVifFront(net), { 'request-rx-copy': '1', 'event-channel-tx': '1', 'ctrl-ring-ref': '1' }),
      vifKeys.frontend,
    ],
    [[...asked(readVifOrder()), ...asked(readVifBack())], vifKeys.backend],
    [
      asked(readPvcallsFront({ extension: true }), { version: '1', 'ring-ref': '1', port: '1' }),
      pvcallsKeys.frontend,
    ],
    [
      asked(readPvcallsBack(), { versions: '1', 'max-page-order': '1', 'function-calls': '1' }),
      pvcallsKeys.backend,
    ],
  ] as const)
    expect(names.filter((name) => !known(rows).includes(name))).toEqual([]);
});

test('numbers, states and addresses are taken as they are written or not at all', () => {
  for (const text of ['', ' 1', '1 ', '+1', '-1', '0x10', '1e3', '1.0', '99999999999999999999', undefined])
    expect(parseNumber(text, 0, 100), String(text)).toBeUndefined();
  expect(['0', '7', '100'].map((text) => parseNumber(text, 0, 100))).toEqual([0, 7, 100]);
  expect(['4', '0', '9', '04', ' 4', 'four', '', undefined].map(parseState)).toEqual([
    4, 0, 0, 0, 0, 0, 0, 0,
  ]);
  expect(parseMac('0:16:3E:1:2:3')).toEqual([0, 0x16, 0x3e, 1, 2, 3]);
  for (const text of ['01:00:5e:00:00:01', '00:16:3e:01:02', '00:16:3e:01:02:03:04', '00-16-3e-01-02-03'])
    expect(parseMac(text), text).toBeUndefined();
});

test('paths are made and taken apart', () => {
  const device = { backendDomid: 0, kind: 'vbd', frontendDomid: 5, devid: 51712 };
  expect(frontendPath(device)).toBe('/local/domain/5/device/vbd/51712');
  expect(frontendPath({ ...device, kind: 'qdisk' })).toBe('/local/domain/5/device/vbd/51712');
  expect(backendPath(device)).toBe('/local/domain/0/backend/vbd/5/51712');
  expect(parseBackendPath(backendPath(device))).toEqual(device);
  expect(parseBackendPath(`${backendPath(device)}/state`)).toEqual(device);
  for (const path of [
    backendRoot(0, 'vbd'),
    '/local/domain/0/backend/vbd/5',
    '/local/domain/0/backend/vbd/x/1',
  ])
    expect(parseBackendPath(path), path).toBeUndefined();
  expect(parseBackendPath('/local/domain/0/backend/vbd/40000/1')).toBeUndefined();
  expect(errorPath(backendPath(device))).toBe('/local/domain/0/error/backend/vbd/5/51712/error');
});

test('a device as the toolstack makes it: who owns and who reads which node', () => {
  const nodes = deviceNodes({
    device: { backendDomid: 2, kind: 'vif', frontendDomid: 5, devid: 0 },
    backend: { mac: '00:16:3e:00:00:01' },
    frontend: { handle: '0' },
    frontendReadOnly: { mtu: '1500' },
  });
  const lines = nodes.map(({ path, value, perms }) => `${path} = ${value} (${perms.join()})`);
  expect(lines).toContain('/local/domain/5/device/vif/0/state = 1 (n5,r2)');
  expect(lines).toContain('/local/domain/5/device/vif/0/mtu = 1500 (n2,r5)');
  expect(lines).toContain('/local/domain/2/backend/vif/5/0/frontend = /local/domain/5/device/vif/0 (n2,r5)');
  expect(lines).toContain('/local/domain/2/backend/vif/5/0/online = 1 (n2,r5)');
  expect(lines).toContain('/libxl/5/device/vif/0/backend = /local/domain/2/backend/vif/5/0 (n0)');
});
