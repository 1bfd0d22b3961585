/**
 * The `xenstore` commands, row by row: what is typed on which store, and what must come out, as today's clients have it; where those of 4.17 answer
 * differently, their column beside it. Follows tools/xs-clients/xenstore_client.c.
 */

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CliRow {
  /** As typed, the command's name included. Arguments are separated by single blanks; `␣` is a blank in one. */
  readonly typed: string;
  /** Expected; what is left out is 0 or empty. */
  readonly head: Partial<Said>;
  /** Of 4.17, where it differs from `head`. */
  readonly c417?: Partial<Said>;
  /** What the store then holds below /t, a line for each node (flat, with values). Default: unchanged. */
  readonly leaves?: readonly string[];
}

/** The store of each row. */
export const nodes: readonly (readonly [path: string, value: string, ...perms: string[]])[] = [
  ['/t', ''],
  ['/t/a', 'one'],
  ['/t/b', 'two words'],
  ['/t/bin', 'x\x00\x01\t\n\r\\\x7f\xff~'],
  ['/t/deep', ''],
  ['/t/deep/er', ''],
  ['/t/deep/er/est', 'v', 'n0', 'r3', 'b4'],
  ['/t/long', 'abcdefghij'.repeat(8)],
];

const flat = [
  '/t/a = "one"',
  '/t/b = "two words"',
  '/t/bin = "x\\000\\001\\t\\n\\r\\\\\\x7f\\xff~"',
  '/t/deep = ""',
  '/t/deep/er = ""',
  '/t/deep/er/est = "v"',
  `/t/long = "${'abcdefghij'.repeat(8)}"`,
];

export const unchanged: readonly string[] = flat;

/** `flat` with some lines replaced, added at the end, or (undefined) removed. */
function changed(changes: Readonly<Record<string, string | undefined>>): string[] {
  const left = new Map(Object.entries(changes));
  const kept = flat.flatMap((line) => {
    const path = line.slice(0, line.indexOf(' '));
    if (!left.has(path)) return [line];
    const value = left.get(path);
    left.delete(path);
    return value === undefined ? [] : [`${path} = "${value}"`];
  });
  return [...kept, ...[...left].map(([path, value]) => `${path} = "${value}"`)];
}

const read = 'Usage: xenstore-read [-h] [-p] [-R] key [...]';
const read417 = 'Usage: xenstore-read [-h] [-p] [-s] [-R] key [...]';

export const rows: readonly CliRow[] = [
  // Reading
  { typed: 'xenstore-read /t/a', head: { out: 'one\n' } },
  { typed: 'xenstore read /t/a', head: { out: 'one\n' } },
  { typed: 'xenstore-read /t/a /t/b', head: { out: 'one\ntwo words\n' } },
  {
    typed: 'xenstore-read -p /t/a /t/bin',
    head: { out: '/t/a: one\n/t/bin: x\\000\\001\\t\\n\\r\\\\\\x7f\\xff~\n' },
  },
  { typed: 'xenstore-read -R /t/bin', head: { out: 'x\x00\x01\t\n\r\\\x7f\xff~' } },
  { typed: 'xenstore-read -Rp /t/a /t/b', head: { out: '/t/a: one/t/b: two words' } },
  { typed: 'xenstore-read --prefix --raw /t/a', head: { out: '/t/a: one' } },
  { typed: 'xenstore-read --pre /t/a', head: { out: '/t/a: one\n' } },
  { typed: 'xenstore-read /t/a -p', head: { out: '/t/a: one\n' } },
  { typed: 'xenstore-read -s /t/a', head: { out: 'one\n' } },
  {
    typed: 'xenstore-read -- -p',
    head: { code: 1, err: "xenstore-read: couldn't read path -p\n" },
  },
  { typed: 'xenstore-read /t/no', head: { code: 1, err: "xenstore-read: couldn't read path /t/no\n" } },
  {
    typed: 'xenstore-read /t/a /t/no /t/b',
    head: { code: 1, out: 'one\n', err: "xenstore-read: couldn't read path /t/no\n" },
  },
  { typed: 'xenstore read bad.path', head: { code: 1, err: "xenstore: couldn't read path bad.path\n" } },
  {
    typed: 'xenstore-read',
    head: { code: 1, err: `xenstore-read: ${read}\n` },
    c417: { code: 1, err: `xenstore-read: ${read417}\n` },
  },
  {
    typed: 'xenstore-read -h',
    head: { err: `xenstore-read: ${read}\n` },
    c417: { code: 1, err: `xenstore-read: ${read417}\n` },
  },
  {
    typed: 'xenstore read --help /t/a',
    head: { err: 'xenstore: Usage: xenstore read [-h] [-p] [-R] key [...]\n' },
    c417: { code: 1, err: 'xenstore: Usage: xenstore read [-h] [-p] [-s] [-R] key [...]\n' },
  },
  // Options by getopt's rules: a complaint, and on it goes.
  { typed: 'xenstore-read -x /t/a', head: { out: 'one\n', err: "xenstore-read: invalid option -- 'x'\n" } },
  { typed: 'xenstore read -xp /t/a', head: { out: '/t/a: one\n', err: "read: invalid option -- 'x'\n" } },
  {
    typed: 'xenstore-read --no=1 /t/a',
    head: { out: 'one\n', err: "xenstore-read: unrecognized option '--no=1'\n" },
  },
  {
    typed: 'xenstore-read --s /t/a',
    head: { out: 'one\n', err: "xenstore-read: unrecognized option '--s'\n" },
  },
  {
    typed: 'xenstore-read --raw=1 /t/a',
    head: { out: 'one\n', err: "xenstore-read: option '--raw' doesn't allow an argument\n" },
  },
  {
    typed: 'xenstore-read --r /t/a',
    head: {
      out: 'one\n',
      err: "xenstore-read: option '--r' is ambiguous; possibilities: '--recurse' '--raw'\n",
    },
  },
  {
    typed: 'xenstore-watch -n 1 /t -n',
    head: { out: '/t\n', err: "xenstore-watch: option requires an argument -- 'n'\n" },
  },
  {
    typed: 'xenstore-watch --number 1 /t --number',
    head: { out: '/t\n', err: "xenstore-watch: option '--number' requires an argument\n" },
  },
  {
    typed: 'xenstore-read -t /t/a',
    head: { code: 1, err: `xenstore-read: ${read}\n` },
    c417: { code: 1, err: `xenstore-read: ${read417}\n` },
  },
  // Writing
  { typed: 'xenstore-write /t/a uno', head: {}, leaves: changed({ '/t/a': 'uno' }) },
  { typed: 'xenstore-write /t/a 1 /t/n 2', head: {}, leaves: changed({ '/t/a': '1', '/t/n': '2' }) },
  {
    typed: 'xenstore-write /t/a x\\t\\x41\\101\\q\\\\\\0z',
    head: {},
    leaves: changed({ '/t/a': 'x\\tAAq\\\\\\000z' }),
  },
  { typed: 'xenstore-write -- /t/a -5', head: {}, leaves: changed({ '/t/a': '-5' }) },
  {
    typed: 'xenstore-write /t/a -5 x',
    head: { err: "xenstore-write: invalid option -- '5'\n" },
    leaves: changed({ '/t/a': 'x' }),
  },
  { typed: 'xenstore-write /t/a \\', head: {}, leaves: changed({ '/t/a': '\\000' }) },
  {
    typed: 'xenstore-write /t/a \\xzz\\x\\x␣5\\x+5\\777',
    head: {},
    leaves: changed({ '/t/a': 'xzzx\\005\\005\\xff' }),
  },
  { typed: 'xenstore-write -R /t/a x\\t', head: {}, leaves: changed({ '/t/a': 'x\\\\t' }) },
  {
    typed: 'xenstore-write /t/a 1 /t/bad.path 2',
    head: { code: 1, err: 'xenstore-write: could not write path /t/bad.path\n' },
  },
  {
    typed: 'xenstore-write /t/a',
    head: { code: 1, err: 'xenstore-write: Usage: xenstore-write [-h] [-R] key value [...]\n' },
    c417: { code: 1, err: 'xenstore-write: Usage: xenstore-write [-h] [-s] [-R] key value [...]\n' },
  },
  // Removing
  { typed: 'xenstore-rm /t/a /t/b', head: {}, leaves: changed({ '/t/a': undefined, '/t/b': undefined }) },
  { typed: 'xenstore-rm /t/no', head: {} },
  {
    typed: 'xenstore-rm /t/a /t/no/no',
    head: { code: 1, err: 'xenstore-rm: could not remove path /t/no/no\n' },
  },
  {
    typed: 'xenstore-rm -t /t/deep/er/est',
    head: {},
    leaves: changed({ '/t/deep/er/est': undefined, '/t/deep/er': undefined, '/t/deep': undefined }),
  },
  {
    typed: 'xenstore-rm',
    head: { code: 1, err: 'xenstore-rm: Usage: xenstore-rm [-h] [-t] key [...]\n' },
    c417: { code: 1, err: 'xenstore-rm: Usage: xenstore-rm [-h] [-s] [-t] key [...]\n' },
  },
  // Asking
  { typed: 'xenstore-exists /t/a', head: {} },
  { typed: 'xenstore-exists /t/a /t/no', head: { code: 1 } },
  {
    typed: 'xenstore exists',
    head: { code: 1, err: 'xenstore: Usage: xenstore exists [-h] key\n' },
    c417: { code: 1, err: 'xenstore: Usage: xenstore exists [-h] [-p] [-s] key [...]\n' },
  },
  { typed: 'xenstore-list /t', head: { out: 'a\nb\nbin\ndeep\nlong\n' } },
  {
    typed: 'xenstore-list -p /t/deep /t',
    head: { out: '/t/deep/er\n/t/a\n/t/b\n/t/bin\n/t/deep\n/t/long\n' },
  },
  { typed: 'xenstore-list -p /', head: { out: '/tool\n/t\n' }, c417: { out: '//tool\n//t\n' } },
  { typed: 'xenstore-list /t/no', head: { code: 1, err: 'xenstore-list: could not list path /t/no\n' } },
  {
    typed: 'xenstore-list',
    head: { code: 1, err: 'xenstore-list: Usage: xenstore-list [-h] [-p] key [...]\n' },
    c417: { code: 1, err: 'xenstore-list: Usage: xenstore-list [-h] [-p] [-s] key [...]\n' },
  },
  // The tree
  {
    typed: 'xenstore-ls /t',
    head: {
      out: [
        'a = "one"',
        'b = "two words"',
        'bin = "x\\000\\001\\t\\n\\r\\\\\\x7f\\xff~"',
        'deep = ""',
        ' er = ""',
        '  est = "v"',
        `long = "${'abcdefghij'.repeat(6)}abcdefgh\\..."`,
        '',
      ].join('\n'),
    },
  },
  { typed: 'xenstore-ls -f /t', head: { out: `${flat.join('\n')}\n` } },
  {
    typed: 'xenstore-ls -p /t',
    head: {
      out: [
        'a = "one"  . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)',
        'b = "two words"  . . . . . . . . . . . . . . . . . . . . . .  (n0)',
        'bin = "x\\000\\001\\t\\n\\r\\\\\\x7f\\xff~" . . . . . . . . . . . . .  (n0)',
        'deep = ""  . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)',
        ' er = "" . . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)',
        '  est = "v"  . . . . . . . . . . . . . . . . . . . . . . . .  (n0,r3,b4)',
        `long = "${'abcdefghij'.repeat(6)}abcdefgh\\..."  (n0)`,
        '',
      ].join('\n'),
    },
  },
  {
    typed: 'xenstore-ls -fp /t/deep',
    head: { out: '/t/deep/er = ""   (n0)\n/t/deep/er/est = "v"   (n0,r3,b4)\n' },
  },
  {
    typed: 'xenstore-ls',
    head: {
      out: [
        'tool = ""',
        ' xenstored = ""',
        't = ""',
        ' a = "one"',
        ' b = "two words"',
        ' bin = "x\\000\\001\\t\\n\\r\\\\\\x7f\\xff~"',
        ' deep = ""',
        '  er = ""',
        '   est = "v"',
        ` long = "${'abcdefghij'.repeat(6)}abcdefg\\..."`,
        '',
      ].join('\n'),
    },
  },
  {
    typed: 'xenstore-ls /t/deep/ /t/deep/er',
    head: { code: 1, err: 'xenstore-ls: xs_directory (/t/deep/): Invalid argument\n' },
  },
  { typed: 'xenstore-ls /t/deep /t/deep/er', head: { out: 'er = ""\n est = "v"\nest = "v"\n' } },
  {
    typed: 'xenstore-ls /t/no',
    head: { code: 1, err: 'xenstore-ls: xs_directory (/t/no): No such file or directory\n' },
  },
  {
    typed: 'xenstore-ls bad.path',
    head: { code: 1, err: 'xenstore-ls: xs_directory (bad.path): Invalid argument\n' },
  },
  {
    typed: 'xenstore-ls -h',
    head: { err: 'xenstore-ls: Usage: xenstore-ls [-h] [-f] [-p] [path]\n' },
    c417: { code: 1, err: 'xenstore-ls: Usage: xenstore-ls [-h] [-f] [-p] [-s] [path]\n' },
  },
  // Permissions
  { typed: 'xenstore-chmod /t/a n0 r5', head: {} },
  {
    typed: 'xenstore-chmod /t/a x5',
    head: { code: 1, err: "xenstore-chmod: Invalid permission specification: 'x'\n" },
  },
  {
    typed: 'xenstore-chmod /t/no n0',
    head: {
      code: 1,
      err: "xenstore-chmod: Error occurred setting permissions on '/t/no': No such file or directory\n",
    },
  },
  {
    typed: 'xenstore-chmod /t/a',
    head: {
      code: 1,
      err: "xenstore-chmod: Error occurred setting permissions on '/t/a': Invalid argument\n",
    },
  },
  {
    typed: 'xenstore-chmod -r / n0',
    head: {
      code: 1,
      err: "xenstore-chmod: Error occurred setting permissions on '//tool': Invalid argument\n",
    },
  },
  {
    typed: 'xenstore-chmod -u t n0',
    head: {
      code: 1,
      err: "xenstore-chmod: Error occurred setting permissions on 't': No such file or directory\n",
    },
  },
  {
    typed: 'xenstore-chmod',
    head: { code: 1, err: 'xenstore-chmod: Usage: xenstore-chmod [-h] [-u] [-r] key <mode [modes...]>\n' },
    c417: {
      code: 1,
      err: 'xenstore-chmod: Usage: xenstore-chmod [-h] [-u] [-r] [-s] key <mode [modes...]>\n',
    },
  },
  // Watching
  { typed: 'xenstore-watch -n 2 /t /t/no', head: { out: '/t\n/t/no\n' } },
  { typed: 'xenstore-watch -n1 /t', head: { out: '/t\n' } },
  { typed: 'xenstore-watch --number=0 /t', head: {} },
  { typed: 'xenstore-watch -n -5 /t', head: {} },
  { typed: 'xenstore-watch --num 1 relative', head: { out: 'relative\n' } },
  {
    typed: 'xenstore-watch -n 2 /t /t',
    head: { code: 1, err: 'xenstore-watch: Unable to add watch on /t\n\n' },
  },
  {
    typed: 'xenstore-watch -n 1 -d 0 /t',
    head: { out: '/t\n' },
    // There the 0 is something to watch.
    c417: { out: '0\n', err: "xenstore-watch: invalid option -- 'd'\n" },
  },
  {
    typed: 'xenstore-watch -n 1 --depth=1 bad.path',
    head: { code: 1, err: 'xenstore-watch: Unable to add watch on bad.path with depth 1\n\n' },
    c417: {
      code: 1,
      err: "xenstore-watch: unrecognized option '--depth=1'\nxenstore-watch: Unable to add watch on bad.path\n\n",
    },
  },
  {
    typed: 'xenstore-watch',
    head: { code: 1, err: 'xenstore-watch: Usage: xenstore-watch [-h] [-n NR] key\n' },
  },
  // The daemon itself
  { typed: 'xenstore-control check', head: { out: 'OK\n' } },
  { typed: 'xenstore-control', head: { code: 2, err: 'Usage:\nxenstore-control <command> [<arg>...]\n' } },
  {
    typed: 'xenstore-control quota 99',
    head: { code: 3, err: 'Error 2 when trying to execute command.\n' },
  },
  {
    typed: 'xenstore-control live-update',
    head: { code: 2, err: 'Missing binary specification\n' },
  },
  {
    typed: 'xenstore-control live-update -F -c',
    head: { code: 2, err: 'Missing command line value\n' },
  },
  { typed: 'xenstore-control live-update -t', head: { code: 2, err: 'Missing timeout value\n' } },
  // Names
  { typed: 'xenstore', head: { code: 1, err: 'xenstore: Usage: xenstore <mode> [-h] [...]\n' } },
  { typed: 'xenstore nothing', head: { code: 1, err: 'xenstore: unknown mode nothing\n\n' } },
  { typed: 'xenstore -h', head: { code: 1, err: 'xenstore: unknown mode -h\n\n' } },
];
