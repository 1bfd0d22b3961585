/** Who may do what: the gate in front of every node, SET_PERMS, targets, dead domains (docs/misc/xenstore.txt, XSA-115, 322, 417). */
import { at, type Chapter, have, node, type Row, type Step, watch } from '../row.ts';

/** Every letter that the owner may give the others, and what a stranger can then do. */
const letters: readonly (readonly [letter: string, read: boolean, write: boolean])[] = [
  ['n', false, false],
  ['r', true, false],
  ['w', false, true],
  ['b', true, true],
];

function may(who: string, path: string, read: boolean, write: boolean): Step[] {
  return [
    [who, 'READ', `${path}|`, read ? '' : '!EACCES'],
    [who, 'DIRECTORY', `${path}|`, read ? '' : '!EACCES'],
    [who, 'GET_PERMS', `${path}|`, read ? /^/ : '!EACCES'],
    [who, 'WRITE', `${path}|`, write ? 'OK|' : '!EACCES'],
  ];
}

const badLists: readonly string[] = [
  'x0|',
  'r|',
  '|',
  'R0|',
  'r0x|',
  'r0|q1|',
  'r1.5|',
  'rr0|',
  '0|',
  'r 0x|',
  'n0|r|',
];

export const permissions: Chapter = {
  title: 'permissions',
  rows: [
    ...letters.map(
      ([letter, read, write]): Row => ({
        title: `the first entry's letter ${letter} is for everybody`,
        steps: [...node('/p', `${letter}0|`), ...may('d1', '/p', read, write)],
      }),
    ),
    ...letters.map(
      ([letter, read, write]): Row => ({
        title: `an entry with ${letter} is for its domain alone, in place of the default`,
        steps: [
          ...node('/p', `b0|${letter}1|`),
          ...may('d1', '/p', read, write),
          ...may('d2', '/p', true, true),
        ],
      }),
    ),
    {
      title: 'the owner may do everything, whatever its letter',
      steps: [
        ...node('/p', 'n1|'),
        ...may('d1', '/p', true, true),
        ['d1', 'SET_PERMS', '/p|r1|', 'OK|'],
        ...may('d2', '/p', true, false),
        ['d2', 'SET_PERMS', '/p|r1|', '!EACCES'],
      ],
    },
    {
      title: 'the first entry that names a domain decides',
      steps: [
        ...node('/p', 'n0|r1|b1|'),
        ...may('d1', '/p', true, false),
        ['d1', 'GET_PERMS', '/p|', 'n0|r1|b1|'],
      ],
    },
    {
      title: 'an entry that names the owner changes nothing',
      steps: [...node('/p', 'n1|n1|'), ...may('d1', '/p', true, true)],
    },
    {
      title: 'dom0 passes everywhere',
      domains: [1],
      steps: [
        ...node('/p', 'n1|'),
        ['dom0', 'READ', '/p|', ''],
        ['dom0', 'WRITE', '/p|v', 'OK|'],
        ['dom0', 'SET_PERMS', '/p|n2|', at('!ENOENT', { ox: 'OK|' })],
        ['dom0', 'SET_PERMS', '/p|n0|', 'OK|'],
      ],
    },
    {
      title: 'access to a node does not need access to those above it',
      steps: [
        ...node('/p', 'n0|'),
        ...node('/p/x', 'n0|r1|'),
        ['d1', 'READ', '/p|', '!EACCES'],
        ['d1', 'READ', '/p/x|', ''],
      ],
    },
    {
      title: 'a guest cannot tell a missing node from an unreadable one',
      steps: [
        ...node('/p', 'n0|'),
        ...node('/p/x', 'n0|'),
        ['d1', 'READ', '/p/x|', '!EACCES'],
        ['d1', 'READ', '/p/none|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'DIRECTORY', '/p/none|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'GET_PERMS', '/p/none|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'WRITE', '/p/none|', '!EACCES'],
        ['d1', 'MKDIR', '/p/none|', '!EACCES'],
        ['d1', 'SET_PERMS', '/p/none|n1|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'READ', '/none|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'READ', '/none/x/y|', at('!EACCES', { ox: '!ENOENT' })],
      ],
    },
    {
      title: 'ENOENT is told where the nearest node above may be read',
      steps: [
        ...node('/p', 'n0|r1|'),
        ['d1', 'READ', '/p/none|', '!ENOENT'],
        ['d1', 'READ', '/p/none/x/y|', '!ENOENT'],
        ['d1', 'GET_PERMS', '/p/none|', '!ENOENT'],
        ['d1', 'DIRECTORY', '/p/none|', '!ENOENT'],
        ['d1', 'SET_PERMS', '/p/none|n1|', at('!EACCES', { ox: '!ENOENT' })],
        ['d1', 'RM', '/p/none|', at('!EACCES', { ox: 'OK|' })],
      ],
    },
    {
      title: 'a guest may make nodes where the nearest one above lets it write, at any depth',
      steps: [
        ...node('/w', 'n0|w1|'),
        ...node('/r', 'n0|r1|'),
        ['d1', 'WRITE', '/w/a/b|', 'OK|'],
        ['d1', 'MKDIR', '/w/m/n|', 'OK|'],
        ['d1', 'READ', '/w/a|', at('', { ox: '!EACCES' })],
        ['d1', 'WRITE', '/r/a|', '!EACCES'],
        ['d1', 'MKDIR', '/r/a|', '!EACCES'],
      ],
    },
    ...badLists.map(
      (list): Row => ({
        title: `SET_PERMS refuses ${JSON.stringify(list)}`,
        steps: [
          ...have('/p'),
          ['dom0', 'SET_PERMS', `/p|${list}`, '!EINVAL'],
          ['dom0', 'GET_PERMS', '/p|', 'n0|'],
        ],
      }),
    ),
    {
      title: 'SET_PERMS reads its numbers as C does',
      skip: { ox: 'another integer syntax' },
      steps: [
        ...have('/p'),
        ['d1', 'READ', '/|', '!EACCES'],
        ['d8', 'READ', '/|', '!EACCES'],
        ['dom0', 'SET_PERMS', '/p|n0x1|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', 'n1|'],
        ['dom0', 'SET_PERMS', '/p|r010|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', 'r8|'],
        ['dom0', 'SET_PERMS', '/p|n 1|', 'OK|'],
        ['dom0', 'SET_PERMS', '/p|n+1|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', 'n1|'],
      ],
    },
    {
      title: 'SET_PERMS ignores what follows the last NUL',
      steps: [
        ...have('/p'),
        ['dom0', 'SET_PERMS', '/p|r0', '!EINVAL'],
        ['dom0', 'SET_PERMS', '/p|r0|r3', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', at('r0|', { ox: /^r0\|/ })],
      ],
    },
    {
      title: 'an unknown domain cannot own; elsewhere it is kept and grants nothing',
      skip: { ox: 'ids are never looked up' },
      steps: [
        ...have('/p'),
        ['dom0', 'SET_PERMS', '/p|n9|', '!ENOENT'],
        ['dom0', 'SET_PERMS', '/p|n0|r9|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', 'n0|r9|'],
        ['host', 'create', 9],
        ['dom0', 'INTRODUCE', '9|1|1|', 'OK|'],
        ['d9', 'READ', '/p|', '!EACCES'],
        ['dom0', 'SET_PERMS', '/p|n0|r9|', 'OK|'],
        ['d9', 'READ', '/p|', ''],
      ],
    },
    {
      title: 'a domain that exists may be named before it is introduced',
      unintroduced: [5],
      steps: [
        ...have('/p'),
        ['dom0', 'SET_PERMS', '/p|n5|', 'OK|'],
        ['dom0', 'SET_PERMS', '/p|n0|r5|', 'OK|'],
        ['dom0', 'INTRODUCE', '5|1|1|', 'OK|'],
        ['d5', 'READ', '/p|', ''],
      ],
    },
    {
      title: 'SET_PERMS looks at the list before it looks at the node',
      steps: [
        ...node('/p', 'n0|'),
        ['d1', 'SET_PERMS', '/p|x1|', '!EINVAL'],
        ['d1', 'SET_PERMS', '/p|n9|', at('!ENOENT', { ox: '!EACCES' })],
        ['d1', 'SET_PERMS', '/p|n1|', '!EACCES'],
        ['dom0', 'SET_PERMS', '/none|n0|', '!ENOENT'],
        ['dom0', 'SET_PERMS', '/none|x0|', '!EINVAL'],
      ],
    },
    {
      title: 'a guest cannot give its node away',
      steps: [
        ...node('/p', 'n1|'),
        ['d1', 'SET_PERMS', '/p|n0|', at('!EPERM', { ox: '!EACCES' })],
        ['d2', 'READ', '/p|', '!EACCES'],
        ['d1', 'SET_PERMS', '/p|n2|', at('!EPERM', { ox: '!EACCES' })],
        ['d1', 'SET_PERMS', '/p|r1|w2|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p|', 'r1|w2|'],
      ],
    },
    {
      title: 'five entries fit for a guest, six do not; dom0 has no limit',
      skip: { ox: 'has no such limit' },
      steps: [
        ...node('/p', 'n1|'),
        ['d1', 'SET_PERMS', '/p|n1|r0|r0|r0|', 'OK|'],
        ['d1', 'SET_PERMS', '/p|n1|r0|r0|r0|r0|', at('OK|', { chead: '!ENOSPC', c417: 'OK|' })],
        ['d1', 'SET_PERMS', '/p|n1|r0|r0|r0|r0|r0|', '!ENOSPC'],
        ['dom0', 'SET_PERMS', `/p|n1|${'r0|'.repeat(40)}`, 'OK|'],
        ['d1', 'SET_PERMS', '/p|n1|x0|r0|r0|r0|r0|', '!ENOSPC'],
      ],
    },
    {
      title: 'DOMID_ANY stands for everybody',
      skip: {
        chead: 'a socket that sends this kills the daemon',
        c417: 'came later',
        ox: 'an id like any other',
      },
      steps: [
        ...node('/p', 'n0|r32757|'),
        ['dom0', 'GET_PERMS', '/p|', 'n0|r32757|'],
        ...may('d1', '/p', true, false),
        ['dom0', 'SET_PERMS', '/p|n0|n1|b32757|', 'OK|'],
        ...may('d1', '/p', false, false),
        ...may('d2', '/p', true, true),
        ['dom0', 'SET_PERMS', '/p|n32757|', '!ENOMEM'],
      ],
    },
    {
      title: "SET_TARGET lends the target's rights",
      steps: [
        ...node('/t', 'n2|'),
        ...node('/u', 'n0|r2|'),
        ['d1', 'READ', '/t|', '!EACCES'],
        ['dom0', 'SET_TARGET', '1|2|', 'OK|'],
        ['d1', 'READ', '/t|', ''],
        ['d1', 'READ', '/u|', ''],
        ['d1', 'WRITE', '/u|', '!EACCES'],
        ['d1', 'WRITE', '/t/x|', 'OK|'],
        ['dom0', 'GET_PERMS', '/t/x|', at('n1|', { ox: 'n2|' })],
        ['d2', 'READ', '/t/x|', at('!EACCES', { ox: '' })],
      ],
    },
    {
      title: 'a second SET_TARGET replaces the first; targets are not passed on',
      domains: [2],
      steps: [
        ...node('/t2', 'n2|'),
        ...node('/t3', 'n3|'),
        ['dom0', 'SET_TARGET', '1|2|', 'OK|'],
        ['dom0', 'SET_TARGET', '1|3|', 'OK|'],
        ['d1', 'READ', '/t2|', '!EACCES'],
        ['d1', 'READ', '/t3|', ''],
        ['dom0', 'SET_TARGET', '3|2|', 'OK|'],
        ['d3', 'READ', '/t2|', ''],
        ['d1', 'READ', '/t2|', '!EACCES'],
        ['dom0', 'SET_TARGET', '1|1|', 'OK|'],
        ['d1', 'READ', '/t3|', '!EACCES'],
      ],
    },
    {
      title: 'SET_TARGET wants domains that it knows',
      steps: [
        ['d1', 'READ', '/|', '!EACCES'],
        ['dom0', 'SET_TARGET', '1|9|', at('!ENOENT', { ox: 'OK|' })],
        ['dom0', 'SET_TARGET', '9|1|', '!ENOENT'],
        ['dom0', 'SET_TARGET', 'x|1|', at('!EINVAL', { c417: 'OK|', ox: /^/ })],
      ],
    },
    {
      title: 'the target dies first: its rights end at once, for whoever has them',
      skip: { chead: 'the record lives on', c417: 'the record lives on', ox: 'the id stays' },
      steps: [
        ...node('/t', 'n0|r2|'),
        ['d1', 'READ', '/|', '!EACCES'],
        ['d2', 'READ', '/t|', ''],
        ['dom0', 'SET_TARGET', '1|2|', 'OK|'],
        ['d1', 'READ', '/t|', ''],
        ['dom0', 'RELEASE', '2|', 'OK|'],
        ['d1', 'READ', '/t|', '!EACCES'],
        ['dom0', 'INTRODUCE', '2|1|1|', 'OK|'],
        ['dom0', 'SET_PERMS', '/t|n0|r2|', 'OK|'],
        ['d1', 'READ', '/t|', '!EACCES'],
      ],
    },
    {
      title: "a dead domain's nodes go, with what is below them; its entries in others go too",
      steps: [
        ...node('/a', 'n0|'),
        ...node('/a/own', 'n3|'),
        ...node('/a/own/foreign', 'n0|'),
        ...node('/b', 'n0|r3|w2|'),
        ['d2', 'READ', '/b|', '!EACCES'],
        ...watch('dom0', '/a'),
        ['d3', 'READ', '/b|', ''],
        ['dom0', 'RELEASE', '3|', 'OK|'],
        ['dom0', 'READ', '/a/own|', '!ENOENT'],
        ['dom0', 'READ', '/a/own/foreign|', '!ENOENT'],
        ['dom0', 'EVENTS', { ours: ['/a/own|t|'], ox: [] }],
        ['dom0', 'GET_PERMS', '/b|', at('n0|w2|', { c417: 'n0|r3|w2|', ox: 'n0|w2|' })],
      ],
    },
    {
      title:
        'an entry for a domain that never was goes with the next one of that number, or with a failed attempt at it',
      skip: { c417: 'keeps such entries', ox: 'likewise' },
      steps: [
        ...have('/a', '/b'),
        ['dom0', 'SET_PERMS', '/a|n0|r9|', 'OK|'],
        ['dom0', 'INTRODUCE', '9|1|1|', /^!/],
        ['dom0', 'GET_PERMS', '/a|', 'n0|'],
        ['dom0', 'SET_PERMS', '/b|n0|r9|', 'OK|'],
        ['host', 'create', 9],
        ['dom0', 'INTRODUCE', '9|1|1|', 'OK|'],
        ['dom0', 'GET_PERMS', '/b|', 'n0|r9|'],
        ['dom0', 'RELEASE', '9|', 'OK|'],
        ['dom0', 'GET_PERMS', '/b|', 'n0|'],
      ],
    },
    {
      title: 'the root and the special nodes outlive a domain that they were given to',
      skip: {
        chead: 'loses the root, and dies of the special nodes',
        c417: 'loses the root',
        ox: 'loses them',
      },
      steps: [
        ...have('/a'),
        ['d3', 'GET_DOMAIN_PATH', '3|', '/local/domain/3|'],
        ['dom0', 'SET_PERMS', '/|n3|r2|', 'OK|'],
        ['dom0', 'SET_PERMS', '@releaseDomain|b3|', 'OK|'],
        ...watch('dom0', '@releaseDomain'),
        ['host', 'kill', 3],
        ['dom0', 'EVENTS', ['@releaseDomain|t|']],
        ['dom0', 'GET_PERMS', '/|', 'n0|r2|'],
        ['dom0', 'GET_PERMS', '@releaseDomain|', 'b0|'],
        ['dom0', 'READ', '/a|', ''],
        ['dom0', 'WRITE', '/b|', 'OK|'],
      ],
    },
    {
      title: 'a domid used again inherits nothing',
      steps: [
        ...node('/b', 'n0|r3|'),
        ['d3', 'READ', '/b|', ''],
        ['host', 'kill', 3],
        ['dom0', 'WRITE', '/other|', 'OK|'],
        ['dom0', 'EVENTS', []],
        ['host', 'create', 3],
        ['dom0', 'INTRODUCE', '3|1|1|', 'OK|'],
        ['d3', 'READ', '/b|', '!EACCES'],
        ['dom0', 'SET_PERMS', '/b|n0|r3|', 'OK|'],
        ['d3', 'READ', '/b|', ''],
      ],
    },
    {
      title: "the special nodes' permissions",
      skip: { ox: 'ordinary children of the root' },
      steps: [
        ['dom0', 'GET_PERMS', '@introduceDomain|', at('n0|', { c417: '!EINVAL' })],
        ['dom0', 'GET_PERMS', '@releaseDomain|', at('n0|r32757|', { c417: '!EINVAL' })],
        ['dom0', 'GET_PERMS', '@other|', at('!ENOENT', { c417: '!EINVAL' })],
        ['d1', 'GET_PERMS', '@introduceDomain|', at('!EACCES', { c417: '!EINVAL' })],
        ['d1', 'GET_PERMS', '@releaseDomain|', at('n0|r32757|', { c417: '!EINVAL' })],
        ['d1', 'SET_PERMS', '@releaseDomain|n0|r1|', at('!EACCES', { c417: '!EINVAL' })],
        ['dom0', 'SET_PERMS', '@introduceDomain|n0|r1|', 'OK|'],
        ['d1', 'GET_PERMS', '@introduceDomain|', at('n0|r1|', { c417: '!EINVAL' })],
        ['dom0', 'SET_PERMS', '@other|n0|', at('!ENOENT', { c417: '!EINVAL' })],
      ],
    },
  ],
};
