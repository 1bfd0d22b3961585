// The switch: addresses are learned and forgotten as a plain map would do it; somebody who invents addresses forgets his own only, takes nobody
// else's, and floods nobody.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Header } from '../../netback/vif/core/header.ts';
import { MacTable } from '../../netback/vif/core/mactable.ts';
import { guestPort, type PortOptions, Switch, uplinkPort } from '../../netback/vif/core/switch.ts';
import { BROADCAST, frameOf, macOf } from './kit.ts';

const NONE = -1;
const AGE = 300_000;

type Step =
  | { readonly kind: 'learn' | 'ask'; readonly port: number; readonly mac: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'remove'; readonly port: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('learn', 'ask'), port: fc.nat(3), mac: fc.nat(16) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1000, max: 100_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), port: fc.nat(3) }) },
);

const LIMITS = [0, 3, 8, 100];

test('the table of addresses does what a map would', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 160, size: 'max' }), fc.integer(), (steps, seed) => {
      const table = new MacTable(seed, AGE);
      // By address: its port and when it was seen; undefined: it is the port's own. In the order of being seen.
      const model = new Map<number, { port: number; seen: number | undefined }>();
      const start = (port: number): void => {
        table.addPort(port, LIMITS[port]!);
        const own = macOf(100 + port);
        table.fix(port, own, 0);
        model.set(100 + port, { port, seen: undefined });
      };
      for (const port of LIMITS.keys()) start(port);
      let now = 0;
      for (const event of steps) {
        if (event.kind === 'wait') now += event.ms;
        else if (event.kind === 'remove') {
          table.removePort(event.port);
          for (const [mac, { port }] of model) if (port === event.port) model.delete(mac);
          start(event.port);
        } else {
          // Every sixth address is somebody's own.
          const mac = event.mac % 6 === 0 ? 100 + (event.mac % 4) : event.mac;
          const known = model.get(mac);
          if (event.kind === 'ask') {
            const old = known?.seen !== undefined && now - known.seen >= AGE;
            if (old) model.delete(mac);
            expect(table.portOf(macOf(mac), 0, now)).toBe(known === undefined || old ? NONE : known.port);
          } else {
            const { port } = event;
            const foreign = known !== undefined && known.seen === undefined && known.port !== port;
            expect(table.learn(port, macOf(mac), 0, now)).toBe(!foreign);
            if (known !== undefined && known.seen === undefined) continue;
            if (known?.port === port && now - known.seen! < 1000) continue;
            model.delete(mac);
            const mine = [...model].filter(([, entry]) => entry.port === port && entry.seen !== undefined);
            if (LIMITS[port] === 0) continue;
            if (mine.length === LIMITS[port]) model.delete(mine[0]![0]);
            model.set(mac, { port, seen: now });
          }
        }
        expect(table.size).toBe(model.size);
      }
    }),
  );
});

class Bench {
  readonly switch: Switch = new Switch(12345);
  readonly #header: Header = new Header();

  add(mac: number | undefined, options: Partial<PortOptions> = {}): number {
    return this.switch.add({ ...guestPort, mac: mac === undefined ? undefined : macOf(mac), ...options }, 0);
  }

  /** Where a frame goes: ports, or why nowhere. */
  send(from: number, to: Uint8Array, source: Uint8Array, now = 0): readonly number[] | string {
    const frame = frameOf(to, source);
    this.#header.parse(frame, 0, frame.length);
    const refusal = this.switch.forward(from, this.#header, now);
    return refusal ?? [...this.switch.targets.subarray(0, this.switch.targetCount)].sort();
  }
}

describe('a packet goes', () => {
  test('to whose address it is; to all if it is for many or for nobody known; never back', () => {
    const bench = new Bench();
    const [a, b, c] = [bench.add(1), bench.add(2), bench.add(3)];
    const out = bench.switch.add(uplinkPort, 0);
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([b]);
    expect(bench.send(a, BROADCAST, macOf(1))).toEqual([b, c, out]);
    expect(bench.send(a, macOf(77), macOf(1))).toEqual([b, c, out]);
    expect(bench.send(out, macOf(1), macOf(77))).toEqual([a]);
    expect(bench.send(a, macOf(77), macOf(1))).toEqual([out]);
    expect(bench.send(a, macOf(77), macOf(1), AGE)).toEqual([b, c, out]);
    expect(bench.send(a, macOf(1), macOf(1))).toBe('local');
    expect(bench.send(a, Uint8Array.of(1, 0x80, 0xc2, 0, 0, 0), macOf(1))).toBe('local');
  });

  test('never from nobody, from many, or from somebody else', () => {
    const bench = new Bench();
    const [a, b] = [bench.add(1), bench.add(2)];
    const out = bench.switch.add(uplinkPort, 0);
    expect(bench.send(a, BROADCAST, macOf(2))).toBe('spoofed');
    expect(bench.send(out, BROADCAST, macOf(2))).toBe('spoofed');
    expect(bench.send(a, BROADCAST, new Uint8Array(6))).toBe('spoofed');
    expect(bench.send(a, BROADCAST, BROADCAST)).toBe('spoofed');
    expect(bench.send(b, macOf(1), macOf(2)), 'nobody took it over').toEqual([a]);
    expect(bench.send(out, macOf(2), macOf(9))).toEqual([b]);
  });

  test('from a pinned port with its own address alone, and to it with its own alone', () => {
    const bench = new Bench();
    const [a, b] = [bench.add(1, { pinned: true }), bench.add(2)];
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([b]);
    expect(bench.send(a, macOf(2), macOf(50))).toBe('spoofed');
    expect(bench.send(b, macOf(60), macOf(2))).toEqual([]);
    expect(bench.send(b, BROADCAST, macOf(2))).toEqual([a]);
  });

  test('nowhere any more after its port was removed, and numbers are used again', () => {
    const bench = new Bench();
    const [a, b, c] = [bench.add(1), bench.add(2), bench.add(3)];
    bench.switch.remove(b);
    expect(bench.send(a, BROADCAST, macOf(1))).toEqual([c]);
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([c]);
    expect(bench.add(4)).toBe(b);
    expect(bench.send(a, macOf(4), macOf(1))).toEqual([b]);
  });

  test('to the newest port of two with one address', () => {
    const bench = new Bench();
    const [a, old, young] = [bench.add(1), bench.add(2), bench.add(2)];
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([young]);
    bench.switch.remove(old);
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([young]);
  });
});

describe('hostile', () => {
  test('a flood of addresses costs the flooder his own', () => {
    const bench = new Bench();
    const out = bench.switch.add(uplinkPort, 0);
    const [evil, good] = [bench.add(1), bench.add(2)];
    bench.send(out, BROADCAST, macOf(900));
    bench.send(good, BROADCAST, macOf(901));
    for (let i = 0; i < 10_000; i++) bench.send(evil, macOf(2), macOf(1000 + i));
    expect(bench.switch.addresses).toBe(2 + 2 + guestPort.learns);
    expect(bench.send(evil, macOf(900), macOf(1))).toEqual([out]);
    expect(bench.send(evil, macOf(901), macOf(1))).toEqual([good]);
    expect(bench.send(good, macOf(1), macOf(2))).toEqual([evil]);
  });

  test('nor does it cost memory', () => {
    const table = new MacTable(1, AGE);
    table.addPort(0, 32);
    for (let i = 0; i < 10_000; i++) table.learn(0, macOf(i), 0, i);
    expect(table.size).toBe(32);
    expect(table.capacity).toBe(256);
    table.addPort(1, 4096);
    for (let i = 0; i < 10_000; i++) table.learn(1, macOf(i), 0, i);
    expect(table.capacity).toBe(8192);
    for (let i = 10_000 - 4096; i < 10_000; i++) expect(table.portOf(macOf(i), 0, 10_000)).toBe(1);
  });

  test('packets for all are so many a second for each sender; for one they are not limited', () => {
    const bench = new Bench();
    const [evil, good] = [bench.add(1), bench.add(2)];
    let sent = 0;
    while (bench.send(evil, BROADCAST, macOf(1), 5) !== 'flood') sent++;
    expect(sent).toBe(guestPort.floods);
    expect(bench.send(evil, BROADCAST, macOf(1), 5)).toBe('flood');
    expect(bench.send(evil, macOf(66), macOf(1), 5)).toBe('flood');
    expect(bench.send(evil, macOf(2), macOf(1), 5)).toEqual([good]);
    expect(bench.send(good, BROADCAST, macOf(2), 5)).toEqual([evil]);
    expect(bench.send(evil, BROADCAST, macOf(1), 1000)).toEqual([good]);
  });

  test('a packet for one goes to one port, however many there are', () => {
    const bench = new Bench();
    const [a, b] = [bench.add(1), bench.add(2)];
    for (let i = 3; i < 1000; i++) bench.add(i);
    expect(bench.send(a, macOf(2), macOf(1))).toEqual([b]);
    expect(bench.switch.targetCount).toBe(1);
    expect(bench.send(a, macOf(999), macOf(1))).toHaveLength(1);
  });
});
