// The toolstack over SSH as OpenSSH's own client sees it: who gets in and as what, commands with their output and exit codes, a terminal with its
// prompt, several sessions over one connection, and what is not to be had.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../toolstack/cli/session.ts';
import { appears } from './appears.ts';
import { ended, hasOpenSsh, SshHost, Typist } from './sshhost.ts';

/** Commands of the test's own. */
async function run(words: readonly string[], session: Session): Promise<number> {
  const [verb, ...rest] = words;
  if (verb === 'say') session.out(`${rest.join('|')}\n`);
  else if (verb === 'complain') session.err('it is so\n');
  else if (verb === 'who') session.out(`${session.role} ${session.who}\n`);
  else if (verb === 'read') session.out(`[${await session.readFile(rest[0]!)}]\n`);
  else if (verb === 'size') session.out(`${session.terminal?.columns}x${session.terminal?.rows}\n`);
  else if (verb === 'big') session.out('x'.repeat(Number(rest[0])));
  else if (verb === 'console') return await join_(rest[0]!, session);
  else if (verb === 'wait') await new Promise(() => session.out('waiting\n'));
  else if (verb === 'undo') await takenBack(session);
  return verb === 'fail' ? Number(rest[0]) : 0;
}

/** As a console is joined: raw, until Ctrl-]. */
async function join_(guest: string, session: Session): Promise<number> {
  session.terminal?.setRaw(true);
  session.stdio.write(`console of ${guest}\n`);
  for await (const piece of session.stdio.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    session.stdio.write(`<${piece.toString('latin1')}>`);
    if (piece.includes(0x1d)) break;
  }
  return 0;
}

async function takenBack({ signal, out }: Session): Promise<void> {
  out('begun\n');
  await once(signal, 'abort');
  out('taken back\n');
}

describe.skipIf(!hasOpenSsh)("OpenSSH's client", () => {
  let host: SshHost;
  let admin: string;

  beforeAll(async () => {
    host = await SshHost.open(run);
    admin = host.key('admin');
  });
  afterAll(() => host?.close());

  test('runs a command: words as a shell would split them, output and errors apart, exit code', async () => {
    expect(await host.ssh(admin, ['say', "'a b'", 'c\\ d', '"e"'])).toEqual({
      code: 0,
      stdout: 'a b|c d|e\n',
      stderr: '',
    });
    expect(await host.ssh(admin, ['fail', '7'])).toMatchObject({ code: 7 });
    expect(await host.ssh(admin, ['complain'])).toMatchObject({ code: 0, stdout: '', stderr: 'it is so\n' });
    expect(await host.ssh(admin, ["say 'a"])).toMatchObject({
      code: 2,
      stderr: 'stubdom0: a quote is not closed\n',
    });
  });

  test('hands over standard input, files of the machine to admins only, and a great deal of output', async () => {
    const cfg = join(host.folder, 'a.cfg');
    writeFileSync(cfg, 'name="a"');
    const operator = host.key('op1', 'role="operator"');
    expect((await host.ssh(admin, ['read', '-'], 'name="b"')).stdout).toBe('[name="b"]\n');
    expect((await host.ssh(admin, ['read', cfg])).stdout).toBe('[name="a"]\n');
    const refused = await host.ssh(operator, ['read', cfg]);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('for admins only');
    expect((await host.ssh(operator, ['read', '-'], 'name="b"')).stdout).toBe('[name="b"]\n');
    // Nobody ever writes to it.
    execFileSync('mkfifo', [`${cfg}.pipe`]);
    expect((await host.ssh(admin, ['read', `${cfg}.pipe`])).stderr).toContain('a.cfg.pipe: is no file');
    expect((await host.ssh(admin, ['big', `${5 << 20}`])).stdout.length).toBe(5 << 20);
  });

  test('is what its key says, or less if its user name asks for less', async () => {
    const reader = host.key('reader', 'role="read-only"');
    const operator = host.key('operator', 'role="operator"');
    const who = async (key: string, user: string) => (await host.ssh(key, ['who'], '', user)).stdout;
    expect(await who(admin, 'admin')).toBe('admin ssh:admin@127.0.0.1\n');
    expect(await who(admin, 'anybody')).toBe('admin ssh:anybody@127.0.0.1\n');
    expect(await who(admin, 'read-only')).toBe('read-only ssh:read-only@127.0.0.1\n');
    expect(await who(reader, 'admin')).toBe('read-only ssh:admin@127.0.0.1\n');
    expect(await who(operator, 'admin')).toBe('operator ssh:admin@127.0.0.1\n');
    expect(await who(operator, 'read-only')).toBe('read-only ssh:read-only@127.0.0.1\n');
  });

  test("gets its guest's console by its key, whatever it asks for", async () => {
    const carol = host.key('carol', 'console="carol"');
    expect((await host.ssh(carol, ['say', 'no'], 'hello')).stdout).toBe('console of carol\n<hello>');
    expect((await host.ssh(carol, [], 'hello')).stdout).toBe('console of carol\n<hello>');
  });

  test('logs in with each kind of key, and with none that is not authorised, weak or over its time', async () => {
    const good = [
      host.key('ecdsa', '', ['-t', 'ecdsa', '-b', '384']),
      host.key('rsa', '', ['-t', 'rsa', '-b', '2048']),
      host.key('here', 'from="127.0.0.0/8,!127.0.0.9"'),
      host.key('young', 'expiry-time="29990101"'),
    ];
    const bad = [
      host.key('stranger', null),
      host.key('weak', '', ['-t', 'rsa', '-b', '1024']),
      host.key('elsewhere', 'from="192.0.2.0/24"'),
      host.key('old', 'expiry-time="20200101"'),
      host.key('forced', 'command="/bin/true"'),
      host.key('nobody', 'role="king"'),
    ];
    for (const key of good) expect(await host.ssh(key, ['say', 'in'])).toMatchObject({ stdout: 'in\n' });
    for (const key of bad)
      expect(await host.ssh(key, ['say', 'in'])).toMatchObject({
        code: 255,
        stdout: '',
        stderr: 'admin@127.0.0.1: Permission denied (publickey).\r\n',
      });
    expect(host.refused).toEqual([
      expect.stringMatching(/authorized_keys:\d+: option command is not known here, so the key is refused$/),
      expect.stringMatching(/role="king": expected read-only, operator, admin$/),
      expect.stringMatching(/: 1024 bits are too few, 2048 are the least$/),
    ]);
    expect(host.logged).toContainEqual(expect.objectContaining({ what: 'login', comment: 'rsa' }));
    expect(host.logged).toContainEqual(expect.objectContaining({ what: 'refused', user: 'admin' }));
  });

  test('has no other way in, and nothing but sessions', async () => {
    for (const method of ['password', 'keyboard-interactive', 'hostbased', 'none']) {
      const child = host.start(admin, [
        '-o',
        `PreferredAuthentications=${method}`,
        'admin@127.0.0.1',
        'say',
        'in',
      ]);
      expect(await ended(child)).toMatchObject({ code: 255, stdout: '' });
    }
    const inside = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(inside, 'listening');
    const { port } = inside.address() as { port: number };
    expect(await ended(host.start(admin, ['-W', `127.0.0.1:${port}`, 'admin@127.0.0.1']))).toMatchObject({
      code: 255,
      stdout: '',
    });
    const remote = ['-o', 'ExitOnForwardFailure=yes', '-R', `0:127.0.0.1:${port}`, 'admin@127.0.0.1', 'say'];
    expect(await ended(host.start(admin, remote))).toMatchObject({ code: 255, stdout: '' });
    inside.close();
    expect(await ended(host.start(admin, ['-s', 'admin@127.0.0.1', 'sftp']))).toMatchObject({ code: 255 });
    const copy = ['-P', `${host.service.port}`, ...host.flags(admin).filter((_, at) => at < 4 || at > 5)];
    const copied = spawn('scp', [...copy, 'admin@127.0.0.1:/etc/hostname', host.folder]);
    expect((await ended(copied)).code).not.toBe(0);
  });

  test('has a prompt with editing, history, completion, and commands in between', async () => {
    const typist = new Typist(host.start(admin, ['-tt', 'admin@127.0.0.1']));
    await typist.sees('stubdom0> ');
    typist.types('say hellX\x7fo\r');
    await typist.sees('\r\nhello\r\n');
    typist.types('\x1b[A again\r');
    await typist.sees('\r\nhello|again\r\n');
    typist.types('li\t');
    await typist.sees('list ');
    typist.types('\x03');
    await typist.sees('^C\r\n');
    typist.types('fail 3\rsay "ahead"\r');
    await typist.sees('\r\nahead\r\n');
    typist.types('wait\r');
    await typist.sees('\r\nwaiting\r\n');
    typist.types('\x03');
    await typist.sees('stubdom0> ');
    typist.types('undo\r');
    await typist.sees('begun');
    typist.types('\x03');
    await typist.sees('taken back\r\n');
    typist.types('read -\rname = 1\r\x04');
    await typist.sees('[name = 1\r\n]\r\n');
    typist.types('\x1a'); // Would stop a process that has a terminal.
    typist.types('console bob\r');
    await typist.sees('console of bob\n');
    typist.types('\x03\r');
    await typist.sees('<\x03\r>');
    typist.types('\x1d');
    await typist.sees('stubdom0> ');
    typist.types('fail 5\r');
    await typist.sees('stubdom0> ');
    typist.types('\x04');
    expect(await typist.ended).toBe(5);
  });

  test('tells the size of its terminal', async () => {
    const script = `stty cols 100 rows 31; exec ssh ${host.flags(admin).join(' ')} -tt admin@127.0.0.1 size`;
    expect((await ended(spawn('script', ['-qec', script, '/dev/null']))).stdout).toContain('100x31');
  });

  test('without a terminal a shell runs the lines it is given', async () => {
    const done = await ended(
      host.start(admin, ['-T', 'admin@127.0.0.1']),
      'say one\n# a remark\nsay two\nfail 4\n',
    );
    expect(done).toEqual({ code: 4, stdout: 'one\ntwo\n', stderr: '' });
  });

  test('has several sessions over one connection, each with its own end', async () => {
    const control = join(host.folder, 'mux');
    const master = host.start(admin, ['-M', '-S', control, '-N', 'admin@127.0.0.1']);
    await appears(control);
    const through = (words: string[]) =>
      ended(host.start(admin, ['-S', control, 'admin@127.0.0.1', ...words]));
    const all = await Promise.all([
      through(['say', '1']),
      through(['fail', '2']),
      through(['big', '300000']),
    ]);
    expect(all.map(({ code, stdout }) => [code, stdout.length])).toEqual([
      [0, 2],
      [2, 0],
      [0, 300_000],
    ]);
    master.kill();
    await once(master, 'close');
  });

  test('exchanges keys in the midst of output', async () => {
    const child = host.start(admin, ['-o', 'RekeyLimit=1M', 'admin@127.0.0.1', 'big', `${6 << 20}`]);
    expect((await ended(child)).stdout.length).toBe(6 << 20);
  });

  test('ends a command when it goes away', async () => {
    const child = host.start(admin, ['admin@127.0.0.1', 'undo']);
    await once(child.stdout!, 'data');
    child.kill('SIGKILL');
    expect(await host.logs('command', 'undo')).toMatchObject({ command: 'undo', user: 'admin' });
  });
});
