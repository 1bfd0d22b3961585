// A whole host over SSH, as its user is told to reach it: OpenSSH's client with the printed configuration makes a guest from a cfg file on its standard
// input, joins its console, and takes it down; the service is killed and is the same again; keys get no more than their role.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { packageRoot } from '../../toolstack/io/hostfile.ts';
import { type Done, ended, hasOpenSsh, Typist } from './sshhost.ts';
import { UpHost } from './uphost.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 240_000 });

describe.skipIf(!hasOpenSsh)('a host over SSH', () => {
  let host: UpHost;
  let config: string;

  beforeAll(async () => {
    host = new UpHost({
      name: 'town',
      blkback: {},
      netback: {},
      console: {},
      ssh: {},
      guests: [{ name: 'alice' }],
    });
    await host.isUp();
    config = join(host.run, 'ssh/config');
  });
  afterAll(() => host?.clear());

  const start = (words: readonly string[], file: string) => spawn('ssh', ['-F', file, ...words]);
  const ssh = (words: readonly string[], input = '', file = config): Promise<Done> =>
    ended(start(['stubdom0', ...words], file), input);

  /** A key with these options, and the client's configuration for it. */
  function configFor(name: string, options: string): string {
    const folder = readFileSync(config, 'utf8').match(/IdentityFile "(.*)\/id_ed25519"/)![1]!;
    const key = join(host.top, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const line = `${options} ${readFileSync(`${key}.pub`, 'utf8')}`;
    appendFileSync(join(folder, 'authorized_keys'), line, { mode: 0o600 });
    const file = `${key}.config`;
    writeFileSync(file, readFileSync(config, 'utf8').replace(`${folder}/id_ed25519`, key));
    return file;
  }

  test('a guest from a cfg file on standard input, its console, its end', async () => {
    expect(host.lines.join('\n')).toContain(`ssh -F ${config} stubdom0`);
    const disk = join(host.top, 'carol.img');
    writeFileSync(disk, '');
    truncateSync(disk, 1 << 20);
    const carol = readFileSync(join(packageRoot, 'toolstack/hosts/carol.cfg'), 'utf8');
    expect(await ssh(['create', '-'], carol.replaceAll('carol.img', disk))).toMatchObject({ code: 0 });
    expect((await ssh(['list'])).stdout).toMatch(/^alice +\d+ .*\ncarol +\d+ /m);

    const typist = new Typist(start(['-tt', 'stubdom0'], config));
    await typist.sees('stubdom0> ');
    typist.types('console car\t\r');
    await typist.sees('guest is ready: carol');
    typist.types('echo it is me\r');
    await typist.sees('it is me\r\nit is me\r\n');
    typist.types('\x1d');
    await typist.sees('stubdom0> ');
    typist.types('destroy carol\r');
    await typist.sees('stubdom0> ');
    typist.types('exit\r');
    expect(await typist.ended).toBe(0);
    expect(await ssh(['domid', 'carol'])).toMatchObject({ code: 1 });
  });

  test('keys get what their role gives', async () => {
    const [reader, operator, alice] = [
      configFor('reader', 'role="read-only"'),
      configFor('operator', 'role="operator"'),
      configFor('alice', 'console="alice"'),
    ];
    expect(await ssh(['domname', '0'], '', reader)).toMatchObject({ code: 0, stdout: 'Domain-0\n' });
    for (const [words, file] of [
      [['pause', 'alice'], reader],
      [['create', '/etc/hostname'], operator],
    ] as const)
      expect(await ssh(words, '', file)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('not for the role'),
      });
    expect(await ssh(['pause', 'alice'], '', operator)).toMatchObject({ code: 0 });
    expect(await ssh(['unpause', 'alice'], '', operator)).toMatchObject({ code: 0 });

    const console_ = new Typist(start(['-tt', 'stubdom0', 'destroy', 'alice'], alice));
    await console_.sees('guest is ready: alice');
    console_.types('\x1d');
    expect(await console_.ended).toBe(0);
    expect(await ssh(['domid', 'alice'])).toMatchObject({ code: 0 });
  });

  test('killed, it is there again: same port, same key', async () => {
    const before = readFileSync(config, 'utf8');
    await host.kill('ssh');
    let done = await ssh(['domid', 'alice']);
    while (done.code === 255) done = await ssh(['domid', 'alice']);
    expect(done.code).toBe(0);
    expect((await host.process('ssh')).restarts).toBe(1);
    expect(readFileSync(config, 'utf8')).toBe(before);
  });
});
