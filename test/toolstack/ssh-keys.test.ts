// Who may come in: lines of authorized_keys with their options, files that are read again when they change and refused when others may write them, and
// how many may be at the door at once.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAddresses } from '../../toolstack/ssh/addresses.ts';
import { Admission, type Startup } from '../../toolstack/ssh/admission.ts';
import { parseAuthorizedKeys } from '../../toolstack/ssh/authorized.ts';
import { journal } from '../../toolstack/ssh/journal.ts';
import { clientKey, hostKey, KeyRing, ownKeyFiles } from '../../toolstack/ssh/keys.ts';
import { defaultLimits } from '../../toolstack/ssh/limits.ts';

const folder = mkdtempSync(join(tmpdir(), 'stubdom0-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blob = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.alloc(36)]);
const key = `ssh-ed25519 ${blob.toString('base64')}`;

describe('a line of authorized_keys', () => {
  const one = (line: string) => {
    const { keys, refused } = parseAuthorizedKeys(line, 'keys');
    return keys[0] ?? refused[0];
  };

  test.each([
    [key, { role: 'admin', guest: undefined, comment: '' }],
    [`${key} somebody at home`, { role: 'admin', comment: 'somebody at home' }],
    [`role="read-only" ${key}`, { role: 'read-only' }],
    [`no-port-forwarding,role="operator",no-X11-forwarding ${key} x`, { role: 'operator', comment: 'x' }],
    [`console="web-1" ${key}`, { role: 'console', guest: 'web-1' }],
    [`expiry-time="20300102Z" ${key}`, { expiresMs: Date.UTC(2030, 0, 2) }],
    [`expiry-time="203001021530Z" ${key}`, { expiresMs: Date.UTC(2030, 0, 2, 15, 30) }],
  ])('%s', (line, expected) => {
    expect(one(line)).toMatchObject(expected);
  });

  test.each([
    [`restrict ${key}`, 'keys:1: option restrict is not known here, so the key is refused'],
    [
      `command="/bin/sh -c \\"x\\"" ${key}`,
      'keys:1: option command is not known here, so the key is refused',
    ],
    [`role=admin ${key}`, 'keys:1: option role=admin is not known here, so the key is refused'],
    [`role="root" ${key}`, 'keys:1: role="root": expected read-only, operator, admin'],
    [`role="admin",console="a" ${key}`, 'keys:1: console= is a role of its own; leave role= out'],
    [`role="admin",role="operator" ${key}`, 'keys:1: role is given twice'],
    [`console="../a b" ${key}`, 'keys:1: console="../a b": expected a guest\'s name'],
    [
      `from="*.example.org" ${key}`,
      'keys:1: from="*.example.org": expected addresses or networks, parted by commas',
    ],
    [`expiry-time="tomorrow" ${key}`, 'keys:1: expiry-time="tomorrow": expected YYYYMMDD[HHMM[SS]][Z]'],
    [`role="admin ${key}`, 'keys:1: a quote is not closed'],
    ['ssh-ed25519 AAAA', 'keys:1: this is no key of type ssh-ed25519'],
    [`ssh-rsa ${blob.toString('base64')}`, 'keys:1: this is no key of type ssh-rsa'],
  ])('%s is refused', (line, why) => {
    expect(one(line)).toBe(why);
  });

  test('blank lines, remarks and other kinds of keys', () => {
    const { keys, refused } = parseAuthorizedKeys(`\n# mine\n\n  ${key}\r\nssh-dss AAAA x\n`, 'keys');
    expect([keys.length, refused.length]).toEqual([1, 1]);
    expect(refused[0]).toMatch(/^keys:5: expected a key of type ssh-ed25519, /);
  });
});

test('addresses that a key may come from', () => {
  const some = parseAddresses('10.0.0.0/8,!10.0.0.9,192.0.2.1,fe80::/10')!;
  const all = [
    '10.1.2.3',
    '::ffff:10.1.2.3',
    '10.0.0.9',
    '192.0.2.1',
    '192.0.2.2',
    'fe80::1%eth0',
    '::1',
    '',
  ];
  expect(all.map((address) => some.has(address))).toEqual([
    true,
    true,
    false,
    true,
    false,
    true,
    false,
    false,
  ]);
  for (const wrong of ['', '10.0.0.0/33', 'host', '10.0.0.1,', '1.2.3'])
    expect(parseAddresses(wrong)).toBeUndefined();
});

describe('files', () => {
  test("the host's key is made once, and refused where others may read it", () => {
    const files = { folder: join(folder, 'a'), hostKey: undefined };
    const first = hostKey(files);
    expect(hostKey(files)).toEqual(first);
    const path = join(files.folder, 'host_key');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const theirs = execFileSync('ssh-keygen', ['-l', '-f', path], { encoding: 'utf8' });
    expect(theirs.split(' ')[1]).toBe(first.fingerprint);
    expect(readFileSync(join(files.folder, 'known_hosts'), 'utf8')).toMatch(
      /^stubdom0,\[localhost\]:\*,.* ssh-ed25519 /,
    );
    chmodSync(path, 0o644);
    expect(() => hostKey(files)).toThrow(`key ${path}: others may read it; chmod 600`);
    writeFileSync(join(folder, 'no-key'), 'hello', { mode: 0o600 });
    expect(() => hostKey({ ...files, hostKey: join(folder, 'no-key') })).toThrow(/^key .*no-key: /);
  });

  test('a first start that was killed is made good, and what is right already is left as it is for who reads it', () => {
    const files = { folder: join(folder, 'killed'), hostKey: undefined };
    hostKey(files);
    const path = clientKey(files.folder);
    const known = join(files.folder, 'known_hosts');
    const { ino } = statSync(known);
    rmSync(`${path}.pub`);
    hostKey(files);
    clientKey(files.folder);
    const theirs = execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' });
    expect(readFileSync(`${path}.pub`, 'utf8')).toBe(theirs);
    expect(new KeyRing(ownKeyFiles(files.folder, 'without the user'), () => {}).keys().length).toBe(1);
    expect(statSync(known).ino).toBe(ino);
    expect(readdirSync(files.folder).sort()).toEqual([
      'host_key',
      'id_ed25519',
      'id_ed25519.pub',
      'known_hosts',
    ]);
  });

  test('keys are read again when their file changes', () => {
    const place = join(folder, 'b');
    clientKey(place);
    const mine = join(place, 'authorized_keys');
    const told: string[] = [];
    const ring = new KeyRing([mine, ...ownKeyFiles(place, 'without the user')], (line) => told.push(line));
    const roles = () => ring.keys().map(({ role }) => role);
    expect(roles()).toEqual(['admin']);
    const own = readFileSync(join(place, 'id_ed25519.pub'), 'utf8');
    writeFileSync(mine, `role="operator" ${own}nonsense\n`, { mode: 0o600 });
    expect(roles()).toEqual(['operator', 'admin']);
    // Of a key that is in two files, the first one's word counts.
    const [{ blob: ownBlob } = { blob: new Uint8Array() }] = ring.keys();
    expect(ring.find(ownBlob)?.role).toBe('operator');
    expect(ring.find(new Uint8Array(40))).toBeUndefined();
    expect(roles().length).toBe(2);
    expect(told).toEqual([
      expect.stringMatching(/authorized_keys:2: expected a key of type .* not nonsense$/),
    ]);
    appendFileSync(mine, '\n');
    chmodSync(mine, 0o666);
    expect(roles()).toEqual(['admin']);
    expect(told.at(-1)).toMatch(/others may write to it, so nobody is let in by it; chmod go-w$/);
    rmSync(mine);
    expect(roles()).toEqual(['admin']);
  });
});

test('keys in a directory that others may write to let nobody in, until it is mended', () => {
  const place = join(folder, 'loose');
  clientKey(place);
  const told: string[] = [];
  const ring = new KeyRing(ownKeyFiles(place, 'without the user'), (line) => told.push(line));
  const count = () => ring.keys().length;
  expect(count()).toBe(1);
  for (const mode of [0o770, 0o707]) {
    chmodSync(place, mode);
    expect(count()).toBe(0);
    expect(told.at(-1)).toMatch(/others may write to \/.*\/loose, so nobody is let in by it; chmod go-w$/);
  }
  chmodSync(place, 0o755);
  expect(count()).toBe(1);
});

describe('at the door', () => {
  const limits = {
    ...defaultLimits,
    startups: { begin: 2, full: 6, rate: 0.5 },
    perAddress: 4,
    connections: 8,
  };
  const at = (sinceMs: number, address = 'a'): Startup => ({ sinceMs, address });

  test('some are dropped by chance once there are some, and who waited longest makes room for who comes', () => {
    const door = new Admission(limits);
    const first = at(0);
    expect([door.arrive(first, 0), door.arrive(at(1), 0)]).toEqual([
      { admit: true, evict: undefined },
      { admit: true, evict: undefined },
    ]);
    // The dice fall against who comes, and nobody has had its second yet.
    expect(door.arrive(at(2), 0.4)).toEqual({ admit: false });
    expect(door.arrive(at(2), 0.6)).toEqual({ admit: true, evict: undefined });
    expect(door.arrive(at(1001), 0.4)).toEqual({ admit: true, evict: first });
    expect(door.waiting).toBe(3);
  });

  test('one address does not take all places, nor do they who came in', () => {
    const door = new Admission(limits);
    for (let number = 0; number < 4; number++) expect(door.arrive(at(number), 0.99).admit).toBe(true);
    expect(door.arrive(at(5), 0.99)).toEqual({ admit: false });
    const others = Array.from({ length: 8 }, (_, number) => at(6, `b${number}`));
    const admitted = others.filter((one) => door.arrive(one, 0.8).admit);
    expect(admitted.length).toBeLessThan(8);
    for (const one of admitted) door.enter(one);
    expect(door.waiting).toBe(4);
    for (const one of admitted) door.leave(one, true);
  });

  test('no more begin in a second than there may', () => {
    const door = new Admission({ ...defaultLimits, newPerSecond: 10, newAtOnce: 5 });
    const begin = (ms: number): boolean => {
      const one = at(ms);
      const { admit } = door.arrive(one, 0.99);
      door.leave(one, false);
      return admit;
    };
    expect(Array.from({ length: 7 }, () => begin(0)).filter(Boolean).length).toBe(5);
    expect([begin(50), begin(100), begin(100)]).toEqual([false, true, false]);
  });
});

test('a flood of wrong keys is not a flood of lines', () => {
  let now = 0;
  const lines: string[] = [];
  const log = journal(
    (what, detail) => lines.push(`${what} ${JSON.stringify(detail)}`),
    () => now,
  );
  for (let number = 0; number < 500; number++) log('refused', { number });
  log('login', {});
  expect(lines.length).toBe(21);
  now = 61_000;
  log('command', {});
  expect(lines.slice(21)).toEqual(['more {"notTold":{"refused":480}}', 'command {}']);
});
