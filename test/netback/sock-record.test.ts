// A socket backend that dies between any two of its stores: whoever attaches knows each socket as far as its answered commands had brought it, asks
// again what waits, and each request is answered exactly once.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SocketEntry } from '../../netback/xensock/core/entries.ts';
import {
  type Call,
  Command,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  type Request,
  SLOT_BYTES,
} from '../../netback/xensock/core/pvcalls.ts';
import { CommandRing } from '../../netback/xensock/io/commandring.ts';
import { SocketRecord } from '../../netback/xensock/io/record.ts';
import type { Gnttab } from '../../osdep/gnttab.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import { dyingGnttab, killedAt, sharedPage } from '../osdep/dying.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xensock-'));
  path = join(directory, 'records/1-0');
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const made: SocketEntry = {
  id: 1n,
  state: 'made',
  family: 2,
  type: 1,
  address: undefined,
  backlog: 0,
  ref: 0,
  evtchn: 0,
};
const bound: SocketEntry = {
  ...made,
  id: 0xffff_8880_1234_5678n,
  state: 'bound',
  family: 10,
  address: { family: 10, ip: Uint8Array.from({ length: 16 }, (_, i) => i), port: 65_535, scope: 3 },
};
const active: SocketEntry = { ...made, id: 0n, state: 'active', ref: 0xffff_ffff, evtchn: 4095 };
const listening: SocketEntry = {
  ...made,
  id: 7n,
  state: 'listening',
  address: { family: 2, ip: Uint8Array.of(127, 0, 0, 1), port: 80, scope: 0 },
  backlog: 0xffff_ffff,
};

function byId(entries: readonly SocketEntry[]): readonly SocketEntry[] {
  return [...entries].sort((a, b) => Number(a.id - b.id));
}

describe('a record', () => {
  test('holds sockets as they were when it was last told that they count', () => {
    const one = new SocketRecord(path, 'fresh', 0);
    for (const entry of [made, bound, active, listening]) one.put(entry);
    one.put({ ...made, state: 'active', ref: 9, evtchn: 8 });
    one.remove(listening.id);
    one.remove(99n);
    one.commit();
    one.put({ ...made, id: 55n });
    one.remove(bound.id);
    one.leave();
    const two = new SocketRecord(path, 'attach', 0);
    expect(byId(two.sockets)).toEqual([active, { ...made, state: 'active', ref: 9, evtchn: 8 }, bound]);
    two.leave();
    const three = new SocketRecord(path, 'fresh', 0);
    expect(three.sockets).toEqual([]);
    three.leave();
  });

  test('grows with the sockets that there are, and not with those that come and go', () => {
    const one = new SocketRecord(path, 'fresh', 0);
    let shown = 0;
    one.onFull = () => {
      shown++;
      one.commit();
    };
    for (let id = 0n; id < 1000n; id++) one.put({ ...made, id });
    expect(shown).toBeGreaterThan(5);
    one.commit();
    const { size } = statSync(path);
    expect(size).toBeLessThan(130_000);
    for (let round = 0; round < 3; round++) {
      for (let id = 0n; id < 1000n; id++) one.remove(id);
      for (let id = 0n; id < 1000n; id++) one.put({ ...made, id });
    }
    one.commit();
    expect(statSync(path).size).toBe(size);
    one.leave();
    const two = new SocketRecord(path, 'attach', 0);
    expect(byId(two.sockets).map(({ id }) => id)).toEqual(
      Array.from({ length: 1000 }, (_, id) => BigInt(id)),
    );
    two.leave();
  });

  test('answers the request that a response is for, the first if a guest asks twice', () => {
    const one = new SocketRecord(path, 'fresh', 0);
    const slot = new Uint8Array(SLOT_BYTES);
    for (const [reqId, id] of [
      [5, 1n],
      [5, 1n],
      [6, 1n],
    ] as const) {
      encodeRequest(reqId, id, { command: Command.POLL }, slot);
      one.took(slot);
    }
    const answer = (reqId: number, id = 1n, command: number = Command.POLL): void => {
      encodeResponse({ reqId, command, ret: 0, id }, slot);
      one.answer(slot);
    };
    answer(5);
    one.commit();
    expect(one.requests.length).toBe(2);
    expect(() => answer(7)).toThrow(RangeError);
    expect(() => answer(6, 2n)).toThrow(RangeError);
    expect(() => answer(6, 1n, Command.SHUTDOWN)).toThrow(RangeError);
    one.drop({ reqId: 5, command: Command.POLL, id: 1n, call: undefined });
    one.commit();
    answer(6);
    expect(() => answer(6)).toThrow(RangeError);
    one.leave();
    const two = new SocketRecord(path, 'attach', 1);
    expect([two.reqCons, two.rspProd, two.requests.map((left) => left[0])]).toEqual([3, 1, [6]]);
    two.leave();
  });
});

/** A machine of few words: POLL waits until SHUTDOWN, and RELEASE of what there is not says so, which no real one does. */
class Toy {
  readonly #ring: CommandRing;
  readonly #sockets = new Map<bigint, SocketEntry>();
  readonly #polls: Request[] = [];

  constructor(ring: CommandRing) {
    this.#ring = ring;
    for (const entry of ring.record.sockets) this.#sockets.set(entry.id, entry);
    for (const request of ring.waiting) this.#do(request);
  }

  /** Takes so many requests at a time. */
  serve(several: number): void {
    for (let left = several; ; left--) {
      if (left === 0) {
        this.#ring.publish();
        left = several;
      }
      const request = this.#ring.next();
      if (request === 'broken') throw new Error('broken');
      if (request === 'none') break;
      this.#do(request);
    }
    this.#ring.publish();
  }

  #do(request: Request): void {
    const { reqId, command, id } = request;
    if (command === Command.POLL) {
      this.#polls.push(request);
      return;
    }
    this.#ring.respond({ reqId, command, id, ret: this.#ret(request) });
  }

  #ret({ id, command }: Request): number {
    const there = this.#sockets.get(id);
    if (command === Command.SOCKET) {
      if (there !== undefined) return -17;
      this.#put({ ...made, id });
    } else if (there === undefined) {
      return -2;
    } else if (command === Command.LISTEN) {
      if (there.state === 'listening') return -22;
      this.#put({ ...there, state: 'listening' });
    } else if (command === Command.SHUTDOWN) {
      for (const { reqId } of this.#polls.splice(0))
        this.#ring.respond({ reqId, command: Command.POLL, id, ret: 7 });
    } else {
      this.#sockets.delete(id);
      this.#ring.record.remove(id);
    }
    return 0;
  }

  #put(entry: SocketEntry): void {
    this.#sockets.set(entry.id, entry);
    this.#ring.record.put(entry);
  }
}

const poll: Call = { command: Command.POLL };
const socket: Call = { command: Command.SOCKET, domain: 2, type: 1, protocol: 0 };
/** What is asked, and what has to come back. */
const script: readonly (readonly [bigint, Call, number])[] = [
  [1n, socket, 0],
  [1n, socket, -17],
  [1n, poll, 7],
  [2n, socket, 0],
  [2n, { command: Command.LISTEN, backlog: 5 }, 0],
  [2n, { command: Command.LISTEN, backlog: 5 }, -22],
  [1n, poll, 7],
  [2n, { command: Command.RELEASE, reuse: false }, 0],
  [2n, { command: Command.RELEASE, reuse: false }, -2],
  [1n, { command: Command.SHUTDOWN, how: 2 }, 0],
  [2n, socket, 0],
  [1n, poll, 7],
  [1n, { command: Command.SHUTDOWN, how: 2 }, 0],
];

interface Scene {
  readonly front: Front;
  attach(how?: 'fresh' | 'attach'): CommandRing;
}

/** A guest's ring of a machine, and a way to attach to it: whoever had it before is dead by then. */
function scene(protect: (gnttab: Gnttab) => Gnttab = (gnttab) => gnttab): Scene & { readonly page: Page } {
  const { control, platform, domid, shared } = sharedPage();
  const port = platform.openEvtchn().bindUnboundPort(0);
  const front = Front.init(shared.bytes, SLOT_BYTES);
  const gnttab = protect(control.openGnttab());
  let ports: Ports | undefined;
  const attach = (how: 'fresh' | 'attach' = 'attach'): CommandRing => {
    ports?.close();
    ports = new Ports(control.openEvtchn());
    const options = { gnttab, ports, domid, ringRef: shared.refs[0]!, port, recordPath: path, how };
    return new CommandRing({ ...options, onEvent: () => {} });
  };
  return { front, attach, page: new Page(shared.bytes) };
}

test.each([1, 2, 3, 4, 13])('dies at any store, when it takes %d requests at a time', (several) => {
  for (let store = several % 8; ; store += 8) {
    const { front, attach } = scene(dyingGnttab);
    const answered = new Map<number, number>();
    const slot = new Uint8Array(SLOT_BYTES);
    const collect = (): void => {
      const there = front.unconsumed();
      expect(there.ok, `killed at store ${store}`).toBe(true);
      for (let left = there.ok ? there.slots : 0; left > 0; left--) {
        front.take(slot);
        const { reqId, ret } = decodeResponse(slot);
        expect(answered.has(reqId), `${reqId} is answered once; killed at store ${store}`).toBe(false);
        answered.set(reqId, ret);
      }
    };
    const first = new Toy(attach('fresh'));
    script.forEach(([id, call], reqId) => {
      encodeRequest(reqId, id, call, slot);
      front.request(slot);
    });
    front.publish();
    const killed = killedAt(store, () => first.serve(several));
    collect();
    // The second may be killed too, while it puts things right.
    killedAt((store * 31) % 97, () => new Toy(attach()));
    new Toy(attach()).serve(several);
    collect();
    const rets = script.map((_, reqId) => answered.get(reqId));
    expect(rets, `killed at store ${store}`).toEqual(script.map(([, , ret]) => ret));
    if (!killed) {
      expect(store).toBeGreaterThan(800);
      return;
    }
  }
});

test('as many waiting requests as the ring has slots go from one to the next', () => {
  const { front, attach } = scene();
  const slot = new Uint8Array(SLOT_BYTES);
  const first = new Toy(attach('fresh'));
  for (let reqId = 0; reqId < 32; reqId++) {
    encodeRequest(reqId, 1n, poll, slot);
    front.request(slot);
  }
  front.publish();
  first.serve(5);
  const { waiting } = attach();
  expect(waiting.map(({ reqId }) => reqId)).toEqual(Array.from({ length: 32 }, (_, reqId) => reqId));
});

test('an index that a guest has changed meanwhile costs it its device', () => {
  const { front, attach, page } = scene();
  const slot = new Uint8Array(SLOT_BYTES);
  encodeRequest(1, 1n, socket, slot);
  const first = new Toy(attach('fresh'));
  front.request(slot);
  front.publish();
  first.serve(1);
  page.store(8, 77);
  expect(() => attach()).toThrow('ring of commands: rsp_prod is not as it was left');
});
