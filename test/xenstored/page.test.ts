// The web page as its user has it, in a real browser: ten thousand nodes, live changes, the keyboard alone, edits and their conflicts, a
// handshake as it happens, a service that goes away, and guests who write markup into their nodes. The service behind is the test's own; what it
// serves of the page is the real thing. One browser for all of it.
import { existsSync } from 'node:fs';
import axe, { type AxeResults } from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { addDevice, moveEnd, PageServer, populate, READ_TOKEN, WRITE_TOKEN } from './page-server.ts';

const executablePath = '/usr/bin/chromium';
const browsing = test.skipIf(!existsSync(executablePath));
if (!existsSync(executablePath)) process.stderr.write(`skipped: the web page needs ${executablePath}\n`);

let browser: Browser;
let server: PageServer;
let context: BrowserContext;
let page: Page;
/** What no page should ever say: errors, policy violations, requests elsewhere. */
let complaints: string[];

beforeAll(async () => {
  if (!existsSync(executablePath)) return;
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
});
afterAll(async () => await browser?.close());

beforeEach(async () => {
  server = new PageServer();
  complaints = [];
  if (!browser) return;
  context = await browser.newContext({ viewport: { width: 1200, height: 760 } });
  page = await context.newPage();
  // Whoever waits in vain hears for what.
  page.setDefaultTimeout(15_000);
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (line) => {
    if (/Content Security Policy|TrustedHTML|Refused to/.test(line.text())) complaints.push(line.text());
  });
  page.on('dialog', (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(server.origin)) complaints.push(request.url());
  });
});
afterEach(async () => {
  await context?.close();
  await server.stop();
  expect(complaints).toEqual([]);
});

async function open(route = ''): Promise<void> {
  await server.start();
  await page.goto(`${server.origin}/#token=${READ_TOKEN}`);
  await status('Live');
  if (route !== '') await page.goto(`${server.origin}/${route}`);
}

const status = (text: string): Promise<unknown> => page.locator('.status', { hasText: text }).waitFor();
const row = (path: string) => page.locator(`[id="row:${path}"]`);
const active = (): Promise<string | null> => page.locator('.tree').getAttribute('aria-activedescendant');

/** What happened until now is to be seen. */
const drawn = (): Promise<unknown> =>
  page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');

async function mayWrite(): Promise<void> {
  await page.getByRole('button', { name: /Read-only/ }).click();
  await page.getByLabel('Write token').fill(WRITE_TOKEN);
  await page.getByRole('button', { name: 'Allow editing' }).click();
  await page.getByText('May write').waitFor();
}

browsing('ten thousand open nodes are a few dozen elements, and scroll smoothly', async () => {
  populate(server, 200, 50);
  await open();
  await row('/local/domain').click();
  await page.getByRole('button', { name: 'open all below' }).click();
  await expect
    .poll(() => page.locator('.tree').getAttribute('aria-rowcount').then(Number))
    .toBeGreaterThan(10_000);
  const frames = await page.evaluate<number[]>(`(async () => {
    const tree = document.querySelector('.tree');
    const times = [];
    let last = performance.now();
    for (let step = 1; step <= 60; step++) {
      tree.scrollTop = (tree.scrollHeight * step) / 60;
      const now = await new Promise((resolve) => requestAnimationFrame(resolve));
      times.push(now - last);
      last = now;
    }
    return times.sort((a, b) => a - b);
  })()`);
  expect(await page.getByRole('row').count()).toBeLessThan(120);
  expect(frames[Math.floor(frames.length / 2)]).toBeLessThan(250);
  await page.locator('.tree').focus();
  await page.keyboard.press('End');
  await expect.poll(active).toBe('row:/vm');
  await expect.poll(() => row('/vm').isVisible()).toBe(true);
});

browsing('a change appears where one looks, shines, and tells who made it', async () => {
  populate(server, 3, 6);
  await open('#/store/local/domain/2/name');
  await row('/local/domain/2/name').waitFor();
  server.write('/local/domain/2/name', 'renamed', 2);
  await row('/local/domain/2/name').filter({ hasText: 'renamed' }).waitFor();
  expect(await row('/local/domain/2/name').getAttribute('class')).toContain('flash');
  await page.getByText('by domain 2').waitFor();
  // A node, and the parents that the write has made.
  server.put('/local/domain/2/attr/os/class', 'linux');
  server.tell({ path: '/local/domain/2/attr/os/class', node: server.node('/local/domain/2/attr/os/class') });
  await row('/local/domain/2/attr').waitFor();
  server.remove('/local/domain/2');
  await expect.poll(() => row('/local/domain/2').count()).toBe(0);
  await page.getByText('This node is no more.').waitFor();
  // After a gap in what is told, what is shown is asked for again.
  server.put('/local/domain/3/name', 'while nobody looked');
  server.resync('more was missed than is kept');
  await row('/local/domain/3').click();
  await page.keyboard.press('ArrowRight');
  await row('/local/domain/3/name').filter({ hasText: 'while nobody looked' }).waitFor();
});

browsing('the keyboard alone goes everywhere', async () => {
  populate(server, 12, 6);
  await open();
  await row('/local/domain/12').waitFor();
  await page.locator('.tree').focus();
  const press = async (...keys: string[]): Promise<string | null> => {
    for (const key of keys) await page.keyboard.press(key);
    await drawn();
    return active();
  };
  expect(await press('Home')).toBe('row:/');
  expect(await press('ArrowRight')).toBe('row:/local');
  expect(await press('ArrowRight', 'ArrowRight')).toBe('row:/local/domain/0');
  expect(await press('1', '1')).toBe('row:/local/domain/11');
  await press('ArrowRight');
  await row('/local/domain/11/name').waitFor();
  expect(await press('ArrowRight')).toBe('row:/local/domain/11/data');
  expect(await press('n')).toBe('row:/local/domain/11/name');
  expect(await press('ArrowLeft')).toBe('row:/local/domain/11');
  expect(await press('ArrowLeft')).toBe('row:/local/domain/11');
  expect(await row('/local/domain/11').getAttribute('aria-expanded')).toBe('false');
  expect(await press('ArrowLeft')).toBe('row:/local/domain');
  await press('*');
  await row('/local/domain/0').waitFor();
  expect(await press('End')).toBe('row:/vm');
  expect(await row('/local/domain').getAttribute('aria-level')).toBe('3');
  // To the node, back, to the search, and by what it finds to another node.
  await press('Enter');
  expect(await page.evaluate('document.activeElement.id')).toBe('node-title');
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  await page.keyboard.type('guest-7');
  await page.locator('.finds').getByText('guest-7').waitFor();
  await page.keyboard.press('Enter');
  await expect.poll(active).toBe('row:/local/domain/7/name');
  expect(new URL(page.url()).hash).toBe('#/store/local/domain/7/name');
});

browsing('a token is taken out of the address, or asked for', async () => {
  await open();
  expect(page.url()).toBe(`${server.origin}/`);
  const stranger = await context.newPage();
  await stranger.goto(server.origin);
  await stranger.getByLabel('Token').fill('not-this-one');
  await stranger.getByRole('button', { name: 'Open' }).click();
  await stranger.getByRole('alert').filter({ hasText: 'does not know' }).waitFor();
  await stranger.getByLabel('Token').fill(READ_TOKEN);
  await stranger.getByRole('button', { name: 'Open' }).click();
  await stranger.locator('.status', { hasText: 'Live' }).waitFor();
  await stranger.getByRole('row').first().waitFor();
});

browsing('with the write token: values, permissions, children, removal', async () => {
  populate(server, 2, 6);
  await open('#/store/local/domain/1/name');
  await page.getByText('guest-1').first().waitFor();
  expect(await page.getByRole('button', { name: 'Edit value' }).count()).toBe(0);
  await mayWrite();
  await page.getByRole('button', { name: 'Edit value' }).click();
  await page.getByLabel('New value').fill('two\\nlines\\x00');
  await page.getByRole('button', { name: 'Write' }).click();
  await expect.poll(() => server.nodes.get('/local/domain/1/name')?.value.toString()).toBe('two\nlines\0');
  await row('/local/domain/1/name').filter({ hasText: 'two\\nlines\\x00' }).waitFor();
  await page.getByRole('button', { name: 'hex' }).click();
  await page.locator('pre').filter({ hasText: '74 77 6f 0a' }).waitFor();

  await page.getByRole('button', { name: 'Permissions' }).click();
  await page.getByLabel('Everybody else').selectOption('may read');
  await page.getByRole('button', { name: 'add a domain' }).click();
  await page.getByRole('button', { name: 'Set permissions' }).click();
  await page.getByText('everybody else may read').waitFor();
  expect(server.nodes.get('/local/domain/1/name')?.permissions).toEqual([
    { domid: 1, letter: 'r' },
    { domid: 0, letter: 'r' },
  ]);

  await row('/local/domain/1').click();
  await page.getByRole('button', { name: 'Add child' }).click();
  await page.getByLabel('Name of the child').fill('name');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('there is such a child already').waitFor();
  await page.getByLabel('Name of the child').fill('fresh');
  await page.getByRole('textbox', { name: 'Value', exact: true }).fill('x');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await row('/local/domain/1/fresh').waitFor();
  await expect.poll(active).toBe('row:/local/domain/1/fresh');

  await page.getByRole('button', { name: 'Remove' }).click();
  await page.locator('.editor').getByRole('button', { name: 'Remove' }).click();
  await expect.poll(() => server.nodes.has('/local/domain/1/fresh')).toBe(false);
  await expect.poll(active).toBe('row:/local/domain/1');
});

browsing('who edits what somebody else has changed is shown it, and nothing is written', async () => {
  populate(server, 1, 6);
  await open('#/store/local/domain/1/name');
  await mayWrite();
  await page.getByRole('button', { name: 'Edit value' }).click();
  await page.getByLabel('New value').fill('mine');
  server.write('/local/domain/1/name', 'theirs', 1);
  await page.getByRole('button', { name: 'Write' }).click();
  const conflict = page.locator('.conflict');
  await conflict.getByText('theirs').waitFor();
  await conflict.getByText('guest-1').waitFor();
  expect(server.nodes.get('/local/domain/1/name')?.value.toString()).toBe('theirs');
  await page.getByRole('button', { name: 'Write all the same' }).click();
  await expect.poll(() => server.nodes.get('/local/domain/1/name')?.value.toString()).toBe('mine');
});

browsing('a handshake is seen as it happens, with who wrote what', async () => {
  populate(server, 1, 6);
  server.domains = [
    { domid: 0, name: 'Domain-0' },
    { domid: 1, name: 'guest-1' },
    { domid: 5, name: 'blkback' },
  ];
  const device = addDevice(server, 'vbd', 1, 51712, 5);
  await open('#/domains');
  const line = page.getByRole('link', { name: /vbd 51712: backend in blkback Initialising/ });
  await line.waitFor();
  await line.focus();
  await page.keyboard.press('Enter');
  const now = (end: string) =>
    page.getByRole('list', { name: `States of the ${end}` }).locator('[aria-current]');
  await now('backend').filter({ hasText: 'Initialising' }).waitFor();
  moveEnd(server, device, 'backend', 2);
  await now('backend').filter({ hasText: 'InitWait' }).waitFor();
  device.frontend.keys['ring-ref'] = '8';
  server.write(`${device.frontend.path}/ring-ref`, '8', 1);
  moveEnd(server, device, 'frontend', 3);
  await now('frontend').filter({ hasText: 'Initialised' }).waitFor();
  await page.locator('.keys .wiring', { hasText: 'ring-ref' }).waitFor();
  moveEnd(server, device, 'backend', 4);
  moveEnd(server, device, 'frontend', 4);
  await now('frontend').filter({ hasText: 'Connected' }).waitFor();
  await now('backend').filter({ hasText: 'Connected' }).waitFor();
  await page.locator('.line.good').waitFor();
  const lines = page.locator('.timeline tbody tr');
  await lines.filter({ hasText: '1 guest-1' }).filter({ hasText: '4 Connected' }).waitFor();
  await lines.filter({ hasText: '5 blkback' }).filter({ hasText: '2 InitWait' }).waitFor();
  await page.getByText('As a table').click();
  await page.getByRole('cell', { name: '4 Connected' }).first().waitFor();
});

browsing('what is chosen is gone to, and left by Escape; domains have their names', async () => {
  populate(server, 2, 6);
  server.domains = [
    { domid: 0, name: 'Domain-0' },
    { domid: 1, name: 'guest-1' },
  ];
  addDevice(server, 'vbd', 1, 51712);
  addDevice(server, 'vif', 1, 0);
  await page.setViewportSize({ width: 360, height: 640 });
  await open('#/domains');
  const line = page.getByRole('link', { name: /vbd 51712/ });
  await line.focus();
  await page.keyboard.press('Enter');
  const detail = page.getByRole('complementary', { name: 'vbd 51712' });
  await expect.poll(() => detail.evaluate((element) => element.matches(':focus'))).toBe(true);
  // It is below the picture, and yet to be seen.
  expect((await page.getByRole('heading', { name: 'vbd 51712' }).boundingBox())!.y).toBeLessThan(600);
  await page.keyboard.press('Escape');
  await expect.poll(() => line.evaluate((element) => element.matches(':focus'))).toBe(true);
  await page.goto(`${server.origin}/#/store/local/domain/1/name`);
  await page.getByText('domain 1 (guest-1) owns it').waitFor();
  await row('/local/domain/1').filter({ hasText: 'guest-1' }).waitFor();
});

browsing('the service goes away and comes back: the page says so, and goes on', async () => {
  populate(server, 2, 6);
  await open('#/store/local/domain/1/name');
  await row('/local/domain/1/name').waitFor();
  await server.stop();
  await status('Reconnecting');
  await page.getByText('what is shown is as it was').waitFor();
  server.put('/local/domain/1/name', 'after the gap');
  await server.start();
  await page
    .getByRole('button', { name: 'try now' })
    .click({ timeout: 2_000 })
    .catch(() => {});
  await status('Live');
  await row('/local/domain/1/name').filter({ hasText: 'after the gap' }).waitFor();
  expect(await row('/local/domain/1/name').getAttribute('aria-selected')).toBe('true');
});

browsing('a daemon that the service cannot reach is told, and its return', async () => {
  await open();
  server.connected = false;
  await status('Daemon away');
  await page.getByText('The service cannot reach its store').waitFor();
  server.connected = true;
  await status('Live');
});

browsing('secrets stay masked, and markup that guests write stays text', async () => {
  const markup = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  populate(server, 1, 6);
  server.put('/local/domain/1/name', markup, 1);
  server.domains = [
    { domid: 0, name: markup },
    { domid: 1, name: `"><svg onload=alert(3)>${'long '.repeat(80)}` },
  ];
  const device = addDevice(server, 'vbd', 1, 1);
  device.backend.keys[markup] = `javascript:alert(4)${markup}`;
  server.daemon = { connections: [{ link: markup, [markup]: 'x' }], quotas: [{ domid: 1, name: markup }] };
  await open('#/store/local/domain/1/name');
  await page.locator('pre').filter({ hasText: markup }).waitFor();
  await row('/local/domain/1/vnc-passwd').click();
  await page.locator('.pane .masked').waitFor();
  expect(await page.content()).not.toContain('hunter2');
  await page.goto(`${server.origin}/#/domains/1/vbd/1`);
  await page.locator('.keys dt').filter({ hasText: markup }).waitFor();
  await page.goto(`${server.origin}/#/daemon`);
  await page.getByRole('columnheader', { name: markup }).waitFor();
  await page.goto(`${server.origin}/#/store${markup}`);
  await page.getByText('there is no ').waitFor();
  expect(await page.locator('img[src=x], main script').count()).toBe(0);
});

browsing('quotas and lists of the daemon; what it does not tell is said', async () => {
  server.daemon = {
    quotas: [{ domid: 1, nodes: { used: 990, limit: 1000 }, watches: { used: 1, limit: null } }],
    rings: [{ domid: 1, req_cons: 5, req_prod: 7 }],
    watches: Array.from({ length: 40 }, (_, index) => ({ path: `/p${index}` })),
  };
  await open('#/daemon');
  const meter = page.getByRole('meter', { name: 'nodes' });
  await meter.waitFor();
  expect(await meter.getAttribute('aria-valuenow')).toBe('990');
  await page.locator('.bar-fill.full').waitFor();
  await page.getByRole('button', { name: 'all 40' }).click();
  await page.getByRole('cell', { name: '/p39' }).waitFor();
  await page.locator('.refusals').getByText('This daemon does not tell.').waitFor();
});

browsing('assistive technology finds nothing amiss, in any view, dark or light', async () => {
  populate(server, 2, 6);
  server.domains = [{ domid: 0, name: 'Domain-0' }, { domid: 1, name: 'guest' }, { domid: 9 }];
  addDevice(server, 'vif', 1, 0);
  server.daemon = {
    quotas: [{ domid: 1, nodes: { used: 990, limit: 1000 } }],
    watches: [{ path: '/p', token: 't' }],
  };
  await open('#/store/local/domain/1/name');
  await mayWrite();
  await page.getByRole('button', { name: 'Permissions' }).click();
  await page.evaluate(axe.source);
  // Darkness changes nothing but colours.
  for (const [colorScheme, rules] of [
    ['light', '{}'],
    ['dark', "{ runOnly: ['color-contrast'] }"],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    for (const route of ['store/local/domain/1/name', 'domains/1/vif/0', 'daemon']) {
      await page.goto(`${server.origin}/#/${route}`);
      await page.getByRole('heading', { level: 2 }).first().waitFor();
      await drawn();
      const { violations } = await page.evaluate<AxeResults>(`axe.run(${rules})`);
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      expect(told, `${route}, ${colorScheme}`).toEqual([]);
    }
  }
});

browsing('dark, light, and a screen of a telephone', async () => {
  populate(server, 2, 6);
  addDevice(server, 'vif', 1, 0);
  await open();
  const ground = (): Promise<string> =>
    page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await ground()).not.toBe(light);
  await page.getByRole('button', { name: /Colours/ }).click();
  expect(await ground()).toBe(light);
  await page.setViewportSize({ width: 360, height: 640 });
  for (const route of ['#/store/local/domain/1', '#/domains/1/vif/0', '#/daemon']) {
    await page.goto(`${server.origin}/${route}`);
    await page.getByRole('heading').first().waitFor();
    await expect
      .poll(() => page.evaluate<number>('document.documentElement.scrollWidth - innerWidth'), {
        message: route,
      })
      .toBeLessThanOrEqual(0);
  }
});

test('what is served may be kept for ever by its name, and comes with its policy', async () => {
  await server.start();
  const document = await fetch(server.origin);
  expect(document.headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(document.headers.get('x-content-type-options')).toBe('nosniff');
  expect(document.headers.get('referrer-policy')).toBe('no-referrer');
  const etag = document.headers.get('etag')!;
  expect((await fetch(server.origin, { headers: { 'if-none-match': etag } })).status).toBe(304);
  const text = await document.text();
  const types = { js: 'javascript', css: 'text/css', svg: 'image/svg+xml' };
  const assets = [...text.matchAll(/"(assets\/[^"]+\.(js|css|svg))"/g)];
  expect(assets).toHaveLength(3);
  for (const [, path, kind] of assets) {
    const asset = await fetch(`${server.origin}/${path}`);
    expect(asset.status).toBe(200);
    expect(asset.headers.get('content-type')).toContain(types[kind as keyof typeof types]);
    expect(asset.headers.get('cache-control')).toContain('immutable');
    expect(asset.headers.get('content-security-policy')).toContain("default-src 'none'");
  }
  const folder = assets[0]![1]!.replace(/[^/]+$/, '');
  for (const path of ['index.html', 'main.d.ts', '../app.js', '%2e%2e/app.js', '..%2fapp.js', '']) {
    const answer = await fetch(`${server.origin}/${folder}${path}`);
    expect(answer.ok, path).toBe(false);
  }
});
