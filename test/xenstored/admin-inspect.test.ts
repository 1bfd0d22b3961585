// What the service tells of domains, devices and the daemon, of all three daemons: what they have, and that they have no more. What a guest wrote
// is shown, and believed in nothing.
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock as clock } from '../../osdep/os/clock.ts';
import { Tokens } from '../../xenstored/admin/access.ts';
import { type App, buildApp } from '../../xenstored/admin/app.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { deviceNodes } from '../../xenstored/xenbus/attach.ts';
import { type Peer, peerMissing, startC, startOx } from '../conformance/peers.ts';
import { SimHost } from '../conformance/simhost.ts';

const secret = 'a-token-of-some-length';
const headers = { authorization: `Bearer ${secret}`, host: 'localhost' };
type Host = Pick<Peer, 'socketPath' | 'addDomain' | 'stop'>;

async function ours(): Promise<Host> {
  const host = await SimHost.start(['--database', 'memory']);
  return {
    socketPath: host.socketPath,
    addDomain: (domid) => void host.addDomain(domid),
    stop: () => host.stop(),
  };
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function begin(start: () => Promise<Host>): Promise<{ app: App; client: Client; host: Host }> {
  const host = await start();
  cleanups.push(() => host.stop());
  const [client, own] = [await connect({ path: host.socketPath }), await connect({ path: host.socketPath })];
  cleanups.push(
    () => client.close(),
    () => own.close(),
  );
  const app = await buildApp({
    store: storeOf(own),
    tokens: new Tokens({ read: secret }),
    clock,
    failed: (error) => {
      throw error;
    },
  });
  cleanups.push(() => app.close());
  return { app, client, host };
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the reply is
async function get(app: App, url: string, status = 200): Promise<any> {
  const reply = await app.inject({ method: 'GET', url, headers });
  expect({ url, status: reply.statusCode, body: status === 200 ? '' : reply.json().code }).toMatchObject({
    url,
    status,
  });
  return reply.json();
}

const daemons = [
  ['stubdom0', ours, undefined],
  ['xenstored', () => startC(), peerMissing('c417')],
  ['oxenstored', () => startOx(), peerMissing('ox')],
] as const;

describe.each(daemons)('%s', (name, start, missing) => {
  test.skipIf(missing)('domains and devices', async () => {
    const { app, client, host } = await begin(start);
    host.addDomain(5);
    await client.write('/local/domain/0/name', 'Domain-0');
    await client.write('/local/domain/5/name', 'guest\n<b>');
    await client.write('/local/domain/5/vm', '/vm/01234567-89ab-cdef-0123-456789abcdef');
    await client.write('/local/domain/5/memory/target', '131072');
    await client.introduce(5, 1, 1);
    const device = { kind: 'vbd', backendDomid: 0, frontendDomid: 5, devid: 51712 };
    for (const { path, value } of deviceNodes({
      device,
      backend: { params: '/x' },
      frontend: {},
      frontendReadOnly: {},
    })) {
      await client.write(path, value);
    }
    const [front, back] = ['/local/domain/5/device/vbd/51712', '/local/domain/0/backend/vbd/5/51712'];
    for (const [key, value] of Object.entries({
      state: '4',
      'queue-0/ring-ref0': '8',
      'queue-0/event-channel': '3',
      protocol: 'x86_64-abi',
      'vnc-passwd': 'hidden',
    })) {
      await client.write(`${front}/${key}`, value);
    }
    await client.write(`${back}/state`, '2');
    await client.write('/local/domain/0/error/backend/vbd/5/51712/error', '2 no such file');
    // A frontend whose backend is gone, of a kind that nobody knows; and a path that leads elsewhere.
    await client.write('/local/domain/5/device/thing/0/backend', '/local/domain/9/backend/thing/5/0');
    await client.write('/local/domain/0/backend/vif/5/0/frontend', '/local/domain/0/name');

    const { devices } = await get(app, '/v1/devices');
    expect(devices).toHaveLength(3);
    const find = (kind: string): unknown => devices.find((each: { kind: string }) => each.kind === kind);
    expect(find('vbd')).toMatchObject({
      devid: 51712,
      frontend: { domid: 5, path: front, state: 4, state_name: 'Connected', keys: { 'vnc-passwd': '' } },
      backend: { domid: 0, path: back, state: 2, state_name: 'InitWait', error: '2 no such file' },
      rings: {
        refs: { 'queue-0/ring-ref0': 8 },
        evtchn: { 'queue-0/event-channel': 3 },
        protocol: 'x86_64-abi',
      },
    });
    expect(find('thing')).toMatchObject({ backend: { domid: 9, there: false, state: 0 } });
    expect(find('vif')).toMatchObject({ frontend: { path: '/local/domain/5/device/vif/0', there: false } });

    const { domains } = await get(app, '/v1/domains');
    expect(domains.map(({ domid }: { domid: number }) => domid)).toEqual([0, 5]);
    expect(domains[1]).toMatchObject({
      name: 'guest\\n<b>',
      uuid: '01234567-89ab-cdef-0123-456789abcdef',
      introduced: true,
      memory: { target_kib: 131072, max_kib: null },
    });
    expect(domains[1].devices).toContainEqual({
      kind: 'vbd',
      devid: 51712,
      role: 'frontend',
      other: 0,
      state: 4,
      other_state: 2,
    });
    expect((await get(app, '/v1/domains/5')).name).toBe('guest\\n<b>');
    expect((await get(app, '/v1/domains/7', 404)).code).toBe('no_such_domain');
    expect((await get(app, '/v1/devices?domid=7')).devices).toEqual([]);
  });

  test.skipIf(missing)('the daemon', async () => {
    const { app } = await begin(start);
    const about = await get(app, '/v1/daemon');
    expect(about).toMatchObject({ daemon: name, watches: [] });
    for (const part of ['connections', 'watches', 'transactions', 'rings', 'quotas', 'refusals', 'trace']) {
      const offered = about.has.includes(part);
      const reply = await get(app, `/v1/daemon/${part}`, offered ? 200 : 501);
      if (!offered) expect(reply.code).toBe('not_offered');
    }
    if (name === 'stubdom0') expect(about.has).toHaveLength(7);
    if (name === 'oxenstored') expect(about.has).toEqual([]);
  });
});

test('our daemon tells all: who is connected, waits, watches, was refused, and wrote', async () => {
  const { app, client, host } = await begin(ours);
  host.addDomain(5);
  await client.introduce(5, 1, 1);
  await client.write('/local/domain/5/x', '1');
  await client.setPerms('/local/domain/5', ['n5']);
  const watch = client.watch('/local', { token: 'a\nb' });
  await watch.ready;
  await client.transaction(async (tx) => {
    await tx.write('/in/a/transaction', '1');
    const { transactions } = await get(app, '/v1/daemon/transactions');
    expect(transactions).toMatchObject([{ socket: expect.any(Number), transaction: tx.id, changed: true }]);
  });
  expect((await get(app, '/v1/daemon/rings')).rings).toContainEqual(
    expect.objectContaining({ domid: 5, status: 'served', mapped: true, requests_waiting: 0 }),
  );
  expect((await get(app, '/v1/daemon/watches')).watches).toContainEqual({
    socket: expect.any(Number),
    path: '/local',
    token: 'a\\nb',
  });
  const { connections } = await get(app, '/v1/daemon/connections');
  expect(connections.filter(({ domid }: { domid?: number }) => domid === 5)).toMatchObject([
    { watches: 0, nodes: 1 },
  ]);
  expect((await get(app, '/v1/daemon/connections?limit=1')).more).toBe(true);
  expect((await get(app, '/v1/daemon/quotas?domid=5')).quotas).toMatchObject([
    { domid: 5, nodes: { used: 1, limit: 1000, max: 1 }, watches: { used: 0, limit: 128 } },
  ]);
  const { entries, next } = await get(app, '/v1/daemon/trace');
  expect(entries.map(({ what, path }: { what: string; path: string }) => `${what} ${path}`)).toEqual([
    'create /local/domain/5/x',
    'perms /local/domain/5',
    'create /in/a/transaction',
    expect.stringMatching(/^commit \d+$/),
  ]);
  expect(entries[0]).toMatchObject({ domid: 0, seq: expect.any(Number), age_ms: expect.any(Number) });
  await client.write('/later', '1');
  expect((await get(app, `/v1/daemon/trace?after=${next}`)).entries).toMatchObject([{ path: '/later' }]);
  // Of a daemon before this one: begun from the beginning.
  expect((await get(app, '/v1/daemon/trace?after=100000')).entries).toHaveLength(5);
});

test('a watch whose token fills a message keeps nobody from being told of the others', async () => {
  const { app, client } = await begin(ours);
  for (const token of ['x'.repeat(4080), 'short']) await client.watch('/a', { token }).ready;
  const { watches } = await get(app, '/v1/daemon/watches');
  expect(watches.map(({ token }: { token: string }) => token.slice(0, 5))).toEqual(['xxxxx', 'short']);
});
