/**
 * Transactions: identity, isolation, conflicts, commits and their events (docs/misc/xenstore.txt). Where the C daemon copies each node
 * when a transaction first looks at it, ours reads the store as it was at the start, lets what changed nothing always commit, and takes
 * for a conflict only a change to what a reply depended on; oxenstored replays.
 */
import {
  at,
  type Cell,
  type Chapter,
  have,
  node,
  type RequestStep,
  type Row,
  type Step,
  watch,
} from '../row.ts';

type Request = readonly [request: RequestStep[1], payload: string, answer?: Cell];

/** What the transaction did, what happened meanwhile, how it ended: one line of the table of conflicts. */
function conflict(title: string, inside: readonly Request[], outside: readonly Request[], end: Cell): Row {
  return {
    title,
    steps: [
      ...have('/t/A', '/t/B', '/t/X/a', '/t/M', '/t/x'),
      ['dom0', 'TRANSACTION_START', '|', '<t>'],
      ...inside.map(([op, payload, answer = 'OK|']): Step => ['dom0:t', op, payload, answer]),
      ...outside.map(([op, payload, answer = 'OK|']): Step => ['sock1', op, payload, answer]),
      ['dom0:t', 'TRANSACTION_END', 'T|', end],
      ['dom0:t', 'READ', '/|', at('!ENOENT', { ox: '!EIO' })],
    ],
  };
}

const conflicts: readonly Row[] = [
  conflict(
    'READ A; WRITE A: a reader never fails',
    [['READ', '/t/A|', '']],
    [['WRITE', '/t/A|1']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'READ A; WRITE A with the same value',
    [['READ', '/t/A|', '']],
    [['WRITE', '/t/A|']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'READ A, WRITE x; WRITE A',
    [
      ['READ', '/t/A|', ''],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/A|1']],
    '!EAGAIN',
  ),
  conflict(
    'READ A, WRITE x; WRITE A with the same value',
    [
      ['READ', '/t/A|', ''],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/A|']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict('READ A; WRITE B', [['READ', '/t/A|', '']], [['WRITE', '/t/B|1']], 'OK|'),
  conflict(
    'READ A, WRITE x; WRITE B',
    [
      ['READ', '/t/A|', ''],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/B|1']],
    'OK|',
  ),
  conflict('WRITE A; READ A', [['WRITE', '/t/A|1']], [['READ', '/t/A|', '']], 'OK|'),
  conflict('WRITE A; WRITE A', [['WRITE', '/t/A|1']], [['WRITE', '/t/A|2']], at('!EAGAIN', { ox: 'OK|' })),
  conflict('WRITE A; RM A', [['WRITE', '/t/A|1']], [['RM', '/t/A|']], at('!EAGAIN', { ox: 'OK|' })),
  conflict(
    'WRITE A; SET_PERMS A',
    [['WRITE', '/t/A|1']],
    [['SET_PERMS', '/t/A|r0|']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict(
    'SET_PERMS A; WRITE A',
    [['SET_PERMS', '/t/A|r0|']],
    [['WRITE', '/t/A|1']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict(
    'READ X; create X/n',
    [['READ', '/t/X|', '']],
    [['WRITE', '/t/X/n|']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'READ X, WRITE x; create X/n: a value does not depend on the children',
    [
      ['READ', '/t/X|', ''],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/X/n|']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'DIRECTORY X, WRITE x; create X/n',
    [
      ['DIRECTORY', '/t/X|', 'a|'],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/X/n|']],
    '!EAGAIN',
  ),
  conflict(
    'DIRECTORY X, WRITE x; RM X/a',
    [
      ['DIRECTORY', '/t/X|', 'a|'],
      ['WRITE', '/t/x|1'],
    ],
    [['RM', '/t/X/a|']],
    '!EAGAIN',
  ),
  conflict(
    'DIRECTORY X, WRITE x; WRITE existing X/a',
    [
      ['DIRECTORY', '/t/X|', 'a|'],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/X/a|1']],
    'OK|',
  ),
  conflict(
    'READ X, WRITE x; WRITE existing X/a',
    [
      ['READ', '/t/X|', ''],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/X/a|1']],
    'OK|',
  ),
  conflict(
    'READ missing N; create N',
    [['READ', '/t/N|', '!ENOENT']],
    [['WRITE', '/t/N|']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'READ missing N, WRITE x; create N',
    [
      ['READ', '/t/N|', '!ENOENT'],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/N|']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict(
    'READ missing A/b/c, WRITE x; WRITE A: absence does not depend on a value',
    [
      ['READ', '/t/A/b/c|', '!ENOENT'],
      ['WRITE', '/t/x|1'],
    ],
    [['WRITE', '/t/A|1']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'create X/n1; create X/n2: siblings are made side by side',
    [['WRITE', '/t/X/n1|']],
    [['WRITE', '/t/X/n2|']],
    at('OK|', { chead: '!EAGAIN', ox: 'OK|' }),
  ),
  conflict(
    'create X/n; create X/n',
    [['WRITE', '/t/X/n|1']],
    [['WRITE', '/t/X/n|2']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict('create X/n; RM X', [['WRITE', '/t/X/n|1']], [['RM', '/t/X|']], at('!EAGAIN', { ox: 'OK|' })),
  conflict(
    'MKDIR X/n; MKDIR X/n',
    [['MKDIR', '/t/X/n|']],
    [['MKDIR', '/t/X/n|']],
    at('!EAGAIN', { ox: 'OK|' }),
  ),
  conflict('RM A; WRITE A', [['RM', '/t/A|']], [['WRITE', '/t/A|1']], at('!EAGAIN', { ox: 'OK|' })),
  conflict('RM A; RM B', [['RM', '/t/A|']], [['RM', '/t/B|']], at('OK|', { chead: '!EAGAIN', ox: 'OK|' })),
  conflict('MKDIR existing M; MKDIR M', [['MKDIR', '/t/M|']], [['MKDIR', '/t/M|']], 'OK|'),
  conflict('WRITE A; WRITE B', [['WRITE', '/t/A|1']], [['WRITE', '/t/B|1']], 'OK|'),
  conflict(
    'GET_PERMS A, WRITE x; SET_PERMS A',
    [
      ['GET_PERMS', '/t/A|', 'n0|'],
      ['WRITE', '/t/x|1'],
    ],
    [['SET_PERMS', '/t/A|r0|']],
    '!EAGAIN',
  ),
];

export const transactions: Chapter = {
  title: 'transactions',
  rows: [
    {
      title: 'ids count from 1, per connection, and belong to it alone',
      steps: [
        ['dom0', 'TRANSACTION_START', '|', '1|'],
        ['dom0', 'TRANSACTION_START', '|', '2|'],
        ['sock1', 'TRANSACTION_START', '|', '1|'],
        ['d1', 'TRANSACTION_START', '|', '1|'],
        ['sock1:2', 'READ', '/|', at('!ENOENT', { ox: '!EIO' })],
        ['d1:2', 'READ', '/|', at('!ENOENT', { ox: '!EIO' })],
        ['dom0:1', 'TRANSACTION_END', 'F|', 'OK|'],
        ['dom0', 'TRANSACTION_START', '|', '3|'],
      ],
    },
    {
      title: 'no transaction inside a transaction',
      steps: [
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'TRANSACTION_START', '|', '!EBUSY'],
        ['dom0:99', 'TRANSACTION_START', '|', at('!ENOENT', { ox: '!EIO' })],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
      ],
    },
    {
      title: 'TRANSACTION_END wants T or F; otherwise the transaction stays open',
      steps: [
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'TRANSACTION_END', '|', '!EINVAL'],
        ['dom0:t', 'TRANSACTION_END', 'X|', '!EINVAL'],
        ['dom0:t', 'TRANSACTION_END', 't|', '!EINVAL'],
        ['dom0:t', 'TRANSACTION_END', 'TF|', '!EINVAL'],
        ['dom0:t', 'TRANSACTION_END', 'T|x|', at('!EINVAL', { ox: /^/ })],
        ['dom0', 'TRANSACTION_END', 'T|', at('!ENOENT', { ox: /^/ })],
        ['dom0:t', 'TRANSACTION_END', 'T|', at('OK|', { ox: /^/ })],
        ['dom0:t', 'TRANSACTION_END', 'T|', at('!ENOENT', { ox: '!EIO' })],
      ],
    },
    {
      title: 'nothing is seen outside before the commit, all of it after',
      steps: [
        ...have('/a', '/b'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/a|1', 'OK|'],
        ['dom0:t', 'WRITE', '/n/m|2', 'OK|'],
        ['dom0:t', 'RM', '/b|', 'OK|'],
        ['dom0:t', 'READ', '/a|', '1'],
        ['dom0:t', 'READ', '/n/m|', '2'],
        ['dom0:t', 'READ', '/b|', '!ENOENT'],
        ['dom0:t', 'DIRECTORY', '/n|', 'm|'],
        ['dom0', 'READ', '/a|', ''],
        ['sock1', 'READ', '/n/m|', '!ENOENT'],
        ['sock1', 'READ', '/b|', ''],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['sock1', 'READ', '/a|', '1'],
        ['sock1', 'READ', '/n/m|', '2'],
        ['sock1', 'READ', '/b|', '!ENOENT'],
      ],
    },
    {
      title: 'F throws everything away, and gives no event',
      steps: [
        ...have('/a'),
        ...watch('dom0', '/'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/a|1', 'OK|'],
        ['dom0:t', 'WRITE', '/n|1', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'F|', 'OK|'],
        ['dom0', 'READ', '/a|', ''],
        ['dom0', 'READ', '/n|', '!ENOENT'],
        ['dom0', 'EVENTS', []],
      ],
    },
    {
      title: 'a transaction reads the store as it was at its start',
      steps: [
        ...have('/a', '/b'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'READ', '/a|', ''],
        ['sock1', 'WRITE', '/b|1', 'OK|'],
        ['sock1', 'WRITE', '/n|1', 'OK|'],
        ['dom0:t', 'READ', '/b|', at('', { chead: '1', ox: '' })],
        ['dom0:t', 'READ', '/n|', at('!ENOENT', { chead: '1', ox: '!ENOENT' })],
        ['dom0:t', 'WRITE', '/x|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', at('!EAGAIN', { chead: 'OK|', c417: /^/, ox: '!EAGAIN' })],
      ],
    },
    ...conflicts,
    {
      title: 'a request that failed inside does not spoil the rest',
      steps: [
        ...node('/a', 'n1|'),
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['d1:t', 'WRITE', '/secret|', '!EACCES'],
        ['d1:t', 'READ', '/a/none|', '!ENOENT'],
        ['d1:t', 'SET_PERMS', '/a|x|', '!EINVAL'],
        ['d1:t', 'WRITE', '/a/b|1', 'OK|'],
        ['d1:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'READ', '/a/b|', '1'],
      ],
    },
    {
      title: 'a node made and removed inside leaves no trace',
      steps: [
        ...have('/a'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/a/n/m|1', 'OK|'],
        ['dom0:t', 'RM', '/a/n|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['dom0', 'DIRECTORY', '/a|', ''],
      ],
    },
    {
      title: 'a node made, removed and made again is there once',
      steps: [
        ...have('/a'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/a/n|1', 'OK|'],
        ['dom0:t', 'RM', '/a/n|', 'OK|'],
        ['dom0:t', 'WRITE', '/a/n|2', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['dom0', 'DIRECTORY', '/a|', 'n|'],
        ['dom0', 'READ', '/a/n|', '2'],
      ],
    },
    {
      title: 'events of a commit: each changed node once, in the order of first access',
      steps: [
        ...have('/t/a/b', '/t/c'),
        ...watch('dom0', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/t/a/b|1', 'OK|'],
        ['dom0:t', 'WRITE', '/t/c|1', 'OK|'],
        ['dom0:t', 'WRITE', '/t/a|1', 'OK|'],
        ['dom0:t', 'WRITE', '/t/a/b|2', 'OK|'],
        ['dom0', 'EVENTS', []],
        [
          'dom0:t',
          'TRANSACTION_END',
          'T|',
          at(['EVENT /t/a/b|t|', 'EVENT /t/c|t|', 'EVENT /t/a|t|', 'OK|'], {
            ox: ['EVENT /t/a/b|t|', 'EVENT /t/c|t|', 'EVENT /t/a|t|', 'EVENT /t/a/b|t|', 'OK|'],
          }),
        ],
      ],
    },
    {
      title: 'events of a commit: a node that was made and removed is not told',
      skip: { ox: 'tells every operation' },
      steps: [
        ...have('/t/a'),
        ...watch('dom0', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/t/a|1', 'OK|'],
        ['dom0:t', 'WRITE', '/t/c|1', 'OK|'],
        ['dom0:t', 'MKDIR', '/t/m|', 'OK|'],
        ['dom0:t', 'RM', '/t/c|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['dom0', 'EVENTS', ['/t/a|t|', '/t/m|t|']],
      ],
    },
    {
      title: 'events of a commit: a removed tree, its root first',
      skip: { ox: 'another order' },
      steps: [
        ...have('/t/x/a'),
        ...watch('dom0', '/t', 'top'),
        ...watch('dom0', '/t/x', 'x'),
        ...watch('dom0', '/t/x/a', 'a'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'RM', '/t/x|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['dom0', 'EVENTS', ['/t/x|top|', '/t/x|x|', '/t/x/a|a|']],
      ],
    },
    {
      title: 'events of a commit: to whom the node was readable before or is now',
      steps: [
        ...node('/t', 'n0|'),
        ...node('/t/was', 'n0|r1|'),
        ...node('/t/is', 'n0|'),
        ...node('/t/never', 'n0|'),
        ...watch('d1', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'SET_PERMS', '/t/was|n0|', 'OK|'],
        ['dom0:t', 'SET_PERMS', '/t/is|n0|r1|', 'OK|'],
        ['dom0:t', 'WRITE', '/t/never|1', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'EVENTS', ['/t/was|t|', '/t/is|t|']],
      ],
    },
    {
      title: 'events of a commit: a child made before its parent was opened',
      skip: { ox: 'tells of both' },
      steps: [
        ...node('/t', 'n0|'),
        ...watch('d1', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'MKDIR', '/t/c|', 'OK|'],
        ['dom0:t', 'SET_PERMS', '/t|n0|r1|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'EVENTS', ['/t|t|']],
      ],
    },
    {
      title: 'events of a commit: a child made after its parent was opened',
      skip: { ox: 'tells every operation' },
      steps: [
        ...node('/t', 'n0|'),
        ...watch('d1', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'SET_PERMS', '/t|n0|r1|', 'OK|'],
        ['dom0:t', 'MKDIR', '/t/c|', 'OK|'],
        ['dom0:t', 'SET_PERMS', '/t/c|n0|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'EVENTS', ['/t|t|', '/t/c|t|']],
      ],
    },
    {
      title: 'events of a commit: a child changed, and its parent shut after that',
      skip: { ox: 'looks at the end alone' },
      steps: [
        ...node('/t', 'n0|r1|'),
        ...node('/t/c', 'n0|'),
        ...watch('d1', '/t'),
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'WRITE', '/t/c|', 'OK|'],
        ['dom0:t', 'SET_PERMS', '/t|n0|', 'OK|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'EVENTS', ['/t/c|t|', '/t|t|']],
      ],
    },
    {
      title: 'permissions set inside hold inside',
      steps: [
        ...node('/p', 'n1|'),
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['d1:t', 'SET_PERMS', '/p|n1|r2|', 'OK|'],
        ['d1:t', 'GET_PERMS', '/p|', 'n1|r2|'],
        ['d2', 'READ', '/p|', '!EACCES'],
        ['d1:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d2', 'READ', '/p|', ''],
      ],
    },
    {
      title: 'what is outside the store works inside a transaction as ever',
      steps: [
        ['dom0', 'TRANSACTION_START', '|', '<t>'],
        ['dom0:t', 'GET_DOMAIN_PATH', '1|', '/local/domain/1|'],
        ['dom0:t', 'IS_DOMAIN_INTRODUCED', '0|', 'T|'],
        ['dom0:t', 'TRANSACTION_END', 'T|', 'OK|'],
      ],
    },
    {
      title: 'the transactions of a client that has gone are gone',
      steps: [
        ['sock1', 'TRANSACTION_START', '|', '<t>'],
        ['sock1:t', 'WRITE', '/n|', 'OK|'],
        ['sock1', 'CLOSE'],
        ['dom0', 'READ', '/n|', '!ENOENT'],
      ],
    },
    {
      title: 'INTRODUCE again ends the transactions of a domain',
      steps: [
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['dom0', 'INTRODUCE', '1|1|1|', 'OK|'],
        ['d1:t', 'READ', '/|', at('!ENOENT', { ox: /^/ })],
      ],
    },
  ],
};
