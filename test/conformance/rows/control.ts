/** CONTROL as the C daemon answers it, word for word (docs/misc/xenstore.txt, and the daemon's own `help`). */
import { at, type Chapter, node } from '../row.ts';

const C_ALONE = { ox: 'has other commands', c417: 'had other texts' };

/** `nodes            :     1000 Nodes per domain` and its like. */
const line = (name: string, value: number, text: string): string =>
  `${name.padEnd(17)}: ${String(value).padStart(8)} ${text}\n`;

const settings = (nodes: number): string =>
  'Quota settings:\n' +
  line('nodes', nodes, 'Nodes per domain') +
  line('watches', 128, 'Watches per domain') +
  line('outstanding', 20, 'Outstanding requests per domain') +
  line('memory', 2621440, 'Total Xenstore memory per domain') +
  line('transactions', 10, 'Active transactions per domain') +
  line('transaction-nodes', 1024, 'Max. number of accessed nodes per transaction') +
  line('node-permissions', 5, 'Max. number of permissions per node') +
  line('path-max', 2048, 'Max. length of a node path') +
  line('node-size', 2048, 'Max. size of a node');

/** A domain's use, whatever the maxima are. */
function usage(domid: number, used: Readonly<Record<string, number>>): RegExp {
  const names = [
    'nodes',
    'watches',
    'outstanding',
    'memory',
    'transactions',
    'transaction-nodes',
    'node-permissions',
    'path-max',
    'node-size',
  ];
  const lines = names.map(
    (name) => `${name.padEnd(17)}: ${String(used[name] ?? 0).padStart(8)} \\(max [ \\d]{8}\\)\n`,
  );
  return new RegExp(`^Domain ${domid}:\n${lines.join('')}\\|$`);
}

export const control: Chapter = {
  title: 'control',
  rows: [
    {
      title: 'what is no command, or has no NUL, or the wrong number of arguments',
      skip: { ox: 'answers OK to anything' },
      steps: [
        ['dom0', 'CONTROL', 'none|', '!EINVAL'],
        ['dom0', 'CONTROL', '|', '!EINVAL'],
        ['dom0', 'CONTROL', 'check', at('!EINVAL', { c417: /^!/ })],
        ['dom0', 'CONTROL', 'check|x|', '!EINVAL'],
        ['dom0', 'CONTROL', 'print|', '!EINVAL'],
        ['dom0', 'CONTROL', 'print|a|b|', '!EINVAL'],
        ['dom0', 'CONTROL', 'logfile|', '!EINVAL'],
        ['dom0', 'CONTROL', 'memreport|a|b|', '!EINVAL'],
        ['dom0', 'CONTROL', 'help|x|', at('!EINVAL', { chead: /./ })],
        ['dom0', 'CONTROL', 'quota|1|2|', '!EINVAL'],
        ['dom0', 'CONTROL', 'quota|set|nodes|', '!EINVAL'],
      ],
    },
    {
      title: 'check',
      steps: [['dom0', 'CONTROL', 'check|', 'OK|']],
    },
    {
      title: 'log: the switches',
      skip: C_ALONE,
      steps: [
        [
          'dom0',
          'CONTROL',
          'log|',
          'Log switch settings:\nobj     : on\nio      : on\nwrl     : off\nacc     : off\ntdb     : off\n|',
        ],
        ['dom0', 'CONTROL', 'log|+wrl|', 'OK|'],
        ['dom0', 'CONTROL', 'log|-io|', 'OK|'],
        [
          'dom0',
          'CONTROL',
          'log|',
          'Log switch settings:\nobj     : on\nio      : off\nwrl     : on\nacc     : off\ntdb     : off\n|',
        ],
        ['dom0', 'CONTROL', 'log|+none|', '!EINVAL'],
        ['dom0', 'CONTROL', 'log|wrl|', '!EINVAL'],
        ['dom0', 'CONTROL', 'log|on|x|', '!EINVAL'],
      ],
    },
    {
      title: 'print',
      skip: { ox: 'has other commands' },
      steps: [['dom0', 'CONTROL', 'print|hello|', 'OK|']],
    },
    {
      title: 'memreport to where nothing can be written',
      skip: { ox: 'has other commands' },
      steps: [['dom0', 'CONTROL', 'memreport|/nonexistent/file|', '!EINVAL']],
    },
    {
      title: 'quota: the settings, and how they are changed',
      skip: C_ALONE,
      steps: [
        ['dom0', 'CONTROL', 'quota|', `${settings(1000)}|`],
        ['dom0', 'CONTROL', 'quota|set|nodes|5|', 'OK|'],
        ['dom0', 'CONTROL', 'quota|', `${settings(5)}|`],
        ['dom0', 'GET_QUOTA', 'nodes|', '5|'],
        ['dom0', 'CONTROL', 'quota|set|nodes|0|', '!EINVAL'],
        ['dom0', 'CONTROL', 'quota|set|nodes|x|', '!EINVAL'],
        ['dom0', 'CONTROL', 'quota|set|none|5|', '!EINVAL'],
        ['dom0', 'CONTROL', 'quota|set|nodes|5|6|', '!EINVAL'],
      ],
    },
    {
      title: 'quota-soft',
      skip: C_ALONE,
      steps: [
        [
          'dom0',
          'CONTROL',
          'quota-soft|',
          `Quota settings:\n${line('memory', 2097152, 'Total Xenstore memory per domain')}|`,
        ],
        ['dom0', 'CONTROL', 'quota-soft|set|memory|5000|', 'OK|'],
        [
          'dom0',
          'CONTROL',
          'quota-soft|',
          `Quota settings:\n${line('memory', 5000, 'Total Xenstore memory per domain')}|`,
        ],
        ['dom0', 'CONTROL', 'quota-soft|set|nodes|5|', '!EINVAL'],
        ['dom0', 'CONTROL', 'quota-soft|1|', '!EINVAL'],
      ],
    },
    {
      title: 'quota of a domain',
      skip: C_ALONE,
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'WRITE', '/g/a/b|', 'OK|'],
        ['d1', 'WATCH', '/g|t|', 'OK|'],
        ['d1', 'WATCH', '/h|t|', 'OK|'],
        ['dom0', 'CONTROL', 'quota|1|', usage(1, { nodes: 3, watches: 2, memory: 94 })],
        ['d1', 'RM', '/g/a|', 'OK|'],
        ['d1', 'UNWATCH', '/h|t|', 'OK|'],
        ['dom0', 'CONTROL', 'quota|1|', usage(1, { nodes: 1, watches: 1, memory: 29 })],
        ['dom0', 'CONTROL', 'quota|0|', /^Domain 0:\nnodes {12}: {8}5 /],
        ['dom0', 'CONTROL', 'quota|x|', /^Domain 0:\n/],
        ['dom0', 'CONTROL', 'quota|9|', '!ENOENT'],
      ],
    },
    {
      title: 'quota: the highest values seen',
      skip: C_ALONE,
      steps: [
        [
          'dom0',
          'CONTROL',
          'quota|max|',
          /^Max\. seen accounting values:\nnodes {12}: {7,8}\d+\nwatches {10}: {7,8}\d+\n(.*: +\d+\n){7}\|$/,
        ],
        ['dom0', 'CONTROL', 'quota|max|-r|', /^Max\. seen accounting values:\n(.*: +\d+\n){9}\|$/],
        ['dom0', 'CONTROL', 'quota|max|x|', '!EINVAL'],
      ],
    },
    {
      title: 'help: what each command takes',
      skip: C_ALONE,
      steps: [
        ['dom0', 'CONTROL', 'help|', /^check {11}\nlog {13}\[on\|off\|\+<switch>\|-<switch>\]\n/],
        ['dom0', 'CONTROL', 'help|', /\nlogfile {9}<file>\nmemreport {7}\[<file>\]\nprint {11}<string>\n/],
        [
          'dom0',
          'CONTROL',
          'help|',
          /\nquota {11}\[set <name> <val>\|<domid>\|max \[-r\]\]\nquota-soft {6}\[set <name> <val>\]\n/,
        ],
        ['dom0', 'CONTROL', 'help|', /\nhelp {12}\n\|$/],
      ],
    },
  ],
};
