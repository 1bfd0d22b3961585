/**
 * Commands by rows: words in, what is printed and the exit code out, and what the toolstack was asked. The toolstack is an object.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { complete } from '../../toolstack/cli/complete.ts';
import { mayRun, neededRole } from '../../toolstack/cli/roles.ts';
import { runCommand } from '../../toolstack/cli/run.ts';
import type { Role } from '../../toolstack/cli/session.ts';
import { notHere, verbs } from '../../toolstack/cli/verbs/all.ts';
import type { DeviceEntry } from '../../toolstack/core/toolstack.ts';
import { Fault } from '../../toolstack/io/fault.ts';
import { domain, FakeSession, FakeToolstack } from './fakestack.ts';

const g1Cfg = `name = "g1"
memory = 32
disk = ["disk.img,raw,xvda,w"]
`;

function host(): FakeToolstack {
  const stack = new FakeToolstack();
  stack.domains.push(domain(1, 'blkback', { role: 'service' }), domain(7, 'carol'));
  stack.entries = [
    {
      kind: 'vbd',
      devid: 51712,
      name: 'xvda',
      domid: 7,
      backendDomid: 1,
      frontendPath: '/local/domain/7/device/vbd/51712',
      backendPath: '/local/domain/1/backend/vbd/7/51712',
      frontendState: 4,
      backendState: 4,
      evtchn: 3,
      ringRef: 9,
      rxRingRef: -1,
      mac: undefined,
      target: '/srv/carol.img',
    } satisfies DeviceEntry,
  ];
  return stack;
}

interface Row {
  readonly words: string;
  readonly stdout?: string | RegExp;
  readonly stderr?: string | RegExp;
  readonly code?: number;
  /** What the toolstack was asked, in the order in which it was. */
  readonly asks?: readonly string[];
}

const rows: readonly Row[] = [
  // Words that are wrong: two, as xl's; an unknown command: one.
  { words: '', stdout: /^Usage: stubdom0/, code: 1 },
  { words: 'help', stdout: /\n {2}create +create a domain/ },
  { words: 'help create', stdout: /^NAME\n {4}stubdom0 create - / },
  { words: 'create --help', stdout: /\nEXIT STATUS\n/ },
  { words: 'help nonsense', stderr: 'stubdom0: there is no command "nonsense"\n', code: 1 },
  { words: 'nonsense', stderr: /no command "nonsense"/, code: 1 },
  {
    words: 'migrate carol elsewhere',
    stderr: 'stubdom0: "migrate" of xl is not there; on real Xen, xl itself is\n',
    code: 1,
  },
  { words: 'evil\x1b[2J', stderr: /there is no command "evil\\x1b\[2J"/, code: 1 },
  { words: '-y list', stderr: 'stubdom0: unknown global option -y\n', code: 1 },
  { words: '-N list', stderr: /does not implement -N/, code: 1 },
  { words: 'list --jsn', stderr: /unknown option '--jsn'.*--json/, code: 2 },
  { words: 'list -y', stderr: /unknown option '-y'\nUsage: stubdom0 list/, code: 2 },
  {
    words: 'pause',
    stderr: /^'stubdom0 pause' requires at least 1 argument\.\nUsage: stubdom0 pause <Domain>\n$/,
    code: 2,
  },
  { words: 'vm-list a', stderr: /takes no arguments/, code: 2 },
  // As xl's.
  { words: 'list a b', stderr: /^list: one domain at most\nUsage: stubdom0 list/, code: 1 },
  { words: 'console -n x carol', stderr: /-n takes a number/, code: 2 },
  { words: 'sysrq carol hh', stderr: 'Invalid sysrq.\n', code: 1 },
  { words: 'shutdown', stderr: 'You must specify -a or a domain id.\n', code: 1 },
  { words: 'domname abc', stderr: 'Invalid domain id.\n', code: 1 },
  // Domains by name and by number, and those that are not there.
  { words: 'pause carol', asks: ['pause carol'] },
  { words: 'unpause 7', asks: ['unpause 7'] },
  { words: 'pause 99', stderr: '99 is an invalid domain identifier (rc=-6)\n', code: 1 },
  { words: 'destroy carol', asks: ['destroy carol'] },
  { words: 'destroy 0', stderr: 'Not destroying domain 0; use -f to force.\n', code: 1 },
  { words: 'rename carol dora', asks: ['rename carol dora'] },
  {
    words: 'rename carol blkback',
    stderr: /^Can't rename domain 'carol': domain with name "blkback" already exists\n$/,
    code: 1,
    asks: ['rename carol blkback'],
  },
  // Guests are asked to go, the host's services are not.
  { words: 'shutdown carol', stderr: 'Shutting down domain 7\n', asks: ['poweroff 7 return'] },
  {
    words: 'shutdown -a -w',
    stderr: 'Shutting down domain 7\nWaiting for 1 domains\nDomain 7 has been destroyed\n',
    asks: ['poweroff 7 wait'],
  },
  { words: 'reboot carol', stderr: 'Rebooting domain 7\n', asks: ['reboot 7 return'] },
  // Devices.
  {
    words: 'block-attach carol more.img,raw,xvdb,w',
    asks: [/^attach carol \{.*"target":"\/home\/somebody\/more.img".*"vdev":"xvdb"/.source],
  },
  { words: 'block-attach carol more.img,raw,nonsense,w', stderr: /^stubdom0: .*nonsense/, code: 1 },
  {
    words: '-N block-attach carol /srv/more.img,raw,xvdb,w',
    stdout: /^disk: \{\n {4}"pdev_path": "\/srv\/more.img",/,
  },
  { words: 'network-attach carol mac=00:16:3e:00:00:09', asks: ['attach carol .*00:16:3e:00:00:09'] },
  { words: 'sockets-attach carol', asks: ['attach carol .*pvcalls'] },
  { words: 'block-detach carol xvda', asks: ['detach carol vbd xvda orderly'] },
  { words: 'block-detach -f carol 51712', asks: ['detach carol vbd 51712 force'] },
  { words: 'sockets-detach carol 4', stderr: 'Unknown device 4.\n', code: 1 },
  { words: 'block-list --json carol', stdout: /^\[\n {2}\{\n {4}"kind": "vbd",[\s\S]*"backendState": 4/ },
  { words: 'list --json carol', stdout: /"state": "-b----",\n {4}"shutdownReason": null/ },
  { words: 'list -l carol', stdout: /^\[\n {4}\{\n {8}"domid": 7,\n {8}"config": \{\n {12}"c_info": \{/ },
  { words: 'dmesg -c', stdout: '(XEN) clear\n' },
  { words: 'info --json', stdout: '{\n  "nr_cpus": "2"\n}\n' },
];

test.each(rows)('$words', async ({ words, stdout = '', stderr = '', code = 0, asks = [] }) => {
  const stack = host();
  stack.fields = [['nr_cpus', '2']];
  const session = new FakeSession(stack);
  const answered = await runCommand(words.split(' ').filter(Boolean), session);
  const fits = (text: string, wanted: string | RegExp): void =>
    typeof wanted === 'string' ? expect(text).toBe(wanted) : expect(text).toMatch(wanted);
  fits(session.stderr, stderr);
  fits(session.stdout, stdout);
  expect(answered).toBe(code);
  expect(stack.asked.length).toBe(asks.length);
  for (const [index, ask] of asks.entries()) expect(stack.asked[index]).toMatch(new RegExp(ask));
});

function withCfg(text = g1Cfg): { stack: FakeToolstack; session: FakeSession } {
  const stack = host();
  stack.steps = [
    { step: 'create the domain', undo: 'destroy it' },
    { step: 'unpause it', undo: undefined },
  ];
  const session = new FakeSession(stack);
  session.files.set('g1.cfg', text);
  return { stack, session };
}

test('create: paths are from where the command is given, and words on the command line are further lines', async () => {
  const { stack, session } = withCfg();
  expect(await runCommand(['create', 'g1.cfg', '-p', 'memory=64', 'name=g2'], session)).toBe(0);
  expect(session.stderr).toBe('Parsing config from g1.cfg\n');
  const [{ config, start }] = stack.created as [(typeof stack.created)[0]];
  expect(start).toBe('paused');
  expect(config).toMatchObject({ name: 'g2', memoryMb: 64 });
  expect(config.disks[0]?.target).toBe('/home/somebody/disk.img');
});

test('create -v tells each step; -q tells nothing', async () => {
  const loud = withCfg();
  await runCommand(['-v', 'create', 'g1.cfg'], loud.session);
  expect(loud.session.stderr).toBe('Parsing config from g1.cfg\n  create the domain\n  unpause it\n');
  const quiet = withCfg();
  await runCommand(['create', '-q', '--json', 'g1.cfg'], quiet.session);
  expect(quiet.session.stderr).toBe('');
  expect(JSON.parse(quiet.session.stdout)).toEqual({ domid: 8, name: 'g1' });
  const odd = withCfg(`${g1Cfg}memry = 64\n`);
  await runCommand(['create', '-q', 'g1.cfg'], odd.session);
  expect(odd.session.stderr).toMatch(/^g1\.cfg:4: memry .*memory/);
});

test('create: what an end has against a device is told, and the domain is there all the same', async () => {
  const { stack, session } = withCfg();
  const { entries } = stack;
  stack.entries = [
    { ...entries[0]!, domid: 8, kind: 'vbd', name: 'xvda', error: 'blkback says: no \x1b[2J' },
  ];
  expect(await runCommand(['create', 'g1.cfg'], session)).toBe(0);
  expect(session.stderr).toBe('Parsing config from g1.cfg\nstubdom0: xvda: blkback says: no \\x1b[2J\n');
});

test('create: mistakes are told by file and line, those of the command line as such, and nothing is created', async () => {
  const { stack, session } = withCfg('name="g1"\nmemory="lots"\ndisk=["a,raw,nonsense,w"]\n');
  expect(await runCommand(['create', 'g1.cfg', 'vcpus=x'], session)).toBe(1);
  expect(session.stderr).toMatch(/^Parsing config from g1.cfg\n(.*\n)*g1\.cfg:2: .*\n(.*\n)*g1\.cfg:3: .*\n/);
  expect(session.stderr).toMatch(/^command line: .*$/m);
  expect(stack.created).toEqual([]);
});

test('create: exit codes of xl', async () => {
  const { stack, session } = withCfg();
  expect(await runCommand(['create', 'nosuch.cfg'], session)).toBe(3);
  expect(session.stderr).toContain('failed to read config file: nosuch.cfg: No such file or directory');
  expect(await runCommand(['create'], session)).toBe(6);
  expect(await runCommand(['create', 'g1.cfg', 'other.cfg'], session)).toBe(2);
  stack.refusal = new Fault('domain with name "g1" already exists');
  expect(await runCommand(['create', 'g1.cfg'], session)).toBe(3);
  expect(session.stderr).toMatch(/\nstubdom0: domain with name "g1" already exists\n$/);
});

test('create: what would be is shown, as a configuration or as steps, and nothing is created', async () => {
  for (const words of [
    ['create', '-n', 'g1.cfg'],
    ['-N', 'create', 'g1.cfg'],
    ['create', '--dryrun', 'g1.cfg'],
  ]) {
    const { stack, session } = withCfg();
    expect(await runCommand(words, session)).toBe(0);
    expect(JSON.parse(session.stdout)).toMatchObject({
      c_info: { name: 'g1' },
      b_info: { max_memkb: 32_768 },
      disks: [{ pdev_path: '/home/somebody/disk.img', vdev: 'xvda', format: 'raw', readwrite: 1 }],
    });
    expect(stack.created).toEqual([]);
  }
  const { stack, session } = withCfg();
  expect(await runCommand(['create', '--dry-run', 'g1.cfg'], session)).toBe(0);
  expect(session.stdout).toBe(
    '     STEP               TAKEN BACK BY\n  1  create the domain  destroy it\n  2  unpause it         -\n',
  );
  expect(stack.created).toEqual([]);
});

test('uptime is the time since a domain was made; days are told', async () => {
  const { stack, session } = withCfg();
  const [, , carol] = stack.domains as [unknown, unknown, { uuid: string }];
  stack.nodes.set(`/vm/${carol.uuid}/start_time`, String(Math.floor(Date.now() / 1000) - 2 * 86_400 - 3_723));
  expect(await runCommand(['uptime', 'carol'], session)).toBe(0);
  expect(session.stdout).toMatch(/^Name +ID Uptime\ncarol {32}7 2 days, {2}1:02:0[3-5]\n$/);
});

test('gc tells what it cleared; what it could not is an exit code', async () => {
  const { stack, session } = withCfg();
  stack.swept = { removed: ['domain 9 of a creation that was killed'], left: [] };
  expect(await runCommand(['gc'], session)).toBe(0);
  expect(session.stdout).toBe('domain 9 of a creation that was killed\n');
  stack.swept = { removed: [], left: ['/vm/x: EACCES'] };
  expect(await runCommand(['gc'], session)).toBe(1);
  expect(session.stderr).toBe('stubdom0: /vm/x: EACCES\n');
});

test('a role has its commands and no others', async () => {
  const { stack } = withCfg();
  const tries: readonly (readonly [Role, string, number])[] = [
    ['read-only', 'list', 0],
    ['read-only', 'pause carol', 1],
    ['read-only', 'console carol', 1],
    ['read-only', 'dmesg', 0],
    ['read-only', 'dmesg -c', 1],
    ['operator', 'pause carol', 0],
    ['operator', 'create g1.cfg', 1],
    ['operator', 'dmesg -c', 1],
    ['console', 'list', 1],
    ['console', 'pause carol', 1],
  ];
  for (const [role, words, code] of tries) {
    const session = new FakeSession(stack, role, role === 'console' ? 'carol' : undefined);
    expect([role, words, await runCommand(words.split(' '), session)]).toEqual([role, words, code]);
    if (code !== 0) expect(session.stderr).toMatch(/role/);
  }
  expect(stack.created).toEqual([]);
});

test('what others have written does not reach a terminal as an order to it', async () => {
  const { stack, session } = withCfg();
  stack.domains.push(domain(9, 'evil\x1b[2J\n'));
  stack.refusal = new Fault('xvda: domain 9 says: \x1b]0;title\x07');
  await runCommand(['list', 'evil\x1b[2J\n'], session);
  await runCommand(['uptime', '-s', '9'], session);
  await runCommand(['create', 'g1.cfg'], session);
  expect(session.stdout).toContain('evil\\x1b[2J\\x0a ');
  expect(session.stdout + session.stderr).not.toMatch(/[\x00-\x08\x0b-\x1f]/);
});

test('every command has a role, a page of the manual, and flags that can be read', async () => {
  expect([...verbs.keys()].filter((name) => neededRole[name] === undefined)).toEqual([]);
  expect(Object.keys(neededRole).filter((name) => name !== 'help' && !verbs.has(name))).toEqual([]);
  expect([...verbs.keys()].filter((name) => notHere.has(name))).toEqual([]);
  for (const name of verbs.keys()) {
    const session = new FakeSession(new FakeToolstack());
    expect(await runCommand([name, '--help'], session)).toBe(0);
    for (const title of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT STATUS'])
      expect(session.stdout).toMatch(new RegExp(`^${title}$`, 'm'));
  }
  expect(mayRun('console', 'console')).toBe(true);
});

const completions: readonly (readonly [string, readonly string[]])[] = [
  ['blo', ['block-attach', 'block-detach', 'block-list']],
  ['help dom', ['domid', 'domname']],
  ['pause ', ['Domain-0', 'blkback', 'carol']],
  ['pause ca', ['carol']],
  ['block-detach carol ', ['xvda']],
  ['block-detach -f carol xv', ['xvda']],
  ['list --j', ['--json']],
  ['create ', []],
  ['nonsense ', []],
  ['-v pau', ['pause']],
];

test.each(completions)('completion of "%s"', async (line, wanted) => {
  const found = await complete(line.split(' '), new FakeSession(host()));
  expect(found).toEqual(wanted);
});

test('completion offers nobody what they may not do, and nothing where the toolstack does not answer', async () => {
  expect(await complete(['pa'], new FakeSession(host(), 'read-only'))).toEqual([]);
  const stack = host();
  stack.list = () => Promise.reject(new Fault('gone'));
  expect(await complete(['pause', ''], new FakeSession(stack))).toEqual([]);
});

test('the README has each command with its role', () => {
  const readme = readFileSync(new URL('../../toolstack/README.md', import.meta.url), 'utf8');
  const told = new Map(
    [...readme.matchAll(/^\| (`.*`) \| (read-only|operator|admin) \|/gm)].flatMap(([, words, role]) =>
      [...words!.matchAll(/`([a-z-]+)/g)].map(([, verb]) => [verb!, role!] as const),
    ),
  );
  const { help: _, ...needed } = neededRole;
  expect(Object.fromEntries([...told].sort())).toEqual(Object.fromEntries(Object.entries(needed).sort()));
});
