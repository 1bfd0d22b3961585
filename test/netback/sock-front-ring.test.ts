// A data ring between the guest's end and the backend's, each asleep until it is rung: in whatever order they act, and however much at a time, all bytes
// arrive in order, and nobody sleeps for ever. And how few events that takes.
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RingPool } from '../../netback/xensock/front/pool.ts';
import type { Events, Ring } from '../../netback/xensock/front/ring.ts';
import { DataRing } from '../../netback/xensock/io/dataring.ts';
import { Errno } from '../../osdep/errno.ts';
import { Ports } from '../../osdep/ports.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

let host: LocalHost<SteppedScheduler>;
let domid: number;

beforeEach(() => {
  host = steppedHost({ seed: 1 });
  const ctrl = host.platformFor(0).openCtrl();
  domid = ctrl.createDomain({});
  ctrl.setMaxMem(domid, 4096);
  ctrl.unpause(domid);
});
afterEach(() => host.platformFor(0).close());

interface Ends {
  readonly front: Ring;
  readonly back: DataRing;
  readonly pool: RingPool;
  /** Delivers what was rung. */
  settle(): void;
  /** How often each was rung since the last time. */
  rung(): { readonly front: number; readonly back: number };
  /** Whether each may act. */
  readonly awake: { front: boolean; back: boolean };
  close(): void;
}

function ends(order: number, events: Events): Ends {
  const platform = host.platformFor(domid);
  const evtchn = platform.openEvtchn();
  const ports = new Map<number, () => void>();
  const counts = { front: 0, back: 0 };
  const awake = { front: true, back: true };
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      ports.get(port)?.();
    }
  });
  const pool = new RingPool({ gntshr: platform.openGntshr(), evtchn, backendDomid: 0, ports });
  const front = pool.take(order, order, events);
  if (typeof front === 'number') throw new Error(`no ring: ${front}`);
  front.onEvent = () => {
    counts.front++;
    awake.front = true;
  };
  const own = host.platformFor(0);
  const backPorts = new Ports(own.openEvtchn());
  const back = new DataRing({
    gnttab: own.openGnttab(),
    ports: backPorts,
    domid,
    ref: front.ref,
    evtchn: front.port,
    onEvent: () => {
      counts.back++;
      awake.back = true;
    },
  });
  const settle = (): void => {
    while (host.scheduler.step()) {}
  };
  settle();
  return {
    front,
    back,
    pool,
    awake,
    settle,
    rung: () => {
      const now = { ...counts };
      counts.front = 0;
      counts.back = 0;
      return now;
    },
    close() {
      back.close();
      backPorts.close();
      pool.release();
      evtchn.close();
    },
  };
}

const byteAt = (index: number): number => (index * 31 + (index >> 8)) & 0xff;

/** One side of a conversation: so many bytes to send, as many to receive; acts for a while, and sleeps when it can do nothing. */
class Side {
  sent = 0;
  got = 0;
  readonly total: number;
  readonly #send: (bytes: Uint8Array) => number;
  readonly #recv: (into: Uint8Array) => number;

  constructor(total: number, send: (bytes: Uint8Array) => number, recv: (into: Uint8Array) => number) {
    this.total = total;
    this.#send = send;
    this.#recv = recv;
  }

  get done(): boolean {
    return this.sent === this.total && this.got === this.total;
  }

  /** False: neither is possible now. */
  act(sends: number, receives: number): boolean {
    const wanted = Math.min(sends, this.total - this.sent);
    const bytes = Uint8Array.from({ length: wanted }, (_, i) => byteAt(this.sent + i));
    const sent = wanted === 0 ? 0 : this.#send(bytes);
    const into = new Uint8Array(receives);
    const got = this.#recv(into);
    for (let i = 0; i < got; i++)
      if (into[i] !== byteAt(this.got + i)) throw new Error(`byte ${this.got + i} is another`);
    this.sent += sent;
    this.got += got;
    // Whoever has less to send than it might, or gets as much as it has room for, looks again.
    return (wanted > 0 && sent === wanted) || got === receives;
  }
}

const none = (count: number): number => (count === -Errno.EAGAIN ? 0 : count);

function backGive(back: DataRing, bytes: Uint8Array): number {
  let done = 0;
  for (let room = back.inRoom(); room > 0 && done < bytes.length; room = back.inRoom()) {
    const offset = back.inOffset();
    const count = Math.min(room, bytes.length - done, back.size - offset);
    back.memory.set(bytes.subarray(done, done + count), offset);
    back.gave(count);
    done += count;
  }
  back.notify();
  return done;
}

function backTake(back: DataRing, into: Uint8Array): number {
  let done = 0;
  for (;;) {
    const ready = Math.min(back.outReady(), into.length - done);
    if (ready === 0) {
      const shown = back.unshown;
      back.notify();
      // What is shown now may be what the guest waited for with more.
      if (shown === 0 || done === into.length || back.outReady() === 0) return done;
      continue;
    }
    const offset = back.outOffset();
    const count = Math.min(ready, 2 * back.size - offset);
    into.set(back.memory.subarray(offset, offset + count), done);
    back.took(count);
    done += count;
  }
}

test.each<Events>(['needed', 'bytes', 'always'])('nobody sleeps for ever, events %s', (events) => {
  const size = fc.integer({ min: 1, max: 9000 });
  const step = fc.record({ who: fc.boolean(), sends: size, receives: size, settle: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.constantFrom(1, 2), (steps, order) => {
      const { front, back, awake, settle, close } = ends(order, events);
      const total = 30_000;
      const guest = new Side(
        total,
        (bytes) => none(front.send(bytes)),
        (into) => none(front.recv(into)),
      );
      const other = new Side(
        total,
        (bytes) => backGive(back, bytes),
        (into) => backTake(back, into),
      );
      for (let i = 0; !guest.done || !other.done; i++) {
        const { who, sends, receives, settle: delivers } = steps[i % steps.length]!;
        if (who && awake.front) awake.front = guest.act(sends, receives);
        if (!who && awake.back) {
          awake.back = other.act(sends, receives);
          if (!awake.back) back.listen();
        }
        if (delivers) settle();
        if (awake.front || awake.back) {
          // One that is never chosen has its turn at last.
          if (i % 100 !== 99) continue;
          if (awake.front) awake.front = guest.act(sends, receives);
          else awake.back = other.act(sends, receives);
          if (!awake.back) back.listen();
          continue;
        }
        settle();
        if (!awake.front && !awake.back && !(guest.done && other.done))
          throw new Error(
            `both sleep: sent ${guest.sent} and ${other.sent}, got ${guest.got} and ${other.got}`,
          );
      }
      close();
    }),
    { numRuns: 15, seed: 7 },
  );
});

test('a sender that is ahead of the backend rings once', () => {
  const { front, back, settle, rung, close } = ends(4, 'needed');
  for (let i = 0; i < 8; i++) expect(front.send(new Uint8Array(4096))).toBe(4096);
  settle();
  expect(rung().back).toBe(1);
  expect(front.send(new Uint8Array(1))).toBe(-Errno.EAGAIN);
  expect(back.outReady()).toBe(32_768);
  close();
});

test('a reader rings when half a ring is free, if the backend could be waiting, and not otherwise', () => {
  const { front, back, settle, rung, close } = ends(4, 'needed');
  const into = new Uint8Array(4096);
  backGive(back, new Uint8Array(8192));
  settle();
  rung();
  back.listen();
  front.recv(into);
  front.recv(into);
  settle();
  expect(rung().back).toBe(0);
  expect(backGive(back, new Uint8Array(40_000))).toBe(32_768);
  back.listen();
  for (let i = 0; i < 8; i++) {
    expect(front.recv(into)).toBe(4096);
    settle();
    expect(rung().back).toBe(i === 3 ? 1 : 0);
    back.listen();
  }
  close();
});

test('a backend that may not be rung for nothing is rung for bytes, and for room that it waits for', () => {
  const { front, back, settle, rung, close } = ends(4, 'bytes');
  const into = new Uint8Array(16_384);
  rung();
  back.listen();
  for (let i = 0; i < 3; i++) {
    front.send(new Uint8Array(100));
    settle();
    expect(rung().back).toBe(1);
    expect(backTake(back, into)).toBe(100);
    backGive(back, new Uint8Array(10_000));
    back.listen();
    expect(front.recv(into)).toBe(10_000);
    settle();
    expect(rung().back).toBe(0);
  }
  expect(backGive(back, new Uint8Array(40_000))).toBe(32_768);
  front.recv(into);
  settle();
  expect(rung().back).toBe(1);
  close();
});

test('rings that were given back are had again, with nothing left in their indices', () => {
  const { front, pool, close } = ends(2, 'needed');
  front.send(new Uint8Array(5000));
  pool.give(front);
  const again = pool.take(2, 2, 'needed');
  expect(again).toBe(front);
  expect((again as Ring).outRoom()).toBe(front.size);
  // One that is had cannot be had twice.
  expect(pool.take(2, 2, 'needed')).not.toBe(front);
  close();
});

test('when references run out rings are smaller, and what lies idle is given up first', () => {
  const { pool, close } = ends(1, 'needed');
  const taken: Ring[] = [];
  for (;;) {
    const ring = pool.take(6, 1, 'needed');
    if (typeof ring === 'number') {
      expect(ring).toBeLessThan(0);
      break;
    }
    taken.push(ring);
  }
  expect(new Set(taken.map(({ order }) => order)).size).toBeGreaterThan(1);
  for (const ring of taken.filter(({ order }) => order < 6)) pool.give(ring);
  expect((pool.take(1, 1, 'needed') as Ring).order).toBe(1);
  pool.give(taken[0]!);
  expect((pool.take(6, 6, 'needed') as Ring).order).toBe(6);
  close();
});
