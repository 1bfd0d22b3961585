// Making a domain: what a guest and its store's domain find afterwards, and that a domain which cannot be finished leaves nothing behind.
// On the simulator within this process; the store is a map.
import { expect, test, vi } from 'vitest';
import type { Ctrl } from '../../osdep/ctrl.ts';
import { OsError } from '../../osdep/errno.ts';
import { liveHost } from '../../osdep/sim/local.ts';
import { Domains } from '../../toolstack/io/domains.ts';
import type { Client, PermText } from '../../xenstored/client/index.ts';

const wanted = { name: 'alice', memoryMb: 4 };

/** As much of a store as making domains needs. */
class FakeStore {
  readonly values = new Map<string, string>();
  readonly perms = new Map<string, string>();
  introduced: [number, number, number] | undefined;
  refuses: string | undefined;

  async write(path: string, value: string): Promise<void> {
    if (path === this.refuses) throw new Error('no space');
    this.values.set(path, value);
  }
  async setPerms(
    path: string,
    perms: readonly ({ letter: string; domid: number } | PermText)[],
  ): Promise<void> {
    this.perms.set(
      path,
      perms.map((perm) => (typeof perm === 'string' ? perm : `${perm.letter}${perm.domid}`)).join(' '),
    );
  }
  async exists(path: string): Promise<boolean> {
    return [...this.values.keys()].some((other) => other === path || other.startsWith(`${path}/`));
  }
  async rm(path: string): Promise<void> {
    for (const other of this.values.keys())
      if (other === path || other.startsWith(`${path}/`)) this.values.delete(other);
  }
  async transaction<T>(body: (tx: FakeStore) => Promise<T>): Promise<T> {
    const before = [...this.values];
    try {
      return await body(this);
    } catch (error) {
      this.values.clear();
      for (const [path, value] of before) this.values.set(path, value);
      throw error;
    }
  }
  async introduce(domid: number, gfn: number, port: number): Promise<void> {
    if (this.refuses === 'introduce') throw new Error('EINVAL');
    this.introduced = [domid, gfn, port];
  }
}

function machine(): {
  host: ReturnType<typeof liveHost>;
  ctrl: Ctrl;
  domains: Domains;
  store: FakeStore;
  client: Client;
} {
  const host = liveHost();
  const ctrl = host.platformFor(0).openCtrl();
  const store = new FakeStore();
  return { host, ctrl, domains: new Domains(ctrl), store, client: store as unknown as Client };
}

test('a new domain can be reached by its store, and the store by it', async () => {
  const { host, domains, store, client } = machine();
  const storeDomid = domains.createStoreDomain(32);
  const { domid } = await domains.createService(client, storeDomid, wanted);
  domains.unpause(domid);

  const own = host.platformFor(domid).store.ring();
  const server = host.platformFor(storeDomid);
  const page = server.openGnttab().mapGrantRef(domid, 1, 'rw');
  page.bytes[100] = 42;
  expect(own.page.bytes[100]).toBe(42);
  const [, gfn, port] = store.introduced!;
  expect(server.openEvtchn().bindInterdomain(domid, port)).toBeGreaterThan(0);
  expect(port).toBe(own.port);
  expect(store.values.get(`/local/domain/${domid}/store/ring-ref`)).toBe(`${gfn}`);
});

test('the store says of it what libxl would', async () => {
  const { domains, store, client } = machine();
  const { domid, uuid } = await domains.createService(client, domains.createStoreDomain(32), wanted);
  const home = `/local/domain/${domid}`;
  const expected = {
    [home]: ['', `n0 r${domid}`],
    [`${home}/name`]: ['alice', undefined],
    [`${home}/vm`]: [`/vm/${uuid}`, undefined],
    [`${home}/domid`]: [`${domid}`, undefined],
    [`${home}/data`]: ['', `n${domid}`],
    [`${home}/control`]: ['', `n0 r${domid}`],
    [`${home}/control/shutdown`]: ['', `n${domid}`],
    [`${home}/control/platform-feature-xs_reset_watches`]: ['1', undefined],
    [`${home}/memory/static-max`]: ['4096', undefined],
    [`${home}/cpu/0/availability`]: ['online', undefined],
    [`/vm/${uuid}/uuid`]: [uuid, undefined],
    [`/libxl/${domid}`]: ['', 'n0'],
  };
  for (const [path, [value, perms]] of Object.entries(expected)) {
    expect([path, store.values.get(path), store.perms.get(path)]).toEqual([path, value, perms]);
  }
});

test('a service may map, and copy, eight times what a guest may: a thousand guests have their disks of one', async () => {
  const { ctrl, domains, client } = machine();
  const create = vi.spyOn(ctrl, 'createDomain');
  await domains.createService(client, domains.createStoreDomain(32), wanted);
  expect(create.mock.calls.map(([{ maxMaptrackFrames }]) => maxMaptrackFrames)).toEqual([undefined, 8192]);
});

test('whichever step fails, nothing of the domain is left', async () => {
  for (const refused of ['/local/domain/2/data', '/local/domain/2/domid', 'introduce']) {
    const { ctrl, domains, store, client } = machine();
    const storeDomid = domains.createStoreDomain(32);
    store.refuses = refused;
    await expect(domains.createService(client, storeDomid, wanted)).rejects.toThrow(/^could not /);
    expect([...store.values.keys()]).toEqual([]);
    expect(ctrl.getDomainInfoList(0, 10).map(({ domid }) => domid)).toEqual([0, storeDomid]);
  }
});

test('more memory than the machine has is refused, and costs nothing', async () => {
  const { ctrl, domains, client } = machine();
  const storeDomid = domains.createStoreDomain(32);
  await expect(domains.createService(client, storeDomid, { ...wanted, memoryMb: 65_536 })).rejects.toThrow(
    /^could not give it memory: 65536 MB are wanted, and 40\d\d are free$/,
  );
  expect(ctrl.getDomainInfoList(0, 10).map(({ domid }) => domid)).toEqual([0, storeDomid]);
});

test('a domain that ended by itself is over; destroying one that is gone is fine', async () => {
  const { host, ctrl, domains, client } = machine();
  const { domid } = await domains.createService(client, domains.createStoreDomain(32), wanted);
  domains.unpause(domid);
  expect(domains.isOver(domid)).toBe(false);
  host.platformFor(domid).guest.shutdown(0);
  expect(domains.isOver(domid)).toBe(true);
  domains.destroy(domid);
  expect(ctrl.getDomainInfo(domid)).toBeUndefined();
  expect(() => domains.destroy(domid)).not.toThrow();
  expect(() => domains.unpause(domid)).toThrow(OsError);
});
