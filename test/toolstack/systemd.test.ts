// The systemd units for a real host: systemd finds nothing amiss in them, and the programs that they start know the flags that they give.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const top = join(import.meta.dirname, '../..');
const folder = join(top, 'toolstack/systemd');
const units = readdirSync(folder).filter((name) => /\.(service|mount)$/.test(name));
const { bin, files } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as {
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
};
const PREFIX = '/opt/stubdom0/bin/';
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

/** Command lines of ours. */
const commands = units.flatMap((unit) =>
  readFileSync(join(folder, unit), 'utf8')
    .split('\n')
    .map((line) => /^Exec\w+=[-+@:]*(.*)$/.exec(line)?.[1])
    .filter((line) => line?.startsWith(PREFIX))
    .map((line) => [unit, line!.slice(PREFIX.length)] as const),
);

test.skipIf(!hasSystemd)('systemd-analyze verify has nothing to say', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'units-'));
  try {
    for (const unit of units) {
      const text = readFileSync(join(folder, unit), 'utf8');
      // What is not installed here is not what is being asked.
      writeFileSync(
        join(scratch, unit),
        text.replaceAll(new RegExp(`${PREFIX}\\w[\\w-]*`, 'g'), '/bin/true'),
      );
    }
    const all = units.map((unit) => join(scratch, unit));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...all], {
      encoding: 'utf8',
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${scratch}:` },
    });
    expect(stdout + stderr).toBe('');
    expect(status).toBe(0);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

describe('each program knows its flags', () => {
  test.each(commands)('%s: %s', (_, line) => {
    const [name = '', ...words] = line.split(' ');
    expect(Object.keys(bin)).toContain(name);
    const flags = words.filter((word) => /^--?\w/.test(word));
    const verb = name === 'stubdom0' ? [words[0]!] : [];
    const { stdout, stderr } = spawnSync(process.execPath, [join(top, bin[name]!), ...verb, '--help'], {
      encoding: 'utf8',
    });
    for (const flag of flags) {
      // Those of all of the toolstack's commands stand on the pages of a host's own alone.
      if (name === 'stubdom0' && ['--platform', '--run'].includes(flag)) continue;
      expect(stdout + stderr, flag).toMatch(new RegExp(`(^|[\\s,\\[|])${flag}\\b`, 'm'));
    }
  });
});

test('the package carries them', () => {
  expect(files).toContain('toolstack/systemd');
  expect(units).toHaveLength(9);
});
