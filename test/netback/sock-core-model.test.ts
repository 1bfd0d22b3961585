// Any commands, with ids as a hostile guest chooses them, against a model that is as small as the promise: each request has one response or waits, few
// wait, what the hands hold is what the account says, and when the frontend goes nothing is left.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Call } from '../../netback/xensock/core/pvcalls.ts';
import { address, Bench, calls } from './sock-core.ts';

type Step =
  | { readonly what: 'call'; readonly id: number; readonly call: Call }
  | { readonly what: 'connected'; readonly at: number; readonly errno: number }
  | { readonly what: 'waiting'; readonly at: number; readonly count: number }
  | { readonly what: 'fail'; readonly errno: number }
  | { readonly what: 'rules'; readonly deny: boolean };

const LIMITS = { sockets: 12, listening: 3, backlog: 8 };

const id = fc.nat(6);
const addresses = fc.constantFrom(
  address('198.51.100.1', 80),
  address('0.0.0.0', 0),
  address('127.0.0.1', 8080),
  address('::1', 22),
  address('::', 9000),
  address('::ffff:10.0.0.1', 443),
);
const garbled = fc
  .tuple(fc.uint8Array({ minLength: 28, maxLength: 28 }), fc.constantFrom(0, 15, 16, 24, 28, 29, 0xffff_ffff))
  .map(([bytes, addressLength]): Call => ({ command: 3, address: bytes, addressLength }));
const call = fc.oneof(
  fc
    .tuple(fc.constantFrom(2, 10, 1, 0xffff_ffff), fc.nat(3))
    .map(([domain, type]) => calls.socket(domain, type)),
  addresses.map(calls.connect),
  addresses.map(calls.bind),
  garbled,
  fc.boolean().map(calls.release),
  fc.constantFrom(0, 5, 0xffff_ffff).map(calls.listen),
  id.map(calls.accept),
  fc.nat(3).map(calls.shutdown),
  fc.tuple(fc.constantFrom(0, 1, 6, 41), fc.nat(40)).map(([level, name]) => calls.setsockopt(level, name)),
  fc.tuple(fc.constantFrom(0, 1, 6, 41), fc.nat(40)).map(([level, name]) => calls.getsockopt(level, name)),
  fc.constantFrom(calls.poll(), calls.getsockname(), calls.getpeername(), calls.attach()),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ what: fc.constant('call' as const), id, call }) },
  fc.record({ what: fc.constant('connected' as const), at: fc.nat(), errno: fc.constantFrom(0, 111) }),
  fc.record({ what: fc.constant('waiting' as const), at: fc.nat(), count: fc.nat(3) }),
  fc.record({ what: fc.constant('fail' as const), errno: fc.constantFrom(0, 12, 14) }),
  fc.record({ what: fc.constant('rules' as const), deny: fc.boolean() }),
);

const open = new Bench().rules;
const closed = new Bench({ policy: { default: { otherwise: 'deny', localhost: false } } }).rules;

function carryOut(bench: Bench, each: Step): void {
  const { hands, sockets } = bench;
  const numbers = [...hands.held.keys()];
  switch (each.what) {
    case 'call':
      bench.send(each.id, each.call);
      return;
    case 'connected': {
      // The hands tell of a connect whatever became of its socket meanwhile.
      sockets.connected(each.at % (2 * (numbers.at(-1) ?? 1)), each.errno);
      return;
    }
    case 'waiting': {
      const number = numbers[each.at % Math.max(1, numbers.length)];
      if (number === undefined || !hands.held.get(number)!.listening) return;
      hands.held.get(number)!.waiting = each.count;
      sockets.waiting(number);
      return;
    }
    case 'fail':
      hands.attachErrno = each.errno;
      hands.listenErrno = each.errno;
      hands.acceptErrno = each.errno;
      return;
    case 'rules':
      sockets.rules = each.deny ? closed : open;
  }
}

/** What must hold after every step. */
function check(bench: Bench, sent: number): void {
  const { hands, account, sockets, entries } = bench;
  const answered = hands.responses.map(({ reqId }) => reqId);
  expect(new Set(answered).size).toBe(answered.length);
  const list = sockets.list;
  const waiting = sent - answered.length - hands.dropped.length;
  // A connecting socket, one that an accept has named, a poll of a listening one: each waits for one thing.
  const waiters = list.filter(({ state }) => state === 'connecting' || state === 'accepting').length;
  const polls = waiting - waiters;
  expect(polls).toBeGreaterThanOrEqual(0);
  expect(polls).toBeLessThanOrEqual(list.filter(({ state }) => state === 'passive').length);
  expect(account.held.sockets).toBe(list.length);
  expect(list.length).toBeLessThanOrEqual(LIMITS.sockets);
  expect(account.held.listening).toBe(list.filter(({ state }) => state === 'passive').length);
  expect(account.held.listening).toBeLessThanOrEqual(LIMITS.listening);
  expect(hands.held.size).toBe(list.length);
  expect([...hands.held.values()].filter(({ listening }) => listening).length).toBe(account.held.listening);
  // A successor knows all of them but those that a waiting accept will make again.
  const known = list.filter(({ state }) => state !== 'accepting').map((socket) => socket.id);
  expect([...entries.keys()].sort()).toEqual(known.sort());
}

test.each([false, true])('whatever a guest sends, extension: %s', (extended) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const bench = new Bench({ extended });
      bench.limit(LIMITS);
      let sent = 0;
      for (const each of steps) {
        carryOut(bench, each);
        if (each.what === 'call') sent++;
        check(bench, sent);
      }
      bench.sockets.close();
      expect(bench.hands.held.size).toBe(0);
      expect(bench.entries.size).toBe(0);
      expect(bench.account.held).toEqual({ sockets: 0, listening: 0, pages: 0 });
    }),
    { numRuns: 400 },
  );
});

test('whoever comes after a kill has the same ids, and each of them can be released', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const bench = new Bench({ extended: true });
      for (const each of steps) carryOut(bench, each);
      const successor = new Bench({ extended: true });
      successor.sockets.restore([...bench.entries.values()]);
      const ids = (one: Bench): bigint[] => [...one.entries.keys()].sort();
      expect(ids(successor)).toEqual(ids(bench));
      for (const { id: left } of successor.sockets.list)
        expect(successor.ask(Number(left), calls.release())).toBe(0);
      expect(successor.hands.held.size).toBe(0);
    }),
    { numRuns: 200 },
  );
});
