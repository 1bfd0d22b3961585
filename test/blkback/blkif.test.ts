// Requests and responses lie where Xen's own header, compiled, puts them, in both layouts; and what our test frontend writes is what
// the backend reads.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlkifOp, BlkifStatus, layoutOf, writeResponse } from '../../blkback/core/blkif.ts';
import { Phase, Requests } from '../../blkback/core/requests.ts';
import { compileAgainstXen } from '../osdep/pages/compile.ts';
import { type Asked, readResponse, slotOf } from './slots.ts';

const compiled = compileAgainstXen('../../blkback/layouts.c');
const layouts = [
  ['wide', layoutOf('x86_64-abi')],
  ['narrow', layoutOf('x86_32-abi')],
] as const;

/** A row filled from a slot. */
function parsed(
  layout: ReturnType<typeof layoutOf>,
  bytes: Uint8Array,
): { readonly requests: Requests; readonly row: number } {
  const requests = new Requests(4, 4096);
  const row = requests.take(0);
  requests.parse(row, bytes, layout, 4096);
  return { requests, row };
}

function id({ requests, row }: { readonly requests: Requests; readonly row: number }): bigint {
  return (BigInt(requests.idHigh[row]!) << 32n) | BigInt(requests.idLow[row]!);
}

describe.skipIf('missing' in compiled)('as compiled C lays it out', () => {
  const shown = new Map<string, Buffer>();
  if ('program' in compiled) {
    for (const line of execFileSync(compiled.program, { encoding: 'utf8' }).trim().split('\n')) {
      const [name, hex] = line.split(' ') as [string, string];
      shown.set(name, Buffer.from(hex, 'hex'));
    }
  }

  test.each(layouts)('%s: a read or write with all its segments', (name, layout) => {
    const bytes = shown.get(`${name}-rw`)!;
    expect(bytes.length).toBe(layout.slotBytes);
    const { requests, row } = parsed(layout, bytes);
    expect(id({ requests, row })).toBe(0x1122334455667788n);
    expect(requests.op[row]).toBe(BlkifOp.WRITE);
    expect(requests.status[row]).toBe(BlkifStatus.OKAY);
    expect(requests.sector[row]).toBe(0xa1b2c3d4e5f6);
    expect(requests.segments[row]).toBe(11);
    const base = row * requests.maxSegments;
    expect([...requests.gref.subarray(base, base + 11)]).toEqual(
      Array.from({ length: 11 }, (_, i) => 0x80000000 + i),
    );
    expect([...requests.firstSect.subarray(base, base + 11)]).toEqual(
      Array.from({ length: 11 }, (_, i) => i % 4),
    );
    expect([...requests.sectCount.subarray(base, base + 11)]).toEqual(new Array(11).fill(5));
    const segments = Array.from({ length: 11 }, (_, i) => ({
      gref: 0x80000000 + i,
      first: i % 4,
      last: 4 + (i % 4),
    }));
    const asked: Asked = {
      op: BlkifOp.WRITE,
      id: 0x1122334455667788n,
      sector: 0xa1b2c3d4e5f6,
      handle: 0x1234,
      segments,
    };
    expect(Buffer.from(slotOf(layout, asked)).equals(bytes), 'the test frontend writes the same').toBe(true);
  });

  test.each(layouts)('%s: a discard', (name, layout) => {
    const bytes = shown.get(`${name}-discard`)!;
    const { requests, row } = parsed(layout, bytes);
    expect(id({ requests, row })).toBe(0x99aabbccddeeff00n);
    expect(requests.sector[row]).toBe(77);
    expect(requests.sectors[row]).toBe(0x010203040506);
    expect(requests.secure[row]).toBe(1);
    const asked: Asked = {
      op: BlkifOp.DISCARD,
      id: 0x99aabbccddeeff00n,
      sector: 77,
      handle: 0x1234,
      nrSectors: 0x010203040506n,
      flag: 1,
    };
    expect(Buffer.from(slotOf(layout, asked)).equals(bytes)).toBe(true);
  });

  test.each(layouts)('%s: an indirect request', (name, layout) => {
    const bytes = shown.get(`${name}-indirect`)!;
    const { requests, row } = parsed(layout, bytes);
    expect(id({ requests, row })).toBe(3n);
    expect(requests.phase[row]).toBe(Phase.FETCHING);
    expect(requests.op[row]).toBe(BlkifOp.READ);
    expect(requests.sector[row]).toBe(4);
    expect(requests.segments[row]).toBe(0xfff);
    expect(Array.from({ length: 8 }, (_, i) => requests.descriptorGref(row, i))).toEqual(
      Array.from({ length: 8 }, (_, i) => 0x90000000 + i),
    );
    const grefs = Array.from({ length: 8 }, (_, i) => 0x90000000 + i);
    const indirect = { op: BlkifOp.READ, count: 0xfff, grefs };
    const asked: Asked = { op: BlkifOp.INDIRECT, id: 3, sector: 4, handle: 0x1234, indirect };
    expect(Buffer.from(slotOf(layout, asked)).equals(bytes)).toBe(true);
  });

  test.each(layouts)('%s: a response, its padding zero', (name, layout) => {
    const bytes = shown.get(`${name}-response`)!;
    expect(bytes.length).toBe(layout.responseBytes);
    const written = new Uint8Array(layout.slotBytes).fill(0xee);
    writeResponse(layout, written, {
      idLow: 0x55667788,
      idHigh: 0x11223344,
      operation: BlkifOp.READ,
      status: BlkifStatus.EOPNOTSUPP,
    });
    expect(Buffer.from(written.subarray(0, layout.responseBytes)).equals(bytes)).toBe(true);
  });
});

test('any bytes at all parse into a row within its bounds', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 112, maxLength: 112 }),
      fc.constantFrom('x86_64-abi', 'x86_32-abi', 'arm-abi'),
      fc.integer({ min: 0, max: 7 }),
      fc.integer({ min: 0, max: 600 }),
      (bytes, protocol, op, indirectSegments) => {
        if (op < 7) bytes[0] = op;
        const requests = new Requests(2, Math.max(11, indirectSegments));
        const row = requests.take(0);
        requests.parse(row, bytes, layoutOf(protocol), indirectSegments);
        expect(requests.segments[row]).toBeLessThanOrEqual(requests.maxSegments);
        if (requests.status[row] !== BlkifStatus.OKAY || requests.phase[row] === Phase.FETCHING) return;
        const base = row * requests.maxSegments;
        for (let i = base; i < base + requests.segments[row]!; i++) {
          expect(requests.firstSect[i]! + requests.sectCount[i]!).toBeLessThanOrEqual(8);
          expect(requests.sectCount[i]).toBeGreaterThan(0);
        }
      },
    ),
  );
});

test('a response is read back as it was written', () => {
  const bytes = new Uint8Array(16);
  writeResponse(layoutOf('arm-abi'), bytes, {
    idLow: 0xffffffff,
    idHigh: 0x80000000,
    operation: 5,
    status: -1,
  });
  expect(readResponse(bytes)).toEqual({ id: 0x80000000ffffffffn, op: 5, status: -1 });
});
