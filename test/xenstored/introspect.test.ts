// What the daemon tells of itself by CONTROL, beyond what the C daemon does: who wrote what, page by page; what was refused; and its counters.
// Others are told of in one line each, whatever bytes a guest chose.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op } from '../../xenstored/wire/ops.ts';
import type { Link } from '../conformance/link.ts';
import { SimHost } from '../conformance/simhost.ts';
import { ask } from './daemonprocess.ts';

let host: SimHost;
let dom0: Link;

beforeEach(async () => {
  host = await SimHost.start(['--database', 'memory']);
  dom0 = await host.connect();
});
afterEach(() => host.stop());

const control = async (...words: string[]): Promise<string[]> =>
  (await ask(dom0, 'CONTROL', `${words.join('|')}|`)).replace(/\n?\|$/, '').split('\n');

/** `0 write /a`: who, what, where. */
const changes = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => /domain (\d+) connection \d+ (.*)/.exec(line)?.slice(1).join(' ') ?? []);

test('changes from a number on, oldest first, and where to go on', async () => {
  const [position] = await control('trace', 'from-change', '999999');
  await ask(dom0, 'WRITE', '/a/b|1');
  await ask(dom0, 'WRITE', '/a/b|2');
  await ask(dom0, 'SET_PERMS', '/a|n0|r1|');
  await ask(dom0, 'RM', '/a|');
  const lines = await control('trace', 'from-change', position!.slice('next: '.length));
  expect(changes(lines)).toEqual(['0 create /a/b', '0 write /a/b', '0 perms /a', '0 rm /a']);
  expect(await control('trace', 'from-change', lines.at(-1)!.slice('next: '.length))).toEqual([lines.at(-1)]);
});

test('what a transaction wrote is told once it is committed, and not if it is not', async () => {
  const begin = async (): Promise<number> => Number((await ask(dom0, 'TRANSACTION_START', '|')).slice(0, -1));
  const within = async (id: number, op: 'WRITE' | 'RM' | 'TRANSACTION_END', data: string): Promise<void> => {
    dom0.send(encodeMessage(Op[op], 0, id, data.replaceAll('|', '\0')));
    await dom0.recv();
  };
  await ask(dom0, 'WRITE', '/old|1');
  const dropped = await begin();
  await within(dropped, 'WRITE', '/dropped|1');
  await within(dropped, 'TRANSACTION_END', 'F|');
  const kept = await begin();
  await within(kept, 'WRITE', '/new|1');
  await within(kept, 'RM', '/old|');
  expect(changes(await control('trace'))).toEqual(['0 create /old']);
  await within(kept, 'TRANSACTION_END', 'T|');
  expect(changes(await control('trace')).toReversed()).toEqual([
    '0 create /old',
    '0 create /new',
    '0 rm /old',
    `0 commit ${kept}`,
  ]);
});

test('a state is told with its number, and nothing else with its value', async () => {
  for (const [path, value] of [
    ['/d/state', '1'],
    ['/d/state', '2'],
    ['/d/state', '22'],
    ['/d/state', 'x'],
    ['/d/state', '\n'],
    ['/d/other', '3'],
    ['/d/state', '4'],
  ])
    await ask(dom0, 'WRITE', `${path}|${value}`);
  const transaction = Number((await ask(dom0, 'TRANSACTION_START', '|')).slice(0, -1));
  for (const [op, data] of [
    [Op.WRITE, '/d/state\x005'],
    [Op.TRANSACTION_END, 'T\0'],
  ] as const) {
    dom0.send(encodeMessage(op, 0, transaction, data));
    await dom0.recv();
  }
  expect(changes(await control('trace')).toReversed()).toEqual([
    '0 create /d/state 1',
    '0 write /d/state 2',
    '0 write /d/state',
    '0 write /d/state',
    '0 write /d/state',
    '0 create /d/other',
    '0 write /d/state 4',
    '0 write /d/state 5',
    `0 commit ${transaction}`,
  ]);
});

test('more changes than are kept: how many are lost', async () => {
  for (let count = 0; count < 1030; count++) await ask(dom0, 'WRITE', `/n|${count}`);
  let page = await control('trace', 'from-change', '0');
  expect(page[0]).toBe('lost: 6');
  let seen = 0;
  for (;;) {
    seen += changes(page).length;
    const [, next, more] = /^next: (\d+)( more)?$/.exec(page.at(-1)!)!;
    if (more === undefined) break;
    page = await control('trace', 'from-change', next!);
  }
  expect(seen).toBe(1024);
});

test('the nodes that went with a domain are told as gone', async () => {
  await host.addDomain(5);
  await ask(dom0, 'INTRODUCE', '5|1|1|');
  await ask(dom0, 'WRITE', '/local/domain/5/x|1');
  await ask(dom0, 'SET_PERMS', '/local/domain/5|n5|');
  await ask(dom0, 'RELEASE', '5|');
  expect(changes(await control('trace'))[0]).toBe('5 gone /local/domain/5');
});

test('what was refused: whom, what, how often; a hostile path stays one word', async () => {
  await host.addDomain(5);
  await ask(dom0, 'INTRODUCE', '5|1|1|');
  const guest = host.ring(5);
  for (let time = 0; time < 3; time++) await ask(guest, 'WRITE', '/secret|x');
  await ask(guest, 'INTRODUCE', 'a\ndomain 0 WRITE|');
  await ask(guest, 'READ', 'nothing|');
  const lines = (await control('refusals', '5')).map((line) => line.replace(/age=\d+ms/, 'age'));
  expect(lines.toSorted()).toEqual([
    'domain 5 INTRODUCE EACCES count=1 age a%0adomain%200%20WRITE',
    'domain 5 READ EACCES count=1 age nothing',
    'domain 5 WRITE EACCES count=3 age /secret',
  ]);
});

test('a flood of refusals by one keeps those of another', async () => {
  for (const domid of [5, 6]) {
    await host.addDomain(domid);
    await ask(dom0, 'INTRODUCE', `${domid}|1|1|`);
  }
  await ask(host.ring(6), 'WRITE', '/other|x');
  for (let count = 0; count < 100; count++) await ask(host.ring(5), 'WRITE', `/flood/${count}|x`);
  expect(await control('refusals', '6')).toHaveLength(1);
  expect(await control('refusals', '5')).toHaveLength(32);
});

test('counters', async () => {
  await ask(dom0, 'WRITE', '/a|1');
  await ask(dom0, 'READ', '/none|');
  const values = Object.fromEntries((await control('statistics')).map((line) => line.split('=')));
  expect(values).toMatchObject({ requests: '3', errors: '1', changes: '1', sockets: '1', transactions: '0' });
});

test('a line that goes into no reply is cut, and what comes behind it is told', async () => {
  await ask(dom0, 'WATCH', `/a|${'x'.repeat(4080)}|`);
  await dom0.recv();
  await ask(dom0, 'WATCH', '/b|short|');
  await dom0.recv();
  const lines = await control('watches');
  expect(lines[0]).toMatch(/^socket \d+ \/a x{3000}/);
  expect(lines[1]).toBe('more: from 1');
  expect(await control('watches', 'from', '1')).toEqual([expect.stringMatching(/\/b short$/)]);
});
