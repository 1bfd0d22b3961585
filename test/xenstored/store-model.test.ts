/**
 * The store against a model that is a page of plain code: any conversation, with transactions open side by side, is answered alike; and when it
 * is over nothing of the past is kept.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { OpName } from '../../xenstored/wire/ops.ts';
import { CoreDriver } from './coredriver.ts';
import { StoreModel } from './store-model.ts';

const paths = ['/a', '/a/b', '/a/b/c', '/a/d', '/e', '/e/f', '/e/f/g/h'];
const slots = [0, 1, 2, 3] as const;

const request = fc.record({
  op: fc.constantFrom<OpName>(
    'READ',
    'READ',
    'WRITE',
    'WRITE',
    'DIRECTORY',
    'GET_PERMS',
    'SET_PERMS',
    'MKDIR',
    'RM',
  ),
  path: fc.constantFrom(...paths),
  value: fc.constantFrom('', 'x', 'y'),
  owner: fc.constantFrom('n0|', 'r0|', 'b0|r1|'),
  slot: fc.constantFrom(...slots),
});
const begin = fc.record({ begin: fc.constantFrom(...slots.slice(1)) });
const end = fc.record({ end: fc.constantFrom(...slots.slice(1)), commit: fc.boolean() });
const command = fc.oneof(
  { arbitrary: request, weight: 8 },
  { arbitrary: begin, weight: 1 },
  { arbitrary: end, weight: 1 },
);

it('answers any conversation as the model does', () => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 40, maxLength: 80 }), (commands) => {
      const driver = new CoreDriver();
      driver.one(driver.dom0, 'RM', '/tool|');
      const model = new StoreModel();
      const open = new Map<number, number>();
      const said: string[] = [];
      const finish = (slot: number, commit: boolean) => {
        const id = open.get(slot);
        if (id === undefined) return;
        open.delete(slot);
        said.push(`end ${slot} ${commit}`);
        const answer = driver.one(driver.dom0, 'TRANSACTION_END', commit ? 'T|' : 'F|', id);
        expect(answer, said.join('\n')).toBe(model.end(id, commit));
      };
      for (const each of commands) {
        if ('begin' in each) {
          if (open.has(each.begin)) continue;
          const id = driver.begin(driver.dom0);
          open.set(each.begin, id);
          model.begin(id);
          said.push(`begin ${each.begin}`);
        } else if ('end' in each) {
          finish(each.end, each.commit);
        } else {
          const { op, path, value, owner, slot } = each;
          const id = open.get(slot) ?? 0;
          const extra = op === 'WRITE' ? value : op === 'SET_PERMS' ? owner : '';
          said.push(`${id}: ${op} ${path} ${extra}`);
          const answer = driver.one(driver.dom0, op, `${path}|${extra}`, id);
          expect(answer, said.join('\n')).toBe(model.ask(op, path, extra, id));
        }
      }
      for (const slot of slots) finish(slot, false);
      driver.one(driver.dom0, 'RM', '/a|');
      driver.one(driver.dom0, 'RM', '/e|');
      expect(driver.daemon.keptForSnapshots).toBe(0);
    }),
    { numRuns: 400 },
  );
});

it('keeps nothing for snapshots that are gone, however long an old one stays open', () => {
  const driver = new CoreDriver();
  const { dom0 } = driver;
  driver.one(dom0, 'WRITE', '/a|0');
  const old = driver.begin(dom0);
  for (let i = 0; i < 1000; i++) {
    const id = driver.begin(dom0);
    driver.one(dom0, 'WRITE', `/a|${i}`);
    driver.one(dom0, 'WRITE', `/n/${i}|x`);
    driver.one(dom0, 'TRANSACTION_END', 'F|', id);
    driver.one(dom0, 'RM', `/n/${i}|`);
  }
  expect(driver.daemon.keptForSnapshots).toBeLessThan(5);
  expect(driver.one(dom0, 'READ', '/a|', old)).toBe('0');
  expect(driver.one(dom0, 'TRANSACTION_END', 'T|', old)).toBe('OK|');
  expect(driver.daemon.keptForSnapshots).toBe(0);
});
