// What an administrator sees and changes while xensock runs: its commands ask over the control socket, which is its owner's alone; a policy that makes no
// sense is refused with the place of the mistake, and holds nowhere.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SocketView } from '../../netback/xensock/core/socket.ts';
import { Administration } from '../../netback/xensock/io/administration.ts';
import { isQuery, runQuery } from '../../netback/xensock/io/query.ts';
import type { Platform } from '../../osdep/platform.ts';
import { XenstoreError } from '../../xenstored/client/error.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { address } from './sock-core.ts';

let run: string;
let administration: Administration;
const log: string[] = [];
const changes: number[] = [];
/** What the store says of a guest's name. */
let name: Promise<string>;

const view: SocketView = {
  id: 0xffff_8800_0123_4560n,
  family: 2,
  type: 1,
  state: 'active',
  network: 'inet',
  own: address('192.0.2.1', 40_000),
  peer: address('198.51.100.1', 80),
  inBytes: 5,
  outBytes: 7,
  sinceMs: 1000,
};

beforeEach(async () => {
  run = mkdtempSync(join(tmpdir(), 'xensock-control-'));
  log.length = 0;
  changes.length = 0;
  name = Promise.resolve('web');
  const store = { readText: () => name } as unknown as Client;
  const platform = { clock: { now: () => 4500 } } as unknown as Platform;
  administration = new Administration(
    { platform, domid: 0, run, store, log: (line) => void log.push(line) },
    {},
  );
  await administration.rulesOf(3);
  await administration.open({
    devices: [{ domid: 3, path: '/local/domain/0/backend/pvcalls/3/1', list: () => [view] }],
    rulesChanged: async (of = administration.rulesOf) => void changes.push((await of(3)).limits.sockets),
  });
});

afterEach(() => {
  administration.close();
  rmSync(run, { recursive: true });
});

async function ask(...args: readonly string[]): Promise<string> {
  let text = '';
  await runQuery([...args, '--run', run], (part) => {
    text += part;
  });
  return text;
}

test('xensock list is a table, or JSON', async () => {
  expect(statSync(join(run, 'xensock/control-0')).mode & 0o777).toBe(0o600);
  expect(await ask('list')).toBe(
    [
      'DOMAIN  DEV  TYPE  NETWORK  STATE      LOCAL            PEER             IN  OUT  AGE  ID',
      '3 web   1    tcp   inet     connected  192.0.2.1:40000  198.51.100.1:80  5   7    3s   0xffff880001234560',
      '',
    ].join('\n'),
  );
  expect(JSON.parse(await ask('list', '--json'))).toEqual([
    {
      domid: 3,
      name: 'web',
      devid: 1,
      id: '0xffff880001234560',
      type: 'tcp',
      network: 'inet',
      state: 'active',
      local: '192.0.2.1:40000',
      peer: '198.51.100.1:80',
      inBytes: 5,
      outBytes: 7,
      ageSeconds: 3,
    },
  ]);
});

test('xensock policy tells, and changes, what holds', async () => {
  const file = join(run, 'policy.json');
  writeFileSync(file, '{"guests": {"web": {"limits": {"sockets": 9}}}}');
  expect(JSON.parse(await ask('policy'))).toEqual({});
  expect(await ask('policy', file)).toBe('');
  await expect.poll(() => changes).toEqual([9, 9]);
  expect(JSON.parse(await ask('policy'))).toEqual({ guests: { web: { limits: { sockets: 9 } } } });
  writeFileSync(file, '{"guests": {"web": {"limits": {"sockets": 0}}}}');
  await expect(ask('policy', file)).rejects.toThrow('policy: guests.web.limits.sockets must be >= 1');
  writeFileSync(file, '{"guests"');
  await expect(ask('policy', file)).rejects.toThrow(`${file}: `);
  expect(changes).toEqual([9, 9]);
});

test('a policy holds at once, also while the store does not answer', async () => {
  const file = join(run, 'policy.json');
  writeFileSync(file, '{"guests": {"web": {"limits": {"sockets": 8}}, "db": {"limits": {"sockets": 7}}}}');
  let resolve: (name: string) => void = () => {};
  name = new Promise((resolves) => {
    resolve = resolves;
  });
  await ask('policy', file);
  expect(changes).toEqual([8]);
  resolve('db');
  await expect.poll(() => changes).toEqual([8, 7]);
});

test('SIGHUP reads the file again, at once', async () => {
  const policy = join(run, 'policy.json');
  writeFileSync(policy, '{"default": {"limits": {"sockets": 3}}}');
  const store = { readText: async () => 'web' } as unknown as Client;
  const host = { domid: 0, run, store, log: (line: string) => void log.push(line) };
  const other = new Administration({ ...host, platform: {} as Platform }, { policy });
  writeFileSync(policy, '{"default": {"limits": {"sockets": 4}}}');
  process.emit('SIGHUP');
  expect((await other.rulesOf(3)).limits.sockets).toBe(4);
  expect(log).toEqual([`policy: ${policy} is read again`]);
  other.close();
});

test('a guest stays who it is while the store goes and comes', async () => {
  const policy = join(run, 'policy.json');
  writeFileSync(policy, '{"guests": {"web": {"otherwise": "deny"}}}');
  const answers = [new XenstoreError('ECONNRESET', 'READ'), 'web', new XenstoreError('EACCES', 'READ')];
  const readText = async (): Promise<string> => {
    const answer = answers.shift()!;
    if (typeof answer === 'string') return answer;
    throw answer;
  };
  const host = { domid: 0, run, store: { readText } as unknown as Client, log: () => {} };
  const other = new Administration({ ...host, platform: {} as Platform }, { policy });
  expect((await other.rulesOf(3)).name).toBe('web');
  expect((await other.rulesOf(3)).name).toBe('default');
  other.close();
});

test('xensock decisions says what was asked and why it was refused', async () => {
  const errno = 13;
  const places = [{ network: 'local' as const, name: 'host', address: address('127.0.0.1', 80) }];
  const asked = { direction: 'connect' as const, address: address('127.0.0.1', 80) };
  const of = { domid: 3, path: '/local/domain/0/backend/pvcalls/3/1' };
  administration.decided(of, { ...asked, errno: 0, places, reason: 'no rule of web fits: allowed' });
  administration.decided(of, { ...asked, errno, places: [], reason: 'localhost is closed for web' });
  const lines = (await ask('decisions')).trim().split('\n');
  expect(lines.map((line) => line.slice(line.indexOf('Z ') + 2))).toEqual([
    '3 connect 127.0.0.1:80 -> local host 127.0.0.1:80 allowed: no rule of web fits: allowed',
    '3 connect 127.0.0.1:80 refused: localhost is closed for web',
  ]);
  expect(log).toEqual([`${of.path}: connect 127.0.0.1:80: refused: localhost is closed for web`]);
});

test('one that was killed has left its control socket, and the others are heard', async () => {
  writeFileSync(join(run, 'xensock/control-9'), '');
  expect(JSON.parse(await ask('list', '--json'))).toHaveLength(1);
  administration.close();
  await expect(ask('list')).rejects.toThrow(`${run}/xensock/control-9: no xensock answers there`);
});

test('one that is killed while it answers is an error', async () => {
  const path = join(run, 'xensock/control-0');
  administration.close();
  const server = createServer((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[')),
  );
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  await expect(ask('list')).rejects.toThrow(`${path}: aborted`);
  server.close();
});

test('where nobody runs, or the command makes no sense, there is one line', async () => {
  expect(isQuery(['list', '--json'])).toBe(true);
  expect(isQuery(['--run', 'list'])).toBe(false);
  await expect(ask('list', 'all')).rejects.toThrow(/^usage: xensock list/);
  administration.close();
  await expect(ask('list')).rejects.toThrow(`no xensock runs in ${run}/xensock`);
});
