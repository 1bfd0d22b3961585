// Many guests in one process: each has its devices connected by real backends, ends by itself when it is told to or taken, and the others go on. And what a
// real blkback says of a disk that is none reaches whoever attached it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import { devicesIn, filledIn } from '../../toolstack/core/deviceset.ts';
import { Hotplug } from '../../toolstack/io/hotplug.ts';
import { ProcessHost, Program } from '../blkback/process-kit.ts';

const bulkMain = fileURLToPath(new URL('../../dist/toolstack/guest/bulk-main.js', import.meta.url));

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

interface Said {
  readonly domid: number;
  readonly ready?: true;
  readonly over?: string;
}

/** The process, and what it says of its guests. */
class Bulk {
  readonly child: ChildProcess;
  readonly #said: Said[] = [];
  #heard = (): void => {};

  constructor(run: string) {
    this.child = spawn(process.execPath, [bulkMain], {
      env: { ...process.env, STUBDOM0_RUN: run },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.#said.push(JSON.parse(line) as Said);
      this.#heard();
    });
  }

  take(domid: number, token: string): void {
    this.child.stdin!.write(`${JSON.stringify({ domid, token })}\n`);
  }

  async heard(wanted: Partial<Said>): Promise<void> {
    const fits = (said: Said): boolean =>
      Object.entries(wanted).every(([key, value]) => said[key as keyof Said] === value);
    while (!this.#said.some(fits)) await new Promise<void>((resolve) => (this.#heard = resolve));
  }
}

test('three guests in one process', { timeout: 30_000 }, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  const args = ['--platform', 'sim', '--run', host.directory];
  const netback = new Program('netback/vif', args, {}, 'ready for domain');
  stops.push(() => netback.end('SIGKILL'));
  await netback.ready();
  const store = host.dom0;
  const file = join(host.directory, 'disk.img');
  writeFileSync(file, '');
  truncateSync(file, 1 << 20);
  const hotplug = new Hotplug({ store, backendOf: () => 0, domidOf: async () => undefined });
  const cfg = parseCfg(`name="bulk"\ndisk=["${file},raw,xvda,r"]\nvif=[""]`);
  if (!cfg.ok) throw new Error(cfg.errors[0]!.text);

  const bulk = new Bulk(host.directory);
  stops.push(() => bulk.child.kill('SIGKILL'));
  const domids: number[] = [];
  for (let guest = 0; guest < 3; guest++) {
    const { domid, token } = await host.domain();
    await store.write(`/local/domain/${domid}/control/shutdown`, '');
    await store.setPerms(`/local/domain/${domid}/control/shutdown`, [`n${domid}`]);
    const config = filledIn(cfg.config, () => new Uint8Array([0, guest, 1]));
    for (const device of devicesIn(config)) await hotplug.attach(await hotplug.place(domid, 'pv', device));
    bulk.take(domid, token);
    domids.push(domid);
  }
  for (const domid of domids) {
    await bulk.heard({ domid, ready: true });
    // The backends follow at once.
    await expect
      .poll(async () => (await hotplug.list(domid)).map((one) => [one.frontendState, one.backendState]))
      .toEqual([
        [4, 4],
        [4, 4],
      ]);
  }
  const [first, second, third] = domids as [number, number, number];
  expect(await hotplug.find(first, 'vif', 'vif0')).toMatchObject({
    mac: '00:16:3e:00:00:01',
    evtchn: expect.any(Number),
  });

  const missing = { ...cfg.config.disks[0]!, vdev: 'xvdb', target: '/nowhere/disk.img' };
  await expect(hotplug.attach(await hotplug.place(first, 'pv', missing))).rejects.toThrow(
    /^xvdb: (Domain-0 \(domain 0\)|domain 0) says: .*\/nowhere\/disk\.img.*ENOENT/,
  );
  expect(await hotplug.list(first, 'vbd')).toHaveLength(1);

  await store.write(`/local/domain/${second}/control/shutdown`, 'poweroff');
  await bulk.heard({ domid: second, over: 'it shut down' });
  await hotplug.detachAll(second);
  const ctrl = host.rig.control.openCtrl();
  ctrl.destroyDomain(third);
  await bulk.heard({ domid: third, over: 'its domain has ended' });
  await hotplug.detachAll(third);
  await hotplug.detach({ backendDomid: 0, kind: 'vif', frontendDomid: first, devid: 0 }, 'orderly');
  expect((await hotplug.list(first)).map(({ name, frontendState }) => [name, frontendState])).toEqual([
    ['xvda', 4],
  ]);

  bulk.child.stdin!.end();
  ctrl.destroyDomain(first);
  ctrl.close();
  expect(await once(bulk.child, 'exit')).toEqual([0, null]);
  await hotplug.detachAll(first);
  for (const kind of ['vbd', 'vif'])
    expect(await store.directory(`/local/domain/0/backend/${kind}`)).toEqual([]);
});

test('a guest whose domain is taken at whatever moment of its beginning is over, and the process ends with the last', async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  const bulk = new Bulk(host.directory);
  stops.push(() => bulk.child.kill('SIGKILL'));
  const ended = once(bulk.child, 'exit');
  const ctrl = host.rig.control.openCtrl();
  const domids: number[] = [];
  for (let waitMs = 0; waitMs < 40; waitMs++) {
    const { domid, token } = await host.domain();
    bulk.take(domid, token);
    // The moment is what is tried.
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    ctrl.destroyDomain(domid);
    domids.push(domid);
  }
  bulk.child.stdin!.end();
  for (const domid of domids) await bulk.heard({ domid });
  expect((await ended)[0]).toBe(0);
});
