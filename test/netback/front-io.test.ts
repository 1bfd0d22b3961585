// The driver of a simulated guest with our backend, a real store, rings and grants: several queues, load from a pump, and what an interface's user
// sees of all that.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Interface, type NetfrontWishes, netfront } from '../../netback/vif/front/driver.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { attachVif, PacketHost } from './io-host.ts';

let host: PacketHost;
const closing: (() => Promise<void>)[] = [];
beforeEach(async () => {
  host = await PacketHost.start();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await host.stop();
});

interface Received {
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

interface Guest {
  readonly domid: number;
  readonly nic: Interface;
  readonly mac: Uint8Array;
  readonly received: Received[];
  /** Settles when so many have come. */
  came(count: number): Promise<void>;
}

async function guest(wishes: Partial<NetfrontWishes> = {}): Promise<Guest> {
  const { domid, platform, store } = await host.bareGuest();
  const received: Received[] = [];
  let wanted: { count: number; resolve: () => void } | undefined;
  const nic = new Promise<Interface>((resolve) => {
    const driver = netfront({
      platform,
      wishes,
      onInterface: (connected) => {
        resolve(connected);
        return (frame, meta) => {
          received.push({ frame, meta });
          if (wanted !== undefined && received.length >= wanted.count) wanted.resolve();
        };
      },
    });
    void runFrontends(driver, { store }).then((driven) => closing.push(() => driven.close()));
  });
  await attachVif(host.dom0, domid, `00:16:3e:00:00:0${domid}`);
  const connected = await nic;
  const came = (count: number): Promise<void> =>
    new Promise((resolve) => {
      wanted = { count, resolve };
      if (received.length >= count) resolve();
    });
  return { domid, nic: connected, mac: connected.mac, received, came };
}

/** A frame from one guest to another, of bytes that tell where they are. */
function frameOf(to: Guest, from: Guest, length: number): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  frame.set(to.mac, 0);
  frame.set(from.mac, 6);
  frame.set([0x88, 0xb5], 12);
  return frame;
}

test('a pump sends one frame as often as it is told, of any number of slots', async () => {
  const [one, two] = [await guest(), await guest()];
  // So that addresses are known.
  two.nic.send(frameOf(one, two, 60));
  await one.came(1);
  for (const length of [64, 1514, 9000, 65_535]) {
    const frame = frameOf(two, one, length);
    const pump = one.nic.pump(0, frame);
    // Whoever sends more at once than there is room for on the way may lose some.
    const burst = length > 4096 ? 16 : 256;
    for (let sent = 0; sent < 3; sent++) {
      const before = two.received.length;
      pump.send(burst);
      await two.came(before + burst);
      expect(two.received.slice(before).every((each) => Buffer.compare(each.frame, frame) === 0)).toBe(true);
    }
    pump.stop();
    // Its pages are there for others again.
    const before = two.received.length;
    one.nic.send(frame);
    await two.came(before + 1);
  }
});
