// Commands as a user gives them, at a shell, on a host that runs: a guest from the shipped cfg file, devices that come and go, completion in a real
// bash, and the guest's end, of which nothing is left.
import { execFileSync } from 'node:child_process';
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { packageRoot } from '../../toolstack/io/hostfile.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { command, type Ended, program, UpHost } from './uphost.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let host: UpHost;
let store: Client;

beforeAll(async () => {
  host = new UpHost({ name: 'town', blkback: {}, netback: {}, console: {}, guests: [] });
  await host.isUp();
  store = await connect({ run: host.run });
});

afterAll(async () => {
  await store?.close();
  await host.clear();
});

/** In the directory of the host, where its user is. */
function stubdom0(...args: string[]): Promise<Ended> {
  const words = ['-c', 'cd "$0" && exec "$@"', host.top, process.execPath, program, ...args];
  return command('/bin/sh', words, { STUBDOM0_RUN: host.run });
}

const carol = join(packageRoot, 'toolstack/hosts/carol.cfg');

/** All of the store, as text; but for empty directories of backends, which stay when the last of their devices goes. */
async function everything(): Promise<string[]> {
  const all = await below('/');
  return all.filter((line) => !/\/backend(\/[a-z]+)? $/.test(line));
}

async function below(path: string): Promise<string[]> {
  const names = await store.directory(path);
  const deeper = names.map((name) => below(`${path === '/' ? '' : path}/${name}`));
  return [`${path} ${await store.findText(path)}`, ...(await Promise.all(deeper)).flat()];
}

test('a guest from a cfg file comes, is driven, and goes without a trace', async () => {
  const before = await everything();
  writeFileSync(join(host.top, 'carol.img'), '');
  truncateSync(join(host.top, 'carol.img'), 1 << 20);

  const plan = await stubdom0('create', '--dry-run', carol);
  expect(plan).toMatchObject({ code: 0, stderr: `Parsing config from ${carol}\n` });
  expect(plan.stdout).toMatch(/^ +\d+ {2}attach xvda +detach xvda$/m);
  expect(await everything()).toEqual(before);

  expect(await stubdom0('create', carol)).toMatchObject({ code: 0, stdout: '' });
  const { stdout: id } = await stubdom0('domid', 'carol');
  expect((await stubdom0('list', 'carol')).stdout).toMatch(/^Name .*\ncarol +\d+ +4 +1 +[r-][b-]----/);
  expect(JSON.parse((await stubdom0('list', '-l', 'carol')).stdout)).toMatchObject([
    { domid: Number(id), config: { disks: [{ pdev_path: join(host.top, 'carol.img') }] } },
  ]);
  for await (const _ of store.watch(`/local/domain/${id.trim()}/device/vif/0/state`)) {
    if ((await store.findText(`/local/domain/${id.trim()}/device/vif/0/state`)) === '4') break;
  }
  expect((await stubdom0('network-list', 'carol')).stdout).toMatch(/\n0 {3}\d +00:16:3e:[0-9a-f:]{8} +0 +4 /);

  // Two cannot have one name; a mistake is told by its line; neither costs the first.
  expect(await stubdom0('create', carol)).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/\nstubdom0: .*carol/),
  });
  writeFileSync(join(host.top, 'bad.cfg'), 'name = "bad"\ndisk = [ "x,raw,nonsense,w" ]\n');
  expect(await stubdom0('create', 'bad.cfg')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^bad\.cfg:2: .*nonsense/m),
  });

  // Standard input may be late.
  const late = `(sleep 0.2; cat '${carol}') | '${process.execPath}' '${program}' create -n - memory=8`;
  const { stdout: config } = await command('/bin/sh', ['-c', late], { STUBDOM0_RUN: host.run });
  expect(JSON.parse(config)).toMatchObject({ c_info: { name: 'carol' }, b_info: { max_memkb: 8192 } });

  writeFileSync(join(host.top, 'more.img'), Buffer.alloc(4096));
  expect(await stubdom0('block-attach', 'carol', 'more.img,raw,xvdb,w')).toMatchObject({
    code: 0,
    stderr: '',
  });
  expect(JSON.parse((await stubdom0('block-list', '--json', 'carol')).stdout)).toMatchObject([
    { name: 'xvda' },
    { name: 'xvdb', target: join(host.top, 'more.img') },
  ]);
  expect(await stubdom0('block-detach', 'carol', 'xvdb')).toMatchObject({ code: 0, stderr: '' });
  expect(await stubdom0('block-detach', 'carol', 'xvdb')).toMatchObject({
    code: 1,
    stderr: 'Error: Device xvdb not connected.\n',
  });
  expect(await stubdom0('destroy', 'blkback')).toMatchObject({ code: 1 });

  expect(await stubdom0('destroy', 'carol')).toMatchObject({ code: 0, stderr: '', stdout: '' });
  expect(await stubdom0('destroy', 'carol')).toMatchObject({
    code: 1,
    stderr: 'carol is an invalid domain identifier (rc=-6)\n',
  });
  expect(await everything()).toEqual(before);
  expect(readdirSync(join(host.run, 'toolstack/domains'))).toEqual([]);
  expect(await stubdom0('gc')).toMatchObject({ code: 0, stdout: '', stderr: '' });
});

test('autostart creates what is not there yet, from where its files are', async () => {
  writeFileSync(join(host.top, 'b.cfg'), 'name = "bob"\nmemory = 4\n');
  writeFileSync(join(host.top, 'c.cfg'), 'name = "bob"\nmemory = "much"\n');
  const { code, stdout, stderr } = await stubdom0('autostart', '.');
  expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/^bob is domain \d+\n$/) });
  expect(stderr).toMatch(/c\.cfg:2: /);
  expect((await stubdom0('autostart', 'b.cfg')).stdout).toBe('bob is there already\n');
  expect(await stubdom0('shutdown', '-a', '-w')).toMatchObject({ code: 0 });
  expect((await stubdom0('list')).stdout).not.toContain('bob');
});

test('bash completes commands, domains and flags by the script that is printed', () => {
  const script = `
    stubdom0() { "${process.execPath}" "${program}" "$@"; }
    eval "$(stubdom0 completion bash)"
    for line in "$@"; do
      COMP_WORDS=($line); [[ $line == *' ' ]] && COMP_WORDS+=("")
      COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
      _stubdom0; echo "\${COMPREPLY[*]}"
    done`;
  const lines = [
    'stubdom0 block-a',
    'stubdom0 console blk',
    'stubdom0 list --lo',
    'stubdom0 up --ho',
    'stubdom0 create ',
  ];
  const said = execFileSync('bash', ['-c', script, 'bash', ...lines], {
    encoding: 'utf8',
    env: { ...process.env, STUBDOM0_RUN: host.run },
  });
  expect(said.split('\n').map((line) => line.trim())).toEqual([
    'block-attach',
    'blkback',
    '--long',
    '--host',
    '',
    '',
  ]);
});

test('output that nobody takes is the end of a command, and told where somebody may hear it', async () => {
  const shell = (line: string): Promise<Ended> => {
    const words = ['-c', `stubdom0() { '${process.execPath}' '${program}' "$@"; }; ${line}`];
    return command('/bin/bash', words, { STUBDOM0_RUN: host.run });
  };
  expect(await shell('set -o pipefail; stubdom0 list | head -1')).toMatchObject({ code: 0, stderr: '' });
  for (const words of ['list', 'status', 'help']) {
    expect(await shell(`set -o pipefail; stubdom0 ${words} | true`)).toMatchObject({ stderr: '' });
    expect(await shell(`stubdom0 ${words} > /dev/full`)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stubdom0: cannot write: ENOSPC.*\n$/),
    });
  }
});

test('a host that is not there, and a directory that is not, are each a line', async () => {
  const nowhere = join(host.top, 'nowhere');
  expect(await stubdom0('list', '--run', nowhere)).toMatchObject({
    code: 1,
    stderr: `stubdom0: no host runs in ${nowhere}\n`,
  });
  const line = `mkdir -p '${nowhere}' && cd '${nowhere}' && rmdir '${nowhere}' && '${process.execPath}' '${program}'`;
  const lost = (words: string) => command('/bin/sh', ['-c', `${line} ${words}`], { STUBDOM0_RUN: host.run });
  expect(await lost('list')).toMatchObject({ code: 0, stderr: '' });
  for (const words of [`create '${carol}'`, 'up'])
    expect(await lost(words)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^(Parsing .*\n)?stubdom0: the directory that .* is no more\n$/),
    });
});
