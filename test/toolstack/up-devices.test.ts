// `stubdom0 up` with disks and packets, as a user sees them: guests whose devices are Connected and stay so, whichever backend is killed; each
// other within reach, and from the machine through an interface of its own; nothing of it left at the end. Everything is real.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { NetNamespace, noNamespaces, whyNot } from '../netback/netns.ts';
import { stubdom0, UpHost } from './uphost.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

function guest(name: string, other: string, address: string): object {
  return { name, greets: [other], disks: [{ sizeMb: 1 }], vifs: [{ address }] };
}

const guests = [guest('alice', 'bob', '10.53.0.2/24'), guest('bob', 'alice', '10.53.0.3/24')];

/** Resolves once the node's value is as wanted. */
async function until(store: Client, path: string, wanted: (text: string) => boolean): Promise<string> {
  for await (const _ of store.watch(path)) {
    const text = (await store.findText(path)) ?? '';
    if (wanted(text)) return text;
  }
  throw new Error('the watch ended');
}

/** The first number in the node's value, once it is at least that. */
async function atLeast(store: Client, path: string, count: number): Promise<number> {
  return Number.parseInt(await until(store, path, (text) => Number.parseInt(text, 10) >= count), 10);
}

describe('a host with disks and a network', () => {
  let host: UpHost;
  let store: Client;
  let domids: Map<string, number>;
  beforeAll(async () => {
    host = new UpHost({ name: 'town', admin: {}, blkback: {}, netback: {}, guests });
    const { domains } = await host.isUp();
    domids = new Map(domains.map(({ name, domid }) => [name, domid]));
    store = await connect({ run: host.run });
  });
  afterAll(async () => {
    await store.close();
    await host.clear();
  });

  const home = (name: string): string => `/local/domain/${domids.get(name)}`;
  const disk = (name: string): string => `${home('blkback')}/backend/vbd/${domids.get(name)}/51712`;
  const vif = (name: string): string => `${home('netback')}/backend/vif/${domids.get(name)}/0`;
  const blocks = (name: string): string => `${home(name)}/data/disk/51712`;
  const pings = (name: string, other: string): string => `${home(name)}/data/ping/${domids.get(other)}`;

  test('has devices that are Connected at both ends', async () => {
    for (const name of ['alice', 'bob']) {
      for (const back of [disk(name), vif(name)]) {
        await until(store, `${back}/state`, (state) => state === '4');
        await until(store, `${await store.readText(`${back}/frontend`)}/state`, (state) => state === '4');
      }
    }
    const list = await stubdom0('block-list', 'alice', '--run', host.run);
    expect(list.stdout).toMatch(/^51712 +2 +4 +4 /m);
    expect(
      host.lines.some((line) => /alice +domain 4 +xvda alice-xvda\.img, vif0 10\.53\.0\.2\/24$/.test(line)),
    ).toBe(true);
    expect(statSync(join(host.run, 'disks/bob-xvda.img')).size).toBe(1 << 20);
  });

  test('has guests that use their disks, and reach each other', async () => {
    expect(await until(store, blocks('alice'), (text) => /^[1-9]/.test(text))).toMatch(
      /^(\d+) blocks written, \1 verified$/,
    );
    await atLeast(store, pings('alice', 'bob'), 1);
    await atLeast(store, pings('bob', 'alice'), 1);
  });

  test('tells Prometheus what its devices count', async () => {
    const { url } = await host.isUp();
    const token = readFileSync(join(host.run, 'admin.token'), 'utf8').trim();
    const metrics = async (): Promise<string> =>
      (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text();
    const back = domids.get('blkback');
    const front = domids.get('alice');
    await expect
      .poll(metrics)
      .toMatch(
        new RegExp(
          `^blkback_wr_req_total\\{backend="${back}",frontend="${front}",device="vbd/51712"\\} [1-9]`,
          'm',
        ),
      );
    expect(await metrics()).toMatch(/^netback_\w+_total\{.*device="vif\/0"\} [1-9]/m);
  });

  /** Kills a backend; what its devices' states were from then until it served again. */
  async function statesOver(service: 'blkback' | 'netback', back: string): Promise<Set<string>> {
    const states = new Set<string>();
    const watch = store.watch(`${back}/state`);
    const watched = (async () => {
      for await (const _ of watch) states.add((await store.findText(`${back}/state`)) ?? 'none');
    })();
    const from = host.lines.length;
    await host.kill(service);
    await host.line(new RegExp(`${service} serves again`), from);
    await watch.close();
    await watched;
    return states;
  }

  test('blkback killed: it is started again, and the guests, who notice nothing, go on writing', async () => {
    const before = await atLeast(store, blocks('alice'), 1);
    expect(await statesOver('blkback', disk('alice'))).toEqual(new Set(['4']));
    await atLeast(store, blocks('alice'), before + 3);
    expect(await store.readText(blocks('alice'))).not.toContain('failed');
    expect(await host.process('blkback')).toMatchObject({ phase: 'ready', restarts: 1 });
  });

  test('netback killed: it is started again, and the guests go on reaching each other', async () => {
    const before = await atLeast(store, pings('bob', 'alice'), 1);
    expect(await statesOver('netback', vif('bob'))).toEqual(new Set(['4']));
    await atLeast(store, pings('bob', 'alice'), before + 2);
    await atLeast(store, blocks('bob'), 1);
  });

  test('the store killed as well: a backend that is started without one waits for it', async () => {
    const before = await atLeast(store, blocks('alice'), 1);
    const from = host.lines.length;
    await Promise.all([host.kill('xenstored'), host.kill('blkback')]);
    await Promise.all([host.line(/xenstored serves again/, from), host.line(/blkback serves again/, from)]);
    await atLeast(store, blocks('alice'), before + 3);
  });

  test('a guest that is killed leaves none of its devices', async () => {
    await host.kill('guest-bob');
    await host.line(/guest bob \(domain \d+\) is gone/);
    expect(await store.exists(disk('bob'))).toBe(false);
    expect(await store.exists(vif('bob'))).toBe(false);
    await atLeast(store, blocks('alice'), (await atLeast(store, blocks('alice'), 1)) + 1);
  });

  test('goes at Ctrl-C without a trace', async () => {
    host.interrupt();
    expect(await host.ended).toBe(0);
    expect(host.survivors()).toEqual([]);
    expect(host.leftovers()).toEqual([]);
  });
});

describe.skipIf(noNamespaces !== undefined)(`from the machine${whyNot}`, () => {
  let net: NetNamespace;
  let host: UpHost;
  beforeEach(() => {
    net = new NetNamespace('up');
  });
  afterEach(async () => {
    await host.clear();
    net.leave();
  });

  function town(via: readonly string[] = []): UpHost {
    const alice = { name: 'alice', vifs: [{ address: '10.53.0.2/24' }] };
    return new UpHost({ name: 'town', netback: { uplink: {} }, guests: [alice] }, via);
  }

  /** Throws without an answer. */
  const ping = (): string => net.run('ping', '-c', '1', '-w', '20', '10.53.0.2');
  const interfaces = (): readonly string[] =>
    net
      .run('ip', '-o', 'link')
      .split('\n')
      .flatMap((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? []);

  test('a guest answers ping, also after a kill of netback; at the end the interface is gone', async () => {
    const before = interfaces();
    host = town();
    await host.isUp();
    await host.line(/^ {2}ping 10\.53\.0\.2$/);
    expect(interfaces()).toEqual([...before, 'stubdom0']);
    ping();
    const from = host.lines.length;
    await host.kill('netback');
    await host.line(/netback serves again/, from);
    ping();
    host.interrupt();
    expect(await host.ended).toBe(0);
    expect(interfaces()).toEqual(before);
    expect(host.survivors()).toEqual([]);
    expect(host.leftovers()).toEqual([]);
  });

  test('without the privilege it is one line, and the host is up without a way in', async () => {
    const before = interfaces();
    host = town(['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin']);
    await host.isUp();
    expect(await host.line(/no way/)).toMatch(
      /^stubdom0: no way from this machine to its guests.*CAP_NET_ADMIN/,
    );
    expect(interfaces()).toEqual(before);
  });
});
