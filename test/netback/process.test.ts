// The built program beside guests in other processes: they reach each other through it; killed and started again, it goes on with them, and
// their interfaces never leave Connected; told to stop, it stops.
import { afterEach, expect, test } from 'vitest';
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
