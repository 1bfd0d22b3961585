// The daemon's command line, as a user of the C daemon knows it: flags of 4.17 and of today, getopt's messages, C's own, the environment;
// then, on the built program, what becomes of the process.
import { spawnSync } from 'node:child_process';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Environment, type Options, parseOptions } from '../../xenstored/io/options.ts';
import { ask, Scene } from './daemonprocess.ts';

function options(args: string, env: Environment = {}): Options {
  const parsed = parseOptions(args.split(' ').filter(Boolean), env);
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed));
  return parsed.options;
}

function notices(args: string): readonly string[] {
  return parseOptions(args.split(' '), {}).notices;
}

function fatal(args: string): string | undefined {
  const parsed = parseOptions(args.split(' '), {});
  return parsed.kind === 'fatal' ? parsed.text : undefined;
}

describe('the command line', () => {
  test('short, grouped, attached and long forms say the same', () => {
    const forms = [
      '-N -E 5 -F /p',
      '-NE5 -F/p',
      '--no-fork --entry-nb 5 --pid-file=/p',
      '--no-f --entry-n=5 --pid /p',
    ];
    for (const form of forms) {
      expect(options(form)).toMatchObject({ fork: false, quotas: { nodes: 5 }, pidFile: '/p' });
    }
  });

  test('every limit has its flag', () => {
    const all =
      '-E 1 -S 2 -W 3 -t 4 -A 5 -M 6 -Q memory=7 -Q transaction-nodes=8 -Q outstanding=9 -q memory=10';
    expect(options(all).quotas).toEqual({
      nodes: 1,
      'node-size': 2,
      watches: 3,
      transactions: 4,
      'node-permissions': 5,
      'path-max': 6,
      memory: 7,
      'transaction-nodes': 8,
      outstanding: 9,
      'soft-memory': 10,
    });
    expect(options('-M 9999').quotas).toEqual({ 'path-max': 2048 });
  });

  test('other flags of today', () => {
    const asked = options('-K -w watch-event=3 -T /t --master-domid 1 --priv-domid 2 --event 3');
    expect(asked).toMatchObject({
      keepOrphans: true,
      watchEventTimeoutMs: 3000,
      traceFile: '/t',
      fork: true,
    });
    expect(asked).toMatchObject({ storeDomid: 1, privDomid: 2, dom0Port: 3 });
  });

  test('trace switches begin as C has them, and can be changed', () => {
    expect([...options('').switches]).toEqual([
      ['obj', true],
      ['io', true],
      ['wrl', false],
      ['acc', false],
      ['tdb', false],
    ]);
    const { switches } = options('--trace-control=+acc --trace-control -io');
    expect([switches.get('acc'), switches.get('io')]).toEqual([true, false]);
  });

  test('what is gone since 4.17 is taken and told', () => {
    expect(notices('-D --no-recovery -PV')).toEqual([
      "xenstored: option '-D' does nothing since Xen 4.19",
      "xenstored: option '--no-recovery' does nothing since Xen 4.19",
      "xenstored: option '-P' does nothing since Xen 4.19",
      "xenstored: option '-V' does nothing since Xen 4.19",
    ]);
  });

  test('an option that nobody knows is told in getopt’s words, and ignored', () => {
    expect(notices('--foo -x --tra /t -N')).toEqual([
      "xenstored: unrecognized option '--foo'",
      "xenstored: invalid option -- 'x'",
      "xenstored: option '--tra' is ambiguous; possibilities: '--trace-file' '--trace-control' '--transaction'",
    ]);
    expect(notices('-N -E')).toEqual(["xenstored: option requires an argument -- 'E'"]);
    expect(notices('--no-fork=1 --pid-file')).toEqual([
      "xenstored: option '--no-fork' doesn't allow an argument",
      "xenstored: option '--pid-file' requires an argument",
    ]);
  });

  test.each([
    ['-E x', 'invalid parameter value "x"'],
    ['-E -1', 'invalid parameter value "-1"'],
    ['-E 2147483648', 'invalid parameter value "2147483648"'],
    ['-Q nodes', 'quotas must be specified via <what>=<nb>'],
    ['-Q path-length=3', 'unknown quota "path-length=3"'],
    ['-q nodes=3', 'unknown quota "nodes=3"'],
    ['-w watch=3', 'unknown timeout "watch=3"'],
    ['--trace-control=io', 'Illegal trace switch "io"'],
    ['--trace-control=+xyz', 'Illegal trace switch "+xyz"'],
    ['-N something', 'xenstored: No arguments desired'],
    ['--platform qemu', '--platform must be one of sim, xen, not "qemu"'],
    [
      '--stub-domain -N',
      '--stub-domain needs --event <port>, as init-xenstore-domain gives it to the kernel',
    ],
    ['--durability none', '--durability must be one of process, sync, not "none"'],
  ])('%s ends with: %s', (args, text) => {
    expect(fatal(args)).toBe(text);
  });

  test('where things are: C’s places, the environment, a host’s run directory', () => {
    expect(options('')).toMatchObject({
      runDir: '/var/run/xenstored',
      socketPath: '/var/run/xenstored/socket',
      database: '/var/run/xenstored/db',
    });
    expect(options('', { XENSTORED_RUNDIR: '/r' })).toMatchObject({
      socketPath: '/r/socket',
      database: '/r/db',
    });
    expect(options('', { XENSTORED_RUNDIR: '/r', XENSTORED_PATH: '/s' }).socketPath).toBe('/s');
    expect(options('', { STUBDOM0_RUN: '/h' })).toMatchObject({ hostRunDir: '/h', runDir: '/h/xenstored' });
    expect(options('--run /h', { XENSTORED_RUNDIR: '/r' }).socketPath).toBe('/h/xenstored/socket');
  });

  test('a stub domain has no background to go into, and finds dom0 by its port', () => {
    expect(options('')).toMatchObject({ stubDomain: false, fork: true });
    expect(options('--stub-domain --event 8')).toMatchObject({ stubDomain: true, fork: false, dom0Port: 8 });
  });

  test('the store is kept on disk unless it is to be in memory', () => {
    expect(options('--database memory').database).toBeUndefined();
    expect(options('--database /d').database).toBe('/d');
    expect(options('-I').database).toBeUndefined();
    expect(options('-NIon').database).toBeUndefined();
    expect(options('-Ioff').database).toBe('/var/run/xenstored/db');
    expect(options('--internal-db=off --database /d').database).toBe('/d');
  });
});

describe('the process', () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene();
  });
  afterEach(() => scene.clean());

  test('--help shows the flags and ends with 0', async () => {
    const daemon = scene.spawn(['-H']);
    expect(await daemon.ended).toMatchObject({ code: 0 });
    expect(daemon.stderr).toMatch(/^Usage:\n\n {2}xenstored <options>/);
  });

  test('a bad value ends with one line and 1', async () => {
    const daemon = scene.spawn(['-N', '-E', 'many']);
    expect(await daemon.ended).toMatchObject({ code: 1 });
    expect(daemon.stderr).toBe('FATAL: invalid parameter value "many"\n');
  });

  test('a socket that is served is refused with one line and 1; its daemon goes on', async () => {
    await scene.serve();
    const second = scene.spawn(['-N', '--database', 'memory']);
    expect(await second.ended).toMatchObject({ code: 1 });
    expect(second.stderr).toMatch(/^FATAL: another daemon is there already: .*\n$/);
    (await scene.connect()).close();
  });

  test('a socket that nobody serves any more is taken over', async () => {
    const first = await scene.serve();
    first.child.kill('SIGKILL');
    await first.ended;
    await scene.serve();
    (await scene.connect()).close();
  });

  test('the socket is for its owner alone', async () => {
    await scene.serve();
    expect(statSync(scene.socketPath).mode & 0o777).toBe(0o600);
  });

  test('a pid file that is locked ends with 0, silently; a stale one is taken over', async () => {
    const pidFile = join(scene.directory, 'pid');
    writeFileSync(pidFile, '1\n');
    const first = await scene.serve('--pid-file', pidFile);
    expect(readFileSync(pidFile, 'latin1')).toBe(`${first.child.pid}\n`);
    const second = scene.spawn(['-N', '-F', pidFile]);
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(second.stderr).toBe('');
  });

  test('SIGTERM ends with 0 and leaves neither socket nor pid file', async () => {
    const pidFile = join(scene.directory, 'pid');
    const daemon = await scene.serve('-F', pidFile);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(() => statSync(scene.socketPath)).toThrow('ENOENT');
    expect(() => statSync(pidFile)).toThrow('ENOENT');
  });

  test('a daemon that cannot start leaves neither socket nor pid file', async () => {
    const pidFile = join(scene.directory, 'pid');
    const daemon = scene.spawn(['-N', '-F', pidFile, '--platform', 'sim', '--run', scene.directory]);
    expect(await daemon.ended).toMatchObject({ code: 1 });
    expect(daemon.stderr).toMatch(/^FATAL: .*hypervisor.*\n$/);
    expect(() => statSync(scene.socketPath)).toThrow('ENOENT');
    expect(() => statSync(pidFile)).toThrow('ENOENT');
  });

  test('without -N the program returns when the daemon serves, which goes on in the background', async () => {
    const pidFile = join(scene.directory, 'pid');
    const starter = scene.spawn(['-F', pidFile]);
    expect(await starter.ended).toMatchObject({ code: 0 });
    const link = await scene.connect();
    const pid = Number(readFileSync(pidFile, 'latin1'));
    expect(pid).not.toBe(starter.child.pid);
    process.kill(pid, 'SIGTERM');
    await expect(link.recv()).rejects.toThrow();
  });

  // The manager's end is a few lines of Python: Node has no datagram sockets of this kind.
  const python = spawnSync('python3', ['-V']).status === 0;
  test.skipIf(!python)('a service manager is told when the daemon is ready (needs python3)', async () => {
    const script = `import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
p = subprocess.Popen(sys.argv[2:], env={**os.environ, 'NOTIFY_SOCKET': sys.argv[1]})
sys.stderr.write(s.recv(100).decode()); p.terminate(); p.wait()`;
    const notify = join(scene.directory, 'notify');
    const daemon = scene.spawn(['-N'], {}, ['python3', '-c', script, notify]);
    await daemon.ended;
    expect(daemon.stderr).toContain('READY=1');
  });

  test('SIGHUP opens the trace anew, as after a rotation', async () => {
    const trace = join(scene.directory, 'trace');
    const daemon = await scene.serve('-T', trace);
    const link = await scene.connect();
    renameSync(trace, `${trace}.1`);
    daemon.child.kill('SIGHUP');
    // The signal is taken between two turns: ask until the new file is there.
    while (!statSync(trace, { throwIfNoEntry: false })) await ask(link, 'READ', '/|');
    await ask(link, 'READ', '/|');
    expect(readFileSync(trace, 'latin1')).toMatch(/^\n\*\*\*\n[\s\S]*io: IN .* READ \(\/ \)/);
  });
});
