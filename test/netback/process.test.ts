// The built program beside guests in other processes: they reach each other through it; killed and started again, it goes on with them, and
// their interfaces never leave Connected; told to stop, it stops.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { NetHost } from '../../netback/vif/front/host.ts';
import { ProcessHost, Program } from '../blkback/process-kit.ts';
import { attachVif, driveGuest } from './io-host.ts';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

test('guests reach each other, also after a kill', { timeout: 30_000 }, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  const start = async (): Promise<Program> => {
    const args = ['--platform', 'sim', '--run', host.directory];
    const program = new Program('netback/vif', args, {}, 'ready for domain');
    stops.push(() => program.end('SIGKILL'));
    await program.ready();
    return program;
  };
  const first = await start();
  const states: string[] = [];
  const guests = await Promise.all([host.guest(), host.guest()]);
  const hosts = [];
  for (const [index, guest] of guests.entries()) {
    const driven = await driveGuest(guest, `10.0.0.${index + 1}`);
    stops.push(() => driven.close());
    await attachVif(host.dom0, guest.domid, `00:16:3e:00:00:0${index}`);
    hosts.push(await driven.host);
  }
  const bytes = new Uint8Array(5000).fill(7);
  expect(await hosts[0]!.ping('10.0.0.2', bytes)).toEqual(bytes);

  const state = `/local/domain/0/backend/vif/${guests[0]!.domid}/0/state`;
  const watch = host.dom0.watch(state);
  const watched = (async () => {
    for await (const _ of watch) states.push((await host.dom0.findText(state)) ?? 'none');
  })();
  await first.end('SIGKILL');
  const answers = [hosts[0]!.ping('10.0.0.2', bytes), hosts[1]!.udpEcho('10.0.0.1', bytes)];
  const second = await start();
  expect(await Promise.all(answers)).toEqual([bytes, bytes]);
  await watch.close();
  await watched;
  expect(new Set(states)).toEqual(new Set(['4']));
  expect(second.said).toContain('taken over');
  expect(await second.end('SIGTERM')).toBe(0);
});

test('what is kept of an interface that went while nobody served it is removed', {
  timeout: 30_000,
}, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  const records = join(host.directory, 'netback/0');
  mkdirSync(records, { recursive: true });
  const { domid } = await host.guest();
  await attachVif(host.dom0, domid, '00:16:3e:00:00:08');
  for (const name of [`${domid}-0`, `${domid}-1`, '99-0']) writeFileSync(join(records, name), '');
  const program = new Program(
    'netback/vif',
    ['--platform', 'sim', '--run', host.directory],
    {},
    'ready for domain',
  );
  stops.push(() => program.end('SIGKILL'));
  await program.ready();
  expect(readdirSync(records)).toEqual([`${domid}-0`]);
});

test('killed again and again under load: nothing comes changed, nobody is stuck', {
  timeout: 60_000,
}, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  const args = ['--platform', 'sim', '--run', host.directory];
  const start = async (): Promise<Program> => {
    const program = new Program('netback/vif', args, {}, 'ready for domain');
    stops.push(() => program.end('SIGKILL'));
    await program.ready();
    return program;
  };
  let program = await start();
  const hosts: NetHost[] = [];
  for (const last of [1, 2]) {
    const guest = await host.guest();
    const driven = await driveGuest(guest, `10.0.0.${last}`);
    stops.push(() => driven.close());
    await attachVif(host.dom0, guest.domid, `00:16:3e:00:00:0${last}`);
    hosts.push(await driven.host);
  }
  let stopped = false;
  let wanted = 0;
  let enough: () => void = () => {};
  /** So many answers more. */
  const answers = (count: number): Promise<void> => {
    wanted = count;
    return new Promise((resolve) => {
      enough = resolve;
    });
  };
  const flow = async (from: NetHost, to: string, size: number): Promise<void> => {
    for (let mark = size & 0xff; !stopped; mark++) {
      const bytes = new Uint8Array(size).fill(mark);
      // Asked again each second, five times: whoever is stuck rejects.
      expect(Buffer.compare(await from.ping(to, bytes), bytes)).toBe(0);
      if (--wanted === 0) enough();
    }
  };
  const flows = Promise.all(
    [64, 1400, 9000, 60_000].flatMap((size) => [
      flow(hosts[0]!, '10.0.0.2', size),
      flow(hosts[1]!, '10.0.0.1', size + 1),
    ]),
  );
  for (let kill = 0; kill < 5; kill++) {
    await Promise.race([flows, answers(50 + kill * 7)]);
    await program.end('SIGKILL');
    program = await start();
  }
  await Promise.race([flows, answers(200)]);
  stopped = true;
  await flows;
});
