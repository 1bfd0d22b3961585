// The devices of a host file: what is filled in, and which mistakes are told in a line each. And when a host can have
// an interface of the machine's own: never in the way of what is there.
import { expect, test } from 'vitest';
import { deviceMistakes, devicesOf } from '../../toolstack/core/devices.ts';
import { policyText, reachedAt } from '../../toolstack/core/policy.ts';
import { type Network, obstacle } from '../../toolstack/core/uplink.ts';

const disk = { sizeMb: 16, mode: 'w' } as const;
const both = { blkback: true, netback: true, xensock: true };

test('what is left out is filled in: names, numbers, files and addresses of the cards', () => {
  const guest = {
    name: 'alice',
    disks: [disk, { ...disk, vdev: 'xvdq', file: 'more.img' }],
    vifs: [{}, { address: 'dhcp' }],
    sockets: [{}, {}],
  };
  const devices = devicesOf(guest, 2);
  expect(devices).toMatchObject([
    { name: 'xvda', file: 'alice-xvda.img' },
    { name: 'xvdq', file: 'more.img' },
    { name: 'vif0', mac: '00:16:3e:00:00:03' },
    { name: 'vif1', address: 'dhcp' },
    { name: 'sockets0' },
    { name: 'sockets1' },
  ]);
  // xen-vbd-interface(7): up to the 16th in major 202, from there on in the extended range.
  expect(devices.map(({ devid }) => devid)).toEqual([202 * 256, 2 ** 28 + 16 * 256, 0, 1, 0, 1]);
});

test('mistakes are told, a line each', () => {
  const guest = (name: string, disks: object[], vifs: object[]) => ({
    name,
    disks: disks.map((one) => ({ ...disk, ...one })),
    vifs,
    sockets: [{}],
  });
  const told = (...guests: ReturnType<typeof guest>[]) => deviceMistakes(guests, both);
  expect(told(guest('a', [{ file: 'x' }], [{}]), guest('b', [{ file: 'y' }], [{}]))).toEqual([]);
  expect(told(guest('a', [{ file: 'x' }], []), guest('b', [{ file: 'x' }], []))).toEqual([
    "b's xvda and a's xvda both write to x",
  ]);
  expect(told(guest('a', [{ file: 'x', mode: 'r' }], []), guest('b', [{ file: 'x' }], []))).toEqual([
    "b's xvda and a's xvda share x, which one writes to",
  ]);
  const readers = [{ file: 'x', mode: 'r' }];
  expect(told(guest('a', readers, []), guest('b', readers, []))).toEqual([]);
  expect(told(guest('a', [{}, { vdev: 'xvda', file: 'y' }], []))).toEqual([
    "a's xvda and a's xvda are both called xvda",
  ]);
  expect(told(guest('a', [], [{ mac: '00:16:3E:00:00:02' }]), guest('b', [], [{}]))).toEqual([
    "b's vif0 and a's vif0 have the same mac 00:16:3e:00:00:02",
  ]);
  expect(told(guest('a', [], [{ address: '10.0.0.1/8' }, { address: '10.0.0.1/24' }]))).toEqual([
    "a's vif1 and a's vif0 have the same address 10.0.0.1",
  ]);
  expect(
    deviceMistakes([guest('a', [], [{ address: '10.0.0.1/8' }])], { ...both, uplink: '10.0.0.1/24' }),
  ).toEqual(["a's vif0 and the machine's uplink have the same address 10.0.0.1"]);
  expect(
    deviceMistakes([guest('a', [{}], [{}])], { blkback: false, netback: false, xensock: false }),
  ).toEqual([
    'guest a has disks, and the host no blkback',
    'guest a has vifs, and the host no netback',
    'guest a has sockets, and the host no xensock',
  ]);
});

const uplink = { name: 'stubdom0', address: '10.53.0.1/24' };
const quiet: Network = {
  privileged: true,
  tun: true,
  interfaces: ['lo', 'eth0'],
  ranges: [
    { range: '127.0.0.1/8', interface: 'lo' },
    { range: '0.0.0.0/0', interface: 'eth0' },
    { range: '0.0.0.0/1', interface: 'tun0' },
    { range: '10.52.0.0/16', interface: 'eth0' },
    { range: '10.53.1.0/24', interface: 'eth0' },
  ],
};

test('an interface of the machine is made where nothing speaks against it', () => {
  expect(obstacle(uplink, quiet)).toBeUndefined();
});

test.each<[string, Partial<Network>, RegExp]>([
  ['no privilege', { privileged: false }, /CAP_NET_ADMIN.*as root/],
  ['no TAP', { tun: false }, /\/dev\/net\/tun/],
  ['the name is taken', { interfaces: ['lo', 'stubdom0'] }, /interface stubdom0 already/],
  [
    'a wider range is in use',
    { ranges: [{ range: '10.0.0.0/8', interface: 'vpn0' }] },
    /vpn0 uses 10\.0\.0\.0\/8/,
  ],
  [
    'one address is in use',
    { ranges: [{ range: '10.53.0.77/32', interface: 'eth0' }] },
    /eth0 uses 10\.53\.0\.77/,
  ],
])('and where something does, it is told in a line: %s', (_, network, line) => {
  expect(obstacle(uplink, { ...quiet, ...network })).toMatch(line);
});

test('where the machine reaches what a guest serves, by the policy; and its text as the backend reads it', () => {
  const policy = {
    default: { map: { listen: { '0.0.0.0': '127.0.0.5' } } },
    guests: { web: { map: { listen: { '0.0.0.0:80': '127.0.0.1:8080' } } }, shut: { map: {} } },
  };
  expect(reachedAt(policy, { name: 'web', port: 80 })).toBe('127.0.0.1:8080');
  expect(reachedAt(policy, { name: 'web', port: 81 })).toBeUndefined();
  expect(reachedAt(policy, { name: 'another', port: 81 })).toBe('127.0.0.5:81');
  expect(reachedAt(policy, { name: 'shut', port: 80 })).toBeUndefined();
  const admin = {
    guests: { fetch: { map: { listen: {}, connect: { '127.0.0.1:9090': '127.0.0.1:{admin}' } } } },
  };
  expect(JSON.parse(policyText(admin, { adminPort: 4711 })).guests.fetch.map.connect).toEqual({
    '127.0.0.1:9090': '127.0.0.1:4711',
  });
});
