// A data ring as the backend has it: where bytes are and how many, over the wrap of halves and indices; what a hostile guest writes into his pages is
// refused or seen; events go when somebody may be waiting, and nothing is left of a ring that was closed.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Index } from '../../netback/xensock/core/pvcalls.ts';
import { DataRing, type DataRingOptions } from '../../netback/xensock/io/dataring.ts';
import { errnoName, type OsError } from '../../osdep/errno.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

let host: LocalHost<SteppedScheduler>;
let guest: ReturnType<typeof guestOf>;
let ports: Ports;
let rung: number;
const gnttabOf = (): DataRingOptions['gnttab'] => host.platformFor(0).openGnttab();

function guestOf(domid: number, order: number) {
  const platform = host.platformFor(domid);
  const pages = platform.openGntshr().sharePages(0, (1 << order) + 1, 'rw');
  const index = new Page(pages.page(0));
  const evtchn = platform.openEvtchn();
  const port = evtchn.bindUnboundPort(0);
  index.store(Index.RING_ORDER, order);
  for (let page = 0; page < 1 << order; page++) index.store(Index.REFS + 4 * page, pages.refs[page + 1]!);
  const data = new Uint8Array(pages.bytes.buffer, pages.bytes.byteOffset + 4096, 4096 << order);
  let events = 0;
  evtchn.onReadable(() => {
    for (let fired = evtchn.pending(); fired !== undefined; fired = evtchn.pending()) {
      events += 1;
      evtchn.unmask(fired);
    }
  });
  return {
    domid,
    pages,
    index,
    data,
    port,
    ring: () => evtchn.notify(port),
    /** How often it was rung since the last time this was asked. */
    events: (): number => {
      while (host.scheduler.step()) {}
      const count = events;
      events = 0;
      return count;
    },
  };
}

function open(over: Partial<DataRingOptions> = {}): DataRing {
  const onEvent = (): void => void rung++;
  const named = { domid: guest.domid, ref: guest.pages.refs[0]!, evtchn: guest.port };
  const ring = new DataRing({ gnttab: gnttabOf(), ports, ...named, onEvent, ...over });
  guest.events();
  return ring;
}

function refusal(over: Partial<DataRingOptions> = {}): string {
  try {
    open(over).close();
    return 'nothing';
  } catch (error) {
    return errnoName((error as OsError).errno);
  }
}

beforeEach(() => {
  host = steppedHost({ seed: 1 });
  const ctrl = host.platformFor(0).openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.unpause(domid);
  ports = new Ports(host.platformFor(0).openEvtchn());
  rung = 0;
  guest = guestOf(domid, 1);
});

afterEach(() => ports.close());

describe('a data ring', () => {
  test.each([1, 2, 5, 9])('of order %i has halves of half its pages', (order) => {
    guest = guestOf(guest.domid, order);
    const ring = open();
    expect([ring.size, ring.memory.length, ring.pages]).toEqual([
      2 ** (order + 11),
      2 ** (order + 12),
      2 ** order + 1,
    ]);
    expect([ring.outReady(), ring.inRoom()]).toEqual([0, ring.size]);
  });

  test('says where the guest has put bytes, over the wrap of the half', () => {
    const ring = open();
    guest.index.store(Index.OUT_PROD, 4000);
    expect([ring.outReady(), ring.outOffset()]).toEqual([4000, 4096]);
    ring.took(4000);
    guest.data[4096 + 4000] = 77;
    guest.index.store(Index.OUT_PROD, 8000);
    expect([ring.outReady(), ring.outOffset(), ring.memory[ring.outOffset()]]).toEqual([4000, 8096, 77]);
    ring.took(96);
    expect([ring.outReady(), ring.outOffset()]).toEqual([3904, 4096]);
    ring.notify();
    expect(guest.index.load(Index.OUT_CONS)).toBe(4096);
  });

  test('goes on over the wrap of the indices, where the page says that it was', () => {
    for (const word of [Index.IN_PROD, Index.IN_CONS, Index.OUT_PROD, Index.OUT_CONS])
      guest.index.store(word, 0xffff_f800);
    const ring = open();
    guest.index.store(Index.OUT_PROD, 0x400);
    expect([ring.outReady(), ring.outOffset(), ring.inOffset()]).toEqual([0xc00, 4096 + 0x800, 0x800]);
    ring.took(0xc00);
    ring.gave(0x900);
    ring.notify();
    expect(guest.index.load(Index.OUT_CONS)).toBe(0x400);
    expect(guest.index.load(Index.IN_PROD)).toBe(0x100);
    expect(ring.inRoom()).toBe(4096 - 0x900);
  });

  test('sees impossible indices, whatever the guest has written over ours', () => {
    const ring = open();
    guest.index.store(Index.OUT_PROD, 4097);
    expect(ring.outReady()).toBe(-1);
    guest.index.store(Index.IN_CONS, 1);
    expect(ring.inRoom()).toBe(-1);
    guest.index.store(Index.IN_CONS, 0);
    guest.index.store(Index.OUT_PROD, 10);
    guest.index.store(Index.OUT_CONS, 5);
    guest.index.store(Index.IN_PROD, 4096);
    expect([ring.outReady(), ring.inRoom()]).toEqual([10, 4096]);
  });

  test.each([0, 10, 0xffff_ffff])('of order %i is refused', (order) => {
    guest.index.store(Index.RING_ORDER, order);
    expect(refusal()).toBe('EINVAL');
  });

  test('is refused with a reference, an index page or a port that is none, and leaves nothing', () => {
    expect(refusal({ ref: 4_000_000 })).toBe('EFAULT');
    expect(refusal({ evtchn: 999 })).toBe('EFAULT');
    guest.index.store(Index.REFS + 4, 4_000_000);
    expect(refusal()).toBe('EFAULT');
    guest.index.store(Index.REFS + 4, guest.pages.refs[2]!);
    open().close();
    const before = host.extents;
    guest.pages.unmap();
    expect(host.extents).toBe(before - 1);
  });

  test('is taken from a budget, and given back, also when it cannot be made', () => {
    let left = 5;
    const budget = {
      take: (pages: number) => {
        if (pages > left) return false;
        left -= pages;
        return true;
      },
      giveBack: (pages: number) => {
        left += pages;
      },
    };
    const ring = open({ budget });
    expect(left).toBe(2);
    expect(refusal({ budget })).toBe('ENOMEM');
    ring.close();
    ring.close();
    expect(refusal({ budget, evtchn: 999 })).toBe('EFAULT');
    expect(left).toBe(5);
  });

  test('tells the guest of bytes once he has read those that he knows of', () => {
    const ring = open();
    ring.gave(10);
    ring.gave(10);
    ring.notify();
    expect(guest.events()).toBe(1);
    ring.notify();
    ring.gave(10);
    ring.notify();
    expect(guest.events()).toBe(0);
    guest.index.store(Index.IN_CONS, 30);
    ring.gave(1);
    ring.notify();
    expect(guest.events()).toBe(1);
  });

  test('tells him of room only after he has filled it, and when half of it is free', () => {
    const ring = open();
    guest.index.store(Index.OUT_PROD, 4000);
    ring.took(4000);
    ring.notify();
    expect(guest.events()).toBe(0);
    guest.index.store(Index.OUT_PROD, 8096);
    ring.took(100);
    ring.notify();
    expect(guest.events()).toBe(0);
    ring.took(2000);
    ring.notify();
    expect(guest.events()).toBe(1);
    ring.took(1996);
    ring.notify();
    expect(guest.events()).toBe(0);
  });

  test('is never seen empty by him as long as somebody is at work on it', () => {
    const ring = open();
    guest.index.store(Index.OUT_PROD, 4096);
    ring.took(4096);
    ring.notifyAwake();
    expect([guest.index.load(Index.OUT_CONS), guest.events()]).toEqual([4095, 1]);
    guest.index.store(Index.OUT_PROD, 8191);
    ring.took(4095);
    ring.notifyAwake();
    expect([guest.index.load(Index.OUT_CONS), guest.events()]).toEqual([8190, 1]);
    ring.notify();
    expect([guest.index.load(Index.OUT_CONS), guest.events()]).toEqual([8191, 0]);
  });

  test('ends a direction once, after which nothing else counts', () => {
    const ring = open();
    ring.fail('in', 107);
    ring.fail('in', 104);
    ring.notify();
    ring.notify();
    expect(guest.events()).toBe(1);
    ring.fail('out', 104);
    ring.notify();
    expect(guest.events()).toBe(1);
    expect(guest.index.load(Index.IN_ERROR) | 0).toBe(-107);
    expect(guest.index.load(Index.OUT_ERROR) | 0).toBe(-104);
  });

  test('does not hear a guest who rings on until it listens again', () => {
    const ring = open();
    ring.listen();
    guest.ring();
    guest.events();
    const first = rung;
    for (let i = 0; i < 10; i++) guest.ring();
    guest.events();
    expect(rung).toBe(first);
    ring.listen();
    guest.events();
    expect(rung).toBe(first + 1);
    ring.close();
    expect([ring.memory.length, ring.outReady(), ring.inRoom()]).toEqual([0, 0, 0]);
  });
});
