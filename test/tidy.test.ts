// The rules of the house, enforced: who imports whom, what a core may not do, one door for each package, and how a file
// looks. Every complaint names a file, a line, and what to do instead.
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { doors, forbidden, isCore, roomOf } from './tidy/rooms.ts';
import {
  exists,
  lineAt,
  parse,
  readText,
  type SourceFile,
  sourceFiles,
  textFiles,
  topEntries,
} from './tidy/source.ts';

const files = sourceFiles();
const byPath = new Map(files.map((file) => [file.path, file]));
const isTest = (path: string): boolean => path.startsWith('test/');
const packageJson = JSON.parse(readText('package.json')) as {
  readonly dependencies: Record<string, string>;
  readonly bin: Record<string, string>;
  readonly exports: Record<string, { readonly default: string }>;
};

function nothing(complaints: readonly string[]): void {
  if (complaints.length > 0) throw new Error(`\n${complaints.join('\n')}`);
}

/** A complaint for each match of a pattern in a file's text. */
function* each(file: SourceFile, text: string, pattern: RegExp, advice: string): Generator<string> {
  for (const match of text.matchAll(pattern)) {
    yield `${file.path}:${lineAt(text, match.index)}: ${match[0].trim()}: ${advice}`;
  }
}

test('the top level holds the fixed rooms and files, nothing else', () => {
  const plain =
    'package(-lock)?.json|(tsconfig|biome).json|vitest.config.ts|LICENSE|(README|CHANGELOG|CONTRIBUTING|SECURITY).md';
  const known = new RegExp(
    `^(\\..*|osdep|xenstored|toolstack|netback|blkback|test|${plain.replaceAll('.', '\\.')})$`,
  );
  nothing(
    topEntries()
      .filter((name) => !known.test(name))
      .map((name) => `${name}: belongs into a room`),
  );
});

test('every import is one that the house allows', () => {
  nothing(
    files.flatMap((file) =>
      file.imports.flatMap((wanted) => {
        const why = forbidden(file.path, wanted);
        return why === undefined ? [] : [`${file.path}:${wanted.line}: ${why}`];
      }),
    ),
  );
});

test('a relative import names an existing .ts file', () => {
  nothing(
    files.flatMap((file) =>
      file.imports
        .filter(({ target }) => target !== undefined && !byPath.has(target) && !/\.(json|js)$/.test(target))
        .map(
          ({ line, specifier }) =>
            `${file.path}:${line}: ${specifier}: no such file; relative imports end in .ts`,
        ),
    ),
  );
});

test('a core has no promise, timer, clock, chance, logger or shared memory', () => {
  const words = /(?<![.\w])(?:async|await|Promise|SharedArrayBuffer|Atomics)\b(?!\s*\??:)/g;
  const uses = /(?<![.\w])(?:(?:Date|Math\.random|performance|process|console|crypto)\b(?=[.(])|new Date\b)/g;
  const calls = /(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch)\(/g;
  const advice = 'a core is decided by its arguments; let io do it, and hand the result in';
  nothing(
    files
      .filter((file) => isCore(file.path))
      .flatMap((file) =>
        [words, uses, calls].flatMap((banned) => [...each(file, file.bare, banned, advice)]),
      ),
  );
});

test('a core has no value imports from node: or npm', () => {
  nothing(
    files
      .filter((file) => isCore(file.path))
      .flatMap((file) =>
        file.imports
          .filter(({ target }) => target === undefined)
          .map(
            ({ line, specifier }) =>
              `${file.path}:${line}: ${specifier}: a core imports nothing from outside the house`,
          ),
      ),
  );
});

test('each package has one door', () => {
  const complaints = files
    .filter((file) => !isTest(file.path) && file.path.includes('/'))
    .flatMap((file) =>
      file.imports.flatMap(({ line, specifier, target, typesOnly }) => {
        if (target !== undefined || specifier.startsWith('node:')) return [];
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/');
        const own = [doors[name] ?? []].flat();
        if (own.includes(file.path)) return [];
        if (own.length === 0) return [`${file.path}:${line}: ${name} has no door in test/tidy/rooms.ts`];
        if (typesOnly && own.some((door) => posix.dirname(file.path) === posix.dirname(door))) return [];
        return [
          `${file.path}:${line}: ${name} comes in through ${own.join(' and ')} alone; import what you need from there`,
        ];
      }),
    );
  for (const name of Object.keys(packageJson.dependencies)) {
    const own = [doors[name] ?? []].flat();
    if (own.length === 0) complaints.push(`package.json: ${name} has no door in test/tidy/rooms.ts`);
    for (const door of own)
      if (
        !byPath
          .get(door)
          ?.imports.some(({ specifier }) => specifier === name || specifier.startsWith(`${name}/`))
      )
        complaints.push(
          `package.json: ${name} is not imported by its door ${door}; remove it, or correct the door`,
        );
  }
  nothing(complaints);
});

test('every file opens with a paragraph on what it is', () => {
  nothing(
    files
      .filter((file) => !/^(#![^\n]*\n)?(\/\/ \S|\/\*\*\s*\n? ?\*? ?\S)/.test(file.text))
      .filter((file) => file.path.includes('/'))
      .map((file) => `${file.path}:1: say in a comment what this file is, and what it refuses to know`),
  );
});

test('names of files are lower case', () => {
  nothing(
    files
      .filter(
        (file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config)?\.(ts|mjs)$/.test(posix.basename(file.path)),
      )
      .map((file) => `${file.path}:1: one lower-case noun, parts joined by -`),
  );
});

test('lines fit the eye', () => {
  nothing(
    files.flatMap((file) =>
      file.text
        .split('\n')
        .flatMap((line, index) =>
          line.length > 160 ? [`${file.path}:${index + 1}: ${line.length} characters; break the line`] : [],
        ),
    ),
  );
});

test('no leftovers', () => {
  const marks = /\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/g;
  nothing(
    files.flatMap((file) => [
      ...each(file, file.text, marks, 'do it now, or say plainly in the README that it is not done'),
      ...each(file, file.bare, /^\s*debugger\b/gm, 'remove it'),
      ...each(file, file.text, /@ts-(?:ignore|nocheck)/g, 'type it'),
      ...(isTest(file.path)
        ? each(file, file.bare, /\b(?:test|it|describe)\.only\b/g, 'run all of them')
        : []),
      ...(/^test\/|\/cli\/|(?:^|[/-])main\.ts$|\.mjs$/.test(file.path)
        ? []
        : each(
            file,
            file.bare,
            /(?<![.\w#])console\.\w+/g,
            'only a main or a cli talks to the terminal; take a logger, or return the text',
          )),
    ]),
  );
});

test('no path of one machine', () => {
  const machine = new RegExp(
    ['work', 'farm', 'root', 'home/[a-z]'].map((name) => `(?<![\\w.$}-])/${name}/`).join('|'),
    'g',
  );
  nothing(
    textFiles()
      .filter((path) => path !== 'package-lock.json')
      .flatMap((path) => {
        const text = readText(path);
        return [...text.matchAll(machine)].map(
          (match) => `${path}:${lineAt(text, match.index)}: ${match[0]}: a path of one machine`,
        );
      }),
  );
});

/** Files that something outside the imports starts: programs, what the package exports, tests, scenarios, configuration. */
function entries(): string[] {
  const named = [
    ...Object.values(packageJson.bin),
    ...Object.values(packageJson.exports).map((door) => door.default),
  ];
  return [
    ...named.map((path) => path.replace(/^(\.\/)?dist\//, '').replace(/\.js$/, '.ts')),
    ...files
      .filter(
        ({ path, text }) =>
          /\.test\.ts$|(?:^|[/-])main\.ts$|\.mjs$|^[^/]+$|^test\/real\/scenarios\//.test(path) ||
          text.startsWith('#!'),
      )
      .map(({ path }) => path),
  ];
}

test('no file that nobody imports', () => {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) return;
    reached.add(path);
    for (const { target } of file.imports) if (target !== undefined) visit(target);
  };
  entries().forEach(visit);
  nothing(
    files
      .filter((file) => !reached.has(file.path))
      .map(
        (file) =>
          `${file.path}:1: no program (main.ts, or #! in its first line), test or exported door leads here; use it or remove it`,
      ),
  );
});

test('no exported function, class or constant that no other file names', () => {
  const open = publicFiles();
  const words = new Map<string, Set<string>>();
  for (const file of files)
    for (const [word] of file.code.matchAll(/[A-Za-z_$][\w$]*/g)) {
      const users = words.get(word) ?? new Set();
      words.set(word, users.add(file.path));
    }
  const declared = /^export (?:async )?(?:abstract )?(?:function\*?|class|const) (\w+)/gm;
  nothing(
    files
      .filter((file) => !open.has(file.path) && !isTest(file.path) && file.path.includes('/'))
      .flatMap((file) =>
        [...file.code.matchAll(declared)]
          .filter((match) => words.get(match[1]!)!.size < 2)
          .map(
            (match) =>
              `${file.path}:${lineAt(file.code, match.index)}: ${match[1]} is used nowhere else: do not export it, or remove it`,
          ),
      ),
  );
});

/** The package's public doors and what they pass on whole. */
function publicFiles(): Set<string> {
  const open = new Set(
    Object.values(packageJson.exports).map((door) =>
      door.default.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts'),
    ),
  );
  for (const path of open) {
    const file = byPath.get(path);
    for (const match of file?.code.matchAll(/^export \* from '([^']+)'/gm) ?? [])
      open.add(posix.join(posix.dirname(path), match[1]!));
  }
  return open;
}

test('every promise of the README names its test, or says that it is pending', () => {
  if (!exists('README.md')) return;
  const section = /^## [^\n]*promise[^\n]*\n([\s\S]*?)(?=^## |(?![\s\S]))/im.exec(readText('README.md'));
  expect(section, 'README.md: a section with the promises and their tests').not.toBeNull();
  const rows = section![1]!
    .split('\n')
    .filter((line) => /^\|/.test(line))
    .slice(2);
  expect(rows.length, 'README.md: a table of promises').toBeGreaterThan(0);
  nothing(
    rows.flatMap((row) => {
      const last = row
        .replace(/\|\s*$/, '')
        .split('|')
        .at(-1)!;
      if (/\bpending\b/.test(last)) return [];
      const named = [...last.matchAll(/test\/[\w./-]+/g)].map(([path]) => path);
      if (named.length === 0) return [`README.md: ${row}: name the test, or say pending`];
      return named.filter((path) => !exists(path)).map((path) => `README.md: ${row}: there is no ${path}`);
    }),
  );
});

test('the rules themselves see what they should', () => {
  // A rule that never fires proves nothing: each is shown one offender.
  const complaint = (path: string, text: string): string | undefined => {
    const file = parse(path, text);
    return file.imports.map((wanted) => forbidden(path, wanted)).find((why) => why !== undefined);
  };
  expect(complaint('blkback/io/ring.ts', `import { Store } from '../../xenstored/core/store.ts';`)).toMatch(
    /may not/,
  );
  expect(complaint('xenstored/core/store.ts', `import { readFileSync } from 'node:fs';`)).toMatch(/may not/);
  expect(complaint('xenstored/core/store.ts', `import { PAGE_SIZE } from '../../osdep/mapping.ts';`)).toMatch(
    /types/,
  );
  expect(
    complaint('xenstored/core/store.ts', `import type { Mapping } from '../../osdep/mapping.ts';`),
  ).toBeUndefined();
  const dynamic = 'import';
  expect(complaint('osdep/xen/evtchn.ts', `const { World } = await ${dynamic}('../sim/world.ts');`)).toMatch(
    /may not/,
  );
  expect(complaint('osdep/sim/world/grants.ts', `export {\n  Page,\n} from '../../ring/page.ts';`)).toMatch(
    /may not/,
  );
  expect(complaint('xenstored/admin/app.ts', `import '../core/daemon.ts';`)).toMatch(/may not/);
  expect(complaint('netback/vif/front/netfront.ts', `import { Vif } from '../core/vif.ts';`)).toBeUndefined();
  expect(
    complaint('netback/vif/front/netfront.ts', `import { Vif } from '../../xensock/core/a.ts';`),
  ).toMatch(/may not/);
  expect(
    complaint('xenstored/io/loop.ts', `// import { x } from '../../toolstack/core/plan.ts';`),
  ).toBeUndefined();
  expect(parse('a.ts', `const text = 'Date'; // Date`).bare).not.toContain('Date');
  expect(roomOf('osdep/sim/world/grants.ts')).toBe('osdep/sim/world');
});
