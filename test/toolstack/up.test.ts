// `stubdom0 up` as a user runs it: a host comes up, serves Xen's own clients, survives what a user can do to its processes, and goes
// without a trace. Everything is real: the processes, their signals, the simulated machine.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../xenstored/client/index.ts';
import { command, stubdom0, UpHost } from './uphost.ts';

const hosts: UpHost[] = [];
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.clear();
});

/** A host without guests, unless said otherwise. */
function bring(file: object = { name: 'bare', admin: {} }): UpHost {
  const host = new UpHost(file);
  hosts.push(host);
  return host;
}

const xenClient = '/usr/bin/xenstore-ls';

test('a host comes up, is read by the client library and by REST, and goes at Ctrl-C without a trace', async () => {
  const host = bring();
  const state = await host.isUp();
  expect(state.domains.map(({ name }) => name)).toEqual(['Domain-0', 'xenstored']);

  await using store = await connect({ run: host.run });
  expect(await store.readText('/tool/xenstored/domid')).toBe(`${state.domains[1]!.domid}`);

  const tree = await fetch(`${state.url}/v1/tree?path=/local`, {
    headers: { authorization: `Bearer ${host.token}` },
  });
  expect(JSON.stringify(await tree.json())).toContain('Domain-0');

  const status = await stubdom0('status', '--run', host.run);
  expect(status.stdout).toMatch(/^xenstored +ready +\d+ +0$/m);
  expect((await stubdom0('list', '--run', host.run)).stdout).toMatch(/^Domain-0 +0 /m);

  host.interrupt();
  expect(await host.ended).toBe(0);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test.skipIf(!existsSync(xenClient))("Xen's own clients work on it", async () => {
  const host = bring({ name: 'bare' });
  await host.isUp();
  const env = { XENSTORED_PATH: host.socket };
  expect((await command('xenstore-write', ['/demo/hello', 'world'], env)).code).toBe(0);
  expect((await command('xenstore-read', ['/demo/hello'], env)).stdout).toBe('world\n');
  expect((await command('xenstore-ls', ['-f', '/demo'], env)).stdout).toBe('/demo/hello = "world"\n');
});

test('"stubdom0 down" from another shell takes it down; there is nothing to take down twice', async () => {
  const host = bring();
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

test('a second one in the same run directory is refused with one line', async () => {
  const host = bring({ name: 'bare' });
  await host.isUp();
  const second = await stubdom0('up', '--run', host.run);
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(
    /^stubdom0: a host runs in \S+ already \(process \d+\); "stubdom0 down --run \S+" ends it\n$/,
  );
  expect((await host.process('xenstored')).phase).toBe('ready');
});

test('Ctrl-C while it comes up takes back what was done', async () => {
  const host = bring();
  while (!existsSync(join(host.run, 'hypervisor/socket'))) await new Promise(setImmediate);
  host.interrupt();
  expect(await host.ended).toBe(0);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('xenstored killed: it is started again on its database, and nobody lost a thing', async () => {
  const host = bring({ name: 'bare' });
  await host.isUp();
  await using store = await connect({ run: host.run });
  await store.write('/demo/kept', 'yes');
  const watch = store.watch('/demo');
  await watch.take();

  await host.kill('xenstored');
  await host.line(/xenstored serves again/);
  expect(await store.readText('/demo/kept')).toBe('yes');
  await store.write('/demo/new', 'also');
  expect((await watch.take())?.path).toMatch(/^\/demo/);
  expect(await host.process('xenstored')).toMatchObject({ phase: 'ready', restarts: 1 });
});

test('admin killed: it is started again at the same address, with the same token', async () => {
  const host = bring();
  const { url } = await host.isUp();
  const { token } = host;
  await host.kill('admin');
  await host.line(/admin serves again/);
  const reply = await fetch(`${url}/v1/node?path=/`, { headers: { authorization: `Bearer ${token}` } });
  expect(reply.status).toBe(200);
});

test('hypervisor killed: everything ends, with exit code 1 and one line that says why', async () => {
  const host = bring();
  await host.isUp();
  const before = host.lines.length;
  await host.kill('hypervisor');
  expect(await host.ended).toBe(1);
  expect(host.lines.slice(before).filter((line) => !/taking the host down/.test(line))).toEqual([
    'stubdom0: the host cannot go on without its hypervisor: hypervisor: ended by SIGKILL',
  ]);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('"stubdom0 up" itself killed: its host ends with it, and the next one takes the directory over', async () => {
  const host = bring();
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
  expect(host.lines[0]).toMatch(/^stubdom0: could not start xenstored: xenstored: exit code 1/);
  expect(host.survivors()).toEqual([]);
  expect(host.leftovers()).toEqual([]);
});

test('wrong words and flags end with one clear line and exit code 1', async () => {
  for (const args of [
    ['nonsense'],
    ['up', '--nonsense'],
    ['up', 'more'],
    ['up', '--host', '/nowhere.json'],
  ]) {
    const { code, stderr, stdout } = await stubdom0(...args);
    expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: '' });
    expect(stderr).toMatch(/^stubdom0: .*\n/);
  }
});
