/**
 * Quotas: how much a guest may have, what it is told when it wants more (the C daemon's names and errors). A quota of N allows N in
 * ours; today's C daemon allows N - 1, which ours does with `--quota-compare=head`.
 */
import { encodeMessage } from '../../../xenstored/wire/frame.ts';
import { Op } from '../../../xenstored/wire/ops.ts';
import { bytes } from '../play.ts';
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

/** What `who` may do at the limit and just past it, ours first: allowed, allowed by us and refused by C today. */
const last = (refused: string, c417: Cell = 'OK|'): Cell =>
  at('OK|', { chead: refused, c417: c417 as string, ox: /^/ });

const writes = (who: string, parent: string, count: number): RequestStep[] =>
  Array.from({ length: count }, (_, i) => [who, 'WRITE', `${parent}/n${i}|`, 'OK|'] as const);

const value = (length: number): string => 'v'.repeat(length);

/** The quota of `N` by both of its readings. */
function both(row: Row): Row[] {
  return [
    row,
    {
      ...row,
      title: `${row.title} (--quota-compare=head)`,
      args: [...(row.args ?? []), '--quota-compare=head'],
      skip: { chead: 'that is what it does', c417: 'has no such option', ox: 'has no such option' },
      steps: row.steps.map(asHead),
    },
  ];
}

/** Ours answers as the column of today's C daemon says. */
function asHead(step: Step): Step {
  const cell = step[3] as Cell | undefined;
  if (cell === undefined || typeof cell !== 'object' || !('ours' in cell) || cell.chead === undefined)
    return step;
  return [...step.slice(0, 3), cell.chead] as unknown as Step;
}

const OX = { ox: 'limits of its own' };

export const quotas: Chapter = {
  title: 'quotas',
  rows: [
    ...both({
      title: 'nodes: five are allowed, whoever made them room',
      args: ['-E', '5'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ...writes('d1', '/g', 3),
        ['d1', 'WRITE', '/g/last|', last('!ENOSPC')],
        ['d1', 'WRITE', '/g/more|', '!ENOSPC'],
        ['d1', 'MKDIR', '/g/more|', '!ENOSPC'],
        ['d1', 'WRITE', '/g/n0|again', 'OK|'],
        ['d1', 'RM', '/g/n0|', 'OK|'],
        ['d1', 'WRITE', '/g/n0|', 'OK|'],
        ['d1', 'READ', '/g/more|', '!ENOENT'],
      ],
    }),
    {
      title: 'nodes: what is made on the way counts, and a refused path leaves nothing behind',
      args: ['-E', '6'],
      skip: { chead: 'looks only at what was there before the request', ox: 'limits of its own' },
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'WRITE', '/g/a/b/c/d/e/f/g|', '!ENOSPC'],
        ['d1', 'DIRECTORY', '/g|', ''],
        ['d1', 'WRITE', '/g/a/b/c|', 'OK|'],
        ['d1', 'WRITE', '/g/a/b/d|', 'OK|'],
      ],
    },
    {
      title: "nodes: dom0 has no limit, also below a guest's node, and the guest is charged",
      args: ['-E', '4'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ...writes('dom0', '/g', 10),
        ['d1', 'WRITE', '/g/x|', '!ENOSPC'],
        ['d1', 'WRITE', '/g/n0|', 'OK|'],
        ...writes('dom0', '/own', 10),
      ],
    },
    {
      title: 'nodes: a change of owner moves the charge, without asking',
      args: ['-E', '4'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ...writes('d1', '/g', 2),
        ...node('/a', 'n1|'),
        ...node('/b', 'n1|'),
        ['d1', 'WRITE', '/g/x|', '!ENOSPC'],
        ['dom0', 'SET_PERMS', '/a|n0|', 'OK|'],
        ['dom0', 'SET_PERMS', '/b|n0|', 'OK|'],
        ['d1', 'WRITE', '/g/x|', last('!ENOSPC')],
      ],
    },
    {
      title: 'nodes: in a transaction they count at its end',
      args: ['-E', '4'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['d1:t', 'WRITE', '/g/a|', 'OK|'],
        ['d1:t', 'WRITE', '/g/b|', 'OK|'],
        ['d1:t', 'RM', '/g/b|', 'OK|'],
        ['d1:t', 'WRITE', '/g/c|', 'OK|'],
        ['d1:t', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'DIRECTORY', '/g|', 'a|c|'],
      ],
    },
    ...both({
      title: 'watches: three are allowed',
      args: ['-W', '3'],
      skip: { c417: 'allows one more', ox: 'limits of its own' },
      steps: [
        ...watch('d1', '/a'),
        ...watch('d1', '/b'),
        ['d1', 'WATCH', '/c|t|', last('!ENOSPC')],
        ['d1', 'WATCH', '/d|t|', '!ENOSPC'],
        ['d1', 'WATCH', '/a|t|', '!EEXIST'],
        ['d1', 'UNWATCH', '/a|t|', 'OK|'],
        ['d1', 'UNWATCH', '/b|t|', 'OK|'],
        ['d1', 'WATCH', '/d|t|', 'OK|'],
      ],
    }),
    {
      title: 'watches: the error was E2BIG',
      args: ['-W', '2'],
      skip: { ours: 'of 4.17', chead: 'of 4.17', ox: 'limits of its own' },
      steps: [
        ...watch('d1', '/a'),
        ...watch('d1', '/b'),
        ...watch('d1', '/c'),
        ['d1', 'WATCH', '/d|t|', '!E2BIG'],
      ],
    },
    {
      title: 'watches: sockets have no limit',
      args: ['-W', '2'],
      config: ['quota-maxwatch = 2'],
      skip: { ox: 'limits dom0 too' },
      steps: [...watch('dom0', '/a'), ...watch('dom0', '/b'), ...watch('dom0', '/c'), ...watch('dom0', '/d')],
    },
    ...both({
      title: 'transactions: three at once are allowed',
      args: ['-t', '3'],
      skip: { c417: 'allows one more', ox: 'limits of its own' },
      steps: [
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['d1', 'TRANSACTION_START', '|', '<u>'],
        ['d1', 'TRANSACTION_START', '|', at('3|', { chead: '!ENOSPC' })],
        ['d1', 'TRANSACTION_START', '|', '!ENOSPC'],
        ['d1:t', 'TRANSACTION_END', 'F|', 'OK|'],
        ['d1:u', 'TRANSACTION_END', 'T|', 'OK|'],
        ['d1', 'TRANSACTION_START', '|', '<v>'],
        ['dom0', 'TRANSACTION_START', '|', '<a>'],
        ['dom0', 'TRANSACTION_START', '|', '<b>'],
        ['dom0', 'TRANSACTION_START', '|', '<c>'],
        ['dom0', 'TRANSACTION_START', '|', '<d>'],
      ],
    }),
    ...both({
      title: 'transaction-nodes: ten may be looked at; one more dooms the commit',
      args: ['-Q', 'transaction-nodes=10'],
      skip: OX,
      steps: [
        ...node('/g', 'r0|'),
        ...writes('dom0', '/g', 12),
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ...Array.from({ length: 9 }, (_, i) => ['d1:t', 'READ', `/g/n${i}|`, ''] as const),
        ['d1:t', 'READ', '/g/n9|', at('', { chead: '!ENOSPC', c417: '' })],
        ['d1:t', 'READ', '/g/n10|', '!ENOSPC'],
        ['d1:t', 'READ', '/g/n0|', ''],
        ['d1:t', 'TRANSACTION_END', 'T|', '!ENOMEM'],
        ['d1:t', 'READ', '/g|', '!ENOENT'],
      ],
    }),
    ...both({
      title: 'node-size: header, entries, value and the names of children',
      args: ['-S', '100'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'WRITE', `/g/x|${value(60)}`, 'OK|'],
        ['d1', 'WRITE', `/g/x|${value(75)}`, at('OK|', { c417: '!ENOSPC' })],
        ['d1', 'WRITE', `/g/x|${value(76)}`, at('OK|', { chead: '!ENOSPC' })],
        ['d1', 'WRITE', `/g/x|${value(77)}`, '!ENOSPC'],
        ['d1', 'WRITE', `/g/x|${value(30)}`, 'OK|'],
        ['d1', 'WRITE', `/g/${value(50)}|`, 'OK|'],
        ['d1', 'WRITE', `/g/${value(40)}|`, '!ENOSPC'],
        ['dom0', 'WRITE', `/g/${value(40)}|${value(2000)}`, 'OK|'],
        ['d1', 'RM', `/g/${value(40)}|`, 'OK|'],
      ],
    }),
    {
      title: 'node-permissions: as many entries as said',
      args: ['-A', '3'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'SET_PERMS', '/g|n1|r0|', 'OK|'],
        ['d1', 'SET_PERMS', '/g|n1|r0|r0|', last('!ENOSPC')],
        ['d1', 'SET_PERMS', '/g|n1|r0|r0|r0|', '!ENOSPC'],
      ],
    },
    {
      title: 'path-max: as long as said',
      args: ['-M', '10'],
      skip: OX,
      steps: [
        ...node('/g', 'r0|'),
        ['d1', 'READ', '/g/345678|', '!ENOENT'],
        ['d1', 'READ', '/g/3456789|', at('!ENOENT', { chead: '!EINVAL', c417: '!ENOENT' })],
        ['d1', 'READ', '/g/34567890|', '!EINVAL'],
        ['d1', 'READ', 'x45678|', '!EACCES'],
      ],
    },
    {
      title:
        'outstanding: a guest that does not read its answers is not read, nobody else minds, and all is answered in the end',
      args: ['-Q', 'outstanding=5'],
      skip: OX,
      steps: [
        ...node('/g', 'n1|'),
        ['dom0', 'WRITE', `/g|${value(900)}`, 'OK|'],
        ['d1', 'PAUSE'],
        [
          'd1',
          'RAW',
          Buffer.concat(Array<Buffer>(60).fill(encodeMessage(Op.READ, 1, 0, bytes('/g|')))),
          '<silence>',
        ],
        ['d2', 'GET_DOMAIN_PATH', '2|', '/local/domain/2|'],
        ['dom0', 'READ', '/tool|', ''],
        ['d1', 'UNPAUSE'],
        ...Array.from({ length: 60 }, (): Step => ['d1', 'REPLY', value(900)]),
        ['d1', 'READ', '/g|', value(900)],
      ],
    },
    {
      title: 'memory: what would take too much is refused, with one answer each; dom0 is not limited',
      args: ['-Q', 'memory=3600'],
      skip: { c417: 'answers with whatever errno was left', ox: 'has no such limit' },
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'WRITE', `/g/a|${value(1500)}`, 'OK|'],
        ['d1', 'WRITE', `/g/b|${value(1500)}`, 'OK|'],
        ['d1', 'WRITE', `/g/c|${value(1000)}`, '!EIO'],
        ['d1', 'WRITE', `/g/a|${value(2020)}`, /^!E/],
        ['d1', 'READ', '/g/c|', '!ENOENT'],
        ['d1', 'RM', '/g/b|', 'OK|'],
        ['d1', 'WRITE', `/g/c|${value(1500)}`, 'OK|'],
        ['dom0', 'WRITE', `/g/d|${value(1500)}`, 'OK|'],
      ],
    },
    {
      title: 'memory: watches and long replies that would take too much are ENOMEM; short ones get through',
      args: ['-Q', 'memory=300'],
      skip: { ox: 'has no such limit' },
      steps: [
        ...node('/r', 'r0|'),
        ['dom0', 'WRITE', `/r|${value(400)}`, 'OK|'],
        ['d1', 'READ', '/r|', '!ENOMEM'],
        ['d1', 'WATCH', `/r|${value(400)}|`, '!ENOMEM'],
        ['d1', 'WATCH', '/r|t|', 'OK|'],
        ['d1', 'EVENTS', ['/r|t|']],
        ['dom0', 'WRITE', `/r|${value(100)}`, 'OK|'],
        ['d1', 'READ', '/r|', value(100)],
        ['d1', 'EVENTS', ['/r|t|']],
      ],
    },
    {
      title: 'GET_QUOTA: the names, the values for all and for one',
      skip: { c417: 'came with 4.22', ox: 'has none' },
      steps: [
        [
          'dom0',
          'GET_QUOTA',
          '',
          'nodes watches outstanding memory soft-memory transactions transaction-nodes node-permissions path-max node-size|',
        ],
        ['dom0', 'GET_QUOTA', 'nodes|', '1000|'],
        ['dom0', 'GET_QUOTA', 'watches|', '128|'],
        ['dom0', 'GET_QUOTA', 'outstanding|', '20|'],
        ['dom0', 'GET_QUOTA', 'memory|', '2621440|'],
        ['dom0', 'GET_QUOTA', 'soft-memory|', '2097152|'],
        ['dom0', 'GET_QUOTA', 'transactions|', '10|'],
        ['dom0', 'GET_QUOTA', 'transaction-nodes|', '1024|'],
        ['dom0', 'GET_QUOTA', 'node-permissions|', '5|'],
        ['dom0', 'GET_QUOTA', 'path-max|', '2048|'],
        ['dom0', 'GET_QUOTA', 'node-size|', '2048|'],
        ['dom0', 'GET_QUOTA', 'permissions|', '!EINVAL'],
        ['dom0', 'GET_QUOTA', 'soft-nodes|', '!EINVAL'],
        ['dom0', 'GET_QUOTA', 'none|', '!EINVAL'],
        ['dom0', 'GET_QUOTA', '1|nodes|x|', '!EINVAL'],
        ['dom0', 'GET_QUOTA', '9|nodes|', '!ENOENT'],
        ['dom0', 'GET_QUOTA', 'x|nodes|', '!EINVAL'],
        ['d1', 'GET_QUOTA', '', '!EACCES'],
        ['dom0', 'GET_QUOTA', '1|nodes|', '1000|'],
      ],
    },
    {
      title: 'SET_QUOTA: for all that come later, and for one at once',
      skip: { c417: 'came with 4.22', ox: 'has none' },
      steps: [
        ...node('/g', 'b0|'),
        ['d1', 'WRITE', '/g/a|', 'OK|'],
        ['dom0', 'SET_QUOTA', 'nodes|3|', 'OK|'],
        ['dom0', 'GET_QUOTA', 'nodes|', '3|'],
        ['dom0', 'GET_QUOTA', '1|nodes|', '1000|'],
        ['host', 'create', 5],
        ['dom0', 'INTRODUCE', '5|1|1|', 'OK|'],
        ['dom0', 'GET_QUOTA', '5|nodes|', '3|'],
        ['dom0', 'SET_QUOTA', '1|nodes|4|', 'OK|'],
        ['dom0', 'GET_QUOTA', '1|nodes|', '4|'],
        ['dom0', 'GET_QUOTA', 'nodes|', '3|'],
        ...writes('d1', '/g', 2),
        ['d1', 'WRITE', '/g/last|', last('!ENOSPC')],
        ['d1', 'WRITE', '/g/more|', '!ENOSPC'],
        ['dom0', 'SET_QUOTA', '1|nodes|0|', 'OK|'],
        ...writes('d1', '/g/more', 10),
      ],
    },
    {
      title: 'SET_QUOTA: arguments',
      skip: { c417: 'came with 4.22', ox: 'has none' },
      steps: [
        ['d1', 'SET_QUOTA', 'nodes|3|', '!EACCES'],
        ['dom0', 'SET_QUOTA', 'nodes|', '!EINVAL'],
        ['dom0', 'SET_QUOTA', '1|nodes|3|x|', '!EINVAL'],
        ['dom0', 'SET_QUOTA', 'none|3|', '!EINVAL'],
        ['dom0', 'SET_QUOTA', 'soft-nodes|3|', '!EINVAL'],
        ['dom0', 'SET_QUOTA', '9|nodes|3|', '!ENOENT'],
        ['dom0', 'SET_QUOTA', 'nodes|x|', 'OK|'],
        ['dom0', 'GET_QUOTA', 'nodes|', '0|'],
        ['dom0', 'SET_QUOTA', 'nodes|-1|', '!EINVAL'],
        ['dom0', 'SET_QUOTA', 'soft-memory|5000|', 'OK|'],
        ['dom0', 'GET_QUOTA', 'soft-memory|', '5000|'],
        ['dom0', 'GET_QUOTA', 'memory|', '2621440|'],
      ],
    },
    {
      title: "oxenstored's limits",
      config: ['quota-maxentity = 5', 'quota-maxwatch = 2', 'quota-transaction = 2', 'quota-maxsize = 100'],
      skip: { ours: "another daemon's", chead: "another daemon's", c417: "another daemon's" },
      steps: [
        ...node('/g', 'n1|'),
        ...writes('d1', '/g', 3),
        ['d1', 'WRITE', '/g/last|', /^/],
        ['d1', 'WRITE', '/g/more|', '!EQUOTA'],
        ['d1', 'WATCH', '/a|t|', 'OK|'],
        ['d1', 'WATCH', '/b|t|', 'OK|'],
        ['d1', 'WATCH', '/c|t|', 'OK|'],
        ['d1', 'WATCH', '/d|t|', '!EQUOTA'],
        ['d1', 'TRANSACTION_START', '|', '<t>'],
        ['d1', 'TRANSACTION_START', '|', '<u>'],
        ['d1', 'TRANSACTION_START', '|', '<v>'],
        ['d1', 'TRANSACTION_START', '|', '!EQUOTA'],
        ...have('/x'),
        ['dom0', 'WRITE', `/x|${value(100)}`, 'OK|'],
        ['dom0', 'WRITE', `/x|${value(101)}`, '!E2BIG'],
      ],
    },
  ],
};
