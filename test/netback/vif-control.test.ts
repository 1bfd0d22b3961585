// The control ring: each order and its answer as netif.h has them, what the orders do to the choice of a queue, and sizes that do not fit
// (XSA-270).
import { describe, expect, test } from 'vitest';
import { Control } from '../../netback/vif/core/control.ts';
import { Header } from '../../netback/vif/core/header.ts';
import { CtrlStatus, CtrlType, HashAlgorithm } from '../../netback/vif/core/netif.ts';
import { Steering } from '../../netback/vif/core/steering.ts';
import { tcpFrame } from './kit.ts';

const { SUCCESS, NOT_SUPPORTED, INVALID_PARAMETER, BUFFER_OVERFLOW } = CtrlStatus;

class Bench {
  readonly steering: Steering = new Steering(4);
  readonly control: Control = new Control(this.steering);
  #id = 0;

  /** Sends an order; `page` is what is in the page that it names, undefined: it cannot be had. Status and data of the answer. */
  order(type: number, data: readonly number[] = [], page?: Uint8Array): readonly [number, number] {
    const slot = Buffer.alloc(16);
    this.#id++;
    slot.writeUInt16LE(this.#id, 0);
    slot.writeUInt16LE(type, 2);
    for (const [i, value] of data.entries()) slot.writeUInt32LE(value, 4 + 4 * i);
    if (this.control.request(slot)) {
      expect(this.control.copyGref).toBe(data[0]);
      expect(this.control.copyLength).toBeLessThanOrEqual(512);
      this.control.copied(page?.slice(0, this.control.copyLength));
    }
    const answer = Buffer.alloc(16, 0xee);
    this.control.response(answer);
    expect([answer.readUInt16LE(0), answer.readUInt16LE(2), answer.readUInt32LE(12)]).toEqual([
      this.#id,
      type,
      0,
    ]);
    return [answer.readUInt32LE(4), answer.readUInt32LE(8)];
  }

  queueOf(sourcePort: number): number {
    const header = new Header();
    const frame = tcpFrame({ source: '10.0.0.1', sourcePort, to: '10.0.0.2', toPort: 80 });
    header.parse(frame, 0, frame.length);
    return this.steering.steer(header);
  }
}

const page = (...values: readonly number[]): Uint8Array => {
  const bytes = Buffer.alloc(4096);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i);
  return bytes;
};

test('without an order a stream stays in a queue, and many streams use all of them', () => {
  const bench = new Bench();
  const queues = Array.from({ length: 200 }, (_, port) => bench.queueOf(port));
  expect(queues).toEqual(Array.from({ length: 200 }, (_, port) => bench.queueOf(port)));
  for (const queue of [0, 1, 2, 3])
    expect(queues.filter((other) => other === queue).length).toBeGreaterThan(20);
  expect(bench.steering.hashType).toBe(-1);
});

test('flags need an algorithm', () => {
  const bench = new Bench();
  expect(bench.order(CtrlType.GET_HASH_FLAGS)).toEqual([NOT_SUPPORTED, 0]);
  expect(bench.order(CtrlType.SET_HASH_FLAGS, [1])).toEqual([NOT_SUPPORTED, 0]);
  expect(bench.order(CtrlType.SET_HASH_ALGORITHM, [2])).toEqual([INVALID_PARAMETER, 0]);
  expect(bench.order(CtrlType.SET_HASH_ALGORITHM, [HashAlgorithm.TOEPLITZ])).toEqual([SUCCESS, 0]);
  expect(bench.order(CtrlType.GET_HASH_FLAGS)).toEqual([SUCCESS, 15]);
  expect(bench.order(CtrlType.SET_HASH_FLAGS, [16])).toEqual([INVALID_PARAMETER, 0]);
  expect(bench.order(CtrlType.SET_HASH_FLAGS, [2])).toEqual([SUCCESS, 0]);
});

test('a key, a table, and the queue that follows from them', () => {
  const bench = new Bench();
  bench.order(CtrlType.SET_HASH_ALGORITHM, [HashAlgorithm.TOEPLITZ]);
  bench.order(CtrlType.SET_HASH_FLAGS, [2]);
  expect(bench.queueOf(5), 'no key: the hash is 0').toBe(0);
  expect(bench.order(CtrlType.SET_HASH_KEY, [8, 40, 0], new Uint8Array(4096).fill(0x35))).toEqual([
    SUCCESS,
    0,
  ]);
  const hashes = Array.from({ length: 50 }, (_, port) => {
    const queue = bench.queueOf(port);
    expect(queue).toBe(bench.steering.hashValue % 4);
    return bench.steering.hashValue;
  });
  expect(new Set(hashes).size).toBeGreaterThan(10);
  expect(bench.order(CtrlType.GET_HASH_MAPPING_SIZE)).toEqual([SUCCESS, 128]);
  expect(bench.order(CtrlType.SET_HASH_MAPPING_SIZE, [6])).toEqual([SUCCESS, 0]);
  expect(bench.queueOf(5), 'a new table is zero').toBe(0);
  expect(bench.order(CtrlType.SET_HASH_MAPPING, [8, 2, 1], page(3, 2))).toEqual([SUCCESS, 0]);
  expect(bench.order(CtrlType.SET_HASH_MAPPING, [8, 3, 3], page(1, 1, 1))).toEqual([SUCCESS, 0]);
  const table = [0, 3, 2, 1, 1, 1];
  for (const [port, hash] of hashes.entries()) expect(bench.queueOf(port)).toBe(table[hash % 6]);
  expect(bench.order(CtrlType.SET_HASH_KEY, [8, 0, 0])).toEqual([SUCCESS, 0]);
  expect(bench.queueOf(5)).toBe(0);
  expect(bench.steering.hashValue).toBe(0);
});

test('grants that stay mapped, and orders that nobody knows, are not supported', () => {
  const bench = new Bench();
  for (const type of [0, 8, 9, 10, 11, 0xffff])
    expect(bench.order(type, [0, 0, 0])).toEqual([NOT_SUPPORTED, 0]);
});

describe('XSA-270: sizes that do not fit', () => {
  test.each<[string, number, readonly number[], number]>([
    ['a key longer than ours', CtrlType.SET_HASH_KEY, [8, 41, 0], BUFFER_OVERFLOW],
    ['a key longer than a page', CtrlType.SET_HASH_KEY, [8, 4097, 0], INVALID_PARAMETER],
    ['a key as long as can be', CtrlType.SET_HASH_KEY, [8, 0xffffffff, 0], INVALID_PARAMETER],
    ['a table larger than ours', CtrlType.SET_HASH_MAPPING_SIZE, [129], INVALID_PARAMETER],
    ['more entries than the table has', CtrlType.SET_HASH_MAPPING, [8, 9, 0], INVALID_PARAMETER],
    ['entries behind the table', CtrlType.SET_HASH_MAPPING, [8, 1, 8], INVALID_PARAMETER],
    ['a sum that would wrap', CtrlType.SET_HASH_MAPPING, [8, 8, 0xfffffff8], INVALID_PARAMETER],
    ['more entries than a page has', CtrlType.SET_HASH_MAPPING, [8, 1025, 0], INVALID_PARAMETER],
    ['more entries than we have', CtrlType.SET_HASH_MAPPING, [8, 129, 0], BUFFER_OVERFLOW],
    [
      'entries that wrap when counted in bytes',
      CtrlType.SET_HASH_MAPPING,
      [8, 0x40000001, 0],
      INVALID_PARAMETER,
    ],
  ])('%s', (_, type, data, status) => {
    const bench = new Bench();
    bench.order(CtrlType.SET_HASH_MAPPING_SIZE, [8]);
    expect(bench.order(type, data, page())).toEqual([status, 0]);
    expect(bench.steering.mappingSize).toBe(8);
  });

  test('a queue that does not exist, or a page that cannot be had: the table stays as it was', () => {
    const bench = new Bench();
    bench.order(CtrlType.SET_HASH_MAPPING_SIZE, [4]);
    bench.order(CtrlType.SET_HASH_MAPPING, [8, 4, 0], page(3, 2, 1, 0));
    expect(bench.order(CtrlType.SET_HASH_MAPPING, [8, 4, 0], page(1, 1, 1, 4))).toEqual([
      INVALID_PARAMETER,
      0,
    ]);
    expect(bench.order(CtrlType.SET_HASH_MAPPING, [8, 4, 0])).toEqual([INVALID_PARAMETER, 0]);
    expect(bench.order(CtrlType.SET_HASH_KEY, [8, 40, 0])).toEqual([INVALID_PARAMETER, 0]);
    expect([...bench.steering.mapping.subarray(0, 4)]).toEqual([3, 2, 1, 0]);
  });
});
