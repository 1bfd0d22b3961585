// On a hypervisor that cannot tell two domains of the same id apart (before Xen 4.21), the daemon still knows who is there without asking for
// every request: once for each domain until the hypervisor says that something has changed.
import { beforeEach, expect, test } from 'vitest';
import type { DomainState } from '../../xenstored/core/ports.ts';
import { CoreDriver } from './coredriver.ts';

const GUEST = 5;

const alive = new Set<number>();
const dead: number[] = [];
let asked = 0;
let driver: CoreDriver;

const state = (domid: number): DomainState => ({
  domid,
  exists: alive.has(domid),
  shutdown: false,
  dying: false,
  dead: !alive.has(domid),
  uniqueId: 0n,
});

beforeEach(() => {
  alive.clear();
  alive.add(0).add(GUEST);
  driver = new CoreDriver(
    {},
    {
      domain: (domid) => {
        asked++;
        return alive.has(domid) ? state(domid) : undefined;
      },
      pollChanged: () => {
        const domid = dead.shift();
        return domid === undefined ? undefined : state(domid);
      },
    },
  );
  driver.introduce(GUEST);
  asked = 0;
});

function die(domid: number): void {
  alive.delete(domid);
  dead.push(domid);
  driver.daemon.domainsChanged();
  driver.turn = driver.daemon.endTurn();
}

function makeNodes(from: number, to: number): void {
  for (let i = from; i < to; i++) {
    driver.one(driver.dom0, 'WRITE', `/local/domain/${GUEST}/${i}|x`);
    driver.one(driver.dom0, 'SET_PERMS', `/local/domain/${GUEST}/${i}|n${GUEST}|r0|`);
  }
}

test('a hundred nodes cost no more questions than one', () => {
  makeNodes(0, 1);
  const first = asked;
  makeNodes(1, 100);
  expect(first).toBeLessThanOrEqual(2);
  expect(asked).toBe(first);
});

test('a change is a reason to ask again, once', () => {
  makeNodes(0, 1);
  driver.daemon.domainsChanged();
  asked = 0;
  makeNodes(1, 100);
  expect(asked).toBeLessThanOrEqual(2);
});

test('that nobody is there is asked each time: somebody may be by then', () => {
  alive.add(6);
  driver.one(driver.dom0, 'WRITE', '/given|x');
  driver.one(driver.dom0, 'SET_PERMS', '/given|n6|');
  alive.delete(6);
  driver.daemon.domainsChanged();
  driver.one(driver.dom0, 'WRITE', '/given/more|x');
  alive.add(6);
  asked = 0;
  driver.introduce(6);
  expect(asked).toBeGreaterThan(0);
});

test('nodes of a transaction, too', () => {
  makeNodes(0, 1);
  asked = 0;
  const id = driver.begin(driver.dom0);
  for (let i = 1; i < 100; i++) driver.one(driver.dom0, 'WRITE', `/local/domain/${GUEST}/0/${i}|x`, id);
  expect(driver.one(driver.dom0, 'TRANSACTION_END', 'T|', id)).toBe('OK|');
  expect(asked).toBeLessThanOrEqual(1);
});

test('who gets the number of a dead domain gets nothing else of it', () => {
  driver.one(driver.dom0, 'WRITE', '/shared|secret');
  driver.one(driver.dom0, 'SET_PERMS', `/shared|n0|r${GUEST}|`);
  makeNodes(0, 3);
  die(GUEST);
  alive.add(GUEST);
  const successor = driver.introduce(GUEST);
  expect(driver.one(successor, 'READ', '/shared|')).toBe('!EACCES');
  expect(driver.one(driver.dom0, 'READ', `/local/domain/${GUEST}/0|`)).toBe('!ENOENT');
});
