// Data rings that stay mapped because their guest is going to use them again: as new when they are named again, not used when the guest has made
// something else of them, and never more than so many pages.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Index } from '../../netback/xensock/core/pvcalls.ts';
import { DataRing } from '../../netback/xensock/io/dataring.ts';
import { KeptRings } from '../../netback/xensock/io/keptrings.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

let host: LocalHost<SteppedScheduler>;
let ports: Ports;
let kept: KeptRings;
let domid: number;
let pagesHeld: number;
let largest: number;

beforeEach(() => {
  host = steppedHost({ seed: 1 });
  const ctrl = host.platformFor(0).openCtrl();
  domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 100_000);
  ctrl.unpause(domid);
  ports = new Ports(host.platformFor(0).openEvtchn());
  kept = new KeptRings();
  pagesHeld = 0;
  largest = 9;
});

afterEach(() => ports.close());

function guest(order = 1) {
  const platform = host.platformFor(domid);
  const pages = platform.openGntshr().sharePages(0, (1 << order) + 1, 'rw');
  const index = new Page(pages.page(0));
  const evtchn = platform.openEvtchn();
  const port = evtchn.bindUnboundPort(0);
  let events = 0;
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) {
      events++;
      evtchn.unmask(fired);
    }
  });
  const clear = (): void => {
    index.bytes.fill(0);
    index.store(Index.RING_ORDER, order);
    for (let page = 0; page < 1 << order; page++) index.store(Index.REFS + 4 * page, pages.refs[page + 1]!);
  };
  clear();
  return {
    index,
    ref: pages.refs[0]!,
    port,
    clear,
    ring: () => evtchn.notify(port),
    get events() {
      return events;
    },
  };
}

type Guest = ReturnType<typeof guest>;

function mapped({ ref, port }: Guest): DataRing {
  const budget = {
    take: (pages: number) => {
      pagesHeld += pages;
      return true;
    },
    giveBack: (pages: number) => {
      pagesHeld -= pages;
    },
    get ringOrder() {
      return largest;
    },
  };
  const gnttab = host.platformFor(0).openGnttab();
  return new DataRing({ gnttab, ports, domid, ref, evtchn: port, onEvent: () => {}, budget });
}

const run = (): void => {
  while (host.scheduler.step()) {}
};

test('a ring that is named again is as new, and hears its guest', () => {
  const one = guest();
  const ring = mapped(one);
  one.index.store(Index.OUT_PROD, 100);
  ring.took(100);
  ring.gave(50);
  ring.fail('in', 107);
  ring.notify();
  run();
  kept.keep(one.ref, one.port, ring);
  const before = one.events;
  one.clear();
  let rung = 0;
  const again = kept.take(one.ref, one.port, () => {
    rung++;
    ring.listen();
  });
  expect(again).toBe(ring);
  expect([ring.outReady(), ring.inRoom(), one.index.load(Index.IN_ERROR), rung]).toEqual([0, 4096, 0, 1]);
  one.index.store(Index.OUT_PROD, 10);
  one.ring();
  run();
  expect([ring.outReady(), rung]).toEqual([10, 2]);
  ring.gave(1);
  ring.fail('in', 107);
  ring.notify();
  run();
  expect(one.events).toBe(before + 1);
  expect(kept.take(one.ref, one.port, () => {})).toBeUndefined();
});

test('one that lies idle tells nobody of events', () => {
  const one = guest();
  const ring = mapped(one);
  ring.listen();
  kept.keep(one.ref, one.port, ring);
  for (let i = 0; i < 10; i++) one.ring();
  run();
  expect(ring.isOpen).toBe(true);
});

test.each<[string, (one: Guest) => void]>([
  ['another order', ({ index }) => index.store(Index.RING_ORDER, 2)],
  ['no order', ({ index }) => index.store(Index.RING_ORDER, 0xffff_ffff)],
  ['other pages', ({ index }) => index.store(Index.REFS + 4, 9)],
  [
    'more than it may have',
    () => {
      largest = 0;
    },
  ],
])('one with %s is let go of', (_, change) => {
  const one = guest();
  const ring = mapped(one);
  kept.keep(one.ref, one.port, ring);
  one.clear();
  change(one);
  expect(kept.take(one.ref, one.port, () => {})).toBeUndefined();
  expect([ring.isOpen, pagesHeld]).toEqual([false, 0]);
});

test('one with another port is let go of', () => {
  const [one, other] = [guest(), guest()];
  kept.keep(one.ref, one.port, mapped(one));
  expect(kept.take(one.ref, other.port, () => {})).toBeUndefined();
  expect(pagesHeld).toBe(0);
});

test('so many pages are kept, those that came last', () => {
  const all = Array.from({ length: 20 }, () => guest(8));
  for (const one of all) kept.keep(one.ref, one.port, mapped(one));
  expect(pagesHeld).toBe(15 * 257);
  const found = all.map((one) => kept.take(one.ref, one.port, () => {}) !== undefined);
  expect(found.lastIndexOf(false)).toBe(4);
  for (const one of all.slice(0, 3)) kept.keep(one.ref, one.port, mapped(one));
  expect([kept.drop(), kept.drop()]).toEqual([true, false]);
  expect(pagesHeld).toBe(15 * 257);
});
