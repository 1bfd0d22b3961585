/**
 * xenstore-admin in dom0 of real Xen, beside each of the daemons: the tree, what happens in it as it happens, a real guest with its devices, the page.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { backendSaid, startBackend } from '../dom0/backend.ts';
import type { Scenario } from '../lab/scenario.ts';

interface Nodes {
  readonly nodes: readonly { readonly path: string; readonly value: { readonly text: string } }[];
}
interface Domains {
  readonly domains: readonly { readonly domid: number; readonly name: string }[];
}
interface Devices {
  readonly devices: readonly {
    readonly kind: string;
    readonly frontend: { readonly domid: number; readonly state: unknown };
    readonly backend: { readonly state: unknown };
  }[];
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'xenstore-admin beside the daemon, with a real guest',
    stores: ['c', 'ox', 'ours'],
    limitS: 480,
    async run(lab) {
      await lab.bridge();
      const disk = await lab.ramDisk();
      const folder = mkdtempSync('/tmp/admin-');
      const flags = [
        '--port',
        '0',
        '--token-file',
        join(folder, 'token'),
        '--audit-log',
        join(folder, 'audit'),
      ];
      const before = backendSaid('admin').length;
      const admin = await startBackend(lab, 'admin', 'xenstored/admin/main.js', flags);
      try {
        const [, address = ''] = /(http:\/\/[^/]+)\//.exec(backendSaid('admin').slice(before)) ?? [];
        const headers = { authorization: `Bearer ${readFileSync(join(folder, 'token'), 'utf8').trim()}` };
        const get = async <T>(path: string): Promise<T> => {
          const response = await fetch(address + path, { headers });
          const text = await response.text();
          assert.equal(response.status, 200, `${path}: ${text}`);
          return JSON.parse(text) as T;
        };
        const { daemon } = await get<{ daemon: string }>('/v1/session');
        assert.equal(
          daemon,
          { c: 'xenstored', ox: 'oxenstored', ours: 'stubdom0', none: '' }[lab.store.kind],
        );
        const page = await fetch(`${address}/`);
        assert.match(await page.text(), /<title>/);
        assert.equal((await fetch(`${address}/v1/session`)).status, 401);

        const leave = new AbortController();
        const stream = await fetch(`${address}/v1/events?path=/local/domain`, {
          headers,
          signal: leave.signal,
        });
        let heard = '';
        const reading = (async () => {
          const decoder = new TextDecoder();
          for await (const chunk of stream.body as unknown as AsyncIterable<Uint8Array>)
            heard += decoder.decode(chunk, { stream: true });
        })().catch(() => {});
        const guest = lab.guest({
          name: 'seen',
          disks: [`phy:${disk},xvda,w`],
          vifs: ['bridge=xenbr0,mac=00:16:3e:01:02:05'],
        });
        await lab.step('xl create', () => guest.create());
        const domid = (await guest.domid())!;
        await guest.says(/GUEST-UP/);
        const { seconds } = await lab.step(
          'its devices come to Connected, as told by /v1/devices',
          async () => {
            const begun = performance.now();
            await lab.until('both are', async () => {
              const { devices } = await get<Devices>(`/v1/devices?domid=${domid}`);
              const pairs = devices.filter(({ kind }) => kind === 'vbd' || kind === 'vif');
              return (
                pairs.length === 2 &&
                pairs.every(({ frontend, backend }) =>
                  [frontend, backend].every(({ state }) => /4|connected/i.test(JSON.stringify(state))),
                )
              );
            });
            return { seconds: (performance.now() - begun) / 1000 };
          },
        );
        lab.figure('devices s', seconds.toFixed(1));
        const { domains } = await get<Domains>('/v1/domains');
        assert.deepEqual(
          domains.map(({ domid, name }) => [domid, name]),
          [
            [0, 'Domain-0'],
            [domid, 'seen'],
          ],
        );
        const { nodes } = await get<Nodes>(`/v1/tree?path=/local/domain/${domid}&limit=10000`);
        const { stdout } = await lab.exec('xenstore-ls', ['-f', `/local/domain/${domid}`]);
        const paths = stdout
          .trim()
          .split('\n')
          .map((line) => line.split(' = ')[0]!);
        assert.deepEqual(
          nodes
            .map(({ path }) => path)
            .filter((path) => path !== `/local/domain/${domid}`)
            .sort(),
          paths.map((path) => path.trim()).sort(),
        );
        lab.figure('nodes', nodes.length);
        await lab.exec('xenstore-write', [`/local/domain/${domid}/data/by-hand`, 'x']);
        await lab.until(
          'the event has come',
          () => heard.includes(`/local/domain/${domid}/data/by-hand`),
          20,
        );
        assert.match(heard, new RegExp(`"/local/domain/${domid}/state"|"/local/domain/${domid}/device`));
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'seen']));
        await lab.until(
          'it is gone there, too',
          async () => (await get<Domains>('/v1/domains')).domains.length === 1,
          30,
        );
        leave.abort();
        await reading;
      } finally {
        await admin.kill();
      }
    },
  },
];
