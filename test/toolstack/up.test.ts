// `stubdom0 up` as a user runs it: a host comes up, serves Xen's own clients, survives what a user can do to its processes, and goes
// without a trace. Everything is real: the processes, their signals, the simulated machine.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { appears } from './appears.ts';
import { command, stubdom0, UpHost } from './uphost.ts';

// Half a dozen processes each: a slow machine may take its time.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

describe('a host that runs', () => {
  let host: UpHost;
  let store: Client;
  const cfgs = mkdtempSync(join(tmpdir(), 'stubdom0-cfgs-'));
  beforeAll(async () => {
    const guests = ['alice', 'bob', 'carol'].map((name) => ({
      name,
      greets: name === 'alice' ? ['bob'] : ['alice'],
    }));
    writeFileSync(join(cfgs, 'dave.cfg'), 'name="dave"\nkernel="guest"\nmemory=4\n');
    writeFileSync(join(cfgs, 'wrong.cfg'), 'name="wrong"\nmemory="much"\n');
    host = new UpHost({ name: 'town', admin: {}, guests, autostart: [cfgs] });
    await host.isUp();
    store = await connect({ run: host.run });
  });
  afterAll(async () => {
    await store.close();
    await host.clear();
    rmSync(cfgs, { recursive: true });
  });

  /** The value once it is there. */
  async function awaited(path: string): Promise<string> {
    for await (const _ of store.watch(path)) {
      const value = await store.findText(path);
      if (value !== undefined) return value;
    }
    throw new Error('the watch ended');
  }

  async function domidOf(name: string): Promise<number> {
    return (await host.state()).domains.find((domain) => domain.name === name)!.domid;
  }

  test('says what it consists of', async () => {
    const status = await stubdom0('status', '--run', host.run);
    expect(status.stdout).toMatch(/^host town is up since /);
    expect(status.stdout).toMatch(/^xenstored +ready +\d+ +0$/m);
    expect(JSON.parse((await stubdom0('status', '--json', '--run', host.run)).stdout).phase).toBe('up');
    expect((await stubdom0('list', '--run', host.run)).stdout).toMatch(
      /^Domain-0 +0 .*\nxenstored +1 +32 .*\nalice +2 +4 +1 /m,
    );
    expect(await store.readText('/tool/xenstored/domid')).toBe('1');
  });

  test('has guests that hear of each other through the store, over their rings', async () => {
    const [alice, bob, carol] = [await domidOf('alice'), await domidOf('bob'), await domidOf('carol')];
    expect(await awaited(`/local/domain/${bob}/data/heard/${alice}`)).toBe('hello from alice');
    expect(await awaited(`/local/domain/${alice}/data/heard/${bob}`)).toBe('hello from bob');
    // Alice was told of bob alone, so carol may not hear her.
    expect(await store.findText(`/local/domain/${carol}/data/heard/${alice}`)).toBeUndefined();
  });

  test.skipIf(!existsSync('/usr/bin/xenstore-ls'))("serves Xen's own clients", async () => {
    const env = { XENSTORED_PATH: host.socket };
    expect((await command('xenstore-write', ['/demo/hello', 'world'], env)).code).toBe(0);
    expect((await command('xenstore-read', ['/demo/hello'], env)).stdout).toBe('world\n');
    expect((await command('xenstore-ls', ['-f', '/demo'], env)).stdout).toBe('/demo/hello = "world"\n');
  });

  test('has the guests of its cfg files, too; a mistake in one is told by its line', async () => {
    expect((await host.state()).domains.map(({ name }) => name)).toContain('dave');
    expect(await host.line(/wrong\.cfg/)).toMatch(/^stubdom0: .*wrong\.cfg:2: /);
  });

  test('refuses a second one in its run directory, in one line', async () => {
    const second = await stubdom0('up', '--run', host.run);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(
      /^stubdom0: a host runs in \S+ already \(process \d+\); "stubdom0 down --run \S+" ends it\n$/,
    );
  });

  test('starts a killed xenstored again on its database: nobody, guests included, lost a thing', async () => {
    const [alice, bob] = [await domidOf('alice'), await domidOf('bob')];
    await store.write('/demo/kept', 'yes');
    await using watch = store.watch('/demo/kept');
    await watch.take();
    const from = host.lines.length;
    await host.kill('xenstored');
    await host.line(/xenstored serves again/, from);
    expect(await host.process('xenstored')).toMatchObject({ phase: 'ready', restarts: 1 });
    expect(await store.readText('/demo/kept')).toBe('yes');
    expect((await watch.take())?.path).toBe('/demo/kept');
    // The guests' watches are the store's memory: nobody sets them again.
    await store.write(`/local/domain/${alice}/data/greeting`, 'still there?');
    for await (const _ of store.watch(`/local/domain/${bob}/data/heard`)) {
      if ((await store.findText(`/local/domain/${bob}/data/heard/${alice}`)) === 'still there?') break;
    }
  });

  test('starts a killed toolstack again, which costs no guest; orders meanwhile wait for it', async () => {
    const from = host.lines.length;
    const guests = (await host.state()).domains.filter(({ role }) => role === 'guest');
    await host.kill('toolstack');
    const list = await stubdom0('list', '--run', host.run);
    expect(list).toMatchObject({ code: 0, stderr: '' });
    for (const { name } of guests) expect(list.stdout).toMatch(new RegExp(`^${name} `, 'm'));
    await host.line(/toolstack serves again/, from);
  });

  test('starts a killed admin again, at its address and with its token', async () => {
    const { token } = host;
    const { url } = await host.state();
    const from = host.lines.length;
    await host.kill('admin');
    await host.line(/admin serves again/, from);
    const reply = await fetch(`${url}/v1/node?path=/`, { headers: { authorization: `Bearer ${token}` } });
    expect(reply.status).toBe(200);
  });

  test('loses a guest that is killed, and nothing else', async () => {
    const bob = await domidOf('bob');
    await host.kill('guest-bob');
    await host.line(/^stubdom0: guest bob \(domain \d+\) is gone: (ended by SIGKILL|it crashed)$/);
    expect(await store.exists(`/local/domain/${bob}`)).toBe(false);
    const { domains, processes } = await host.state();
    expect(domains.map(({ name }) => name)).toEqual(['Domain-0', 'xenstored', 'alice', 'carol', 'dave']);
    expect(processes.filter(({ phase }) => phase !== 'ready')).toEqual([]);
    expect(processes.map(({ name }) => name)).not.toContain('guest-bob');
  });

  test('lets a guest shut down that is asked to', async () => {
    const carol = await domidOf('carol');
    await store.write(`/local/domain/${carol}/control/shutdown`, 'poweroff');
    await host.line(/^stubdom0: guest carol \(domain \d+\) is gone: it shut down$/);
    expect(await store.exists(`/local/domain/${carol}`)).toBe(false);
  });

  test('goes at Ctrl-C without a trace', async () => {
    host.interrupt();
    expect(await host.ended).toBe(0);
    expect(host.survivors()).toEqual([]);
    expect(host.leftovers()).toEqual([]);
  });
});

const hosts: UpHost[] = [];
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.clear();
});

function bring(file: object): UpHost {
  const host = new UpHost(file);
  hosts.push(host);
  return host;
}

const alone = { name: 'alone', admin: {}, guests: [{ name: 'alice' }] };

test('"stubdom0 down" from another shell takes it down; there is nothing to take down twice', async () => {
  const host = bring(alone);
  await host.isUp();
  expect(await stubdom0('down', '--run', host.run)).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(await host.ended).toBe(0);
  expect(host.survivors()).toEqual([]);
  for (const word of ['down', 'status', 'list']) {
    expect(await stubdom0(word, '--run', host.run)).toEqual({
      code: 1,
      stdout: '',
      stderr: `stubdom0: no host runs in ${host.run}\n`,
    });
  }
});

test('Ctrl-C while it comes up takes back what was done', async () => {
  const host = bring(alone);
  await appears(join(host.run, 'hypervisor/socket'));
  host.interrupt();
  expect(await host.ended).toBe(0);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test.each([
  ['hypervisor', 'hypervisor', alone],
  ['xenstored that keeps nothing', 'xenstored', { ...alone, xenstored: { database: 'memory' } }],
])('%s killed: everything ends, with exit code 1 and one line that says why', async (_, name, file) => {
  const host = bring(file);
  await host.isUp();
  const before = host.lines.length;
  await host.kill(name);
  expect(await host.ended).toBe(1);
  expect(host.lines.slice(before).filter((line) => !/taking the host down/.test(line))).toEqual([
    `stubdom0: the host cannot go on without its ${name}: ended by SIGKILL`,
  ]);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('"stubdom0 up" itself killed: its host ends with it, and the next one takes the directory over', async () => {
  const host = bring(alone);
  await host.isUp();
  host.child.kill('SIGKILL');
  await host.ended;
  const status = await stubdom0('status', '--run', host.run);
  expect(status.stderr).toMatch(
    /^stubdom0: the host in \S+ was killed; the next "stubdom0 up" there clears what it left\n$/,
  );
  const next = await stubdom0(
    'up',
    '--detach',
    '--run',
    host.run,
    '--host',
    host.writeHost({ name: 'next' }),
  );
  expect(next).toMatchObject({ code: 0, stderr: '' });
  expect((await host.state()).host).toBe('next');
  expect((await stubdom0('down', '--run', host.run)).code).toBe(0);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('a host that cannot come up says why in a line, with the last words of who failed, and leaves nothing', async () => {
  const host = bring({ name: 'bad', xenstored: { args: ['--quota', 'nonsense=1'] } });
  expect(await host.ended).toBe(1);
  expect(host.lines[0]).toMatch(/^stubdom0: could not start xenstored: exit code 1/);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('wrong words and flags end with one clear line and an exit code', async () => {
  for (const [wanted, ...args] of [
    [1, 'nonsense'],
    [2, 'up', '--nonsense'],
    [2, 'up', 'more'],
    [1, 'up', '--host', '/nowhere.json'],
  ] as const) {
    const { code, stderr, stdout } = await stubdom0(...args);
    expect({ args, code, stdout }).toEqual({ args, code: wanted, stdout: '' });
    expect(stderr).toMatch(/^(stubdom0|up): .*\n/);
  }
});
