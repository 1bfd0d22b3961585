/**
 * What keeps one guest from costing others: events that nobody reads expire, answers that nobody reads stop the reading, and who spoils
 * other people's transactions has to wait. On the core alone, because time is an argument there.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { Link } from '../../xenstored/core/link.ts';
import { CoreDriver } from './coredriver.ts';

/** A host with the named guests, each with a home of its own, and a board that all may write and read. */
function host(...domids: number[]): { driver: CoreDriver; guests: Link[] } {
  const driver = new CoreDriver();
  driver.one(driver.dom0, 'WRITE', '/board|');
  driver.one(driver.dom0, 'SET_PERMS', '/board|b0|');
  return { driver, guests: domids.map((domid) => driver.introduce(domid)) };
}

it('drops an event that a guest has left unread for 20 seconds, and lets its cause go on', () => {
  const { driver, guests } = host(1, 2);
  const [writer, sleeper] = guests as [Link, Link];
  driver.one(sleeper, 'WATCH', '/board|t|');
  sleeper.outbox.grant(0);
  for (let i = 0; i < 20; i++) driver.one(writer, 'WRITE', `/board/${i}|x`);
  expect(driver.daemon.mayRead(writer)).toBe(false);

  driver.daemon.now = 19_999;
  driver.daemon.tick();
  expect(driver.daemon.mayRead(writer)).toBe(false);

  driver.daemon.now = 20_001;
  driver.daemon.tick();
  expect(driver.daemon.mayRead(writer)).toBe(true);
  expect(driver.take(sleeper)).toEqual([]);
});

it('says when the next event is due to expire', () => {
  const { driver, guests } = host(1, 2);
  const [writer, sleeper] = guests as [Link, Link];
  driver.one(sleeper, 'WATCH', '/board|t|');
  sleeper.outbox.grant(0);
  driver.daemon.now = 5_000;
  driver.one(writer, 'WRITE', '/board/a|x');
  expect(driver.daemon.tick()).toBe(25_000);
});

it('does not drop what has begun to be sent', () => {
  const { driver, guests } = host(1, 2);
  const [writer, sleeper] = guests as [Link, Link];
  driver.one(sleeper, 'WATCH', '/board|t|');
  sleeper.outbox.grant(10);
  driver.one(writer, 'WRITE', '/board/a|x');
  driver.one(writer, 'WRITE', '/board/b|x');
  sleeper.outbox.advance(10);
  driver.daemon.now = 30_000;
  driver.daemon.tick();
  expect(sleeper.outbox.bytes).toBe(16 + '/board/a|t|'.length - 10);
  // And does not look for it again and again.
  expect(driver.daemon.tick()).toBeUndefined();
});

it('records only what is new of a guest for whom much waits', () => {
  const driver = new CoreDriver({ persistent: true });
  const sleeper = driver.introduce(1);
  driver.one(driver.dom0, 'WRITE', '/board|');
  driver.one(driver.dom0, 'SET_PERMS', '/board|r0|');
  driver.one(sleeper, 'WATCH', '/board|t|');
  sleeper.outbox.grant(0);
  const sizes = new Set<number>();
  for (let i = 1000; i < 1500; i++) {
    driver.one(driver.dom0, 'WRITE', `/board/${i}|`);
    for (const ring of driver.turn?.commit?.rings ?? []) sizes.add(ring.appended.length);
  }
  expect([...sizes]).toEqual([16 + '/board/1000|t|'.length]);
});

/** The guest changes what dom0's transaction has read. Answers whether that transaction could commit. */
function spoil(driver: CoreDriver, guest: Link): string {
  const id = driver.begin(driver.dom0);
  driver.one(driver.dom0, 'READ', '/board|', id);
  driver.one(driver.dom0, 'WRITE', '/mine|x', id);
  driver.one(guest, 'WRITE', '/board|spoilt');
  return driver.one(driver.dom0, 'TRANSACTION_END', 'T|', id);
}

it('does not read a guest that has spoilt five transactions, until it has credit again', () => {
  const { driver, guests } = host(1, 2);
  const [vandal, neighbour] = guests as [Link, Link];
  for (let i = 0; i < 5; i++) {
    expect(driver.daemon.mayRead(vandal)).toBe(true);
    expect(spoil(driver, vandal)).toBe('!EAGAIN');
  }
  expect(driver.turn?.effects).toContainEqual(
    expect.objectContaining({ kind: 'note', text: expect.stringContaining('domain 1 spoils') }),
  );
  expect(driver.daemon.mayRead(vandal)).toBe(false);
  expect(driver.daemon.mayRead(neighbour)).toBe(true);
  expect(driver.one(driver.dom0, 'CONTROL', 'connections|1|')).toContain('credit=0');

  expect(driver.daemon.tick()).toBe(50);
  driver.daemon.now = 50;
  expect(driver.daemon.mayRead(vandal)).toBe(true);
});

it('says once that a guest is not read, however many transactions its one write has spoilt', () => {
  const { driver, guests } = host(1);
  const [vandal] = guests as [Link];
  const ids = Array.from({ length: 10 }, () => driver.begin(driver.dom0));
  for (const id of ids) {
    driver.one(driver.dom0, 'READ', '/board|', id);
    driver.one(driver.dom0, 'WRITE', '/mine|x', id);
  }
  driver.one(vandal, 'WRITE', '/board|spoilt');
  const notes = ids.flatMap((id) => {
    expect(driver.one(driver.dom0, 'TRANSACTION_END', 'T|', id)).toBe('!EAGAIN');
    return driver.turn?.effects ?? [];
  });
  expect(notes).toHaveLength(1);
});

it('forgives what was long ago, and never blames dom0', () => {
  const { driver, guests } = host(1);
  const [vandal] = guests as [Link];
  for (let i = 0; i < 20; i++) {
    driver.daemon.now += 60;
    expect(spoil(driver, vandal)).toBe('!EAGAIN');
    expect(driver.daemon.mayRead(vandal)).toBe(true);
  }
  const other = driver.daemon.connectSocket();
  for (let i = 0; i < 20; i++) expect(spoil(driver, other)).toBe('!EAGAIN');
  expect(driver.daemon.mayRead(other)).toBe(true);
});

it('gives memory back to the last byte when everything is over', () => {
  const { driver, guests } = host(1);
  const [guest] = guests as [Link];
  driver.one(driver.dom0, 'WRITE', '/local/domain/1|');
  driver.one(driver.dom0, 'SET_PERMS', '/local/domain/1|n1|');
  const used = () =>
    /memory=(\d+) nodes=(\d+)/.exec(driver.one(driver.dom0, 'CONTROL', 'connections|1|'))?.[0];
  const before = used();
  driver.one(guest, 'WRITE', 'a/b/c|value');
  driver.one(guest, 'WATCH', 'a|token|');
  const id = driver.begin(guest);
  driver.one(guest, 'WRITE', 'a/d|long enough to be seen', id);
  driver.one(guest, 'RM', 'a/b', id);
  driver.one(guest, 'TRANSACTION_END', 'T|', id);
  expect(used()).not.toBe(before);
  driver.one(guest, 'RM', 'a|');
  driver.one(guest, 'UNWATCH', 'a|token|');
  expect(used()).toBe(before);
});

it('lets go of a socket that leaves everything unread, and of all that is kept for it', () => {
  const { driver } = host();
  const sleeper = driver.daemon.connectSocket();
  for (let i = 0; i < 40; i++) driver.one(sleeper, 'WATCH', `/board|${i}-${'t'.repeat(1900)}|`);
  driver.begin(sleeper);
  sleeper.outbox.grant(0);
  const path = `/board/${'x'.repeat(2000)}`;
  for (let i = 0; !sleeper.closing; i++) {
    expect(i).toBeLessThan(500);
    driver.one(driver.dom0, 'WRITE', `${path}/${i}|`);
  }
  expect(driver.turn?.effects).toContainEqual({ kind: 'shut', link: sleeper });
  expect(sleeper).toMatchObject({ holdsNothing: true, outbox: { bytes: 0, pending: false } });
  driver.one(driver.dom0, 'WRITE', '/board/more|');
  expect(sleeper.outbox.bytes).toBe(0);
});

it('tells a socket that broke the protocol nothing more than what was due', () => {
  const { driver } = host();
  const culprit = driver.daemon.connectSocket();
  driver.one(culprit, 'WATCH', '/board|t|');
  const oversize = Buffer.alloc(16);
  oversize.writeUInt32LE(4097, 12);
  driver.daemon.receive(culprit, oversize);
  driver.one(driver.dom0, 'WRITE', '/board/a|');
  expect(driver.take(culprit)).toEqual([]);
});

it('does not let one deep path take a guest past its memory, which would stop it for good', () => {
  const driver = new CoreDriver();
  const guest = driver.introduce(1);
  driver.one(driver.dom0, 'WRITE', '/local/domain/1|');
  driver.one(driver.dom0, 'SET_PERMS', '/local/domain/1|n1|');
  driver.one(driver.dom0, 'SET_QUOTA', '1|memory|20000|');
  expect(driver.one(guest, 'WRITE', `${'d/'.repeat(300)}end|`)).toBe('!EIO');
  expect(driver.daemon.mayRead(guest)).toBe(true);
  expect(driver.one(guest, 'DIRECTORY', '/local/domain/1|')).toBe('');
  expect(driver.one(guest, 'WRITE', `${'d/'.repeat(10)}end|`)).toBe('OK|');
});

it('charges what a transaction writes to whoever writes it, and refuses before that is too much', () => {
  const { driver, guests } = host(1);
  const [guest] = guests as [Link];
  driver.one(driver.dom0, 'SET_QUOTA', '1|memory|20000|');
  for (let i = 0; i < 20; i++) {
    driver.one(driver.dom0, 'WRITE', `/board/${i}|`);
    driver.one(driver.dom0, 'SET_PERMS', `/board/${i}|b0|`);
  }
  const id = driver.begin(guest);
  const answers = new Set<string>();
  for (let i = 0; i < 20; i++) answers.add(driver.one(guest, 'WRITE', `/board/${i}|${'x'.repeat(1500)}`, id));
  expect([...answers]).toEqual(['OK|', '!ENOMEM']);
  expect(driver.daemon.mayRead(guest)).toBe(true);
  expect(driver.one(guest, 'TRANSACTION_END', 'T|', id)).toBe('!ENOMEM');
});

it('keeps nothing of watches that are gone where nothing is recorded', () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const { driver, guests } = host(1);
  const [guest] = guests as [Link];
  const held = (watches: number): number => {
    for (let i = 0; i < watches; i++) {
      driver.one(guest, 'WATCH', `/board/${i}|${'t'.repeat(200)}|`);
      driver.one(guest, 'RESET_WATCHES', '|');
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = held(1000);
  expect(held(40_000) - before).toBeLessThan(4 << 20);
});
