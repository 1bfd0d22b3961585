// The world against small models of what it promises: any sequence of requests, the same answers and events; nothing
// left behind when everybody is dead; and no request, however shaped, that it does not answer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GrantFlag } from '../../osdep/gnttab.ts';
import { LocalMemory } from '../../osdep/sim/memory.ts';
import { type Args, type OpName, type Value, World } from '../../osdep/sim/world.ts';

class Bench {
  readonly memory = new LocalMemory();
  readonly world = new World({ memory: this.memory, limits: { totalPages: 4096 } });
  readonly domids: number[] = [];

  constructor(domains: number) {
    for (let made = 0; made < domains; made += 1) {
      const { domid } = this.ask(0, 'createDomain', {})!;
      this.ask(0, 'unpauseDomain', { domid });
      this.domids.push(domid);
    }
    this.world.takeEffects();
  }

  /** The value, or undefined for any errno. */
  ask<K extends OpName>(domid: number, op: K, args: Args<K>): Value<K> | undefined {
    const reply = this.world.hypercall(domid, op, args);
    return reply.ok ? (reply.value as Value<K>) : undefined;
  }

  events(): string[] {
    return this.world
      .takeEffects()
      .filter((effect) => effect.kind === 'event')
      .map((effect) => `${effect.domid}:${effect.port}`);
  }
}

interface ModelPort {
  peer: { domid: number; port: number } | undefined;
  waitsFor: number;
  pending: boolean;
  masked: boolean;
}

/** Ports as the documentation tells of them: what is bound to what, and what fires. */
class PortModel {
  readonly ports = new Map<string, ModelPort>();
  fired: string[] = [];

  offer(domid: number, to: number): number {
    const port = this.#lowest(domid);
    this.ports.set(`${domid}:${port}`, { peer: undefined, waitsFor: to, pending: false, masked: false });
    return port;
  }

  bind(domid: number, remote: number, remotePort: number): number | undefined {
    const theirs = this.ports.get(`${remote}:${remotePort}`);
    if (theirs === undefined || theirs.peer !== undefined || theirs.waitsFor !== domid) {
      return undefined;
    }
    const port = this.#lowest(domid);
    const peer = { domid: remote, port: remotePort };
    this.ports.set(`${domid}:${port}`, { peer, waitsFor: remote, pending: false, masked: false });
    theirs.peer = { domid, port };
    this.#raise(`${domid}:${port}`);
    return port;
  }

  close(domid: number, port: number): boolean {
    const mine = this.ports.get(`${domid}:${port}`);
    if (mine === undefined) {
      return false;
    }
    this.ports.delete(`${domid}:${port}`);
    const other = mine.peer && this.ports.get(`${mine.peer.domid}:${mine.peer.port}`);
    if (other !== undefined) {
      other.peer = undefined;
      other.waitsFor = domid;
    }
    return true;
  }

  notify(domid: number, port: number): boolean {
    const mine = this.ports.get(`${domid}:${port}`);
    if (mine?.peer !== undefined) {
      this.#raise(`${mine.peer.domid}:${mine.peer.port}`);
    }
    return mine !== undefined;
  }

  unmask(domid: number, port: number): void {
    const name = `${domid}:${port}`;
    const mine = this.ports.get(name);
    if (mine?.masked) {
      mine.masked = false;
      if (mine.pending) {
        this.#raise(name);
      }
    }
  }

  #raise(name: string): void {
    const port = this.ports.get(name);
    if (port === undefined) {
      return;
    }
    port.pending = port.masked;
    if (!port.masked) {
      port.masked = true;
      this.fired.push(name);
    }
  }

  #lowest(domid: number): number {
    let port = 1;
    while (this.ports.has(`${domid}:${port}`)) {
      port += 1;
    }
    return port;
  }
}

const who = fc.nat({ max: 2 });
const port = fc.integer({ min: 1, max: 5 });

const portStep = fc.oneof(
  fc.record({ op: fc.constant('offer' as const), who, to: who }),
  fc.record({ op: fc.constant('bind' as const), who, to: who, port }),
  fc.record({ op: fc.constant('close' as const), who, port }),
  fc.record({ op: fc.constant('notify' as const), who, port }),
  fc.record({ op: fc.constant('unmask' as const), who, port }),
);

describe('event channels', () => {
  test('answer and fire as the model does', () => {
    fc.assert(
      fc.property(fc.array(portStep, { maxLength: 60 }), (steps) => {
        const bench = new Bench(3);
        const model = new PortModel();
        const handles = bench.domids.map((domid) => bench.ask(domid, 'evtchnOpen', {})!.handle);
        for (const step of steps) {
          const domid = bench.domids[step.who]!;
          const handle = handles[step.who]!;
          switch (step.op) {
            case 'offer': {
              const to = bench.domids[step.to]!;
              const got = bench.ask(domid, 'evtchnBindUnbound', { handle, domid: to });
              expect(got?.port).toBe(model.offer(domid, to));
              break;
            }
            case 'bind': {
              const to = bench.domids[step.to]!;
              const got = bench.ask(domid, 'evtchnBindInterdomain', { handle, domid: to, port: step.port });
              expect(got?.port).toBe(model.bind(domid, to, step.port));
              break;
            }
            case 'close': {
              const closed = bench.ask(domid, 'evtchnUnbind', { handle, port: step.port });
              expect(closed !== undefined).toBe(model.close(domid, step.port));
              break;
            }
            case 'notify': {
              const rung = bench.ask(domid, 'evtchnNotify', { handle, port: step.port });
              expect(rung !== undefined).toBe(model.notify(domid, step.port));
              break;
            }
            case 'unmask':
              bench.ask(domid, 'evtchnUnmask', { handle, port: step.port });
              model.unmask(domid, step.port);
              break;
          }
        }
        expect(bench.events()).toEqual(model.fired);
      }),
      { numRuns: 200 },
    );
  });
});

interface ModelGrant {
  readonly owner: number;
  readonly ref: number;
  readonly to: number;
  readonly readOnly: boolean;
  readonly map: number;
  given: boolean;
  readonly maps: { map: number; writable: boolean; by: number }[];
}

const which = fc.nat({ max: 7 });
const grantStep = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('share' as const), who, to: who, readOnly: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('map' as const), who, which, writable: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('unmap' as const), which }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unshare' as const), which }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('kill' as const), who }) },
);

describe('grants', () => {
  test('are mapped, counted and given back as the model says, and nothing is left when all are dead', () => {
    fc.assert(
      fc.property(fc.array(grantStep, { maxLength: 60 }), (steps) => {
        const bench = new Bench(3);
        const dead = new Set<number>();
        const grants: ModelGrant[] = [];
        const pick = (index: number) => (grants.length === 0 ? undefined : grants[index % grants.length]);
        const inUse = (grant: ModelGrant) => {
          const reading = grant.maps.length > 0 ? GrantFlag.READING : 0;
          return reading | (grant.maps.some((map) => map.writable) ? GrantFlag.WRITING : 0);
        };
        for (const step of steps) {
          switch (step.op) {
            case 'share': {
              const owner = bench.domids[step.who]!;
              const to = bench.domids[step.to]!;
              const args = { domid: to, count: 1, peerWritable: !step.readOnly };
              const got = bench.ask(owner, 'gntallocShare', args);
              expect(got !== undefined).toBe(!dead.has(owner));
              if (got !== undefined) {
                const ref = got.refs[0]!;
                const clash = grants.some(
                  (g) => g.owner === owner && g.ref === ref && (g.given || g.maps.length > 0),
                );
                expect(clash, 'a reference in use is not given again').toBe(false);
                const grant = {
                  owner,
                  ref,
                  to,
                  readOnly: step.readOnly,
                  map: got.map,
                  given: true,
                  maps: [],
                };
                grants.push(grant);
              }
              break;
            }
            case 'map': {
              const grant = pick(step.which);
              const by = bench.domids[step.who]!;
              if (grant === undefined || !grant.given) {
                break;
              }
              const refs = [{ domid: grant.owner, ref: grant.ref }];
              const got = bench.ask(by, 'gntdevMap', { refs, writable: step.writable });
              const allowed = grant.to === by && !(grant.readOnly && step.writable) && !dead.has(by);
              expect(got !== undefined).toBe(allowed);
              if (got !== undefined) {
                grant.maps.push({ map: got.map, writable: step.writable, by });
              }
              break;
            }
            case 'unmap': {
              const grant = pick(step.which);
              const map = grant?.maps.pop();
              if (map !== undefined) {
                expect(bench.ask(map.by, 'unmap', { map: map.map })).toBeDefined();
                expect(bench.ask(map.by, 'unmap', { map: map.map })).toBeUndefined();
              }
              break;
            }
            case 'unshare': {
              const grant = pick(step.which);
              if (grant?.given) {
                expect(bench.ask(grant.owner, 'unmap', { map: grant.map })).toBeDefined();
                grant.given = false;
              }
              break;
            }
            case 'kill': {
              const domid = bench.domids[step.who]!;
              bench.world.crashed(domid);
              dead.add(domid);
              for (const grant of grants) {
                grant.given &&= grant.owner !== domid;
                grant.maps.splice(0, grant.maps.length, ...grant.maps.filter((map) => map.by !== domid));
              }
              for (const id of dead) {
                const held = grants.some((grant) => grant.owner === id && grant.maps.length > 0);
                expect(bench.ask(0, 'domainInfo', { domid: id })?.dying).toBe(held ? true : undefined);
              }
              break;
            }
          }
          for (const grant of grants) {
            if (grant.given) {
              expect(flagsOf(bench, grant) & (GrantFlag.READING | GrantFlag.WRITING)).toBe(inUse(grant));
            }
          }
        }
        for (const domid of bench.domids) {
          bench.world.crashed(domid);
        }
        // The control domain's own grant table is what is left.
        expect(bench.memory.size).toBe(1);
        expect(bench.ask(0, 'physinfo', {})?.freePages).toBe(4096 - 1);
      }),
      { numRuns: 200 },
    );
  });
});

/** Read where the granter itself would read it. */
function flagsOf(bench: Bench, grant: ModelGrant): number {
  const reply = bench.world.hypercall(grant.owner, 'gnttabSetup', { frames: 1 });
  if (!reply.ok || reply.memory === undefined) {
    throw new Error('no grant table');
  }
  const [run] = reply.memory.runs;
  const word = bench.memory.load32(run!.extent, run!.page * 4096 + grant.ref * 8);
  bench.ask(grant.owner, 'unmap', { map: (reply.value as { map: number }).map });
  return word & 0xffff;
}

const OPS: readonly OpName[] = [
  'evtchnOpen',
  'evtchnClose',
  'evtchnBindUnbound',
  'evtchnBindInterdomain',
  'evtchnBindVirq',
  'evtchnBind',
  'evtchnUnbind',
  'evtchnNotify',
  'evtchnUnmask',
  'evtchnRestrict',
  'evtchnAllocUnbound',
  'evtchnInterdomain',
  'evtchnVirq',
  'evtchnShut',
  'evtchnSend',
  'evtchnStatus',
  'evtchnReset',
  'gntdevMap',
  'gntdevCopy',
  'gntallocShare',
  'gnttabMap',
  'gnttabCopy',
  'gnttabUnmap',
  'gnttabSetup',
  'gnttabQuerySize',
  'gnttabSeed',
  'ownMap',
  'foreignMap',
  'resourceMap',
  'resourceSize',
  'unmap',
  'populatePhysmap',
  'decreaseReservation',
  'maximumGpfn',
  'createDomain',
  'destroyDomain',
  'pauseDomain',
  'unpauseDomain',
  'shutdownDomain',
  'resumeDomain',
  'setMaxMem',
  'setMaxVcpus',
  'setHandle',
  'setTarget',
  'setVirqHandler',
  'domainInfo',
  'domainInfoList',
  'domainState',
  'pollChangedDomain',
  'hvmParamSet',
  'hvmParamGet',
  'readConsole',
  'writeConsole',
  'dmCreateServer',
  'dmServerInfo',
  'dmMapRange',
  'dmSetServerState',
  'dmDestroyServer',
  'dmInterrupt',
  'dmInjectEvent',
  'dmTrackDirty',
  'dmModified',
  'dmSetMemType',
  'dmRelocate',
  'guestIo',
  'guestIoResult',
];

/** Mostly numbers that mean something here, and now and then what means nothing anywhere. */
const number = fc.oneof(
  { weight: 12, arbitrary: fc.nat({ max: 4 }) },
  { weight: 6, arbitrary: fc.nat({ max: 24 }) },
  { weight: 1, arbitrary: fc.constantFrom(0x100000, 0x7ff0, 0x7ff4, 4096, 65535, 2 ** 32, 2 ** 53 - 1) },
);
/** Where pages lie that a toolstack gave, and those that a domain shares. */
const gfn = fc.oneof(number, fc.integer({ min: 0x100000, max: 0x100006 }));
/** Files, maps and extents are numbered together: those that there are. */
const serial = fc.oneof(number, fc.integer({ min: 5, max: 60 }));
const nonsense = fc.oneof(fc.constantFrom(-1, 0.5, Number.NaN, null), fc.anything());
const end = fc.oneof(
  fc.record({ domid: number, ref: number, offset: number }),
  fc.record({ gfn, offset: number }),
  fc.constant({ local: true }),
);
const shaped = fc.record({
  domid: number,
  handle: serial,
  port: number,
  virq: fc.nat({ max: 25 }),
  vcpu: number,
  remoteDomid: number,
  target: number,
  refs: fc.array(fc.record({ domid: number, ref: number }), { maxLength: 4 }),
  writable: fc.boolean(),
  peerWritable: fc.boolean(),
  partial: fc.boolean(),
  enabled: fc.boolean(),
  clear: fc.boolean(),
  count: number,
  map: serial,
  frames: number,
  frame: number,
  type: fc.oneof(number, fc.constantFrom('port', 'memory')),
  id: number,
  gfns: fc.array(gfn, { maxLength: 4 }),
  handles: fc.array(number, { maxLength: 4 }),
  reason: number,
  param: number,
  value: number,
  firstDomid: number,
  max: number,
  index: number,
  text: fc.string(),
  line: fc.string(),
  level: number,
  handle36: fc.string(),
  buffered: fc.constantFrom('off', 'atomic', 'nonsense'),
  range: fc.record({ type: fc.constantFrom('port', 'memory'), start: number, end: number }),
  direction: fc.constantFrom('read', 'write'),
  address: number,
  size: number,
  seed: fc.record({ xenstoreGfn: number, xenstoreDomid: number }),
  firstPfn: number,
  sourceGfn: number,
  destGfn: number,
  runs: fc.array(fc.record({ firstPfn: number, count: number }), { maxLength: 2 }),
  event: fc.record({ vcpu: number, vector: number, type: number }),
  maxKb: number,
  ops: fc.array(
    fc.record({
      domid: number,
      ref: number,
      flags: number,
      source: end,
      dest: end,
      length: number,
      bytes: fc.uint8Array({ maxLength: 8 }),
    }),
    { maxLength: 3 },
  ),
  notify: fc.option(fc.record({ clearByte: number, port: number }), { nil: undefined }),
});

/** Three domains with something to lose ask whatever comes to their mind; then all but the control domain die. */
function hostile(callers: readonly number[], check: (bench: Bench) => void): void {
  const args = fc.oneof({ weight: 19, arbitrary: shaped }, { weight: 1, arbitrary: nonsense });
  const step = fc.record({ who, op: fc.constantFrom(...OPS, 'noSuchThing', 'constructor'), args });
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 40 }), (steps) => {
      const bench = new Bench(3);
      for (const domid of bench.domids) {
        bench.ask(domid, 'evtchnOpen', {});
        bench.ask(0, 'populatePhysmap', { domid, gfns: [0, 1, 2, 3] });
        bench.ask(domid, 'gntallocShare', { domid: (domid % 3) + 1, count: 4, peerWritable: true });
      }
      bench.ask(0, 'setTarget', { domid: 2, target: 1 });
      bench.ask(2, 'dmCreateServer', { domid: 1, buffered: 'atomic' });
      bench.ask(2, 'dmMapRange', { domid: 1, id: 0, range: { type: 'port', start: 0, end: 9 } });
      bench.ask(2, 'dmSetServerState', { domid: 1, id: 0, enabled: true });
      for (const { who: index, op, args: given } of steps) {
        const reply = bench.world.hypercall(callers[index]!, op as OpName, given as never);
        expect(reply.ok || reply.errno > 0).toBe(true);
      }
      for (const { domid } of bench.ask(0, 'domainInfoList', { firstDomid: 1, max: 100 })?.domains ?? []) {
        bench.world.crashed(domid);
      }
      check(bench);
    }),
    { numRuns: 80 },
  );
}

describe('a hostile domain', () => {
  test('is answered whatever it asks, and leaves nothing behind', () => {
    hostile([1, 2, 3], (bench) => {
      expect(bench.ask(0, 'domainInfoList', { firstDomid: 0, max: 100 })?.domains.length).toBe(1);
      expect(bench.memory.size).toBe(1);
      expect(bench.ask(0, 'physinfo', {})?.freePages).toBe(4096 - 1);
    });
  });

  test('is answered in control as well', () => {
    hostile([0, 1, 2], () => {});
  });

  test('who keeps changing an entry under the hypervisor is refused after a few attempts', () => {
    const memory = new (class extends LocalMemory {
      flips = 0;
      override compareExchange32(extent: number, offset: number, expected: number, next: number): number {
        if (this.flips > 0) {
          this.flips += 1;
          return (expected ^ GrantFlag.READONLY) >>> 0;
        }
        return super.compareExchange32(extent, offset, expected, next);
      }
    })();
    const world = new World({ memory });
    const made = world.hypercall(0, 'createDomain', {});
    const domid = made.ok ? made.value.domid : -1;
    const shared = world.hypercall(domid, 'gntallocShare', { domid: 0, count: 1, peerWritable: true });
    const ref = shared.ok ? shared.value.refs[0]! : -1;
    memory.flips = 1;
    const refused = world.hypercall(0, 'gntdevMap', { refs: [{ domid, ref }], writable: false });
    expect(refused).toEqual({ ok: false, errno: 22 });
    expect(memory.flips).toBeLessThan(10);
    memory.flips = 0;
    expect(world.hypercall(0, 'gntdevMap', { refs: [{ domid, ref }], writable: false }).ok).toBe(true);
  });
});
