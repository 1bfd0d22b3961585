// xenstore-admin as a process, on a real xenstored, asked by curl: its token file, its loopback address, live changes, and its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorCodes } from '../../xenstored/admin/errors.ts';
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

beforeAll(async () => {
  mkdirSync(join(run, 'xenstored'));
  const daemon = { XENSTORED_RUNDIR: join(run, 'xenstored') };
  await start('xenstored/main.js', ['-N', '--database', 'memory'], daemon, /xenstored is ready/);
  const ready = await start(
    'xenstored/admin/main.js',
    ['--run', run, '--port', '0'],
    {},
    /ready at (\S+) \(token: (\S+)\)/,
  );
  url = ready[1]!;
  expect(ready[2]).toBe(join(run, 'admin.token'));
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

const token = (): string => readFileSync(join(run, 'admin.token'), 'utf8').trim();

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

test('it listens on the loopback interface, and its token is for its owner only', () => {
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(statSync(join(run, 'admin.token')).mode & 0o777).toBe(0o600);
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

test.skipIf(!curl)('curl sees changes as they happen', async () => {
  const child = ask(['-N', '-H', `Authorization: Bearer ${token()}`, `${url}/v1/events?path=/demo`]);
  const pieces = child.stdout[Symbol.asyncIterator]();
  let seen = '';
  const until = async (wanted: string): Promise<void> => {
    while (!seen.includes(wanted)) seen += (await pieces.next()).value;
  };
  await until('data: {"path":"/demo"}');
  await store.write('/demo/now', '1');
  await until('event: change\ndata: {"path":"/demo/now"}');
  child.kill();
});

test('its manual lists every error code, with its status', () => {
  const manual = readFileSync(new URL('../../xenstored/admin/README.md', import.meta.url), 'utf8');
  const rows = [...manual.matchAll(/^\| `(\w+)` +\| (\d+) +\|/gm)].map(([, code, status]) => [
    code,
    Number(status),
  ]);
  expect(rows).toEqual(Object.entries(errorCodes).map(([code, { status }]) => [code, status]));
});

test('wrong flags and a store that is not there end with one line and exit code 1', async () => {
  const rows: [string[], RegExp][] = [
    [['--nonsense'], /^xenstore-admin: .*--nonsense/],
    [['--run', run, '--port', '70000'], /^xenstore-admin: --port: 70000 is no port\n$/],
    [['--socket', join(run, 'none'), '--token-file', join(run, 't')], /^xenstore-admin: .*ENOENT.*\n$/],
    [[], /^xenstore-admin: say where the token is/],
  ];
  for (const [args, message] of rows) {
    const child = spawn(process.execPath, [built('xenstored/admin/main.js'), ...args], {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect({ args, code, said }).toEqual({ args, code: 1, said: expect.stringMatching(message) });
  }
});
