/**
 * Who may import whom: each file belongs to a room, each room lists the rooms it may import from. What is not listed is
 * forbidden. Says nothing about what happens inside a room.
 */
import type { Import } from './source.ts';

/** A room by path: the first pattern that fits. `$1` and on are the pattern's groups. */
const rooms: readonly (readonly [RegExp, string])[] = [
  [/^osdep\/errno\.ts$/, 'osdep/errno'],
  [/^osdep\/machine\.ts$/, 'osdep/machine'],
  [/^osdep\/[^/]+$/, 'osdep'],
  [/^osdep\/sim\/world([./-].*)$/, 'osdep/sim/world'],
  [/^osdep\/(ring|os|sim|xen)\//, 'osdep/$1'],
  [/^xenstored\/admin\/page\//, 'xenstored/admin/page'],
  [/^netback\/(vif|xensock)\/main\.ts$/, 'netback/$1/main'],
  [/^netback\/(vif|xensock)\/([^/]+)\//, 'netback/$1/$2'],
  [/^(xenstored|toolstack|blkback)\/([^/]+)\//, '$1/$2'],
  [/^(xenstored|toolstack|blkback)\/main\.ts$/, '$1/main'],
  [/^toolstack\/setup\.mjs$/, 'setup'],
  [/^test\//, 'test'],
  [/^[^/]+$/, 'test'],
];

/** `type R`: only types of room R. `own/`: the whole service. `npm` is a package, whose one door `doors` tells. */
const table: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^osdep\/errno$/, []],
  [/^osdep$/, ['osdep/errno']],
  [/^osdep\/machine$/, ['osdep', 'osdep/sim', 'osdep/xen']],
  [/^osdep\/ring$/, ['osdep/errno']],
  [/^osdep\/os$/, ['osdep', 'osdep/errno', 'node', 'npm']],
  [/^osdep\/sim\/world$/, ['osdep', 'osdep/errno']],
  [/^osdep\/sim$/, ['osdep', 'osdep/errno', 'osdep/ring', 'osdep/os', 'osdep/sim/world', 'node']],
  [/^osdep\/xen$/, ['osdep', 'osdep/errno', 'osdep/ring', 'osdep/os', 'node']],
  [/^xenstored\/wire$/, ['osdep/errno']],
  [/^xenstored\/xenbus$/, ['osdep/errno', 'xenstored/wire']],
  [/\/core$/, ['xenstored/wire', 'xenstored/xenbus', 'type osdep', 'type osdep/errno']],
  [
    /^xenstored\/client$/,
    ['xenstored/wire', 'xenstored/xenbus', 'osdep', 'osdep/errno', 'osdep/ring', 'osdep/os', 'node'],
  ],
  [
    /\/front$/,
    [
      'own/core',
      'xenstored/client',
      'xenstored/xenbus',
      'osdep',
      'osdep/errno',
      'osdep/ring',
      'node:stream',
      'node:events',
    ],
  ],
  [
    /\/(io|disk)$/,
    [
      'own/core',
      'xenstored/wire',
      'xenstored/client',
      'xenstored/xenbus',
      'osdep',
      'osdep/errno',
      'osdep/ring',
      'osdep/os',
      'npm',
      'node',
    ],
  ],
  [/^xenstored\/admin$/, ['xenstored/client', 'xenstored/xenbus', 'type osdep', 'npm', 'node']],
  // Runs in a browser.
  [/^xenstored\/admin\/page$/, ['type xenstored/xenbus']],
  [
    /^toolstack\/guest$/,
    [
      'own/',
      'xenstored/client',
      'front',
      'osdep',
      'osdep/errno',
      'osdep/ring',
      'osdep/xen',
      'osdep/sim',
      'npm',
      'node',
    ],
  ],
  [
    /^toolstack\/(console|model)$/,
    [
      'own/core',
      'own/io',
      'xenstored/client',
      'xenstored/xenbus',
      'osdep',
      'osdep/errno',
      'osdep/ring',
      'osdep/os',
      'osdep/machine',
      'node',
    ],
  ],
  [
    /\/(cli|ssh|main)$/,
    [
      'own/',
      'xenstored/client',
      'osdep',
      'osdep/errno',
      'osdep/xen',
      'osdep/sim',
      'osdep/machine',
      'npm',
      'node',
    ],
  ],
  [/^xenstored\/stubdom$/, ['node', 'npm']],
  [/^setup$/, ['node']],
];

/** Rooms without a hypervisor, a clock or chance: their answer is decided by their arguments alone. */
export function isCore(path: string): boolean {
  return /\/core\/|^xenstored\/(wire|xenbus)\/|^osdep\/sim\/world[./-]/.test(path);
}

export function roomOf(path: string): string | undefined {
  for (const [pattern, room] of rooms) {
    const match = pattern.exec(path);
    if (match) return room.replace(/\$(\d)/g, (_, group: string) => match[Number(group)]!);
  }
  return undefined;
}

function service(room: string): string {
  return /^netback\/[^/]+/.exec(room)?.[0] ?? room.split('/')[0]!;
}

/** Why a file may not import this; undefined: it may. */
export function forbidden(path: string, wanted: Import): string | undefined {
  const from = roomOf(path);
  if (from === undefined) return 'stands in no room: move the file to where a room of the house is';
  if (from === 'test') return undefined;
  const to = targetRoom(wanted);
  if (to === undefined) return `${wanted.specifier} is in no room`;
  if (to === from) return undefined;
  const allowed = table.find(([pattern]) => pattern.test(from))?.[1];
  if (allowed === undefined) return `the room ${from} is not in the table of test/tidy/rooms.ts`;
  for (const entry of allowed) {
    if (entry.startsWith('type ')) {
      if (wanted.typesOnly && entry.slice(5) === to) return undefined;
    } else if (entry === wanted.specifier || matches(entry, from, to)) return undefined;
  }
  const types = allowed.includes(`type ${to}`) ? ' (only its types, by `import type`)' : '';
  return `${from} may not import from ${to}${types}; it may from ${allowed.join(', ') || 'nothing'}`;
}

function matches(entry: string, from: string, to: string): boolean {
  if (entry === 'own/') return to.startsWith(`${service(from)}/`);
  if (entry.startsWith('own/')) return to === `${service(from)}/${entry.slice(4)}`;
  if (entry === 'front') return to.endsWith('/front');
  return to === entry;
}

function targetRoom(wanted: Import): string | undefined {
  if (wanted.target !== undefined) return roomOf(wanted.target);
  return wanted.specifier.startsWith('node:') ? 'node' : 'npm';
}

/** Each package has one file in a service that imports its values, so that it can be replaced in an afternoon. */
export const doors: Readonly<Record<string, string | readonly string[]>> = {
  koffi: 'osdep/os/ffi.ts',
  level: 'xenstored/io/database.ts',
  fastify: ['xenstored/admin/app.ts', 'netback/xensock/io/control.ts', 'toolstack/io/server.ts'],
  '@fastify/static': 'xenstored/admin/page.ts',
  '@fastify/swagger': 'xenstored/admin/app.ts',
  'openapi-fetch': 'xenstored/admin/client/index.ts',
  'eventsource-parser': 'xenstored/admin/client/events.ts',
  '@fastify/swagger-ui': 'xenstored/admin/app.ts',
  '@fastify/compress': 'xenstored/admin/app.ts',
  '@fastify/rate-limit': 'xenstored/admin/app.ts',
  typebox: 'xenstored/admin/schemas.ts',
  ajv: ['xenstored/admin/validate.ts', 'toolstack/io/hostfile.ts', 'netback/xensock/io/policyfile.ts'],
  'prom-client': 'xenstored/admin/metrics.ts',
  commander: 'toolstack/cli/parse.ts',
  pino: 'toolstack/io/log.ts',
  ssh2: 'toolstack/ssh/library.ts',
  'tar-stream': 'toolstack/guest/archive.ts',
  'range-parser': 'toolstack/guest/files.ts',
  mrmime: 'toolstack/guest/files.ts',
  undici: 'toolstack/guest/fetcher.ts',
  rolldown: 'xenstored/stubdom/bundle.ts',
};
