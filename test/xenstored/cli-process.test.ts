/**
 * The built `xenstore` as a process: names, exit codes, bytes that are no UTF-8, a reader that goes away. Needs dist/, which `npm test` builds.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../xenstored/client/index.ts';
import type { Said } from './cli-rows.ts';
import { SocketServer } from './client-server.ts';

const program = join(import.meta.dirname, '../../dist/xenstored/cli/main.js');

describe.skipIf(!existsSync(program))('the program', () => {
  let server: SocketServer;
  const bin = mkdtempSync(join(tmpdir(), 'bin-'));

  beforeAll(async () => {
    server = await SocketServer.start();
    for (const name of ['xenstore', 'xenstore-read', 'xenstore-write', 'xenstore-ls', 'xenstore-control']) {
      symlinkSync(program, join(bin, name));
    }
  });
  afterAll(async () => {
    await server.stop();
    rmSync(bin, { recursive: true });
  });

  /** By a shell, found through PATH or by its path. */
  const shell = (script: string): Promise<Said> =>
    new Promise((resolve) => {
      const env = {
        PATH: `${bin}:${process.env.PATH}`,
        XENSTORED_RUNDIR: server.runDir,
        NODE: process.execPath,
      };
      const child = execFile('/bin/sh', ['-c', script], { env, encoding: 'latin1' }, (_, out, err) =>
        resolve({ code: child.exitCode ?? -1, out, err }),
      );
    });

  it('is all the commands, by its name', async () => {
    expect(await shell(`$NODE ${bin}/xenstore-write /a 1 && $NODE ${bin}/xenstore read /a`)).toEqual({
      code: 0,
      out: '1\n',
      err: '',
    });
    expect(await shell(`$NODE ${bin}/xenstore-control check`)).toEqual({ code: 0, out: 'OK\n', err: '' });
    expect(await shell(`$NODE ${program} exists /b`)).toEqual({ code: 1, out: '', err: '' });
  });

  it('calls itself as it was called', async () => {
    const usage = (name: string) => `xenstore-read: Usage: ${name} [-h] [-p] [-R] key [...]\n`;
    expect(await shell(`$NODE ${bin}/xenstore-read`)).toEqual({
      code: 1,
      out: '',
      err: usage('xenstore-read'),
    });
    const elsewhere = await shell(`PATH=/bin $NODE ${bin}/xenstore-read`);
    expect(elsewhere.err).toBe(usage(`${bin}/xenstore-read`));
  });

  it('takes any bytes for a value, and gives them back', async () => {
    const script = `$NODE ${bin}/xenstore-write -R /raw "$(printf 'a\\377\\304b')" && $NODE ${bin}/xenstore-read -R /raw`;
    expect(await shell(script)).toEqual({ code: 0, out: 'a\xff\xc4b', err: '' });
    await using store = await connect({ path: server.path });
    expect([...(await store.read('/raw'))]).toEqual([0x61, 0xff, 0xc4, 0x62]);
  });

  it('says why there is no store', async () => {
    const { code, err } = await shell(`XENSTORED_PATH=/nowhere $NODE ${bin}/xenstore-read /a`);
    expect([code, err]).toEqual([1, 'xenstore-read: xs_open: No such file or directory\n']);
  });

  it('ends quietly when nobody reads any more', async () => {
    await using store = await connect({ path: server.path });
    await Promise.all(Array.from({ length: 3000 }, (_, n) => store.write(`/many/${n}`, 'x'.repeat(60))));
    const child = spawn(process.execPath, [join(bin, 'xenstore-ls')], {
      env: { XENSTORED_RUNDIR: server.runDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let err = '';
    child.stderr.on('data', (text) => {
      err += text;
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, err]).toEqual([141, '']);
  });
});
