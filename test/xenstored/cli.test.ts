/**
 * The `xenstore` commands beside Xen's: every row on ours, and on the distribution's own programs of 4.17, against the same
 * store; then what rows cannot show.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toBytes } from '../../xenstored/cli/bytes.ts';
import { xenstore } from '../../xenstored/cli/xenstore.ts';
import { at } from '../../xenstored/client/address.ts';
import { type Client, connect, type PermText } from '../../xenstored/client/index.ts';
import { Session } from '../../xenstored/client/session.ts';
import { nodes, rows, type Said, unchanged } from './cli-rows.ts';
import { SocketServer } from './client-server.ts';

type Runner = (server: SocketServer, argv0: string, args: readonly string[]) => Promise<Said>;

/** Ours, in this process. */
const ours: Runner = async (server, argv0, args) => {
  let [out, err] = ['', ''];
  const code = await xenstore({
    argv0,
    args,
    word: undefined,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    columns: undefined,
    connect: () => connect({ path: server.path, lost: 'end' }),
    openSession: (user) => Session.open(at(server.path), user),
  });
  return { code, out, err };
};

/** The program behind Debian's name for it: its own wants to know which Xen is running. */
const programs: Readonly<Record<string, string>> = {
  'xenstore-control': '/usr/lib/xen-4.17/bin/xenstore-control',
};

/** Xen's, of the distribution. */
const debians: Runner = (server, argv0, args) =>
  new Promise((resolve, reject) => {
    const child = spawn(programs[argv0] ?? `/usr/bin/${argv0}`, [...args], {
      argv0,
      env: { XENSTORED_PATH: server.path },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('latin1').on('data', (text) => {
      out += text;
    });
    child.stderr.setEncoding('latin1').on('data', (text) => {
      err += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });

/** Below /t as the rows want it. */
async function fill(store: Client): Promise<void> {
  await store.rm('/t');
  // They go out in this order, and are done in it.
  await Promise.all(
    nodes.map(async ([path, value, ...perms]) => {
      await store.write(path, toBytes(value));
      if (perms.length > 0) await store.setPerms(path, perms as PermText[]);
    }),
  );
}

const full = (said: Partial<Said>): Said => ({ code: 0, out: '', err: '', ...said });

function suite(run: Runner, column: 'head' | 'c417'): void {
  let server: SocketServer;
  let store: Client;
  beforeAll(async () => {
    server = await SocketServer.start();
    store = await connect({ path: server.path });
  });
  afterAll(async () => {
    await store.close();
    await server.stop();
  });
  beforeEach(() => fill(store));

  for (const row of rows)
    it(row.typed, async () => {
      const [argv0 = '', ...args] = row.typed.split(' ').map((word) => word.replaceAll('␣', ' '));
      expect(await run(server, argv0, args)).toEqual(full(row[column] ?? row.head));
      const { out } = await ours(server, 'xenstore-ls', ['-f', '/t']);
      expect(out.split('\n').slice(0, -1)).toEqual(row.leaves ?? unchanged);
    });
}

describe('ours', () => suite(ours, 'head'));

describe("the distribution's, of 4.17", () => {
  try {
    accessSync('/usr/bin/xenstore-read', constants.X_OK);
  } catch {
    it.skip('not run: /usr/bin/xenstore-read is not installed (Debian: xenstore-utils)');
    return;
  }
  suite(debians, 'c417');

  it.each(['-', '-p', '-f', '-fp'])('ls %s of any tree looks like ours', async (options) => {
    const name = fc.stringMatching(/^[A-Za-z0-9_@-]{1,90}$/);
    const value = fc.uint8Array({ maxLength: 90 });
    const trees = fc.sample(
      fc.dictionary(
        fc.array(name, { minLength: 1, maxLength: 4 }).map((path) => path.join('/')),
        value,
      ),
      {
        numRuns: 4,
        seed: 1,
      },
    );
    const server = await SocketServer.start();
    try {
      await using store = await connect({ path: server.path });
      // So deep that the indent alone is wider than a line.
      await store.write('/d'.repeat(90), 'a value that is not short');
      for (const tree of trees)
        await Promise.all(Object.entries(tree).map(([path, bytes]) => store.write(`/${path}`, bytes)));
      const args = options === '-' ? [] : [options];
      const expected = await debians(server, 'xenstore-ls', args);
      expect(expected.out.length).toBeGreaterThan(1_000);
      expect(await ours(server, 'xenstore-ls', args)).toEqual(expected);
    } finally {
      await server.stop();
    }
  });
});
