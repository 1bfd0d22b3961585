// Byte rings: what one end puts in the other takes out, across the wrap of the indices; a peer whose index is
// impossible is found out; and our pages are those of Xen's own headers, byte for byte.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  consoleBackend,
  consoleFrontend,
  type RingEnd,
  type RingReader,
  type RingWriter,
  StoreRing,
  storeBackend,
  storeFrontend,
} from '../../osdep/ring/bytering.ts';
import { Page } from '../../osdep/ring/page.ts';
import { compileAgainstXen } from './pages/compile.ts';

const page = (): Uint8Array => new Uint8Array(new ArrayBuffer(4096));

function store(bytes: Uint8Array, cons: number, prod: number): void {
  const words = new Page(bytes);
  words.store(StoreRing.REQUEST.cons, cons);
  words.store(StoreRing.REQUEST.prod, prod);
}

describe('words of a page', () => {
  test('are unsigned, and share the memory', () => {
    const bytes = page();
    const words = new Page(bytes);
    words.store(8, 0xffff_fffe);
    expect(words.load(8)).toBe(0xffff_fffe);
    expect([...bytes.slice(8, 12)]).toEqual([0xfe, 0xff, 0xff, 0xff]);
    words.store(8, 0x1234_5678);
    expect(words.load16(8)).toBe(0x5678);
    expect(words.load16(10)).toBe(0x1234);
  });

  test('begin where the bytes begin', () => {
    const buffer = new ArrayBuffer(8192);
    new Page(new Uint8Array(buffer, 4096, 4096)).store(0, 7);
    expect(new Uint8Array(buffer)[4096]).toBe(7);
  });
});

describe('a ring', () => {
  test('hands over what was put in, and no sooner than it is shown', () => {
    const bytes = page();
    const { writer } = storeFrontend(bytes);
    const { reader } = storeBackend(bytes);
    writer.put(0, Uint8Array.of(1, 2, 3));
    expect(reader.available(0)).toEqual({ ok: true, bytes: 0 });
    writer.advance(3);
    expect(reader.available(0)).toEqual({ ok: true, bytes: 3 });
    const taken = new Uint8Array(2);
    reader.peek(1, taken);
    expect([...taken]).toEqual([2, 3]);
    reader.peek(1, taken);
    expect([...taken], 'the same bytes until advance').toEqual([2, 3]);
    reader.advance(3);
    expect(reader.available(3)).toEqual({ ok: true, bytes: 0 });
    expect(writer.room(3)).toEqual({ ok: true, bytes: 1024 });
  });

  test('is full at its size, and empty at equal indices', () => {
    const bytes = page();
    const { writer } = storeFrontend(bytes);
    writer.put(0, new Uint8Array(1024));
    writer.advance(1024);
    expect(writer.room(1024)).toEqual({ ok: true, bytes: 0 });
    expect(storeBackend(bytes).reader.available(0)).toEqual({ ok: true, bytes: 1024 });
  });

  test.each([
    [0, 1025],
    [5, 4],
    [0, 0xffff_ffff],
    [0xffff_ff00, 0x0000_0301],
  ])('whose producer claims the impossible is broken: cons %i, prod %i', (cons, prod) => {
    const bytes = page();
    store(bytes, cons, prod);
    expect(storeBackend(bytes).reader.available(cons)).toEqual({ ok: false });
  });

  test('whose consumer claims the impossible is broken', () => {
    const bytes = page();
    store(bytes, 11, 10);
    expect(storeFrontend(bytes).writer.room(10)).toEqual({ ok: false });
    store(bytes, 10, 10 + 1025);
    expect(storeFrontend(bytes).writer.room(10 + 1025)).toEqual({ ok: false });
  });

  test('lets the peer move his index at any time: only what a step loaded counts', () => {
    const bytes = page();
    const { reader } = storeBackend(bytes);
    store(bytes, 0, 100);
    const seen = reader.available(0);
    store(bytes, 0, 5000);
    expect(seen).toEqual({ ok: true, bytes: 100 });
  });

  test('has both directions apart, and either side sees the other', () => {
    const bytes = page();
    const front = consoleFrontend(bytes);
    const back = consoleBackend(bytes);
    front.writer.put(0, Uint8Array.of(1));
    front.writer.advance(1);
    back.writer.put(0, Uint8Array.of(2));
    back.writer.advance(1);
    const byte = new Uint8Array(1);
    back.reader.peek(0, byte);
    expect(byte[0]).toBe(1);
    front.reader.peek(0, byte);
    expect(byte[0]).toBe(2);
  });

  test('carries any stream in any pieces, from any index', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(0xffff_ff80), fc.constant(0x7fff_ff80), fc.nat({ max: 0xffff_ffff })),
        fc.array(fc.record({ write: fc.nat({ max: 1500 }), read: fc.nat({ max: 1500 }) }), { maxLength: 20 }),
        (start, turns) => {
          const bytes = page();
          store(bytes, start, start);
          const { writer } = storeFrontend(bytes);
          const { reader } = storeBackend(bytes);
          let prod = start;
          let cons = start;
          let put = 0;
          let got = 0;
          for (const turn of turns) {
            const room = writer.room(prod);
            const writes = Math.min(turn.write, room.ok ? room.bytes : -1);
            const sent = Uint8Array.from({ length: writes }, () => put++ & 0xff);
            writer.put(prod, sent);
            prod = (prod + writes) >>> 0;
            writer.advance(prod);
            const there = reader.available(cons);
            const into = new Uint8Array(Math.min(turn.read, there.ok ? there.bytes : -1));
            reader.peek(cons, into);
            const expected = Uint8Array.from({ length: into.length }, () => got++ & 0xff);
            expect(Buffer.compare(into, expected)).toBe(0);
            cons = (cons + into.length) >>> 0;
            reader.advance(cons);
            expect([reader.position, writer.position]).toEqual([cons, prod]);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

const compiled = compileAgainstXen('rings.c');
if ('missing' in compiled) {
  console.warn(`pages against Xen's headers: skipped, ${compiled.missing}`);
}

/** Our end of the same script; `out` ends as the C program's page does. */
interface Ours {
  readonly page: Uint8Array;
  readonly writer: RingWriter;
  readonly reader: RingReader;
  readonly size: number;
}

function ours(kind: string, start: number): Ours {
  const bytes = page();
  const make = (front: RingEnd, back: RingEnd, size: number, fields: [number, number]): Ours => {
    for (const field of fields) {
      new Page(bytes).store(field, start);
    }
    return { page: bytes, writer: front.writer, reader: back.reader, size };
  };
  switch (kind) {
    case 'request':
      return make(storeFrontend(bytes), storeBackend(bytes), 1024, [2048, 2052]);
    case 'response':
      return make(storeBackend(bytes), storeFrontend(bytes), 1024, [2056, 2060]);
    default:
      return make(consoleFrontend(bytes), consoleBackend(bytes), 2048, [3080, 3084]);
  }
}

describe.skipIf('missing' in compiled)("pages are those of Xen's headers", () => {
  for (const kind of ['request', 'response', 'console']) {
    for (const start of [0, 0x7fff_fff0, 0xffff_fff0]) {
      test(`${kind} ring from index 0x${start.toString(16)}`, () => {
        const { page: bytes, writer, reader, size } = ours(kind, start);
        const script: string[] = [String(start)];
        const taken: number[] = [];
        let prod = start;
        let cons = start;
        let next = 1;
        for (const length of [1, 7, size - 8, 8, 3, size - 3, size / 2, 100, size - 100]) {
          const used = (prod - cons) >>> 0;
          if (used > 0) {
            const into = new Uint8Array(used);
            reader.peek(cons, into);
            cons = (cons + used) >>> 0;
            reader.advance(cons);
            taken.push(...into);
            script.push(`r ${used}`);
          }
          writer.put(
            prod,
            Uint8Array.from({ length }, (_, index) => next + index),
          );
          prod = (prod + length) >>> 0;
          writer.advance(prod);
          script.push(`w ${length} ${next}`);
          next += length;
        }
        const program = 'program' in compiled ? compiled.program : '';
        const theirs = execFileSync(program, [kind], { input: `${script.join('\n')}\n` });
        expect(Buffer.compare(theirs.subarray(0, 4096), bytes), 'page').toBe(0);
        expect([...theirs.subarray(4096)]).toEqual(taken);
      });
    }
  }
});
