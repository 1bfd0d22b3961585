// A way out that is flooded: what nobody takes costs half of a processor, and not all of it; what somebody takes goes on as it comes. An error of one
// direction says nothing of the other.
import { describe, expect, test } from 'vitest';
import { Header } from '../../netback/vif/core/header.ts';
import { Network, type Port } from '../../netback/vif/core/network.ts';
import { guestPort } from '../../netback/vif/core/switch.ts';
import { Exchange } from '../../netback/vif/io/exchange.ts';
import { Spare, TapWire } from '../../netback/vif/io/uplink.ts';
import { readVnet } from '../../netback/vif/io/vnet.ts';
import { Errno } from '../../osdep/errno.ts';
import { TapWriter } from '../../osdep/os/tapwriter.ts';
import { liveHost } from '../../osdep/sim/local.ts';
import { BROADCAST, frameOf, Machine, macOf } from './kit.ts';

const HEADER = 10;
const FRAME = frameOf(macOf(2), macOf(9));

interface Scene {
  readonly wire: TapWire;
  /** Frames that the device has had read. */
  reads: number;
  /** What a read or write says instead of being done. */
  readError: number;
  writeError: number;
  /** Packets that the guest with address 2 has taken. */
  readonly taken: number[];
  takes: boolean;
  readonly network: Network;
  readonly machine: Machine;
}

function scene(): Scene {
  const machine = new Machine();
  const { pool, memory } = machine;
  const network = new Network(pool, memory, 1);
  const tap = {
    fd: -1,
    read(at: number): number {
      if (made.readError !== 0) return -made.readError;
      made.reads++;
      memory.fill(0, at, at + HEADER);
      memory.set(FRAME, at + HEADER);
      return HEADER + FRAME.length;
    },
    write: (_: number, length: number): number => (made.writeError === 0 ? length : -made.writeError),
  };
  const mac = macOf(9);
  const options = {
    tap,
    writer: new TapWriter({ memory, batches: 'no' }),
    mac,
    network,
    memory,
    spare: new Spare(),
    now: 0,
    full: () => false,
    onGone: () => {},
  };
  const wire = new TapWire(options);
  const taken: number[] = [];
  const enqueueAdapted = (packet: number): boolean => {
    if (!made.takes || pool.free < 8) return false;
    pool.hold(packet);
    taken.push(packet);
    return true;
  };
  const guest: Port = {
    frameMax: 4096,
    enqueue: (packet) => {
      enqueueAdapted(packet);
      return 0;
    },
    enqueueAdapted,
    dropped: () => {},
    blame: () => {},
  };
  network.add(guest, { ...guestPort, mac: macOf(2) }, 0);
  const made: Scene = { wire, reads: 0, readError: 0, writeError: 0, taken, takes: false, network, machine };
  return made;
}

describe('frames that nobody takes', () => {
  test('are read for a while, and then again after a rest', () => {
    const made = scene();
    const said: (string | undefined)[] = [];
    for (let turn = 0; turn < 100; turn++) said.push(made.wire.read(128, 5));
    expect(said.slice(0, 5)).toEqual(['turn', 'turn', 'turn', 'rest', 'rest']);
    expect(made.reads).toBe(512);
    expect(made.wire.read(128, 6)).toBe('turn');
    expect(made.reads).toBe(640);
  });

  test('do not count where most are taken', () => {
    const made = scene();
    made.takes = true;
    for (let turn = 0; turn < 100; turn++) {
      expect(made.wire.read(40, 5)).toBe('turn');
      for (const packet of made.taken.splice(0)) made.machine.pool.release(packet);
    }
    expect(made.reads).toBe(4000);
  });
});

test('a device that takes nothing for a while is read all the same', () => {
  const made = scene();
  made.takes = true;
  made.writeError = Errno.EAGAIN;
  const packet = made.machine.packet(frameOf(macOf(9), macOf(2)));
  made.network.receive(1, packet, 0);
  made.wire.write();
  expect(made.wire.statistics.rxErrors).toBe(1);
  expect(made.wire.read(4, 0)).toBe('turn');
});

test('a mistake of ours while somebody is given a frame costs whoever that is', () => {
  const { network, wire, machine, taken } = scene();
  const blamed: string[] = [];
  const other: Port = {
    frameMax: 4096,
    enqueue: () => {
      throw new RangeError('packet released twice');
    },
    enqueueAdapted: () => false,
    dropped: () => {},
    blame: (reason) => blamed.push(reason),
  };
  network.add(other, { ...guestPort, mac: macOf(4) }, 0);
  const before = machine.pool.free;
  expect(network.receive(1, machine.packet(frameOf(BROADCAST, macOf(2))), 0)).toBeUndefined();
  expect(blamed).toEqual(['internal error: packet released twice']);
  wire.write();
  expect(wire.statistics.rxPackets).toBe(1);
  expect([machine.pool.free, taken]).toEqual([before, []]);
});

test('a checksum of a packet within a packet is filled in, and never says that there is none', () => {
  const { machine } = scene();
  const { pool, memory } = machine;
  const frame = frameOf(macOf(2), macOf(9), 40);
  frame.set([0xff, 0xff], 24);
  const packet = machine.packet(frame);
  const at = pool.position(packet) - HEADER;
  // From byte 20 on, to be written 10 bytes behind that.
  memory.set([1, 0, 0, 0, 0, 0, 20, 0, 10, 0], at);
  expect(readVnet(memory, at, pool, packet, new Header())).toBe(true);
  expect([...machine.bytes(packet).subarray(30, 32)]).toEqual([0xff, 0xff]);
});

test('nobody speaks for the machine', () => {
  const { network, machine } = scene();
  expect(network.receive(1, machine.packet(frameOf(macOf(3), macOf(9))), 0)).toBe('spoofed');
});

test('who rests has his turn again when time has passed', async () => {
  const timers: (() => void)[] = [];
  const after = (_: number, act: () => void): (() => void) => {
    timers.push(act);
    return () => {};
  };
  const exchange = new Exchange(liveHost().platformFor(0).openGnttab(), { now: () => 0, after }, 1);
  const lan = exchange.openLan();
  let reads = 0;
  lan.wire = {
    read() {
      reads++;
      return 'rest';
    },
    write() {},
  };
  exchange.schedule(lan);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  await turn();
  expect(reads).toBe(1);
  expect(timers).toHaveLength(1);
  timers[0]!();
  await turn();
  expect(reads).toBeGreaterThan(1);
  exchange.stop();
});
