// What a domain might try against the hypervisor itself: each attempt is answered, costs what it may cost, and leaves the
// books of everybody else as they were.
import { expect, test } from 'vitest';
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
