// The parts of a host's life that touch the machine: processes under supervision, the run directory and its lock, the host file, the
// control socket. Real processes, small ones, and real files in a directory of the test's own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaultPolicy, type Policy } from '../../toolstack/core/supervise.ts';
import { askDown, askStatus, ControlServer } from '../../toolstack/io/control.ts';
import { Crew, type Job } from '../../toolstack/io/crew.ts';
import { packageRoot, readHostFile, shippedHost } from '../../toolstack/io/hostfile.ts';
import { identify, isAlive } from '../../toolstack/io/identity.ts';
import { openLog } from '../../toolstack/io/log.ts';
import { listenObstacle } from '../../toolstack/io/network.ts';
import { RunDirectory, self } from '../../toolstack/io/rundir.ts';
import { type HostState, runPath } from '../../toolstack/io/state.ts';

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'stubdom0-io-'));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

const state: HostState = {
  version: 1,
  host: 'test',
  phase: 'up',
  owner: self(),
  since: '2026-01-01T00:00:00.000Z',
  socket: '/s',
  url: undefined,
  ssh: undefined,
  uplink: undefined,
  webs: [],
  processes: [],
  domains: [],
};

/** A crew with what it reported, and a way to wait for a report. */
function crewOf(): { crew: Crew; overs: string[]; until: (condition: () => boolean) => Promise<void> } {
  const overs: string[] = [];
  const waiting: (() => void)[] = [];
  const wake = (): void => {
    for (const one of waiting.splice(0)) one();
  };
  const crew = new Crew(top, openLog(top), {
    changed: wake,
    note: () => {},
    over: (_, phase, text) => {
      overs.push(`${phase}: ${text}`);
      wake();
    },
  });
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { crew, overs, until };
}

function job(script: string, policy: Partial<Policy> = {}): Job {
  return {
    name: 'thing',
    policy: { ...defaultPolicy, pauseFirstMs: 1, ...policy },
    command: () => ({ file: 'sh', args: ['-c', script], env: {}, ready: /^ready/ }),
  };
}

const serving = 'echo ready; exec cat';

test('a process that says that it serves is up; stopped, it is gone', async () => {
  const { crew } = crewOf();
  await crew.start(job(serving));
  const [before] = crew.states();
  expect(before).toMatchObject({ name: 'thing', phase: 'ready', restarts: 0 });
  await crew.stop('thing');
  expect(isAlive(before!.id!)).toBe(false);
  expect(crew.states()[0]).toMatchObject({ phase: 'stopped', id: undefined });
  expect(readFileSync(join(top, 'thing.log'), 'utf8')).toBe('ready\n');
});

test('killed from outside, it is started again', async () => {
  const { crew, until } = crewOf();
  await crew.start(job(serving));
  const first = crew.states()[0]!.id!;
  process.kill(first.pid, 'SIGKILL');
  await until(() => crew.states()[0]!.restarts === 1 && crew.states()[0]!.phase === 'ready');
  expect(isAlive(first)).toBe(false);
  await crew.stop('thing');
});

test('one that does not come up is given up, with its last words', async () => {
  const { crew } = crewOf();
  const start = crew.start(job('echo no such file >&2; exit 3'));
  await expect(start).rejects.toThrow('exit code 3\n    no such file');
});

test('a program that does not exist is told as such', async () => {
  const { crew } = crewOf();
  const missing: Job = {
    ...job(''),
    command: () => ({ file: join(top, 'none'), args: [], env: {}, ready: /./ }),
  };
  await expect(crew.start(missing)).rejects.toThrow('ENOENT');
});

test('one that ignores SIGTERM is killed', async () => {
  const { crew } = crewOf();
  await crew.start(job('trap "" TERM; echo ready; while :; do read line; done', { graceMs: 20 }));
  const { id } = crew.states()[0]!;
  await crew.stop('thing');
  expect(isAlive(id!)).toBe(false);
});

test('a start can be broken off', async () => {
  const { crew } = crewOf();
  const start = crew.start(job('exec cat'));
  crew.stopStarting();
  await expect(start).rejects.toThrow('ended by SIGTERM');
});

test('something whose end means its end is not started again', async () => {
  const { crew, overs, until } = crewOf();
  await crew.start(job(serving, { onExit: 'gone' }));
  process.kill(crew.states()[0]!.id!.pid, 'SIGKILL');
  await until(() => overs.length > 0);
  expect(overs).toEqual(['ended: ended by SIGKILL']);
});

test('a run directory has one owner, and leaves nothing', async () => {
  const path = join(top, 'made/for/it');
  const run = await RunDirectory.claim(path);
  run.writeState(state);
  writeFileSync(join(path, 'more'), '');
  // A lock is a process's: another one must ask.
  const script = `import { RunDirectory } from ${JSON.stringify(join(packageRoot, 'dist/toolstack/io/rundir.js'))};
    await RunDirectory.claim(${JSON.stringify(path)}).catch((error) => console.log(error.message));`;
  expect(await output(process.execPath, '--input-type=module', '-e', script)).toBe(
    `a host runs in ${path} already (process ${process.pid}); "stubdom0 down --run ${path}" ends it\n`,
  );
  run.remove();
  expect(readdirSync(top)).toEqual([]);
});

test("the directory of a killed owner is taken over, and its owner's processes end", async () => {
  const path = join(top, 'run');
  const left = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const innocent = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const leftEnd = once(left, 'exit');
  mkdirSync(path);
  writeFileSync(join(path, 'lock'), '');
  mkdirSync(join(path, 'xenstored'));
  writeFileSync(join(path, 'one.pcap'), '');
  const processes = [
    { name: 'left', phase: 'ready', id: identify(left.pid!), restarts: 0 },
    // Its process id has been used again since.
    { name: 'reused', phase: 'ready', id: { ...identify(innocent.pid!)!, born: 'another/1' }, restarts: 0 },
  ];
  writeFileSync(join(path, 'state.json'), JSON.stringify({ ...state, processes }));
  const run = await RunDirectory.claim(path);
  expect((await leftEnd)[1]).toBe('SIGKILL');
  expect(innocent.exitCode ?? innocent.signalCode).toBeNull();
  expect(readdirSync(path).sort()).toEqual(['lock', 'logs']);
  run.remove();
  innocent.kill();
});

test("a directory with other people's files in it is not taken", async () => {
  writeFileSync(join(top, 'letter.txt'), 'dear');
  await expect(RunDirectory.claim(top)).rejects.toThrow('neither empty nor a run directory');
  // A file called lock does not make it ours.
  writeFileSync(join(top, 'lock'), '');
  await expect(RunDirectory.claim(top)).rejects.toThrow('neither empty nor a run directory');
  expect(readdirSync(top)).toEqual(['letter.txt', 'lock']);
});

test('an empty directory that somebody made stays, empty', async () => {
  const run = await RunDirectory.claim(top);
  run.remove();
  expect(readdirSync(top)).toEqual([]);
});

test('a path too long for a socket is refused at once', async () => {
  await expect(RunDirectory.claim(join(top, 'x'.repeat(100)))).rejects.toThrow('too long');
  // The longest path that is taken leaves room for every socket in it.
  const longest = join(top, 'x'.repeat(107 - '/hypervisor/socket'.length - `${top}/`.length));
  await expect(RunDirectory.claim(`${longest}x`)).rejects.toThrow('too long');
  (await RunDirectory.claim(longest)).remove();
});

test('where the run directory is', () => {
  expect(runPath('/a', { STUBDOM0_RUN: '/b' })).toBe('/a');
  expect(runPath(undefined, { STUBDOM0_RUN: '/b', XDG_RUNTIME_DIR: '/c' })).toBe('/b');
  expect(runPath(undefined, { XDG_RUNTIME_DIR: '/c' })).toBe('/c/stubdom0');
});

test('the shipped host is sound, its defaults filled in', () => {
  expect(readHostFile(shippedHost)).toMatchObject({
    xenstored: { database: 'db', args: [] },
    guests: [
      { name: 'alice', vcpus: 1 },
      { name: 'bob', vcpus: 1 },
      {
        name: 'web',
        serves: { disk: 'xvda', port: 80 },
        disks: [{ archive: expect.arrayContaining([join(packageRoot, 'LICENSE')]) }],
      },
      { name: 'fetch', fetches: [{ everySeconds: 5 }, {}] },
    ],
  });
});

test("a disk's archive is made of what is beside the host file", () => {
  const file = join(top, 'host.json');
  const disks = [{ mode: 'r', archive: ['site', '/etc/hostname'] }];
  writeFileSync(file, JSON.stringify({ name: 'a', blkback: {}, guests: [{ name: 'b', disks }] }));
  expect(readHostFile(file).guests[0]!.disks[0]!.archive).toEqual([join(top, 'site'), '/etc/hostname']);
});

test('a host file with a mistake is told where it is', () => {
  const file = join(top, 'host.json');
  const rows: [unknown, string][] = [
    [{}, "the host must have required property 'name'"],
    [{ name: 'a', more: 1 }, 'the host must NOT have additional properties (more)'],
    [{ name: 'a', guests: [{ name: 'b', memoryMb: 0 }] }, 'guests.0.memoryMb must be >= 1'],
    [{ name: 'a', admin: { port: 70000 } }, 'admin.port must be <= 65535'],
    [{ name: 'a', xenstored: { database: '../x' } }, 'xenstored.database must be like db'],
    [{ name: 'a', guests: [{ name: 'b' }, { name: 'b' }] }, 'there are two guests called b'],
    [
      { name: 'a', netback: {}, guests: [{ name: 'b', vifs: [{ address: '10.53.0.256/24' }] }] },
      'guests.0.vifs.0.address must be like 10.53.0.2/24',
    ],
    [{ name: 'a', guests: [{ name: 'b', disks: [{}] }] }, 'guest b has disks, and the host no blkback'],
    [
      { name: 'a', blkback: {}, guests: [{ name: 'blkback' }] },
      'a guest is called blkback, as a service of the host is',
    ],
    [{ name: 'a', guests: [{ name: 'b', greets: ['c'] }] }, 'guest b greets c, which is no other guest'],
    [{ name: 'a', guests: [{ name: 'b', sockets: [{}] }] }, 'guest b has sockets, and the host no xensock'],
    [
      { name: 'a', guests: [{ name: 'b', fetches: [{ url: 'http://127.0.0.1/' }] }] },
      'guest b serves or fetches, and has no sockets',
    ],
    [
      { name: 'a', guests: [{ name: 'b', fetches: [{ url: 'file:///etc' }] }] },
      'guests.0.fetches.0.url must be like http://127.0.0.1/',
    ],
    [
      { name: 'a', xensock: {}, guests: [{ name: 'b', sockets: [{}], serves: {} }] },
      'guest b serves from xvda, and has no such disk',
    ],
    [
      {
        name: 'a',
        xensock: {},
        blkback: {},
        guests: [{ name: 'b', sockets: [{}], disks: [{}], serves: {} }],
      },
      'guest b serves from xvda, which has to be of mode r',
    ],
    [
      { name: 'a', xensock: { policy: { guests: { b: {}, c: {}, 7: {} } } }, guests: [{ name: 'b' }] },
      'the policy of sockets speaks of c, which is no guest',
    ],
    [{ name: 'a', guests: [{ name: '7' }] }, "a guest is called 7, which is a domain's number to a policy"],
    [
      {
        name: 'a',
        xensock: { policy: { default: { map: { connect: { '127.0.0.1:1': '127.0.0.1:{admin}' } } } } },
      },
      'the policy of sockets speaks of {admin}, and the host has no admin',
    ],
  ];
  for (const [host, message] of rows) {
    writeFileSync(file, JSON.stringify(host));
    expect(() => readHostFile(file)).toThrow(`${file}: ${message}`);
  }
  writeFileSync(file, '{');
  expect(() => readHostFile(file)).toThrow(file);
  expect(() => readHostFile(join(top, 'none'))).toThrow('ENOENT');
});

test('where nobody could listen on this machine is told with the reason', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await listenObstacle(place)).toBe(`${place} is in use on this machine`);
  server.close();
  await once(server, 'close');
  expect(await listenObstacle(place)).toBeUndefined();
  expect(await listenObstacle('192.0.2.1:8080')).toBe('192.0.2.1:8080 is not on this machine');
});

test('the control socket tells the state, and takes no nonsense', async () => {
  const control = await ControlServer.listen(top, { state: () => state, down: () => {} });
  expect(await askStatus(top)).toEqual(JSON.parse(JSON.stringify(state)));
  const socket = createConnection(join(top, 'control'));
  for (const [line, answer] of [
    ['nonsense', 'ask status or down'],
    ['{"ask":"more"}', 'ask status or down'],
    ['{"ask":"status"}', '"host":"test"'],
  ] as const) {
    socket.write(`${line}\n`);
    expect(`${(await once(socket, 'data'))[0]}`).toContain(answer);
  }
  socket.destroy();
  control.close();
  expect(await askStatus(top)).toBeUndefined();
  expect(await askDown(join(top, 'nowhere'))).toBe(false);
});

async function output(file: string, ...args: string[]): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (piece) => {
    text += piece;
  });
  await once(child, 'close');
  return text;
}
