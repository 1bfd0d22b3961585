/** The pieces of the machine across processes that are easier to see alone. */
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { Poller } from '../../osdep/os/poll.ts';
import { read } from '../../osdep/os/sock.ts';
import { EventPipe } from '../../osdep/sim/eventpipe.ts';
import { Extents } from '../../osdep/sim/extents.ts';
import { decodeBody, encodeFrame, FrameReader, HEADER_BYTES, Kind } from '../../osdep/sim/protocol.ts';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const step of cleanUp.splice(0)) step();
});

test('frames come out as they went in, however the stream is cut', () => {
  const frame = fc.record({ kind: fc.integer({ min: 1, max: 7 }), value: fc.jsonValue() });
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 300 })),
      (sent, cuts) => {
        const reader = new FrameReader(1 << 20);
        const received: { kind: number; value: unknown }[] = [];
        let rest = Buffer.concat(sent.map(({ kind, value }) => encodeFrame(kind, value, 'plain')));
        for (let i = 0; rest.length > 0; i++) {
          const piece = rest.subarray(0, cuts[i] ?? 7);
          rest = rest.subarray(piece.length);
          reader.push(piece, piece.length);
          for (let next = reader.next(); next !== undefined; next = reader.next()) {
            if (next === 'bad') throw new Error('bad');
            received.push({ kind: next.kind, value: decodeBody(next.body) });
          }
        }
        expect(received).toEqual(JSON.parse(JSON.stringify(sent)));
      },
    ),
  );
});

test('bytes travel beside the text, Buffers too, and are copies', () => {
  const value = {
    ops: [{ bytes: new Uint8Array([1, 2]) }, { bytes: Buffer.from('xyz') }],
    empty: new Uint8Array(0),
  };
  const body = encodeFrame(Kind.CALL, value, 'bytes').subarray(HEADER_BYTES);
  const decoded = decodeBody(body) as typeof value;
  body.fill(0);
  expect(decoded.ops.map(({ bytes }) => [...bytes])).toEqual([[1, 2], [...Buffer.from('xyz')]]);
  expect(decoded.empty).toHaveLength(0);
});

test('any bytes are a value, an error or too long, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const reader = new FrameReader(1024);
      reader.push(bytes, bytes.length);
      const next = reader.next();
      if (next !== undefined && next !== 'bad') {
        try {
          decodeBody(next.body);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }
    }),
  );
});

test('events beyond what a pipe holds wait, each once, and all arrive in the end', async () => {
  const poller = new Poller();
  const pipe = new EventPipe(poller);
  cleanUp.push(
    () => pipe.close(),
    () => poller.close(),
  );
  const ports = 40_000;
  for (let round = 0; round < 3; round++) for (let port = 1; port <= ports; port++) pipe.fire(port);
  const counts = new Uint8Array(ports + 1);
  const bytes = Buffer.alloc(4);
  let seen = 0;
  while (seen < ports) {
    if (read(pipe.readEnd, bytes) === 4) {
      if (counts[bytes.readUInt32LE(0)]!++ === 0) seen += 1;
    } else {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  expect(Math.max(...counts)).toBeLessThanOrEqual(2);
});

test('a reader that went away is no trouble', () => {
  const poller = new Poller();
  const pipe = new EventPipe(poller);
  cleanUp.push(() => poller.close());
  pipe.closeReadEnd();
  pipe.fire(1);
  pipe.close();
  pipe.fire(2);
  pipe.close();
});

test('extents: bytes, words, and a limit for each domain', () => {
  const extents = new Extents(2);
  extents.caller = 5;
  expect(extents.allocate(1, 2)).toBe(true);
  expect(extents.allocate(2, 1)).toBe(true);
  expect(extents.allocate(3, 1)).toBe(false);
  extents.caller = 6;
  expect(extents.allocate(3, 1)).toBe(true);
  extents.write(1, 4094, new Uint8Array([1, 2, 3, 4]));
  expect([...extents.read(1, 4094, 4)]).toEqual([1, 2, 3, 4]);
  expect(extents.load32(1, 4096)).toBe(0x0403);
  expect(extents.compareExchange32(1, 4096, 0x0403, 0xffff_ffff)).toBe(0x0403);
  expect(extents.compareExchange32(1, 4096, 0x0403, 0)).toBe(0xffff_ffff);
  extents.and16(1, 4096, 0xfff0);
  extents.and16(1, 4098, 0x0fff);
  expect(extents.load32(1, 4096)).toBe(0x0fff_fff0);
  extents.free(1);
  extents.caller = 5;
  expect(extents.allocate(4, 1)).toBe(true);
  for (const extent of [2, 3, 4]) extents.free(extent);
});
