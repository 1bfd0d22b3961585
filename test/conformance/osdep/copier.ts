// Copies by table: the same checks as grant copies one by one, with memory that is the copier's own.
import { describe, expect, test } from 'vitest';
import { type Copier, type CopyTable, GrantFlag, GrantStatus } from '../../../osdep/gnttab.ts';
import { type Bench, refuses } from '../osdep.ts';

interface Row {
  readonly domid: number;
  readonly ref: number;
  readonly offset?: number;
  readonly position?: number;
  readonly length: number;
  readonly to?: 'guest' | 'us';
}

export function tableOf(rows: readonly Row[]): CopyTable {
  return {
    count: rows.length,
    domids: Uint16Array.from(rows, ({ domid }) => domid),
    grefs: Uint32Array.from(rows, ({ ref }) => ref),
    offsets: Uint16Array.from(rows, ({ offset = 0 }) => offset),
    positions: Uint32Array.from(rows, ({ position = 0 }) => position),
    lengths: Uint16Array.from(rows, ({ length }) => length),
    toGuest: Uint8Array.from(rows, ({ to }) => (to === 'guest' ? 1 : 0)),
    statuses: new Int16Array(rows.length).fill(99),
  };
}

function copied(copier: Copier, rows: readonly Row[]): number[] {
  const table = tableOf(rows);
  copier.copy(table);
  return [...table.statuses];
}

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

const PAGE = 4096;

export function copierSuite(bench: Bench): void {
  describe('copies by table', () => {
    test('bytes go in and out of granted pages, in order', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 2, 'rw');
      const [one, two] = [shared.refs[0]!, shared.refs[1]!];
      const copier = b.platform.openGnttab().openCopier(4 * PAGE);
      expect(copier.memory.length).toBe(4 * PAGE);
      expect(copier.memory.every((byte) => byte === 0)).toBe(true);
      copier.memory.set([1, 2, 3, 4, 5, 6, 7], 2 * PAGE - 3);
      const statuses = copied(copier, [
        { domid: a.domid, ref: one, offset: 4089, position: 2 * PAGE - 3, length: 7, to: 'guest' },
        { domid: a.domid, ref: one, offset: 4090, position: 3 * PAGE + 1, length: 6 },
        { domid: a.domid, ref: two, offset: 5, position: 3 * PAGE + 2, length: 3, to: 'guest' },
      ]);
      expect(statuses).toEqual([0, 0, 0]);
      expect([...shared.bytes.slice(4089, 4096)]).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect([...copier.memory.slice(3 * PAGE, 3 * PAGE + 8)]).toEqual([0, 2, 3, 4, 5, 6, 7, 0]);
      expect([...shared.bytes.slice(PAGE + 4, PAGE + 9)]).toEqual([0, 3, 4, 5, 0]);
      copier.close();
    });

    test('each has a status of its own, and the same as a copy by itself', async () => {
      const [a, b] = await bench.pair();
      const gntshr = a.platform.openGntshr();
      const [readOnly] = gntshr.sharePages(b.domid, 1, 'r').refs;
      const [writable] = gntshr.sharePages(b.domid, 1, 'rw').refs;
      const copier = b.platform.openGnttab().openCopier(PAGE);
      const into = { domid: a.domid, length: 16, to: 'guest' } as const;
      const statuses = copied(copier, [
        { ...into, ref: readOnly! },
        { ...into, ref: writable! },
        { ...into, ref: readOnly!, to: 'us' },
        { ...into, ref: 40_000 },
        { ...into, ref: 0xffff_ffff },
        { ...into, domid: 4321, ref: 8 },
        { ...into, domid: 4321, ref: 8, length: 0 },
      ]);
      expect(statuses).toEqual([
        GrantStatus.GENERAL_ERROR,
        GrantStatus.OKAY,
        GrantStatus.OKAY,
        GrantStatus.BAD_GNTREF,
        GrantStatus.BAD_GNTREF,
        GrantStatus.BAD_DOMAIN,
        GrantStatus.OKAY,
      ]);
    });

    test('a table may be long, whole pages included', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 8, 'rw');
      const copier = b.platform.openGnttab().openCopier(8 * PAGE);
      for (let i = 0; i < shared.bytes.length; i++) shared.bytes[i] = (i * 7 + (i >> 12)) & 0xff;
      const rows = Array.from({ length: 5000 }, (_, i) => {
        const page = i % 8;
        return { domid: a.domid, ref: shared.refs[page]!, position: page * PAGE, length: i < 8 ? PAGE : 60 };
      });
      expect(copied(copier, rows).every((status) => status === 0)).toBe(true);
      expect(Buffer.compare(copier.memory, shared.bytes)).toBe(0);
    });

    test('copies of any place and length are those bytes and no others', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      const copier = b.platform.openGnttab().openCopier(2 * PAGE);
      const [ref] = shared.refs;
      for (const length of [1, 2, 3, 7, 8, 9, 31, 60, 64, 65, 128, 1514]) {
        for (const [offset, position] of [
          [0, 0],
          [1, 0],
          [3, 6],
          [8, 5],
          [PAGE - length, PAGE + 1],
        ] as const) {
          shared.bytes.fill(0xee);
          copier.memory.fill(0x11);
          for (let i = 0; i < length; i++) copier.memory[position + i] = 100 + (i % 100);
          const row = { domid: a.domid, ref: ref!, offset, position, length };
          expect(copied(copier, [{ ...row, to: 'guest' }])).toEqual([0]);
          const sent = Buffer.alloc(PAGE, 0xee);
          for (let i = 0; i < length; i++) sent[offset + i] = 100 + (i % 100);
          expect(Buffer.compare(shared.bytes, sent)).toBe(0);
          copier.memory.fill(0x11);
          expect(copied(copier, [row])).toEqual([0]);
          const came = Buffer.alloc(2 * PAGE, 0x11);
          for (let i = 0; i < length; i++) came[position + i] = 100 + (i % 100);
          expect(Buffer.compare(copier.memory, came)).toBe(0);
        }
      }
    });

    test('a copy that leaves the page fails the whole call; one outside of our memory is our own mistake', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      const copier = b.platform.openGnttab().openCopier(PAGE);
      const good = { domid: a.domid, ref: shared.refs[0]!, length: 8 };
      expect(copied(copier, [good, { ...good, offset: 4090 }])).toEqual([
        GrantStatus.GENERAL_ERROR,
        GrantStatus.GENERAL_ERROR,
      ]);
      expect(thrownBy(() => copied(copier, [{ ...good, position: 4090 }]))).toBeInstanceOf(RangeError);
      expect(copied(copier, [good])).toEqual([GrantStatus.OKAY]);
      refuses('EINVAL', () => b.platform.openGnttab().openCopier(0));
      refuses('EINVAL', () => b.platform.openGnttab().openCopier(100));
    });

    test('a copier outlives the handle that it was opened through, and is closed by itself', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      const gnttab = b.platform.openGnttab();
      const copier = gnttab.openCopier(PAGE);
      gnttab.close();
      shared.bytes[5] = 55;
      expect(copied(copier, [{ domid: a.domid, ref: shared.refs[0]!, offset: 5, length: 1 }])).toEqual([0]);
      expect(copier.memory[0]).toBe(55);
      copier.close();
      copier.close();
      expect(copier.memory.length).toBe(0);
    });

    bench.guestTest('a page that somebody else maps is not copied; one that we map is', async () => {
      const [a, b] = await bench.guests();
      const c = await bench.machine.newDomain();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      const mapping = b.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'rw');
      const row = { domid: a.domid, ref: shared.refs[0]!, length: 4 };
      expect(copied(c.platform.openGnttab().openCopier(PAGE), [row])).toEqual([GrantStatus.GENERAL_ERROR]);
      const copier = b.platform.openGnttab().openCopier(PAGE);
      expect(copied(copier, [row, { ...row, to: 'guest' }])).toEqual([0, 0]);
      const flags = a.platform.guest.mapGrantTable(1);
      const flagsOf = () => flags.bytes[shared.refs[0]! * 8]!;
      const inUse = GrantFlag.READING | GrantFlag.WRITING;
      expect(flagsOf() & inUse).toBe(inUse);
      mapping.unmap();
      expect(flagsOf() & inUse).toBe(0);
      expect(copied(copier, [row, { ...row, to: 'guest' }])).toEqual([0, 0]);
      expect(flagsOf() & inUse).toBe(0);
    });

    bench.guestTest(
      'what a guest has taken back, or given to somebody else, or has no page for, is not copied',
      async () => {
        const [a, b] = await bench.guests();
        const gntshr = a.platform.openGntshr();
        const gone = gntshr.sharePages(b.domid, 1, 'rw');
        const others = gntshr.sharePages(0, 1, 'rw');
        const odd = gntshr.sharePages(b.domid, 1, 'rw');
        gntshr.unshare(gone, 1);
        const table = a.platform.guest.mapGrantTable(1);
        new DataView(table.bytes.buffer, table.bytes.byteOffset).setUint32(
          odd.refs[0]! * 8 + 4,
          0x7fff_ffff,
          true,
        );
        const copier = b.platform.openGnttab().openCopier(PAGE);
        const rows = [gone, others, odd].map(({ refs }) => ({ domid: a.domid, ref: refs[0]!, length: 4 }));
        const statuses = copied(copier, rows);
        expect(statuses).toEqual([
          GrantStatus.GENERAL_ERROR,
          GrantStatus.GENERAL_ERROR,
          GrantStatus.BAD_PAGE,
        ]);
        expect(table.bytes[odd.refs[0]! * 8]! & (GrantFlag.READING | GrantFlag.WRITING)).toBe(0);
      },
    );

    bench.guestTest('of a domain that has died nothing new is copied', async () => {
      const [a, b] = await bench.guests();
      const { refs } = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      const copier = b.platform.openGnttab().openCopier(PAGE);
      const row = { domid: a.domid, ref: refs[0]!, length: 4 };
      expect(copied(copier, [row])).toEqual([0]);
      await bench.machine.kill(a.domid);
      await bench.machine.settle();
      const [status] = copied(copier, [row]);
      expect(status).toBeLessThan(0);
    });
  });
}
