// Streams from one guest's ring into another's: every byte once and in order over any sizes of rings, wraps and indices; who waits is told; ends,
// resets and guests that break the rules concern their own pair alone.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseIp } from '../../netback/xensock/core/address.ts';
import { Index, Shut } from '../../netback/xensock/core/pvcalls.ts';
import { DataRing } from '../../netback/xensock/io/dataring.ts';
import { LocalHub, type Mover } from '../../netback/xensock/io/localhub.ts';
import { LocalStream } from '../../netback/xensock/io/localstream.ts';
import { Errno, errnoName } from '../../osdep/errno.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

let host: LocalHost<SteppedScheduler>;
let ports: Ports;
let hub: LocalHub<LocalStream>;
let later: (() => void)[];
let a: number;
let b: number;

/** Whatever has been told, in order. */
let heard: string[];

function domain(): number {
  const ctrl = host.platformFor(0).openCtrl();
  const domid = ctrl.createDomain({});
  ctrl.unpause(domid);
  return domid;
}

function run(): void {
  for (;;) {
    const tasks = later.splice(0);
    for (const task of tasks) task();
    if (!host.scheduler.step(host.platformFor(0).clock.now()) && tasks.length === 0) return;
  }
}

/** A socket of a guest, its ring, and what he does with it. It rings after each move, as Linux's does. */
class Guest {
  readonly stream: LocalStream;
  readonly index: Page;
  readonly ring: DataRing;
  readonly size: number;
  /** How often it was rung. */
  events = 0;
  readonly #data: Uint8Array;
  readonly #ringBackend: () => void;
  #inCons: number;
  #outProd: number;

  constructor(name: string, domid: number, { order = 1, start = 0, budget = Number.POSITIVE_INFINITY } = {}) {
    const platform = host.platformFor(domid);
    const pages = platform.openGntshr().sharePages(0, (1 << order) + 1, 'rw');
    this.index = new Page(pages.page(0));
    const evtchn = platform.openEvtchn();
    const evtchnPort = evtchn.bindUnboundPort(0);
    evtchn.onReadable(() => {
      for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
        this.events++;
        evtchn.unmask(port);
      }
    });
    this.#ringBackend = () => evtchn.notify(evtchnPort);
    this.index.store(Index.RING_ORDER, order);
    for (let page = 0; page < 1 << order; page++)
      this.index.store(Index.REFS + 4 * page, pages.refs[page + 1]!);
    for (const word of [Index.IN_CONS, Index.IN_PROD, Index.OUT_CONS, Index.OUT_PROD])
      this.index.store(word, start);
    this.#inCons = start;
    this.#outProd = start;
    this.size = 2048 << order;
    this.#data = pages.bytes.subarray(4096);
    this.stream = new LocalStream(hub, {
      connected: (errno) => void heard.push(`${name} ${errno === 0 ? 'connected' : errnoName(errno)}`),
      waiting: () => void heard.push(`${name} waiting`),
      failed,
      budget: { take: (count) => count <= budget, giveBack: () => {} },
    });
    const gnttab = host.platformFor(0).openGnttab();
    const onEvent = (): void => this.stream.kick();
    this.ring = new DataRing({ gnttab, ports, domid, ref: pages.refs[0]!, evtchn: evtchnPort, onEvent });
    this.stream.attach(this.ring);
  }

  /** Puts what there is room for. Answers how many. */
  put(bytes: Uint8Array): number {
    const room = this.size - ((this.#outProd - this.index.load(Index.OUT_CONS)) >>> 0);
    const count = Math.min(room, bytes.length);
    for (let i = 0; i < count; i++)
      this.#data[this.size + (((this.#outProd + i) >>> 0) % this.size)] = bytes[i]!;
    this.#outProd = (this.#outProd + count) >>> 0;
    this.index.store(Index.OUT_PROD, this.#outProd);
    if (count > 0) this.#ringBackend();
    return count;
  }

  get(most = Number.POSITIVE_INFINITY): number[] {
    const there = (this.index.load(Index.IN_PROD) - this.#inCons) >>> 0;
    const count = Math.min(there, most);
    const bytes = Array.from(
      { length: count },
      (_, i) => this.#data[((this.#inCons + i) >>> 0) % this.size]!,
    );
    this.#inCons = (this.#inCons + count) >>> 0;
    this.index.store(Index.IN_CONS, this.#inCons);
    if (count > 0) this.#ringBackend();
    return bytes;
  }

  get text(): string {
    return Buffer.from(this.get()).toString();
  }

  /** `in` and `out`. */
  get errors(): string {
    const name = (at: number): string => {
      const errno = -(this.index.load(at) | 0);
      return errno === 0 ? '-' : errnoName(errno);
    };
    return `${name(Index.IN_ERROR)} ${name(Index.OUT_ERROR)}`;
  }

  release(): void {
    this.stream.release();
    this.ring.close();
  }
}

/** Nothing does. */
function failed(error: unknown): void {
  throw error;
}

const text = (words: string): Uint8Array => Buffer.from(words);
const at = parseIp('127.0.0.1', 80)!;

function listening(backlog = 8): LocalStream {
  const listener = new LocalStream(hub, {
    connected: () => {},
    waiting: () => void heard.push('listener waiting'),
    failed,
  });
  expect(listener.bind('host', at)).toEqual({ ok: true, value: 80 });
  expect(listener.listen(backlog)).toBe(0);
  return listener;
}

function pair(one: Guest, other: Guest): void {
  const listener = listening();
  expect(one.stream.connect('host', at)).toBe(0);
  expect(listener.accept(other.stream)).toBe(0);
  listener.release();
}

beforeEach(() => {
  host = steppedHost({ seed: 1 });
  ports = new Ports(host.platformFor(0).openEvtchn());
  later = [];
  heard = [];
  const { clock } = host.platformFor(0);
  hub = new LocalHub({ clock, flush: () => {}, soon: (callback) => void later.push(callback) });
  [a, b] = [domain(), domain()];
});

afterEach(() => ports.close());

describe('a connection', () => {
  test('carries bytes both ways, with names at both ends', () => {
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    pair(one, other);
    one.put(text('hello'));
    other.put(text('good day'));
    run();
    expect([other.text, one.text]).toEqual(['hello', 'good day']);
    expect([one.stream.peer?.port, other.stream.own?.port]).toEqual([80, 80]);
    expect(other.stream.peer).toEqual(one.stream.own);
    expect(one.stream.traffic).toEqual({ inBytes: 8, outBytes: 5 });
  });

  test('stands before it is accepted, and what was sent early waits in its ring', () => {
    const listener = listening();
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    expect(listener.accept(other.stream)).toBe(Errno.EAGAIN);
    expect(one.stream.connect('host', at)).toBe(0);
    expect(heard).toEqual(['listener waiting']);
    one.put(text('early'));
    run();
    expect(one.ring.outReady()).toBe(5);
    expect(listener.ready()).toBe(true);
    expect(listener.accept(other.stream)).toBe(0);
    run();
    expect(other.text).toBe('early');
    expect(listener.ready()).toBe(false);
  });

  test('waits for room in the queue, and for half a minute at most', () => {
    const listener = listening(1);
    const [one, two, three] = [new Guest('one', a), new Guest('two', a), new Guest('three', a)];
    expect([one, two, three].map(({ stream }) => stream.connect('host', at))).toEqual([
      0,
      Errno.EINPROGRESS,
      Errno.EINPROGRESS,
    ]);
    expect(listener.accept(new Guest('b', b).stream)).toBe(0);
    expect(heard).toEqual(['two connected']);
    host.scheduler.runFor(30_000);
    expect(heard).toEqual(['two connected', 'three ETIMEDOUT']);
    expect(listener.accept(new Guest('b', b).stream)).toBe(0);
    expect(three.stream.connect('host', at)).toBe(0);
  });

  test('ends for those in the queue when nobody listens any more', () => {
    const listener = listening(1);
    const [one, two] = [new Guest('one', a), new Guest('two', a)];
    one.stream.connect('host', at);
    two.stream.connect('host', at);
    listener.release();
    run();
    expect(heard).toEqual(['two ECONNREFUSED']);
    expect([one.errors, two.errors]).toEqual(['ECONNRESET ECONNRESET', '- -']);
    expect(two.stream.connect('host', at)).toBe(Errno.ECONNREFUSED);
    listening();
    expect(two.stream.connect('host', at)).toBe(0);
  });

  test('is between names: another network has other listeners', () => {
    listening();
    expect(new Guest('a', a).stream.connect('office', at)).toBe(Errno.ECONNREFUSED);
  });

  test('may be within one guest', () => {
    const [one, other] = [new Guest('a', a, { order: 2 }), new Guest('a', a)];
    pair(one, other);
    one.put(text('to myself'));
    run();
    expect(other.text).toBe('to myself');
  });
});

describe('the end', () => {
  test('of one direction comes after its last byte; the other goes on', () => {
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    pair(one, other);
    one.put(text('last words'));
    expect(one.stream.shutdown(Shut.WRITE)).toBe(0);
    one.put(text('too late'));
    run();
    expect([other.text, other.errors, one.errors]).toEqual(['last words', 'ENOTCONN -', '- EPIPE']);
    other.put(text('answer'));
    run();
    expect(one.text).toBe('answer');
  });

  test('of a socket sends what was put, from a copy, as there is room', () => {
    const [one, other] = [new Guest('a', a, { order: 3 }), new Guest('b', b)];
    pair(one, other);
    const bytes = Uint8Array.from({ length: 16_384 }, (_, i) => i * 7);
    one.put(bytes);
    one.release();
    const got: number[] = [];
    for (let i = 0; i < 8; i++) {
      run();
      expect(other.errors).toBe(got.length + 4096 < bytes.length ? '- -' : 'ENOTCONN -');
      got.push(...other.get(4096));
    }
    expect(Buffer.from(got).equals(Buffer.from(bytes))).toBe(true);
    other.put(text('anybody?'));
    run();
    expect(other.errors).toBe('ENOTCONN ECONNRESET');
  });

  test('of one that was not accepted yet reaches who accepts it', () => {
    const listener = listening();
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    one.stream.connect('host', at);
    one.put(text('a letter'));
    one.release();
    run();
    expect(listener.accept(other.stream)).toBe(0);
    run();
    expect([other.text, other.errors]).toEqual(['a letter', 'ENOTCONN -']);
  });

  test('with bytes unread resets the connection', () => {
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    pair(one, other);
    one.put(text('unread'));
    run();
    other.release();
    run();
    expect(one.errors).toBe('ECONNRESET ECONNRESET');
  });

  test('of who takes nothing is waited for half a minute', () => {
    const [one, other] = [new Guest('a', a, { order: 2 }), new Guest('b', b)];
    pair(one, other);
    one.put(new Uint8Array(8192));
    one.release();
    run();
    host.scheduler.runFor(29_000);
    expect(other.errors).toBe('- -');
    expect(other.get(10)).toHaveLength(10);
    run();
    host.scheduler.runFor(29_000);
    expect(other.errors).toBe('- -');
    host.scheduler.runFor(2_000);
    expect(other.errors).toBe('ECONNRESET ECONNRESET');
  });

  test('of who may keep no more resets the connection', () => {
    const [one, other] = [new Guest('a', a, { order: 2, budget: 0 }), new Guest('b', b)];
    pair(one, other);
    one.put(new Uint8Array(8192));
    one.release();
    run();
    expect(other.errors).toBe('ECONNRESET ECONNRESET');
  });

  test('of one that was never connected keeps nothing', () => {
    const listener = listening(1);
    const [one, two, three] = [new Guest('one', a), new Guest('two', a), new Guest('three', a)];
    expect([one, two].map(({ stream }) => stream.connect('host', at))).toEqual([0, Errno.EINPROGRESS]);
    for (const guest of [two, three]) {
      guest.put(text('to nobody'));
      guest.release();
    }
    expect(listener.accept(new Guest('b', b).stream)).toBe(0);
    expect(listener.ready()).toBe(false);
    expect(heard).toEqual([]);
  });

  test('by reset comes to both, after what they have got', () => {
    const [one, other] = [new Guest('a', a), new Guest('b', b)];
    pair(one, other);
    one.put(text('arrived'));
    run();
    other.stream.reset();
    run();
    expect([one.errors, other.errors, other.text]).toEqual([
      'ECONNRESET ECONNRESET',
      'ECONNRESET ECONNRESET',
      'arrived',
    ]);
  });
});

describe('a guest whose indices are impossible', () => {
  test.each([Index.OUT_PROD, Index.IN_CONS])('at %i ends his own connection, and no other', (word) => {
    const guests = [new Guest('a', a), new Guest('b', b), new Guest('a', a), new Guest('b', b)] as const;
    const [one, other, third, fourth] = guests;
    pair(one, other);
    pair(third, fourth);
    other.index.store(word, 77_777);
    one.put(text('hello'));
    third.put(text('hello'));
    other.stream.kick();
    run();
    expect([one.errors, other.errors]).toEqual(['ECONNRESET ECONNRESET', 'EINVAL EINVAL']);
    expect([fourth.text, fourth.errors]).toEqual(['hello', '- -']);
    for (const guest of guests) guest.release();
  });
});

describe('between large rings, where there are pauses,', () => {
  let pausing: Mover[];
  const pause = (): void => {
    for (const mover of pausing.splice(0)) hub.stir(mover);
    run();
  };

  beforeEach(() => {
    pausing = [];
    hub.pauses = { add: (mover) => void pausing.push(mover) };
  });

  function large(): [Guest, Guest] {
    const [one, other] = [new Guest('a', a, { order: 8 }), new Guest('b', b, { order: 8 })];
    pair(one, other);
    run();
    return [one, other];
  }

  test('a stream without end is looked at by itself: neither ring is ever seen empty or full', () => {
    const [one, other] = large();
    for (let i = 0; i < 5; i++) {
      expect(one.put(new Uint8Array(100_000))).toBe(100_000);
      // Whoever rings is told nothing new: he need not have.
      run();
      const used = one.index.load(Index.OUT_PROD) - one.index.load(Index.OUT_CONS);
      expect([used, pausing.length]).toEqual([1, 1]);
      expect(other.get()).toHaveLength(100_000);
      pause();
    }
    // Nothing more came: as usual from now on.
    expect([one.index.load(Index.OUT_CONS), pausing.length]).toEqual([500_000, 0]);
    one.put(text('more'));
    run();
    expect(other.text).toBe('more');
  });

  test('who takes nothing gets all that there is room for, after a while', () => {
    const [one, other] = large();
    expect(one.put(new Uint8Array(524_288))).toBe(524_288);
    run();
    expect(other.index.load(Index.IN_PROD)).toBe(393_216);
    pause();
    expect([other.index.load(Index.IN_PROD), pausing.length]).toEqual([524_288, 0]);
  });

  test.each([
    ['shut', (one: Guest) => void one.stream.shutdown(Shut.WRITE)],
    ['released', (one: Guest) => one.release()],
  ])('one that is %s in a pause ends after its last byte', (_, end) => {
    const [one, other] = large();
    one.put(new Uint8Array(200_000));
    run();
    one.put(text('the last'));
    end(one);
    run();
    pause();
    expect(Buffer.from(other.get()).subarray(200_000).toString()).toBe('the last');
    expect(other.errors).toBe('ENOTCONN -');
  });

  test('one whose peer goes in a pause is reset', () => {
    const [one, other] = large();
    one.put(new Uint8Array(200_000));
    run();
    other.release();
    run();
    expect(one.errors).toBe('ECONNRESET ECONNRESET');
    pause();
    one.release();
  });
});

test('a guest who reads slowly is not woken for each piece of room', () => {
  const [one, other] = [new Guest('a', a, { order: 5 }), new Guest('b', b, { order: 5 })];
  pair(one, other);
  run();
  [one.events, other.events] = [0, 0];
  let put = 0;
  for (let got = 0; got < 400_000; got += other.get(1000).length) {
    put += one.put(new Uint8Array(100_000));
    run();
  }
  expect(put).toBeGreaterThan(400_000);
  expect(one.events).toBeLessThan(20);
});

test('bytes arrive once and in order, whatever is put and taken when', () => {
  const step = fc.record({
    what: fc.constantFrom('put', 'get', 'run'),
    who: fc.nat(1),
    bytes: fc.integer({ min: 1, max: 9000 }),
  });
  const orders = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }));
  fc.assert(
    fc.property(orders, fc.constantFrom(0, 0xffff_f000), fc.array(step), (order, start, steps) => {
      const guests = order.map((each, i) => new Guest(`${i}`, i === 0 ? a : b, { order: each, start }));
      const [one, other] = guests as [Guest, Guest];
      pair(one, other);
      const [sent, got] = [
        [0, 0],
        [0, 0],
      ];
      const take = (who: number, most: number): void => {
        const bytes = guests[who]!.get(most);
        const wrong = bytes.findIndex((byte, i) => byte !== (((got[who]! + i) * 31 + who) & 0xff));
        expect(wrong).toBe(-1);
        got[who]! += bytes.length;
      };
      for (const { what, who, bytes } of steps) {
        if (what === 'run') run();
        else if (what === 'get') take(who, bytes);
        else {
          const all = Uint8Array.from({ length: bytes }, (_, i) => (sent[who]! + i) * 31 + (1 - who));
          sent[who]! += guests[who]!.put(all);
        }
      }
      for (let i = 0; i < 20; i++) {
        run();
        for (const who of [0, 1]) take(who, Number.POSITIVE_INFINITY);
      }
      expect([got[1], got[0]]).toEqual(sent);
      for (const guest of guests) guest.release();
    }),
    { numRuns: 60 },
  );
});
