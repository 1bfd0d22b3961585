// xenstore-admin as a process, on a real xenstored, asked by curl: its token file, its loopback address, live changes, and its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { controlCommands } from '../../xenstored/admin/control.ts';
import { errorCodes } from '../../xenstored/admin/errors.ts';
import { secretNames, secretParts } from '../../xenstored/admin/secrets.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';

const built = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const run = mkdtempSync(join(tmpdir(), 'stubdom0-admin-'));
const curl = existsSync('/usr/bin/curl');
let store: Client;
let url: string;
const children: ChildProcess[] = [];

/** Starts a program, and answers with its first line that fits. */
async function start(
  path: string,
  args: readonly string[],
  env: Record<string, string>,
  ready: RegExp,
): Promise<RegExpExecArray> {
  const child = spawn(process.execPath, [built(path), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const match = ready.exec(line);
        if (match) resolve(match);
      });
    }
    child.once('exit', () => reject(new Error(`${path} ended: ${said.join('\n')}`)));
  });
}

async function startStore(): Promise<void> {
  const daemon = { XENSTORED_RUNDIR: join(run, 'xenstored') };
  await start('xenstored/main.js', ['-N', '--database', 'memory'], daemon, /xenstored is ready/);
}

beforeAll(async () => {
  mkdirSync(join(run, 'xenstored'));
  await startStore();
  const ready = await start(
    'xenstored/admin/main.js',
    ['--run', run, '--port', '0', '--write-token-file', join(run, 'admin-write.token')],
    {},
    /ready at (\S+)\/#token=(\S+) \(token: (\S+)\)/,
  );
  url = ready[1]!;
  expect(ready.slice(2)).toEqual([token(), join(run, 'admin.token')]);
  store = await connect({ run });
});

afterAll(async () => {
  await store?.close();
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  rmSync(run, { recursive: true, force: true });
});

const token = (name = 'admin'): string => readFileSync(join(run, `${name}.token`), 'utf8').trim();

function ask(args: readonly string[]): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const child = spawn('curl', ['-sS', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child as ChildProcess & { stdout: NodeJS.ReadableStream };
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = '';
  for await (const piece of stream) all += piece;
  return all;
}

test('it listens on the loopback interface, and its tokens are for their owner only', () => {
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  for (const name of ['admin.token', 'admin-write.token', 'logs/admin-audit.log'])
    expect(statSync(join(run, name)).mode & 0o777).toBe(0o600);
  expect(token()).not.toBe(token('admin-write'));
});

test.skipIf(!curl)('curl reads what the store holds, byte for byte', async () => {
  await store.write('/demo/bytes', Buffer.from([0, 10, 255, 65]));
  const authorized = ['-H', `Authorization: Bearer ${token()}`];
  expect(
    JSON.parse(await text(ask([...authorized, `${url}/v1/node?path=/demo/bytes`]).stdout)),
  ).toMatchObject({
    value: { text: '\\x00\\n\\xffA', base64: 'AAr/QQ==' },
  });
  const tree = JSON.parse(await text(ask([...authorized, `${url}/v1/tree?path=/demo`]).stdout));
  expect(tree.nodes.map(({ path }: { path: string }) => path)).toEqual(['/demo', '/demo/bytes']);
  expect(JSON.parse(await text(ask([`${url}/v1/node?path=/demo`]).stdout)).code).toBe('unauthorized');
});

test.skipIf(!curl)('curl changes it with the write token, and the audit log says so', async () => {
  const put = (name: string): readonly string[] => [
    ...['-X', 'PUT', '-H', `Authorization: Bearer ${token(name)}`, '-H', 'Content-Type: application/json'],
    ...['-d', '{"value": {"text": "from curl"}}', `${url}/v1/node?path=/demo/curl`],
  ];
  expect(JSON.parse(await text(ask(put('admin')).stdout)).code).toBe('write_token_needed');
  expect(JSON.parse(await text(ask(put('admin-write')).stdout))).toMatchObject({ path: '/demo/curl' });
  expect(await store.readText('/demo/curl')).toBe('from curl');
  const lines = readFileSync(join(run, 'logs/admin-audit.log'), 'utf8').trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { role: 'read', action: 'putNode', what: { path: '/demo/curl' }, status: 403 },
    { role: 'write', action: 'putNode', what: { path: '/demo/curl', value: 'from curl' }, status: 201 },
  ]);
});

test.skipIf(!curl)('curl gets a large reply compressed', async () => {
  await store.write('/demo/large', 'x'.repeat(2_000));
  const flags = ['-D', '-', '-o', '/dev/null', '--compressed', '-H', `Authorization: Bearer ${token()}`];
  const headers = await text(ask([...flags, `${url}/v1/node?path=/demo/large`]).stdout);
  expect(headers).toMatch(/content-encoding: gzip/i);
});

test.skipIf(!curl)(
  'on a unix socket it is for its owner alone, and takes the place of one that was killed',
  async () => {
    const socket = join(run, 'admin.socket');
    const flags = ['--run', run, '--listen-unix', socket];
    const first = children.length;
    await start('xenstored/admin/main.js', flags, {}, /ready at unix:/);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    children[first]!.kill('SIGKILL');
    await once(children[first]!, 'exit');
    await start('xenstored/admin/main.js', flags, {}, /ready at unix:/);
    const authorized = ['--unix-socket', socket, '-H', `Authorization: Bearer ${token()}`];
    expect(JSON.parse(await text(ask([...authorized, 'http://localhost/v1/session']).stdout))).toMatchObject({
      role: 'read',
      daemon: 'stubdom0',
      writable: false,
    });
    expect(await failure(flags)).toEqual({ code: 1, said: `xenstore-admin: ${socket} is in use\n` });
  },
);

const manual = readFileSync(new URL('../../xenstored/admin/README.md', import.meta.url), 'utf8');

test('its manual lists what counts as a secret, and what is passed on to the daemon', () => {
  for (const word of [...secretParts, ...secretNames, ...controlCommands])
    expect(manual).toContain(`\`${word}\``);
});

test('its manual lists every error code, with its status', () => {
  const rows = [...manual.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm)].map(([, code, status]) => [
    code,
    Number(status),
  ]);
  expect(rows).toEqual(Object.entries(errorCodes).map(([code, { status }]) => [code, status]));
});

test('a daemon that is killed and started again costs what was asked meanwhile', async () => {
  const session = async (): Promise<unknown> =>
    (await fetch(`${url}/v1/node?path=/tool`, { headers: { authorization: `Bearer ${token()}` } })).json();
  expect(await session()).toMatchObject({ path: '/tool' });
  children[0]!.kill('SIGKILL');
  await once(children[0]!, 'exit');
  await expect.poll(session).toMatchObject({ code: 'store_unavailable' });
  children.shift();
  await startStore();
  await expect.poll(session).toMatchObject({ path: '/tool' });
});

/** How it ends that cannot start. */
async function failure(args: readonly string[]): Promise<{ code: number; said: string }> {
  const child = spawn(process.execPath, [built('xenstored/admin/main.js'), ...args], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code, said };
}

test('what cannot start ends with one line and exit code 1', async () => {
  const open = join(run, 'open.token');
  writeFileSync(open, 'a-token-that-all-can-read', { mode: 0o644 });
  const rows: [string[], RegExp][] = [
    [['--nonsense'], /^xenstore-admin: .*--nonsense.*\n$/],
    [
      ['--run', run, '--port', new URL(url).port],
      /^xenstore-admin: 127\.0\.0\.1:\d+ is in use; --port 0 .*\n$/,
    ],
    [['--socket', join(run, 'none'), '--token-file', join(run, 't')], /^xenstore-admin: .*ENOENT.*\n$/],
    [['--run', run, '--token-file', open], /^xenstore-admin: .*open\.token: others can read.*\n$/],
    [
      ['--run', run, '--token-file', join(run, 'no/such')],
      /^xenstore-admin: .*cannot be written \(ENOENT\)\n$/,
    ],
    [
      ['--run', run, '--port', '0', '--write-token-file', join(run, 'admin.token')],
      /^xenstore-admin: the read token and the write token are the same\n$/,
    ],
  ];
  const answers = await Promise.all(rows.map(([args]) => failure(args)));
  for (const [at, [args, message]] of rows.entries())
    expect({ args, ...answers[at] }).toEqual({ args, code: 1, said: expect.stringMatching(message) });
});
