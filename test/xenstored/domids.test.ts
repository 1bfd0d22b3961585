/**
 * A domain that gets the number of a dead one gets nothing else of it, however late a transaction commits what it read or meant for the other.
 * (XSA-322, XSA-417)
 */
import { beforeEach, expect, it } from 'vitest';
import { CoreDriver } from './coredriver.ts';

const GUEST = 5;

let driver: CoreDriver;
let id: number;
beforeEach(() => {
  driver = new CoreDriver();
  driver.introduce(GUEST);
  driver.one(driver.dom0, 'WRITE', '/shared|secret');
  driver.one(driver.dom0, 'SET_PERMS', `/shared|n0|r${GUEST}|`);
  driver.one(driver.dom0, 'WRITE', '/mine|secret');
  id = driver.begin(driver.dom0);
});

/** Its death, and another of the same number, with nothing in between. */
function replace(): ReturnType<CoreDriver['introduce']> {
  driver.kill(GUEST);
  return driver.introduce(GUEST);
}

const inside = (op: 'READ' | 'WRITE' | 'SET_PERMS' | 'TRANSACTION_END', payload: string): string =>
  driver.one(driver.dom0, op, payload, id);

it('does not see what is made below a node that the earlier one could read', () => {
  inside('READ', '/shared|');
  const successor = replace();
  inside('WRITE', '/shared/child|secret');
  expect(inside('TRANSACTION_END', 'T|')).toBe('OK|');
  expect(driver.one(driver.dom0, 'READ', '/shared/child|')).toBe('secret');
  expect(driver.one(successor, 'READ', '/shared/child|')).toBe('!EACCES');
});

it('does not see what was opened to the earlier one before its death', () => {
  inside('SET_PERMS', `/mine|n0|r${GUEST}|`);
  const successor = replace();
  expect(inside('TRANSACTION_END', 'T|')).toBe('OK|');
  expect(driver.one(successor, 'READ', '/mine|')).toBe('!EACCES');
});

it('does not own what was given to the earlier one', () => {
  inside('SET_PERMS', `/mine|n${GUEST}|`);
  replace();
  expect(inside('TRANSACTION_END', 'T|')).toBe('!EAGAIN');
  expect(driver.one(driver.dom0, 'GET_PERMS', '/mine|')).toBe('n0|');
});

it('sees what is opened to itself', () => {
  inside('READ', '/mine|');
  const successor = replace();
  inside('SET_PERMS', `/mine|n0|r${GUEST}|`);
  expect(inside('TRANSACTION_END', 'T|')).toBe('OK|');
  expect(driver.one(successor, 'READ', '/mine|')).toBe('secret');
});
