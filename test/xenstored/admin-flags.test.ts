// The flags of xenstore-admin and what they come to; a token file that is made by two at once; a socket's place.
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { settings, usage } from '../../xenstored/admin/flags.ts';
import { soundToken, tokenFromFile } from '../../xenstored/admin/tokens.ts';

const dir = mkdtempSync(join(tmpdir(), 'admin-flags-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const of = (flags: string, env: Record<string, string> = {}) =>
  settings(flags === '' ? [] : flags.split(' '), env);

test('what is not said is safe: the loopback interface, nothing written, nothing more allowed', () => {
  expect(of('--run /r')).toEqual({
    run: '/r',
    socket: undefined,
    listen: { host: '127.0.0.1', port: 7380 },
    hosts: [],
    readToken: { file: '/r/admin.token' },
    writeTokenFile: undefined,
    auditLog: undefined,
    secretNames: [],
    control: [],
  });
});

test('each flag, and what the environment has for it', () => {
  expect(of('', { STUBDOM0_RUN: '/e' })).toMatchObject({ run: '/e', readToken: { file: '/e/admin.token' } });
  expect(of('--run /r --write-token-file /w')).toMatchObject({
    writeTokenFile: '/w',
    auditLog: '/r/logs/admin-audit.log',
  });
  expect(of('--token-file /t --write-token-file /w --audit-log /a')).toMatchObject({ auditLog: '/a' });
  const secret = { XENSTORE_ADMIN_TOKEN: 'x' };
  expect(of('--run /r', secret)).toMatchObject({ readToken: { value: 'x' } });
  expect(of('--token-file /t', secret)).toMatchObject({ readToken: { file: '/t' } });
  expect(of('--run /r --listen-unix /s')).toMatchObject({ listen: { path: '/s' } });
  expect(of('--run /r --listen ::1 --port 0')).toMatchObject({ listen: { host: '::1', port: 0 } });
  expect(of('--run /r --listen 0.0.0.0 --allowed-host a --allowed-host b')).toMatchObject({
    listen: { host: '0.0.0.0', port: 7380 },
    hosts: ['a', 'b'],
  });
  // What it prints can be asked.
  expect(of('--run /r --listen 127.0.0.5')).toMatchObject({ hosts: ['127.0.0.5'] });
  expect(of('--run /r --listen fd00::1 --allowed-host a')).toMatchObject({ hosts: ['a', '[fd00::1]'] });
  expect(of('--run /r --secret-name a --secret-name b --allow-control c')).toMatchObject({
    secretNames: ['a', 'b'],
    control: ['c'],
  });
  expect(of('--help')).toBeUndefined();
});

test('what cannot be meant is one line', () => {
  const rows = [
    '--run /r --port -1',
    '--run /r --port',
    '--run /r --port 80a',
    '--run /r --listen-unix /s --port 80',
    '--run /r --listen-unix /s --listen ::1',
    '--run /r --listen 10.0.0.1',
    '--run /r --listen nowhere',
    '--run /r --secret-name=',
    '--run /r --unknown',
    '--run /r extra',
    '--token-file /t --write-token-file /w',
    '',
  ];
  for (const flags of rows) expect(() => of(flags), flags).toThrow(/^[^\n]+$/);
});

test('the help names every flag and every default, within the width of a terminal', () => {
  for (const flag of [
    'run',
    'socket',
    'port',
    'listen-unix',
    'listen',
    'allowed-host',
    'token-file',
    'write-token-file',
    'audit-log',
    'secret-name',
    'allow-control',
    'help',
  ])
    expect(usage).toMatch(new RegExp(`^  --${flag} `, 'm'));
  for (const line of usage.split('\n')) expect(line.length).toBeLessThan(110);
});

test('a token is made once, whole, for its owner alone, and can neither be guessed nor mistaken', () => {
  const path = join(dir, 'token');
  const token = tokenFromFile(path);
  expect(token).toMatch(/^[\w-]{32}$/);
  expect(tokenFromFile(path)).toBe(token);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(dir)).toEqual(['token']);
  for (const wrong of ['short', 'with a blank in it, long', `${'x'.repeat(20)}\n${'y'.repeat(20)}`, ''])
    expect(() => soundToken(wrong, 'FILE')).toThrow('FILE: a token is 16 to 512');
});

test('what is no file, or somebody else wrote, holds no token', () => {
  const at = (name: string): string => join(dir, name);
  mkdirSync(at('directory'), { mode: 0o700 });
  execFileSync('mkfifo', ['-m', '600', at('pipe')]);
  symlinkSync('nowhere', at('dangling'));
  expect(() => tokenFromFile(at('directory'))).toThrow(
    /^.*directory: a token is in a file, and this is none$/,
  );
  expect(() => tokenFromFile(at('pipe'))).toThrow(/pipe: a token is in a file/);
  expect(() => tokenFromFile(at('dangling'))).toThrow(/dangling: the token cannot be read \(ENOENT\)/);
});

test.skipIf(process.getuid?.() !== 0)('nor does the file of another user, who knows what is in it', () => {
  const path = join(dir, 'theirs');
  writeFileSync(path, 'known-to-somebody-else', { mode: 0o600 });
  chownSync(path, 65_534, 65_534);
  expect(() => tokenFromFile(path)).toThrow(/theirs: it belongs to somebody else$/);
});
