/**
 * A client and a daemon that is restarted: what a user sees of it, over a socket and over a ring, is a first event again, and a transaction
 * that begins again; nothing else.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Client, connect, type Watch } from '../../xenstored/client/index.ts';
import { SimHost } from '../conformance/simhost.ts';
import { bootGuest } from './client-guest.ts';

let host: SimHost;
let dom0: Client;

beforeEach(async () => {
  host = await SimHost.start([]);
  dom0 = await connect({ path: host.socketPath });
});
afterEach(async () => {
  await dom0.close();
  await host.stop();
});

async function restart(): Promise<void> {
  await host.server?.close();
  await host.startDaemon();
}

/** The next event that is not the first one again. */
async function news(watch: Watch): Promise<string | undefined> {
  for await (const { path } of watch) if (path !== watch.path) return path;
  return undefined;
}

describe('a daemon that is restarted', () => {
  const ways: readonly [string, () => Promise<Client>][] = [
    ['over its socket', () => connect({ path: host.socketPath })],
    ['over a ring', async () => connect({ platform: await bootGuest(host, dom0) })],
  ];
  it.each(ways)('has forgotten nothing, %s', async (_, open) => {
    await using store = await open();
    await store.write('before', 'kept');
    const watch = store.watch('watched');
    await watch.take();
    let runs = 0;
    await store.transaction(async (tx) => {
      await tx.write(`run${++runs}`, '');
      if (runs === 1) await restart();
      await tx.write('more', '');
    });
    expect([runs, await store.exists('run1'), await store.exists('run2')]).toEqual([2, false, true]);
    expect(await store.readText('before')).toBe('kept');
    await store.write('watched/x', '');
    expect(await news(watch)).toBe('watched/x');
  });
});
