// Grants: sharing, mapping, copying; what the hypervisor checks, what it marks in the granter's table, and what is left.
import { describe, expect, test } from 'vitest';
import { type Gnttab, GrantFlag, GrantStatus } from '../../../osdep/gnttab.ts';
import type { Mapping } from '../../../osdep/mapping.ts';
import { type Bench, refuses, type TestDomain, type TestGuest } from '../osdep.ts';

/** The granter's own view of an entry. */
function entries(domain: TestGuest): {
  flags(ref: number): number;
  set(ref: number, flags: number): void;
  frame(ref: number, gfn: number): void;
} {
  const table = domain.platform.guest.mapGrantTable(1);
  const view = () => new DataView(table.bytes.buffer, table.bytes.byteOffset, table.bytes.byteLength);
  return {
    flags: (ref) => view().getUint16(ref * 8, true),
    set: (ref, flags) => view().setUint16(ref * 8, flags, true),
    frame: (ref, gfn) => view().setUint32(ref * 8 + 4, gfn, true),
  };
}

/** Nobody reads or writes; only the granter can tell. */
function unused(bench: Bench, domain: TestDomain, refs: readonly number[]): void {
  if (bench.supports.guests) {
    const table = entries(domain as TestGuest);
    expect(refs.map((ref) => table.flags(ref) & IN_USE)).toEqual(refs.map(() => 0));
  }
}

const IN_USE = GrantFlag.READING | GrantFlag.WRITING;

function text(bytes: Uint8Array, length: number): string {
  return new TextDecoder().decode(bytes.slice(0, length));
}

function put(mapping: Mapping, words: string, offset = 0): void {
  mapping.bytes.set(new TextEncoder().encode(words), offset);
}

export function grantSuite(bench: Bench): void {
  describe('gnttab and gntshr', () => {
    test('a shared page is seen from both sides, in both directions', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      expect(shared.refs.length).toBe(1);
      expect([...shared.bytes.slice(0, 4096)].every((byte) => byte === 0)).toBe(true);
      put(shared, 'hello');
      const mapped = b.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'rw');
      expect(mapped.pages).toBe(1);
      expect(mapped.bytes.length).toBe(4096);
      expect(text(mapped.bytes, 5)).toBe('hello');
      put(mapped, 'there', 100);
      expect(text(shared.bytes.subarray(100), 5)).toBe('there');
    });

    test('pages shared together lie side by side when mapped in order', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 4, 'rw');
      expect(shared.bytes.length).toBe(4 * 4096);
      put(shared, 'across', 2 * 4096 - 3);
      const gnttab = b.platform.openGnttab();
      const mapped = gnttab.mapDomainGrantRefs(a.domid, shared.refs, 'rw');
      expect(text(mapped.bytes.subarray(2 * 4096 - 3), 6)).toBe('across');
      expect(text(mapped.page(2), 3)).toBe('oss');
    });

    test('references of several domains are mapped in one go', async () => {
      const [a, b] = await bench.pair();
      const [c] = await bench.pair();
      const ofA = a.platform.openGntshr().sharePages(c.domid, 1, 'rw');
      const ofB = b.platform.openGntshr().sharePages(c.domid, 1, 'rw');
      put(ofA, 'from a');
      put(ofB, 'from b');
      const refs = [
        { domid: b.domid, ref: ofB.refs[0]! },
        { domid: a.domid, ref: ofA.refs[0]! },
      ];
      const mapped = c.platform.openGnttab().mapGrantRefs(refs, 'rw');
      expect(text(mapped.page(0), 6)).toBe('from b');
      expect(text(mapped.page(1), 6)).toBe('from a');
      if (bench.supports.scatteredViews) {
        expect(text(mapped.bytes.subarray(4096), 6)).toBe('from a');
      } else {
        refuses('EOPNOTSUPP', () => mapped.bytes);
      }
    });

    test('only the domain a page is granted to may map it', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(bench.empty(), 1, 'rw');
      refuses('EINVAL', () => b.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'r'));
      refuses('EINVAL', () => bench.control.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'r'));
      unused(bench, a, shared.refs);
    });

    test('references that are none, and domains that are none, are refused', async () => {
      const [a, b] = await bench.pair();
      const gnttab = b.platform.openGnttab();
      refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, 500, 'r'));
      refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, 0xffff_ffff, 'r'));
      refuses('EINVAL', () => gnttab.mapGrantRef(4321, 8, 'r'));
      refuses('EINVAL', () => gnttab.mapDomainGrantRefs(a.domid, [], 'r'));
    });

    test('of several references all are mapped or none', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 2, 'rw');
      const gnttab = b.platform.openGnttab();
      refuses('EINVAL', () => gnttab.mapDomainGrantRefs(a.domid, [...shared.refs, 500], 'rw'));
      unused(bench, a, shared.refs);
    });

    test('a page granted for reading is mapped for reading only', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'r');
      const gnttab = b.platform.openGnttab();
      refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, shared.refs[0]!, 'rw'));
      const mapped = gnttab.mapGrantRef(a.domid, shared.refs[0]!, 'r');
      expect(mapped.writable).toBe(false);
      put(shared, 'seen');
      expect(text(mapped.bytes, 4)).toBe('seen');
    });

    bench.guestTest(
      "the granter's entry shows who reads and writes, until the last one has gone",
      async () => {
        const [a, b] = await bench.guests();
        const [ref] = a.platform.openGntshr().sharePages(b.domid, 1, 'rw').refs;
        const table = entries(a);
        const gnttab = b.platform.openGnttab();
        const reading = gnttab.mapGrantRef(a.domid, ref!, 'r');
        expect(table.flags(ref!) & IN_USE).toBe(GrantFlag.READING);
        const writing = gnttab.mapGrantRef(a.domid, ref!, 'rw');
        expect(table.flags(ref!) & IN_USE).toBe(IN_USE);
        writing.unmap();
        expect(table.flags(ref!) & IN_USE).toBe(GrantFlag.READING);
        reading.unmap();
        expect(table.flags(ref!) & IN_USE).toBe(0);
      },
    );

    bench.guestTest(
      'a granter who changes an entry in use changes nothing for those who map it',
      async () => {
        const [a, b] = await bench.guests();
        const gntshr = a.platform.openGntshr();
        const first = gntshr.sharePages(b.domid, 1, 'rw');
        const second = gntshr.sharePages(b.domid, 1, 'rw');
        put(first, 'first');
        put(second, 'second');
        const gnttab = b.platform.openGnttab();
        const mapped = gnttab.mapGrantRef(a.domid, first.refs[0]!, 'rw');
        const table = entries(a);
        table.frame(first.refs[0]!, 0xdead);
        const again = gnttab.mapGrantRef(a.domid, first.refs[0]!, 'rw');
        expect(text(mapped.bytes, 5)).toBe('first');
        expect(text(again.bytes, 5)).toBe('first');
        mapped.unmap();
        again.unmap();
        refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, first.refs[0]!, 'rw'));
      },
    );

    bench.guestTest('entries of other kinds are no grants', async () => {
      const [a, b] = await bench.guests();
      const [ref] = a.platform.openGntshr().sharePages(b.domid, 1, 'rw').refs;
      const table = entries(a);
      const gnttab = b.platform.openGnttab();
      for (const flags of [0, GrantFlag.ACCEPT_TRANSFER, 3, GrantFlag.PERMIT_ACCESS | GrantFlag.SUB_PAGE]) {
        table.set(ref!, flags);
        refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, ref!, 'r'));
      }
      table.set(ref!, GrantFlag.PERMIT_ACCESS);
      gnttab.mapGrantRef(a.domid, ref!, 'rw').unmap();
    });

    test('unmapping is done once and whole', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 2, 'rw');
      const gnttab = b.platform.openGnttab();
      const mapped = gnttab.mapDomainGrantRefs(a.domid, shared.refs, 'rw');
      refuses('EINVAL', () => gnttab.unmap(mapped, 1));
      refuses('EINVAL', () => b.platform.openGnttab().unmap(mapped, 2));
      gnttab.unmap(mapped, 2);
      expect(mapped.bytes.length).toBe(0);
      refuses('EINVAL', () => gnttab.unmap(mapped, 2));
      mapped.unmap();
    });

    test('an unmap can clear a byte and ring the peer', async () => {
      const [a, b] = await bench.pair();
      const evtchnA = a.platform.openEvtchn();
      const portA = evtchnA.bindUnboundPort(b.domid);
      const evtchnB = b.platform.openEvtchn();
      const portB = evtchnB.bindInterdomain(a.domid, portA);
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      shared.bytes.fill(7);
      const gnttab: Gnttab = b.platform.openGnttab();
      const notify = { clearByte: 9, port: portB };
      refuses('EINVAL', () => gnttab.mapGrantRefNotify(a.domid, shared.refs[0]!, 'r', { clearByte: 9 }));
      refuses('EINVAL', () => gnttab.mapGrantRefNotify(a.domid, shared.refs[0]!, 'rw', { clearByte: 4096 }));
      refuses('EINVAL', () => gnttab.mapGrantRefNotify(a.domid, shared.refs[0]!, 'rw', { port: 99 }));
      const mapped = gnttab.mapGrantRefNotify(a.domid, shared.refs[0]!, 'rw', notify);
      await bench.machine.settle();
      expect(evtchnA.pending()).toBeUndefined();
      mapped.unmap();
      await bench.machine.until(() => evtchnA.pending() === portA);
      expect([...shared.bytes.slice(8, 11)]).toEqual([7, 0, 7]);
    });

    bench.guestTest('an unmap notification also comes from a domain that dies', async () => {
      const [a, b] = await bench.guests();
      const evtchnA = a.platform.openEvtchn();
      const portA = evtchnA.bindUnboundPort(b.domid);
      const portB = b.platform.openEvtchn().bindInterdomain(a.domid, portA);
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      shared.bytes.fill(7);
      b.platform
        .openGnttab()
        .mapGrantRefNotify(a.domid, shared.refs[0]!, 'rw', { clearByte: 0, port: portB });
      await bench.machine.kill(b.domid);
      await bench.machine.until(() => evtchnA.pending() === portA);
      expect([...shared.bytes.slice(0, 2)]).toEqual([0, 7]);
      expect(entries(a).flags(shared.refs[0]!) & IN_USE).toBe(0);
    });

    test('a sharer can tell its peer as well', async () => {
      const [a, b] = await bench.pair();
      const evtchnB = b.platform.openEvtchn();
      const portB = evtchnB.bindUnboundPort(a.domid);
      const portA = a.platform.openEvtchn().bindInterdomain(b.domid, portB);
      const gntshr = a.platform.openGntshr();
      const shared = gntshr.sharePageNotify(b.domid, 'rw', { clearByte: 1, port: portA });
      shared.bytes.fill(3);
      const mapped = b.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'r');
      gntshr.unshare(shared, 1);
      await bench.machine.until(() => evtchnB.pending() === portB);
      expect([...mapped.bytes.slice(0, 3)]).toEqual([3, 0, 3]);
    });

    test('a page given up while the peer maps it stays his, and its reference is not reused before', async () => {
      const [a, b] = await bench.pair();
      const gntshr = a.platform.openGntshr();
      const shared = gntshr.sharePages(b.domid, 1, 'rw');
      const [ref] = shared.refs;
      put(shared, 'still');
      const gnttab = b.platform.openGnttab();
      const mapped = gnttab.mapGrantRef(a.domid, ref!, 'rw');
      refuses('EINVAL', () => gntshr.unshare(shared, 2));
      gntshr.unshare(shared, 1);
      expect(shared.bytes.length).toBe(0);
      refuses('EINVAL', () => gntshr.unshare(shared, 1));
      expect(text(mapped.bytes, 5)).toBe('still');
      expect(gntshr.sharePages(b.domid, 1, 'rw').refs).not.toContain(ref);
      mapped.unmap();
      // Linux asks now and then whether the peer has gone; what it has freed last is what it gives out next.
      const { clock } = bench.control.platform;
      let next = clock.now();
      await bench.machine.until(() => {
        if (clock.now() < next) {
          return false;
        }
        next = clock.now() + 100;
        return gntshr.sharePages(b.domid, 1, 'rw').refs[0] === ref;
      });
    });

    test('closing the handle leaves mappings and shared pages alone', async () => {
      const [a, b] = await bench.pair();
      const gntshr = a.platform.openGntshr();
      const shared = gntshr.sharePages(b.domid, 1, 'rw');
      gntshr.close();
      const gnttab = b.platform.openGnttab();
      const mapped = gnttab.mapGrantRef(a.domid, shared.refs[0]!, 'rw');
      gnttab.close();
      put(shared, 'alive');
      expect(text(mapped.bytes, 5)).toBe('alive');
      mapped.unmap();
      refuses('EBADF', () => gnttab.mapGrantRef(a.domid, shared.refs[0]!, 'rw'));
      refuses('EBADF', () => gntshr.sharePages(b.domid, 1, 'rw'));
    });

    bench.guestTest(
      "a dead domain's pages stay readable where they are mapped, and it stays a zombie until then",
      async () => {
        const [a, b] = await bench.pair();
        const shared = a.platform.openGntshr().sharePages(b.domid, 2, 'rw');
        put(shared, 'legacy');
        const gnttab = b.platform.openGnttab();
        const mapped = gnttab.mapGrantRef(a.domid, shared.refs[0]!, 'rw');
        await bench.machine.kill(a.domid);
        const ctrl = bench.control.platform.openCtrl();
        await bench.machine.until(() => ctrl.getDomainInfo(a.domid)?.dying === true);
        expect(text(mapped.bytes, 6)).toBe('legacy');
        refuses('EINVAL', () => gnttab.mapGrantRef(a.domid, shared.refs[1]!, 'rw'));
        mapped.unmap();
        expect(ctrl.getDomainInfo(a.domid)).toBeUndefined();
      },
    );

    test('a grant to oneself can be mapped', async () => {
      const [a] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(a.domid, 1, 'rw');
      const mapped = a.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'rw');
      put(mapped, 'me');
      expect(text(shared.bytes, 2)).toBe('me');
    });

    bench.guestTest('references run out, with an errno, and come back', async () => {
      const small = await bench.machine.newDomain({ maxGrantFrames: 1 });
      const gntshr = small.platform.openGntshr();
      const shared = gntshr.sharePages(0, 504, 'rw');
      refuses('ENOSPC', () => gntshr.sharePages(0, 1, 'rw'));
      gntshr.unshare(shared, 504);
      expect(gntshr.sharePages(0, 504, 'rw').refs.length).toBe(504);
      refuses('EINVAL', () => gntshr.sharePages(0, 0, 'rw'));
    });

    bench.guestTest('a domain maps only as many grants as its table of handles holds', async () => {
      const small = await bench.machine.newDomain({ maxMaptrackFrames: 1 });
      const shared = bench.control.platform.openGntshr().sharePages(small.domid, 4, 'rw');
      const gnttab = small.platform.openGnttab();
      const maps = Array.from({ length: 64 }, () => gnttab.mapDomainGrantRefs(0, shared.refs, 'rw'));
      refuses('EINVAL', () => gnttab.mapGrantRef(0, shared.refs[0]!, 'rw'));
      maps[0]!.unmap();
      gnttab.mapGrantRef(0, shared.refs[0]!, 'rw');
    });

    test('how many grants may be mapped can be said', () => {
      const gnttab = bench.control.platform.openGnttab();
      gnttab.setMaxGrants(100);
      refuses('EINVAL', () => gnttab.setMaxGrants(0));
    });

    bench.guestTest('dma-buf calls say that there are none', () => {
      const gnttab = bench.control.platform.openGnttab();
      refuses('EOPNOTSUPP', () => gnttab.dmabufExpFromRefs(1, 0, [8]));
      refuses('EOPNOTSUPP', () => gnttab.dmabufExpWaitReleased(3, 0));
      refuses('EOPNOTSUPP', () => gnttab.dmabufImpToRefs(1, 3, 1));
      refuses('EOPNOTSUPP', () => gnttab.dmabufImpRelease(3));
    });
  });

  describe('grant copy', () => {
    test('bytes go in and out of a granted page, and between two of them', async () => {
      const [a, b] = await bench.pair();
      const shared = a.platform.openGntshr().sharePages(b.domid, 2, 'rw');
      const [one, two] = shared.refs;
      const gnttab = b.platform.openGnttab();
      const out = new Uint8Array(8);
      const status = gnttab.grantCopy([
        {
          source: { bytes: new TextEncoder().encode('copied..') },
          dest: { domid: a.domid, ref: one!, offset: 4088 },
          length: 8,
        },
        {
          source: { domid: a.domid, ref: one!, offset: 4088 },
          dest: { domid: a.domid, ref: two!, offset: 10 },
          length: 6,
        },
        { source: { domid: a.domid, ref: two!, offset: 8 }, dest: { bytes: out }, length: 8 },
      ]);
      expect(status).toEqual([GrantStatus.OKAY, GrantStatus.OKAY, GrantStatus.OKAY]);
      expect(text(shared.bytes.subarray(4088), 8)).toBe('copied..');
      expect(new TextDecoder().decode(out)).toBe('\0\0copied');
      unused(bench, a, shared.refs);
    });

    test('each operation has its own status', async () => {
      const [a, b] = await bench.pair();
      const gntshr = a.platform.openGntshr();
      const [readOnly] = gntshr.sharePages(b.domid, 1, 'r').refs;
      const [writable] = gntshr.sharePages(b.domid, 1, 'rw').refs;
      const bytes = new Uint8Array(16);
      const into = (domid: number, ref: number) => ({
        source: { bytes },
        dest: { domid, ref, offset: 0 },
        length: 16,
      });
      const status = b.platform
        .openGnttab()
        .grantCopy([
          into(a.domid, readOnly!),
          into(a.domid, writable!),
          into(a.domid, 40_000),
          into(4321, 8),
          { ...into(4321, 8), length: 0 },
        ]);
      expect(status).toEqual([
        GrantStatus.GENERAL_ERROR,
        GrantStatus.OKAY,
        GrantStatus.BAD_GNTREF,
        GrantStatus.BAD_DOMAIN,
        GrantStatus.OKAY,
      ]);
    });

    bench.guestTest('a page that somebody else maps is not copied', async () => {
      const [a, b] = await bench.pair();
      const c = await bench.machine.newDomain();
      const shared = a.platform.openGntshr().sharePages(b.domid, 1, 'rw');
      b.platform.openGnttab().mapGrantRef(a.domid, shared.refs[0]!, 'rw');
      const segment = {
        source: { domid: a.domid, ref: shared.refs[0]!, offset: 0 },
        dest: { bytes: new Uint8Array(4) },
        length: 4,
      };
      expect(c.platform.openGnttab().grantCopy([segment])).toEqual([GrantStatus.GENERAL_ERROR]);
      expect(b.platform.openGnttab().grantCopy([segment])).toEqual([GrantStatus.OKAY]);
    });

    test('what no hypervisor would look at ends the call', async () => {
      const [a, b] = await bench.pair();
      const [ref] = a.platform.openGntshr().sharePages(b.domid, 1, 'rw').refs;
      const gnttab = b.platform.openGnttab();
      const bytes = new Uint8Array(4096);
      const grant = { domid: a.domid, ref: ref!, offset: 4090 };
      refuses('EINVAL', () => gnttab.grantCopy([{ source: { bytes }, dest: grant, length: 7 }]));
      refuses('EINVAL', () => gnttab.grantCopy([{ source: { bytes }, dest: { bytes }, length: 7 }]));
      refuses('EINVAL', () =>
        gnttab.grantCopy([{ source: grant, dest: { bytes: new Uint8Array(2) }, length: 4 }]),
      );
      expect(gnttab.grantCopy([{ source: { bytes }, dest: grant, length: 6 }])).toEqual([GrantStatus.OKAY]);
    });
  });
}
