/** Reading, writing, making, removing and listing nodes (docs/misc/xenstore.txt). */
import { at, type Chapter, have, node, type RequestStep, watch } from '../row.ts';

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `child-${String(i).padStart(3, '0')}`);

function children(parent: string, count: number): RequestStep[] {
  return have(...names(count).map((name) => `${parent}/${name}`));
}

const list = (from: number, to: number): string =>
  names(to)
    .slice(from)
    .map((name) => `${name}|`)
    .join('');

export const nodes: Chapter = {
  title: 'nodes',
  rows: [
    {
      title: 'the tree at the start',
      steps: [
        ['dom0', 'READ', '/|', ''],
        ['dom0', 'GET_PERMS', '/|', 'n0|'],
        ['dom0', 'DIRECTORY', '/|', at('tool|', { ox: '@introduceDomain|@releaseDomain|local|tool|' })],
        ['dom0', 'DIRECTORY', '/tool|', 'xenstored|'],
        ['dom0', 'READ', '/tool/xenstored|', at('', { ox: /oxenstored$/ })],
        ['dom0', 'GET_PERMS', '/tool|', 'n0|'],
        ['dom0', 'GET_PERMS', '/tool/xenstored|', 'n0|'],
        ['dom0', 'READ', '/local|', at('!ENOENT', { ox: '' })],
      ],
    },
    {
      title: 'WRITE makes a node and what is missing above it, with empty values',
      steps: [
        ['dom0', 'WRITE', '/a/b/c|v', 'OK|'],
        ['dom0', 'READ', '/a/b/c|', 'v'],
        ['dom0', 'READ', '/a/b|', ''],
        ['dom0', 'READ', '/a|', ''],
        ['dom0', 'DIRECTORY', '/a|', 'b|'],
        ['dom0', 'DIRECTORY', '/a/b/c|', ''],
      ],
    },
    {
      title: 'a value is bytes: empty, binary, with NULs in it and at its end',
      steps: [
        ['dom0', 'WRITE', '/a|', 'OK|'],
        ['dom0', 'READ', '/a|', ''],
        ['dom0', 'WRITE', '/a|x|y|', 'OK|'],
        ['dom0', 'READ', '/a|', 'x|y|'],
        ['dom0', 'WRITE', '/a||', 'OK|'],
        ['dom0', 'READ', '/a|', '|'],
        ['dom0', 'WRITE', '/a|\x01\xff\x80\n', 'OK|'],
        ['dom0', 'READ', '/a|', '\x01\xff\x80\n'],
      ],
    },
    {
      title: 'dom0 may write the root, and make it again',
      steps: [
        ['dom0', 'WRITE', '/|v', 'OK|'],
        ['dom0', 'READ', '/|', 'v'],
        ['dom0', 'MKDIR', '/|', 'OK|'],
        ['dom0', 'READ', '/|', 'v'],
        ['d1', 'WRITE', '/|v', '!EACCES'],
        ['d1', 'MKDIR', '/|', at('!EACCES', { ox: 'OK|' })],
      ],
    },
    {
      title: 'MKDIR makes an empty node, and leaves one that exists as it is',
      steps: [
        ['dom0', 'MKDIR', '/a/b|', 'OK|'],
        ['dom0', 'READ', '/a/b|', ''],
        ['dom0', 'WRITE', '/a/b|v', 'OK|'],
        ...watch('dom0', '/a'),
        ['dom0', 'MKDIR', '/a/b|', 'OK|'],
        ['dom0', 'EVENTS', []],
        ['dom0', 'READ', '/a/b|', 'v'],
      ],
    },
    {
      title: 'MKDIR of a node that exists still needs write permission on it',
      steps: [
        ...node('/r', 'n0|r1|'),
        ...node('/w', 'n0|w1|'),
        ['d1', 'MKDIR', '/r|', '!EACCES'],
        ['d1', 'MKDIR', '/w|', 'OK|'],
      ],
    },
    {
      title: 'a large value comes back whole; one that cannot is E2BIG or refused',
      steps: [
        ['dom0', 'WRITE', `/a|${'x'.repeat(2048)}`, 'OK|'],
        ['dom0', 'READ', '/a|', 'x'.repeat(2048)],
        ['dom0', 'WRITE', `/a|${'x'.repeat(4093)}`, at('OK|', { ox: '!E2BIG' })],
        ['dom0', 'READ', '/a|', at('x'.repeat(4093), { ox: 'x'.repeat(2048) })],
      ],
    },
    {
      title: 'RM takes the subtree',
      steps: [
        ...have('/a/b/c', '/a/d', '/ab'),
        ['dom0', 'RM', '/a|', 'OK|'],
        ['dom0', 'READ', '/a/b/c|', '!ENOENT'],
        ['dom0', 'READ', '/a|', '!ENOENT'],
        ['dom0', 'READ', '/ab|', ''],
      ],
    },
    {
      title: 'RM of what is not there succeeds if its parent is',
      steps: [
        ...have('/a'),
        ...watch('dom0', '/a'),
        ['dom0', 'RM', '/a/none|', 'OK|'],
        ['dom0', 'RM', '/none|', 'OK|'],
        ['dom0', 'RM', '/none/x|', '!ENOENT'],
        ['dom0', 'EVENTS', []],
      ],
    },
    {
      title: 'RM of the root',
      steps: [
        ...have('/a'),
        ['d1', 'RM', '/|', '!EACCES'],
        ['dom0', 'READ', '/a|', ''],
        ['dom0', 'RM', '/|', at('!EINVAL', { ox: 'OK|' })],
        ['dom0', 'READ', '/a|', at('', { ox: '!ENOENT' })],
      ],
    },
    {
      title: 'RM needs write permission on the node, whatever is below or above',
      steps: [
        ...node('/a', 'n0|'),
        ...node('/a/w', 'n0|w1|'),
        ...node('/a/w/deep', 'n0|'),
        ...node('/a/r', 'n0|r1|'),
        ['d1', 'RM', '/a/r|', '!EACCES'],
        ['d1', 'RM', '/a/w|', 'OK|'],
        ['dom0', 'DIRECTORY', '/a|', 'r|'],
      ],
    },
    {
      title: 'RM of a missing node needs write permission on the nearest one above',
      steps: [
        ...node('/r', 'n0|r1|'),
        ...node('/w', 'n0|w1|'),
        ['d1', 'RM', '/r/none|', at('!EACCES', { ox: 'OK|' })],
        ['d1', 'RM', '/w/none|', 'OK|'],
        ['d1', 'RM', '/w/none/x|', '!ENOENT'],
        ['d1', 'RM', '/none/x|', at('!EACCES', { ox: '!ENOENT' })],
      ],
    },
    {
      title: 'DIRECTORY lists in the order of creation',
      steps: [
        ...have('/d/b', '/d/a', '/d/c'),
        ['dom0', 'DIRECTORY', '/d|', at('b|a|c|', { ox: 'a|b|c|' })],
        ['dom0', 'RM', '/d/b|', 'OK|'],
        ['dom0', 'WRITE', '/d/b|', 'OK|'],
        ['dom0', 'WRITE', '/d/a|again', 'OK|'],
        ['dom0', 'DIRECTORY', '/d|', at('a|c|b|', { ox: 'a|b|c|' })],
      ],
    },
    {
      title: 'DIRECTORY of 4096 bytes fits, of 4097 is E2BIG',
      skip: { ox: 'sends an oversize message on a socket' },
      steps: [
        ...children('/d', 409),
        ['dom0', 'WRITE', '/d/abcde|', 'OK|'],
        ['dom0', 'DIRECTORY', '/d|', `${list(0, 409)}abcde|`],
        ['dom0', 'RM', '/d/abcde|', 'OK|'],
        ['dom0', 'WRITE', '/d/abcdef|', 'OK|'],
        ['dom0', 'DIRECTORY', '/d|', '!E2BIG'],
        ['dom0', 'READ', '/d|', ''],
      ],
    },
    {
      title: 'DIRECTORY_PART hands a long list over in whole names, then an empty one',
      skip: { ox: 'has no DIRECTORY_PART' },
      steps: [
        ...children('/d', 450),
        ['dom0', 'DIRECTORY', '/d|', '!E2BIG'],
        ['dom0', 'DIRECTORY_PART', '/d|0|', /^\d+\|child-000\|(child-\d\d\d\|){407,408}$/],
        ['dom0', 'DIRECTORY_PART', '/d|4480|', /^\d+\|child-448\|child-449\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|4486|', /^\d+\|448\|child-449\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|4500|', /^\d+\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|99999|', /^\d+\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|-1|', /^\d+\|\|$/],
      ],
    },
    {
      title: 'DIRECTORY_PART of a short and of an empty list',
      skip: { ox: 'has no DIRECTORY_PART' },
      steps: [
        ...have('/d/a', '/d/b'),
        ['dom0', 'DIRECTORY_PART', '/d|0|', /^\d+\|a\|b\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|junk|', /^\d+\|a\|b\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|2|', /^\d+\|b\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d|0|rest', /^\d+\|a\|b\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/d/a|0|', /^\d+\|\|$/],
        ['dom0', 'DIRECTORY_PART', '/none|0|', '!ENOENT'],
        ['d1', 'DIRECTORY_PART', '/d|0|', '!EACCES'],
      ],
    },
    {
      title: 'a new node has the permissions of the nearest one above',
      steps: [
        ...node('/p', 'n0|b3|r4|'),
        ['dom0', 'WRITE', '/p/x/y|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p/x|', 'n0|b3|r4|'],
        ['dom0', 'GET_PERMS', '/p/x/y|', 'n0|b3|r4|'],
        ['d3', 'READ', '/p/x/y|', ''],
        ['d4', 'READ', '/p/x/y|', ''],
      ],
    },
    {
      title: 'a guest owns what it makes; the letter and the other entries stay',
      steps: [
        ...node('/p', 'n0|b3|r4|'),
        ['d3', 'WRITE', '/p/x/y|', 'OK|'],
        ['dom0', 'GET_PERMS', '/p/x|', at('n3|b3|r4|', { ox: 'n0|b3|r4|' })],
        ['dom0', 'GET_PERMS', '/p/x/y|', at('n3|b3|r4|', { ox: 'n0|b3|r4|' })],
        ['dom0', 'GET_PERMS', '/p|', 'n0|b3|r4|'],
        ['d4', 'READ', '/p/x/y|', ''],
      ],
    },
    {
      title: "dom0's children of a guest's node belong to the guest",
      steps: [
        ...node('/p', 'r3|'),
        ['dom0', 'WRITE', '/p/x|', 'OK|'],
        ['d3', 'GET_PERMS', '/p/x|', 'r3|'],
        ['d3', 'WRITE', '/p/x|v', 'OK|'],
      ],
    },
  ],
};
