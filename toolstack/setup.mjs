// Makes a fresh clone ready to run: installs the packages that the lock file names and compiles to dist/.
// Plain JavaScript, because it runs before anything is installed; skips in milliseconds what is done already. `build`: compiles in any case.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));
const sources = ['osdep', 'xenstored', 'toolstack', 'netback', 'blkback', 'test'];

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: top, stdio: ['ignore', 2, 2] });
  if (error || status !== 0) {
    console.error(`setup: ${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
    process.exit(1);
  }
}

/** One line for each source file: its path, size and time of change. */
function* census(folder) {
  for (const entry of readdirSync(join(top, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* census(path);
    else if (entry.name.endsWith('.ts')) {
      const { mtimeMs, size } = statSync(join(top, path));
      yield `${path} ${size} ${mtimeMs}\n`;
    }
  }
}

function unlessStamped(stamp, state, work) {
  const digest = createHash('sha256').update(state).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  work();
  writeFileSync(stamp, digest);
}

const read = (name) => readFileSync(join(top, name), 'utf8');
const files = sources
  .filter((folder) => existsSync(join(top, folder)))
  .flatMap((folder) => [...census(folder)]);

unlessStamped(join(top, 'node_modules/.stubdom0-installed'), read('package-lock.json'), () =>
  run('npm', ['ci']),
);
const projects = ['tsconfig.json', 'xenstored/admin/page/tsconfig.json'];
const built = join(top, 'dist/.stubdom0-built');
if (process.argv[2] === 'build') rmSync(built, { force: true });
unlessStamped(built, projects.map(read).join('') + files.join(''), () => {
  for (const project of projects)
    run(process.execPath, [join(top, 'node_modules/typescript/bin/tsc'), '-p', project]);
});

// npx looks here first; what it finds out by itself it does not look up again. Each time: `npm install` takes away links that are none of its own, and
// a program that is compiled into an empty folder is no program yet.
for (const [name, program] of Object.entries(JSON.parse(read('package.json')).bin)) {
  const link = join(top, 'node_modules/.bin', name);
  const target = join('../..', program);
  if ((statSync(join(top, program)).mode & 0o111) !== 0o111) chmodSync(join(top, program), 0o755);
  if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(link) === target) continue;
  rmSync(link, { force: true });
  symlinkSync(target, link);
}
