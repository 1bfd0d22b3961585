// The web page over real stores: xenstore-admin's application on our daemon, Debian's C daemon and oxenstored. What a client writes is seen,
// what is edited in the page is written, a handshake is seen to go to Connected, and a daemon that dies and begins anew is told.
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock as clock } from '../../osdep/os/clock.ts';
import { Tokens } from '../../xenstored/admin/access.ts';
import { type App, buildApp } from '../../xenstored/admin/app.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { peerMissing, startC, startOx } from '../conformance/peers.ts';
import { type Daemon, lastingDaemon } from './daemonprocess.ts';

const executablePath = '/usr/bin/chromium';
const noBrowser = existsSync(executablePath) ? undefined : `the web page needs ${executablePath}`;
const [reads, writes] = ['the-token-that-reads', 'the-token-that-writes'];

const daemons: readonly [string, () => Promise<Daemon>, string | undefined][] = [
  ['our daemon', () => lastingDaemon('--database', 'memory'), noBrowser],
  ['the C daemon of 4.17', () => startC(), noBrowser ?? peerMissing('c417')],
  ['oxenstored of 4.17', () => startOx(), noBrowser ?? peerMissing('ox')],
];

let browser: Browser | undefined;
beforeAll(async () => {
  if (!noBrowser) browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});
afterAll(async () => await browser?.close());

describe.each(daemons)('%s', (name, start, missing) => {
  if (missing !== undefined) {
    test.skip(missing, () => {});
    return;
  }
  let daemon: Daemon;
  let client: Client;
  let app: App;
  let page: Page;
  let origin: string;
  const complaints: string[] = [];

  beforeAll(async () => {
    daemon = await start();
    client = await connect({ path: daemon.socketPath });
    app = await buildApp({
      store: storeOf(client),
      tokens: new Tokens({ read: reads, write: writes }),
      clock,
      failed: (error) => complaints.push(String(error)),
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    page = await browser!.newPage();
    // Whoever waits in vain hears for what.
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (line) => {
      if (/Content Security Policy|Refused to/.test(line.text())) complaints.push(line.text());
    });
    await page.goto(`${origin}/#token=${reads}`);
    await status('Live');
  });
  afterAll(async () => {
    await page?.context().close();
    await app?.close();
    await client?.close();
    await daemon?.stop();
    expect(complaints).toEqual([]);
  });

  const status = (text: string): Promise<unknown> => page.locator('.status', { hasText: text }).waitFor();
  const row = (path: string) => page.locator(`[id="row:${path}"]`);

  test('what a client writes is seen, and what is edited is written', async () => {
    await client.write('/local/domain/7/name', 'first');
    await page.goto(`${origin}/#/store/local/domain/7/name`);
    await row('/local/domain/7/name').filter({ hasText: 'first' }).waitFor();
    await client.write('/local/domain/7/name', Buffer.from([0x73, 0, 0xff]));
    await row('/local/domain/7/name').filter({ hasText: 's\\x00\\xff' }).waitFor();

    await page.getByRole('button', { name: /Read-only/ }).click();
    await page.getByLabel('Write token').fill(writes);
    await page.getByRole('button', { name: 'Allow editing' }).click();
    await page.getByRole('button', { name: 'Edit value' }).click();
    await page.getByLabel('New value').fill('from the page');
    await page.getByRole('button', { name: 'Write' }).click();
    await expect.poll(async () => String(await client.read('/local/domain/7/name'))).toBe('from the page');

    await page.getByRole('button', { name: 'Edit value' }).click();
    await page.getByLabel('New value').fill('mine');
    await client.write('/local/domain/7/name', 'theirs');
    await page.getByRole('button', { name: 'Write' }).click();
    await page.locator('.conflict').getByText('theirs').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();

    await page.getByLabel('Search names and values').fill('theirs');
    await page.locator('.finds a').filter({ hasText: '/local/domain/7/name' }).waitFor();
    await client.rm('/local/domain/7');
    await expect.poll(() => row('/local/domain/7').count()).toBe(0);
  });

  test('a handshake goes to Connected before one’s eyes', async () => {
    const front = '/local/domain/3/device/vbd/51712';
    const back = '/local/domain/5/backend/vbd/3/51712';
    const nodes: Record<string, string> = {
      '/local/domain/3/name': 'guest-3',
      '/local/domain/5/name': 'blkback',
      [`${front}/backend`]: back,
      [`${front}/backend-id`]: '5',
      [`${front}/state`]: '1',
      [`${back}/frontend`]: front,
      [`${back}/frontend-id`]: '3',
      [`${back}/state`]: '1',
    };
    for (const [path, value] of Object.entries(nodes)) await client.write(path, value);
    await page.goto(`${origin}/#/domains`);
    const line = page.getByRole('link', {
      name: 'vbd 51712: backend in blkback Initialising, frontend in guest-3 Initialising',
    });
    await line.waitFor();
    await page.goto(`${origin}/#/domains/3/vbd/51712`);
    const now = (end: string) =>
      page.getByRole('list', { name: `States of the ${end}` }).locator('[aria-current]');
    await client.write(`${back}/state`, '2');
    await now('backend').filter({ hasText: 'InitWait' }).waitFor();
    await client.write(`${front}/ring-ref`, '8');
    await client.write(`${front}/state`, '3');
    await now('frontend').filter({ hasText: 'Initialised' }).waitFor();
    await page.locator('.keys .wiring', { hasText: 'ring-ref' }).waitFor();
    await client.write(`${back}/state`, '4');
    await client.write(`${front}/state`, '4');
    await now('backend').filter({ hasText: 'Connected' }).waitFor();
    await now('frontend').filter({ hasText: 'Connected' }).waitFor();
    const author = name === 'our daemon' ? '0 Domain-0' : 'unknown';
    const moments = page.locator('.timeline tbody tr').filter({ hasText: author });
    await moments.filter({ hasText: 'frontend' }).filter({ hasText: '4 Connected' }).waitFor();
    if (name === 'our daemon') {
      // One after the other, and gone before anybody reads them.
      await Promise.all([5, 6, 1].map((state) => client.write(`${front}/state`, `${state}`)));
      for (const state of ['5 Closing', '6 Closed'])
        await moments.filter({ hasText: 'frontend' }).filter({ hasText: state }).waitFor();
    }
    await page.goto(`${origin}/#/daemon`);
    await page.getByRole('heading', { name: 'Connections' }).waitFor();
    await expect.poll(() => page.getByText('Loading…').count()).toBe(0);
  });

  test('a daemon that dies is told, and what the next one holds is shown', async ({ skip }) => {
    if (!daemon.restart) return skip('only our daemon is ended here');
    await page.goto(`${origin}/#/store/local/domain/3/name`);
    await row('/local/domain/3/name').waitFor();
    await daemon.restart(() => status('Daemon away'));
    await client.write('/local/domain/4/name', 'another world');
    await page.goto(`${origin}/#/store/local/domain/4/name`);
    await row('/local/domain/4/name').filter({ hasText: 'another world' }).waitFor();
    await expect.poll(() => row('/local/domain/3').count()).toBe(0);
    await status('Live');
  });
});
