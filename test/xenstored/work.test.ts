/**
 * A request's work depends on what it touches and on nothing else: the core's own counters are the same whether the host has ten domains or a thousand,
 * a hundred nodes or a hundred thousand, no watches or many.
 */
import { expect, it } from 'vitest';
import type { Link } from '../../xenstored/core/link.ts';
import { CoreDriver } from './coredriver.ts';

interface Size {
  readonly domains: number;
  readonly nodesEach: number;
  readonly watchesEach: number;
}

function host({ domains, nodesEach, watchesEach }: Size): CoreDriver {
  const driver = new CoreDriver();
  for (let domid = 1; domid <= domains; domid++) {
    const link = driver.introduce(domid);
    driver.one(driver.dom0, 'WRITE', `/local/domain/${domid}|`);
    driver.one(driver.dom0, 'SET_PERMS', `/local/domain/${domid}|n${domid}|`);
    for (let i = 0; i < nodesEach; i++)
      driver.one(driver.dom0, 'WRITE', `/local/domain/${domid}/node/${i}|x`);
    for (let i = 0; i < watchesEach; i++) driver.one(link, 'WATCH', `device/${i}|token|`);
    driver.take(link);
  }
  return driver;
}

type Step = (driver: CoreDriver, guest: Link) => void;

const steps: Readonly<Record<string, Step>> = {
  READ: (driver, guest) => driver.one(guest, 'READ', 'node/0|'),
  WRITE: (driver, guest) => driver.one(guest, 'WRITE', 'node/0|new|'),
  'WRITE that creates': (driver, guest) => driver.one(guest, 'WRITE', 'fresh/deep|new|'),
  'MKDIR of a sibling of all homes': (driver) => driver.one(driver.dom0, 'MKDIR', '/local/domain/20000|'),
  RM: (driver, guest) => driver.one(guest, 'RM', 'fresh|'),
  SET_PERMS: (driver, guest) => driver.one(guest, 'SET_PERMS', 'node/0|n7|r3|'),
  WATCH: (driver, guest) => driver.one(guest, 'WATCH', 'other|t|'),
  'WRITE that a watch sees': (driver, guest) => driver.one(guest, 'WRITE', 'other|x'),
  UNWATCH: (driver, guest) => driver.one(guest, 'UNWATCH', 'other|t|'),
  'a transaction': (driver, guest) => {
    const id = driver.begin(guest);
    driver.one(guest, 'WRITE', 'a/b|x', id);
    driver.one(guest, 'READ', 'node/0|', id);
    expect(driver.one(guest, 'TRANSACTION_END', 'T|', id)).toBe('OK|');
  },
  'a write while transactions are open': (driver, guest) => {
    const ids = [driver.begin(guest), driver.begin(guest)];
    driver.one(guest, 'WRITE', 'node/0|y');
    driver.one(guest, 'RM', 'a|');
    for (const id of ids) driver.one(guest, 'TRANSACTION_END', 'F|', id);
  },
  'INTRODUCE and the events it causes': (driver) => void driver.introduce(20000),
  'the death of a domain': (driver) => driver.kill(20000),
  RELEASE: (driver) => driver.one(driver.dom0, 'RELEASE', '5|'),
};

function cost(size: Size): Record<string, unknown> {
  const driver = host(size);
  const guest = driver.daemon.ringOf(7)!;
  const costs: Record<string, unknown> = {};
  for (const [name, step] of Object.entries(steps)) {
    const before = { ...driver.daemon.work };
    step(driver, guest);
    const { nodes, watches, links } = driver.daemon.work;
    costs[name] = [nodes - before.nodes, watches - before.watches, links - before.links];
  }
  return costs;
}

it('touches the same number of nodes, watches and links with 10 domains and with 1,000', () => {
  const few = cost({ domains: 10, nodesEach: 10, watchesEach: 2 });
  expect(cost({ domains: 1000, nodesEach: 10, watchesEach: 2 })).toEqual(few);
});

it('touches the same with 100 nodes and with 100,000', () => {
  // The domain that is released owns as much in both: it is the others that differ.
  const few = new CoreDriver();
  const many = new CoreDriver();
  for (let i = 0; i < 100_000; i++) {
    many.one(many.dom0, 'WRITE', `/bulk/${i % 100}/${i}|x`);
    if (i < 100) few.one(few.dom0, 'WRITE', `/bulk/${i % 100}/${i}|x`);
  }
  const touched = (driver: CoreDriver) => {
    const guest = driver.introduce(7);
    driver.one(driver.dom0, 'WRITE', '/local/domain/7/node/0|x');
    driver.one(driver.dom0, 'SET_PERMS', '/local/domain/7|n7|');
    driver.one(driver.dom0, 'SET_PERMS', '/local/domain/7/node/0|n7|');
    driver.introduce(5);
    const before = { ...driver.daemon.work };
    for (const step of Object.values(steps)) step(driver, guest);
    driver.one(driver.dom0, 'WRITE', '/bulk/50/50|y');
    driver.one(driver.dom0, 'WRITE', '/bulk/50/new|y');
    driver.one(driver.dom0, 'RM', '/bulk/50/new|');
    driver.kill(7);
    const { nodes, watches, links } = driver.daemon.work;
    return [nodes - before.nodes, watches - before.watches, links - before.links];
  };
  expect(touched(many)).toEqual(touched(few));
});

it('does not look at watches that a change does not concern', () => {
  const none = cost({ domains: 10, nodesEach: 1, watchesEach: 0 });
  const many = cost({ domains: 10, nodesEach: 1, watchesEach: 100 });
  expect(many).toEqual(none);
});

it('checks and removes a directory of any width', () => {
  const driver = new CoreDriver();
  for (let i = 0; i < 130_000; i++) driver.one(driver.dom0, 'MKDIR', `/wide/${i}|`);
  expect(driver.one(driver.dom0, 'CONTROL', 'check|')).toBe('OK|');
  expect(driver.one(driver.dom0, 'RM', '/wide|')).toBe('OK|');
  expect(driver.one(driver.dom0, 'READ', '/wide/77|')).toBe('!ENOENT');
});
