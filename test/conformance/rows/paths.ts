/** What is a path, and how a payload is split into strings (docs/misc/xenstore.txt; the exact rules are the C daemon's). */
import { at, type Chapter, have, node, type Row } from '../row.ts';

const bad: readonly string[] = [
  '',
  '/a/',
  '//',
  '/a//b',
  '//a',
  'a//b',
  'a/',
  '/a.b',
  '/a:b',
  '/a+b',
  '/a b',
  '/a~b',
  '/a%b',
  '/a\\b',
  '/a\x01b',
  '/a\xe9b',
  '/local/domain/',
];

const good: readonly string[] = ['/a', '/a/b', '/a@b', '/@', '/A-Z_09', '/-', '/_', '/a/@x', 'rel', 'rel/b'];

const special = ['READ', 'WRITE', 'MKDIR', 'RM', 'DIRECTORY'] as const;

/** `/xx...`, so long in all. */
const long = (length: number): string => `/${'x'.repeat(length - 1)}`;
const QUOTA = { ox: 'other limits' };

export const paths: Chapter = {
  title: 'paths and arguments',
  rows: [
    ...bad.map(
      (path): Row => ({
        title: `${JSON.stringify(path)} is not a path`,
        steps: [
          ['dom0', 'READ', `${path}|`, '!EINVAL'],
          ['dom0', 'WRITE', `${path}|v`, '!EINVAL'],
          ['dom0', 'MKDIR', `${path}|`, '!EINVAL'],
          ['dom0', 'RM', `${path}|`, '!EINVAL'],
          ['dom0', 'DIRECTORY', `${path}|`, '!EINVAL'],
          ['dom0', 'GET_PERMS', `${path}|`, '!EINVAL'],
          ['dom0', 'SET_PERMS', `${path}|n0|`, '!EINVAL'],
          ['dom0', 'WATCH', `${path}|t|`, '!EINVAL'],
          [
            'dom0',
            'UNWATCH',
            `${path}|t|`,
            at('!EINVAL', { c417: '!ENOENT', ox: path ? '!ENOENT' : '!EINVAL' }),
          ],
          ['dom0', 'DIRECTORY_PART', `${path}|0|`, at('!EINVAL', { ox: '!ENOSYS' })],
        ],
      }),
    ),
    ...good.map(
      (path): Row => ({
        title: `${JSON.stringify(path)} is a path`,
        steps: [
          ['dom0', 'WRITE', `${path}|v`, 'OK|'],
          ['dom0', 'READ', `${path}|`, 'v'],
          ['dom0', 'WATCH', `${path}|t|`, 'OK|'],
          ['dom0', 'EVENTS', [`${path}|t|`]],
          ['dom0', 'RM', `${path}|`, 'OK|'],
          ['dom0', 'EVENTS', [`${path}|t|`]],
        ],
      }),
    ),
    ...special.map(
      (op): Row => ({
        title: `${op} does not take a special path`,
        steps: [
          ['dom0', op, '@introduceDomain|', at('!EINVAL', { ox: /^/ })],
          ['dom0', op, '@other|', at('!EINVAL', { ox: /^/ })],
        ],
      }),
    ),
    {
      title: 'a relative path is below the home of the domain that asks',
      steps: [
        ...node('/local/domain/1', 'n1|'),
        ['d1', 'WRITE', 'a/b|v', 'OK|'],
        ['d1', 'READ', 'a/b|', 'v'],
        ['d1', 'READ', '/local/domain/1/a/b|', 'v'],
        ['dom0', 'READ', '/local/domain/1/a/b|', 'v'],
      ],
    },
    {
      title: 'a relative path on a socket is below the home of the control domain',
      steps: [
        ['dom0', 'WRITE', 'a|v', 'OK|'],
        ['dom0', 'READ', '/local/domain/0/a|', 'v'],
      ],
    },
    {
      title: 'a guest may name 2048 bytes of path, not counting its home',
      skip: QUOTA,
      steps: [
        ...node('/g', 'n1|'),
        ['d1', 'READ', `${long(2047)}|`, '!EACCES'],
        ['d1', 'READ', `${long(2048)}|`, at('!EACCES', { chead: '!EINVAL', c417: '!EACCES' })],
        ['d1', 'READ', `${long(2049)}|`, '!EINVAL'],
        ['d1', 'READ', `/local/domain/1${long(2040)}|`, '!EACCES'],
        ['d1', 'READ', `/local/domain/12345${long(2040)}|`, '!EACCES'],
        ['d1', 'READ', `/local/domain/123456${long(2040)}|`, '!EINVAL'],
      ],
    },
    {
      title: 'a socket has no limit on paths',
      skip: QUOTA,
      steps: [
        ['dom0', 'READ', `${long(2049)}|`, at('!ENOENT', { c417: '!EINVAL' })],
        ['dom0', 'READ', `${long(4095)}|`, at('!ENOENT', { c417: '!EINVAL' })],
      ],
    },
    {
      title: 'a command of one argument takes exactly one string',
      steps: [
        ...have('/a'),
        ['dom0', 'READ', '/a', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'READ', '/a||', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'READ', '/a|b', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'READ', '/a|b|', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'DIRECTORY', '/a', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'DIRECTORY', '/a|b', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'GET_PERMS', '/a', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'MKDIR', '/a', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'MKDIR', '/a|b|', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'RM', '/a', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'RM', '/a|b|', at('!EINVAL', { c417: /^!/, ox: '!EINVAL' })],
        ['dom0', 'GET_DOMAIN_PATH', '1', at('!EINVAL', { ox: /./s })],
        ['dom0', 'GET_DOMAIN_PATH', '1|2|', at('!EINVAL', { ox: /./s })],
        ['dom0', 'IS_DOMAIN_INTRODUCED', '1', at('!EINVAL', { ox: /./s })],
        ['dom0', 'IS_DOMAIN_INTRODUCED', '1|2|', at('!EINVAL', { ox: /./s })],
        ['dom0', 'RELEASE', '1', '!EINVAL'],
        ['dom0', 'RESUME', '1|2|', '!EINVAL'],
      ],
    },
    {
      title: 'a command of several arguments counts the strings',
      steps: [
        ['dom0', 'WRITE', '/a', '!EINVAL'],
        ['dom0', 'WATCH', '/a|', '!EINVAL'],
        ['dom0', 'WATCH', '/a|t', '!EINVAL'],
        ['dom0', 'WATCH', '/a|t|1|x|', at('!EINVAL', { ox: /./s })],
        ['dom0', 'UNWATCH', '/a|', '!EINVAL'],
        ['dom0', 'UNWATCH', '/a|t|x|', at('!EINVAL', { ox: /./s })],
        ['dom0', 'SET_PERMS', '/|', '!EINVAL'],
        ['dom0', 'INTRODUCE', '1|2|', '!EINVAL'],
        ['dom0', 'SET_TARGET', '1|', '!EINVAL'],
        ['dom0', 'DIRECTORY_PART', '/|', at('!EINVAL', { ox: '!ENOSYS' })],
        ['dom0', 'DIRECTORY_PART', '/|0', at('!EINVAL', { ox: '!ENOSYS' })],
        ['dom0', 'DIRECTORY_PART', '/|0|0|', at('!EINVAL', { ox: '!ENOSYS' })],
      ],
    },
    {
      title: 'GET_DOMAIN_PATH answers for anybody, of anything that is a domid',
      steps: [
        ['d1', 'GET_DOMAIN_PATH', '7|', '/local/domain/7|'],
        ['dom0', 'GET_DOMAIN_PATH', '0|', '/local/domain/0|'],
        ['dom0', 'GET_DOMAIN_PATH', '007|', '/local/domain/7|'],
        ['dom0', 'GET_DOMAIN_PATH', ' 7|', at('/local/domain/7|', {})],
        ['dom0', 'GET_DOMAIN_PATH', '+7|', at('/local/domain/7|', {})],
        ['dom0', 'GET_DOMAIN_PATH', '|', at('/local/domain/0|', {})],
        ['dom0', 'GET_DOMAIN_PATH', '32752|', '/local/domain/32752|'],
        ['dom0', 'GET_DOMAIN_PATH', '65535|', '/local/domain/65535|'],
        [
          'dom0',
          'GET_DOMAIN_PATH',
          '65536|',
          at('!EINVAL', { c417: '/local/domain/65536|', ox: '/local/domain/65536|' }),
        ],
        ['dom0', 'GET_DOMAIN_PATH', '-1|', at('!EINVAL', { c417: /domain/, ox: /domain/ })],
        [
          'dom0',
          'GET_DOMAIN_PATH',
          'x|',
          at('!EINVAL', { c417: '/local/domain/0|', ox: '/local/domain/0|' }),
        ],
        [
          'dom0',
          'GET_DOMAIN_PATH',
          '7x|',
          at('!EINVAL', { c417: '/local/domain/7|', ox: '/local/domain/7|' }),
        ],
        [
          'dom0',
          'GET_DOMAIN_PATH',
          '0x7|',
          at('!EINVAL', { c417: '/local/domain/0|', ox: '/local/domain/0|' }),
        ],
      ],
    },
  ],
};
