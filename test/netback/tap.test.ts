// TAP devices of this machine, in a network namespace of the test's own: made, named, numbered and removed; frames come and go with their header.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import {
  addToBridge,
  indexOf,
  isDeviceName,
  nameOfIndex,
  parseAddress,
  setAddress,
  setMac,
  setMtu,
  setUp,
} from '../../osdep/os/netdev.ts';
import { removeTap, Tap, VNET_HEADER_BYTES } from '../../osdep/os/tap.ts';
import { TapWriter } from '../../osdep/os/tapwriter.ts';
import { NetNamespace, noNamespaces, whyNot } from './netns.ts';

test('names and addresses that the kernel would not take are known before', () => {
  for (const name of ['vif1.0', 'a', 'fifteen-bytes-x']) expect(isDeviceName(name)).toBe(true);
  for (const name of ['', 'sixteen-bytes-xx', 'a/b', 'a b', 'a:0', '..', 'vif%d'])
    expect(isDeviceName(name)).toBe(false);
  expect(parseAddress('10.53.0.1/24')).toEqual({ bytes: [10, 53, 0, 1], prefix: 24 });
  for (const text of ['10.53.0.1', '10.53.0.256/24', '10.53.0.1/33', '::1/64', ''])
    expect(parseAddress(text)).toBeUndefined();
});

describe.skipIf(noNamespaces !== undefined)(`devices of this machine${whyNot}`, () => {
  const memory = new Uint8Array(8192);
  let space: NetNamespace;
  const open: Tap[] = [];
  const tap = (name: string, which: 'new' | 'any' = 'new'): Tap => {
    const made = new Tap({ name, which, memory });
    open.push(made);
    return made;
  };
  beforeEach(() => {
    space = new NetNamespace('tap');
  });
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
    space.leave();
  });
  const shown = (name: string): string => space.run('ip', '-d', 'address', 'show', 'dev', name);

  test('one is made as ordered, and goes with its descriptor', () => {
    const device = tap('web0');
    setMac('web0', [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
    setMtu('web0', 1400);
    setAddress('web0', parseAddress('10.53.0.1/24')!);
    setUp('web0');
    const before = shown('web0');
    expect(before).toMatch(/NO-CARRIER[^>]*UP/);
    expect(before).toMatch(/mtu 1400/);
    expect(before).toMatch(/link\/ether fe:ff:ff:ff:ff:ff/);
    expect(before).toMatch(/inet 10\.53\.0\.1\/24/);
    device.setCarrier(true);
    expect(shown('web0')).toMatch(/LOWER_UP/);
    device.close();
    expect(indexOf('web0')).toBeUndefined();
  });

  test('a bridge takes it, also under another name', () => {
    space.run('ip', 'link', 'add', 'xenbr0', 'type', 'bridge');
    const device = tap('vif1.0');
    const index = indexOf('vif1.0')!;
    space.run('ip', 'link', 'set', 'vif1.0', 'name', 'web0');
    expect(nameOfIndex(index)).toBe('web0');
    expect(device.name).toBe('web0');
    addToBridge('xenbr0', 'web0');
    expect(shown('web0')).toMatch(/master xenbr0/);
    expect(() => addToBridge('nobr', 'web0')).toThrow(/nobr.*ENODEV/);
  });

  test('names that are taken are not taken over', () => {
    tap('web0');
    space.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    expect(() => tap('web0')).toThrow(/web0: EBUSY/);
    expect(() => tap('web0', 'any')).toThrow(/web0: EBUSY/);
    expect(() => tap('br0')).toThrow(/br0: E(BUSY|INVAL)/);
    expect(removeTap('br0')).toBe(false);
  });

  test('a persistent one stays where it is when its process is killed, and is taken over', () => {
    space.run('ip', 'link', 'add', 'xenbr0', 'type', 'bridge');
    const first = tap('vif1.0');
    first.setPersistent(true);
    addToBridge('xenbr0', 'vif1.0');
    first.close();
    const second = tap('vif1.0', 'any');
    expect(shown('vif1.0')).toMatch(/master xenbr0/);
    second.close();
    expect(removeTap('vif1.0')).toBe(true);
    expect(indexOf('vif1.0')).toBeUndefined();
  });

  test('what the machine sends comes out, what is written it gets; a device that is removed says so', async () => {
    const device = tap('web0');
    setAddress('web0', parseAddress('10.53.0.1/24')!);
    setUp('web0');
    device.setCarrier(true);
    const ping = spawn('ping', ['-c', '1', '-W', '5', '10.53.0.2'], { stdio: 'ignore' });
    const next = async (): Promise<number> => {
      for (;;) {
        const count = device.read(0, 1000, 4096, 4096);
        if (count !== -Errno.EAGAIN) return count;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const frame = memory.subarray(VNET_HEADER_BYTES);
    let answered = false;
    while (!answered) {
      const count = await next();
      expect(count).toBeGreaterThan(VNET_HEADER_BYTES + 14);
      const type = (frame[12]! << 8) | frame[13]!;
      // Whoever is asked for says so; an echo goes back with its addresses exchanged.
      if (type === 0x0806) {
        const asker = frame.slice(22, 32);
        frame.set(asker.subarray(0, 6), 0);
        frame.set([2, 0, 0, 0, 0, 2], 6);
        frame[21] = 2;
        frame.set([2, 0, 0, 0, 0, 2, 10, 53, 0, 2], 22);
        frame.set(asker, 32);
        expect(device.write(0, count)).toBe(count);
      } else if (type === 0x0800 && frame[23] === 1) {
        frame.set(frame.slice(6, 12), 0);
        frame.set([2, 0, 0, 0, 0, 2], 6);
        frame.set([10, 53, 0, 2, 10, 53, 0, 1], 26);
        frame[34] = 0;
        // Eight less in the first word of what is summed up, eight more in the sum.
        const sum = ((frame[36]! << 8) | frame[37]!) + 0x0800;
        const folded = (sum & 0xffff) + (sum >>> 16);
        frame[36] = folded >> 8;
        frame[37] = folded;
        expect(device.write(0, count)).toBe(count);
        answered = true;
      }
    }
    const [code] = (await once(ping, 'close')) as [number];
    expect(code).toBe(0);
    execFileSync('ip', ['link', 'del', 'web0']);
    expect(device.read(0, 1000, 4096, 4096)).toBe(-Errno.EBADFD);
  });

  test('a frame larger than the first place goes on in the second', async () => {
    const device = tap('web0');
    setMtu('web0', 5000);
    setAddress('web0', parseAddress('10.53.0.1/24')!);
    setUp('web0');
    device.setCarrier(true);
    space.run('ip', 'neigh', 'add', '10.53.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'web0');
    const ping = spawn('ping', ['-c', '1', '-s', '4000', '-p', 'a5', '-W', '1', '10.53.0.2'], {
      stdio: 'ignore',
    });
    for (;;) {
      const count = device.read(0, 100, 4096, 4096);
      if (count < 4000) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      expect(count).toBe(VNET_HEADER_BYTES + 14 + 20 + 8 + 4000);
      expect(memory.subarray(4096, 4096 + count - 100).every((byte) => byte === 0xa5)).toBe(true);
      break;
    }
    ping.kill();
    await once(ping, 'close');
  });

  test.for(['try', 'no'] as const)(
    'many frames are written in order, each with its outcome: batches %s',
    async (batches, { skip }) => {
      const from = tap('from0');
      const to = tap('to0');
      space.run('ip', 'link', 'add', 'xenbr0', 'type', 'bridge');
      for (const [name, device] of [
        ['from0', from],
        ['to0', to],
      ] as const) {
        addToBridge('xenbr0', name);
        setUp(name);
        device.setCarrier(true);
      }
      setUp('xenbr0');
      for (const name of ['from0', 'to0'])
        while (!/\bstate forwarding\b/.test(shown(name))) await new Promise(setImmediate);
      const writer = new TapWriter({ memory, batches });
      if (writer.refused !== undefined) skip(writer.refused);
      // For everybody, of a type that nobody else speaks, numbered.
      const step = 64;
      const length = VNET_HEADER_BYTES + 30;
      const number = VNET_HEADER_BYTES + 14;
      const add = (value: number, place: number): void => {
        const bytes = memory.subarray(place * step, (place + 1) * step).fill(0);
        bytes.set([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 0x88, 0xb5], VNET_HEADER_BYTES);
        bytes[number] = value;
        writer.add(place * step, length);
      };
      const arrived: number[] = [];
      const take = async (count: number): Promise<void> => {
        for (; ; await new Promise(setImmediate)) {
          arrive();
          if (arrived.length >= count) return;
        }
      };
      const arrive = (): void => {
        while (to.read(7000, 100, 7100, 1000) > 0) {
          const at = 7000 + VNET_HEADER_BYTES + 12;
          if (memory[at] === 0x88 && memory[at + 1] === 0xb5) arrived.push(memory[at + 2]!);
        }
      };
      const sent: number[] = [];
      for (const count of [1, 2, writer.capacity, 3, writer.capacity, 1]) {
        for (let i = 0; i < count; i++) {
          sent.push(sent.length);
          add(sent.length - 1, i);
        }
        writer.write(from);
        expect([...writer.results.subarray(0, count)]).toEqual(Array.from({ length: count }, () => length));
        await take(sent.length);
      }
      expect(arrived).toEqual(sent);
      // One that makes no sense among good ones, and a device that is gone.
      for (let i = 0; i < 3; i++) add(200 + i, i);
      memory[step] = 1;
      memory[step + 6] = 200;
      writer.write(from);
      expect([...writer.results.subarray(0, 3)]).toEqual([length, -Errno.EINVAL, length]);
      await take(sent.length + 2);
      expect(arrived.slice(sent.length)).toEqual([200, 202]);
      execFileSync('ip', ['link', 'del', 'from0']);
      for (let i = 0; i < 2; i++) add(0, i);
      writer.write(from);
      expect([...writer.results.subarray(0, 2)]).toEqual([-Errno.EBADFD, -Errno.EBADFD]);
      writer.close();
      writer.close();
    },
  );
});
