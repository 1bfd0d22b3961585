// Logs of domains that are gone: the last ones are there, however many names there have been.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bulkLog, guestLog, pruneLogs } from '../../toolstack/io/guestprocess.ts';

test('of domains that are gone the last 64 logs are kept, and of their consoles, with all that was set aside', () => {
  const run = mkdtempSync(join(tmpdir(), 'stubdom0-logs-'));
  onTestFinished(() => rmSync(run, { recursive: true, force: true }));
  const folders = ['logs', 'logs/console'].map((name) => join(run, name));
  for (const folder of folders) {
    mkdirSync(folder);
    for (let index = 0; index < 70; index++) {
      for (const end of ['log', 'log.1', 'log.2']) {
        const path = join(folder, `guest-g${index}.${end}`);
        writeFileSync(path, '');
        utimesSync(path, index, index);
      }
    }
    writeFileSync(join(folder, 'xenstored.log'), '');
  }
  pruneLogs(run, ['g0']);
  for (const folder of folders) {
    const left = readdirSync(folder).filter((name) => name !== 'console');
    expect(left).toHaveLength(3 * 65 + 1);
    expect(left).toEqual(expect.arrayContaining(['guest-g0.log', 'guest-g69.log.2', 'xenstored.log']));
    expect(left.filter((name) => /^guest-g[1-5]\./.test(name))).toEqual([]);
  }
});

test('what many guests share writes into no log of a guest, whatever that is called', () => {
  expect(bulkLog('/run')).not.toBe(guestLog('/run', 'bulk'));
});
