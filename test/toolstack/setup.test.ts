// What `npm start`, `npm test` and `npm run build` do first: programs can be started by npx whatever npm has done meanwhile, and nothing is compiled
// twice. The compiler is a few lines of script, the tree an empty one.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { packageRoot } from '../../toolstack/io/hostfile.ts';

let top: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'stubdom0-setup-'));
  for (const folder of [
    'toolstack',
    'dist',
    'xenstored/admin/page',
    'node_modules/.bin',
    'node_modules/typescript/bin',
  ])
    mkdirSync(join(top, folder), { recursive: true });
  cpSync(join(packageRoot, 'toolstack/setup.mjs'), join(top, 'toolstack/setup.mjs'));
  write('package.json', JSON.stringify({ type: 'module', bin: { hello: 'dist/main.js' } }));
  write('package-lock.json', '{}');
  write('node_modules/.stubdom0-installed', createHash('sha256').update('{}').digest('hex'));
  for (const folder of ['.', 'xenstored/admin/page']) write(`${folder}/tsconfig.json`, '{}');
  const compiler = `import { appendFileSync, writeFileSync } from 'node:fs';
writeFileSync('dist/main.js', '#!/bin/sh\\necho hello\\n');
appendFileSync('compiled', process.argv[3] + ' ');`;
  write('node_modules/typescript/package.json', '{"type":"module"}');
  write('node_modules/typescript/bin/tsc', compiler);
});

afterEach(() => rmSync(top, { recursive: true, force: true }));

function write(path: string, text: string): void {
  writeFileSync(join(top, path), text);
}

function setup(...args: string[]): void {
  execFileSync(process.execPath, [join(top, 'toolstack/setup.mjs'), ...args]);
}

const hello = (): string => execFileSync(join(top, 'node_modules/.bin/hello'), { encoding: 'utf8' });
const compiled = (): string => readFileSync(join(top, 'compiled'), 'utf8');
const ONCE = 'tsconfig.json xenstored/admin/page/tsconfig.json ';

test('programs are linked where npx looks, again after npm has taken the links away, and nothing is compiled twice', () => {
  setup();
  expect(hello()).toBe('hello\n');
  rmSync(join(top, 'node_modules/.bin/hello'));
  setup();
  expect(hello()).toBe('hello\n');
  expect(compiled()).toBe(ONCE);
});

test('what is compiled into an empty folder can be started', () => {
  setup();
  rmSync(join(top, 'dist'), { recursive: true });
  mkdirSync(join(top, 'dist'));
  setup('build');
  expect(hello()).toBe('hello\n');
  chmodSync(join(top, 'dist/main.js'), 0o644);
  setup();
  expect(hello()).toBe('hello\n');
  setup('build');
  expect(compiled()).toBe(ONCE.repeat(3));
  expect(existsSync(join(top, 'dist/.stubdom0-built'))).toBe(true);
});
