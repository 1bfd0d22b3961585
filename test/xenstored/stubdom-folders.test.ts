// Folders that are kept: whole or not there, whoever else makes them, whatever goes wrong; and those that go with the work in them.
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cacheFolder, inFolder, kept } from '../../xenstored/stubdom/folders.ts';

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'stubdom-folders-'));
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

test('a folder is made once, also by two at the same time', async () => {
  let made = 0;
  const make = async (folder: string) => {
    made++;
    await new Promise((resolve) => setImmediate(resolve));
    writeFileSync(join(folder, 'file'), 'text');
  };
  const both = await Promise.all([kept(cache, 'boot-1', make), kept(cache, 'boot-1', make)]);
  expect(both).toEqual([join(cache, 'boot-1'), join(cache, 'boot-1')]);
  const before = made;
  await kept(cache, 'boot-1', make);
  expect(made).toBe(before);
  expect(readdirSync(cache)).toEqual(['boot-1']);
  expect(readdirSync(both[0]!)).toEqual(['file']);
});

test('one that cannot be made leaves nothing, and is tried again', async () => {
  const fails = kept(cache, 'boot-1', async (folder) => {
    writeFileSync(join(folder, 'half'), '');
    throw new Error('no room');
  });
  await expect(fails).rejects.toThrow('no room');
  expect(readdirSync(cache)).toEqual([]);
  expect(readdirSync(await kept(cache, 'boot-1', async () => {}))).toEqual([]);
});

test('what nobody has wanted for a week goes, and nothing else', async () => {
  const make = async () => {};
  for (const name of ['boot-1', 'boot-2', 'boot-3', 'other-1']) await kept(cache, name, make);
  const old = new Date(Date.now() - 8 * 86_400_000);
  for (const name of ['boot-1', 'boot-3', 'other-1']) utimesSync(join(cache, name), old, old);
  await kept(cache, 'boot-3', make);
  expect(readdirSync(cache).sort()).toEqual(['boot-2', 'boot-3', 'other-1']);
});

test('a folder goes with its work, and when the process ends meanwhile', async () => {
  const before = process.listeners('exit');
  const gone = await inFolder(join(cache, 'x-'), async (folder) => {
    expect(existsSync(folder)).toBe(true);
    return folder;
  });
  expect(existsSync(gone)).toBe(false);
  await inFolder(join(cache, 'x-'), async (folder) => {
    for (const listener of process.listeners('exit')) if (!before.includes(listener)) listener(0);
    expect(existsSync(folder)).toBe(false);
  });
  expect(process.listeners('exit')).toEqual(before);
});

test('the cache is where the user says, else in his own', () => {
  expect(cacheFolder({ STUBDOM0_CACHE: '/big/disk', XDG_CACHE_HOME: '/c' })).toBe('/big/disk');
  expect(cacheFolder({ XDG_CACHE_HOME: '/c' })).toBe('/c/stubdom0');
  expect(cacheFolder({})).toMatch(/^\/.*\/\.cache\/stubdom0$/);
});
