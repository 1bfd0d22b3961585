// What a domain might try against the hypervisor itself: each attempt is answered, costs what it may cost, and leaves the
// books of everybody else as they were.
import { expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { LocalMemory } from '../../osdep/sim/memory.ts';
import { type Args, type OpName, type Value, World } from '../../osdep/sim/world.ts';

class Bench {
  readonly memory = new LocalMemory();
  readonly world = new World({ memory: this.memory, limits: { totalPages: 4096 } });

  domain(): number {
    const { domid } = this.ask(0, 'createDomain', {});
    this.ask(0, 'unpauseDomain', { domid });
    return domid;
  }

  ask<K extends OpName>(domid: number, op: K, args: Args<K>): Value<K> {
    const reply = this.world.hypercall(domid, op, args);
    if (!reply.ok) throw new Error(`${op}: errno ${reply.errno}`);
    return reply.value as Value<K>;
  }

  get freePages(): number {
    return this.ask(0, 'physinfo', {}).freePages;
  }
}

test('a shared page whose place was given back first is free once, not twice', () => {
  const bench = new Bench();
  const [granter, backend] = [bench.domain(), bench.domain()];
  const before = bench.freePages;
  const shared = bench.ask(granter, 'gntallocShare', { domid: backend, count: 2, peerWritable: true });
  const [first, second] = shared.refs;
  const map = bench.ask(backend, 'gntdevMap', { refs: [{ domid: granter, ref: second! }], writable: true });

  bench.ask(granter, 'decreaseReservation', { domid: granter, gfns: [shared.gfns[0]!] });
  bench.ask(granter, 'unmap', { map: shared.map });
  expect(bench.freePages).toBe(before - 1);

  // The other page is the backend's as long as it maps it.
  const copy = {
    source: { domid: granter, ref: second!, offset: 0 },
    dest: { local: true as const },
    length: 4,
  };
  expect(bench.ask(backend, 'gntdevCopy', { ops: [copy] }).results[0]?.status).toBe(0);
  bench.ask(0, 'destroyDomain', { domid: granter });
  expect(bench.ask(0, 'domainInfoList', { firstDomid: granter, max: 1 }).domains[0]?.domid).toBe(granter);
  bench.ask(backend, 'unmap', { map: map.map });
  expect(bench.ask(0, 'domainInfoList', { firstDomid: granter, max: 1 }).domains[0]?.domid).toBe(backend);
  expect(bench.freePages).toBe(before + 1);
  expect(first).toBeDefined();
});

test('mapping one page again and again ends before the hypervisor runs out of memory for it', () => {
  const bench = new Bench();
  const guest = bench.domain();
  const { gfns } = bench.ask(guest, 'gntallocShare', { domid: 0, count: 1, peerWritable: true });
  const many = { gfns: Array.from({ length: 65_536 }, () => gfns[0]!) };
  const maps: number[] = [];
  for (;;) {
    const reply = bench.world.hypercall(guest, 'ownMap', many);
    if (!reply.ok) {
      expect(reply.errno).toBe(Errno.ENOMEM);
      break;
    }
    maps.push(reply.value.map);
    expect(maps.length).toBeLessThanOrEqual(16);
  }
  // Whoever gives some back has room again.
  bench.ask(guest, 'unmap', { map: maps[0]! });
  expect(bench.world.hypercall(guest, 'ownMap', { gfns }).ok).toBe(true);
});

test('memory to copy into is had for a quarter of the grants that may be mapped, and never so much at a time that others wait', () => {
  const memory = new LocalMemory();
  const world = new World({ memory });
  const copier = (options: Args<'createDomain'>): ((pages: number) => number) => {
    const made = world.hypercall(0, 'createDomain', options);
    const domid = made.ok ? made.value.domid : 0;
    return (pages) => {
      const reply = world.hypercall(domid, 'gntdevCopier', { pages });
      return reply.ok ? 0 : reply.errno;
    };
  };
  const guest = copier({});
  expect(guest(60_000)).toBe(0);
  expect(guest(6_000)).toBe(Errno.ENOMEM);
  const backend = copier({ maxMaptrackFrames: 2048 });
  expect([backend(70_000), backend(60_000), backend(60_000), backend(60_000)]).toEqual([
    Errno.ENOMEM,
    0,
    0,
    Errno.ENOMEM,
  ]);
});

test('ports are given lowest first, and none is slow to be had or to be closed, however many there are', () => {
  const bench = new Bench();
  const guest = bench.domain();
  const all = 131_071;
  const { handle } = bench.ask(guest, 'evtchnOpen', {});
  const bind = () => bench.world.hypercall(guest, 'evtchnBindUnbound', { handle, domid: 0 });
  for (let port = 1; port <= all; port += 1) bind();
  const refused = bind();
  expect(refused.ok ? 0 : refused.errno).toBe(Errno.ENOSPC);

  for (const port of [70_000, 5, 131_071, 6]) bench.ask(guest, 'evtchnUnbind', { handle, port });
  const again = [bind(), bind(), bind(), bind()].map((reply) => (reply.ok ? reply.value.port : reply.errno));
  expect(again).toEqual([5, 6, 70_000, 131_071]);

  // Looking at all the ports each time, this would take minutes.
  for (let round = 0; round < 100_000; round += 1) bind();
  for (let round = 0; round < 100_000; round += 1) {
    const file = bench.ask(guest, 'evtchnOpen', {});
    bench.ask(guest, 'evtchnClose', file);
  }
  bench.ask(guest, 'evtchnClose', { handle });
  expect(bench.ask(guest, 'evtchnStatus', { domid: guest, port: 5 }).state).toBe('closed');
});

test('frame numbers at the end of all numbers have an end, too', () => {
  const bench = new Bench();
  const [guest, model] = [bench.domain(), bench.domain()];
  bench.ask(0, 'setTarget', { domid: model, target: guest });
  const last = { firstPfn: Number.MAX_SAFE_INTEGER, count: 22 };
  bench.ask(model, 'dmTrackDirty', { domid: guest, ...last });
  bench.ask(model, 'dmModified', { domid: guest, runs: [last] });
  expect(bench.ask(model, 'dmTrackDirty', { domid: guest, ...last }).bitmap).toEqual(new Uint8Array(3));
  const typed = bench.world.hypercall(model, 'dmSetMemType', { domid: guest, type: 1, ...last });
  expect(typed.ok ? 0 : typed.errno).toBe(Errno.EINVAL);
  const runs = Array.from({ length: 2 }, () => ({ firstPfn: 16, count: 2 ** 20 }));
  const much = bench.world.hypercall(model, 'dmModified', { domid: guest, runs });
  expect(much.ok ? 0 : much.errno).toBe(Errno.EINVAL);
});
