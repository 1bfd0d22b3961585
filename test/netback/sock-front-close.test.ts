// What a guest's socket driver does when a socket is closed in the midst of something: nothing is left of it at the backend, nor with the guest, and what was
// sent arrives.
import { describe, expect, test } from 'vitest';
import { Command, type Request } from '../../netback/xensock/core/pvcalls.ts';
import type { XenSocket } from '../../netback/xensock/front/socket.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import type { DataRing } from '../../netback/xensock/io/dataring.ts';
import { type FakeSockBackend, fullOffer, plainOffer, started, takeOut } from './sock-front.ts';
import { inet } from './sock-rawguest.ts';

const stream = { family: 2, type: 1, protocol: 0 };
const here = inet('0.0.0.0', 8080);
const there = inet('10.0.0.1', 80);

function made(driver: XenSock, kind = stream): XenSocket {
  const socket = driver.create(kind, () => {});
  if (typeof socket === 'number') throw new Error(`no socket: ${socket}`);
  return socket;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const commands = (fake: FakeSockBackend): readonly number[] => fake.seen.map(({ command }) => command);

describe('what was sent before the end', () => {
  const released = (fake: FakeSockBackend): boolean => commands(fake).includes(Command.RELEASE);
  async function closing(
    offer: Readonly<Record<string, string>>,
  ): Promise<{ fake: FakeSockBackend; ring: DataRing; closed: Promise<void> }> {
    const fake = await started({}, offer);
    const driver = await fake.driver;
    const socket = made(driver);
    await driver.connect(socket, there);
    const ring = fake.dataRing(await fake.asked(Command.CONNECT));
    expect(driver.send(socket, Buffer.from('the last words'))).toBe(14);
    const closed = driver.close(socket);
    for (let i = 0; i < 5; i++) await turn();
    return { fake, ring, closed };
  }

  test('a backend that offers the extension sends it by itself', async () => {
    const { fake, closed } = await closing(fullOffer);
    await closed;
    expect(released(fake)).toBe(true);
  });

  test('others are given the time to take it', async () => {
    const { fake, ring, closed } = await closing(plainOffer);
    expect(released(fake)).toBe(false);
    expect(takeOut(ring).toString()).toBe('the last words');
    ring.ring();
    await closed;
    expect(released(fake)).toBe(true);
  });

  test('but not if they cannot send it', async () => {
    const { fake, ring, closed } = await closing(plainOffer);
    ring.fail('out', 32);
    ring.notify();
    await closed;
    expect(released(fake)).toBe(true);
  });

  test('nor for ever', async () => {
    const { fake, ring, closed } = await closing(plainOffer);
    takeOut(ring, 5);
    fake.later();
    for (let i = 0; i < 5; i++) await turn();
    expect(released(fake)).toBe(false);
    fake.later();
    await closed;
    expect(released(fake)).toBe(true);
  });

  test('nor longer than there is a connection to them', async () => {
    const { fake, closed } = await closing(plainOffer);
    await fake.state(5);
    await closed;
    fake.later();
  });
});

test('a ring that the backend was told it may keep is used again, however many are closed at once', async () => {
  const fake = await started({ connectOrder: 9 });
  const driver = await fake.driver;
  const many = Array.from({ length: 12 }, () => made(driver));
  await Promise.all(many.map((socket) => driver.connect(socket, there)));
  const refs = new Map(
    fake.seen.flatMap(({ id, call }) => (call?.command === Command.CONNECT ? [[id, call.ref]] : [])),
  );
  fake.answer = ({ command }) => (command === Command.RELEASE ? undefined : 0);
  const closed = many.map((socket) => driver.close(socket));
  await fake.asked(Command.RELEASE, 12);
  const releases = fake.seen.filter(({ command }) => command === Command.RELEASE);
  for (const request of releases) fake.settle(request, 0);
  await Promise.all(closed);
  for (const { id, call } of releases) {
    const kept = call?.command === Command.RELEASE && call.reuse;
    const mapped = (): unknown => fake.gnttab.mapGrantRef(fake.guest.domid, refs.get(id)!, 'rw').unmap();
    if (kept) mapped();
    else expect(mapped).toThrow();
  }
});

test('connections that come count, too: the most there may be', async () => {
  const fake = await started({ sockets: 4 });
  fake.answer = ({ command }) => (command === Command.ACCEPT ? undefined : 0);
  const driver = await fake.driver;
  const server = made(driver);
  await driver.bind(server, here);
  await driver.listen(server, 5);
  const accepts = (): readonly Request[] => fake.seen.filter(({ command }) => command === Command.ACCEPT);
  await fake.asked(Command.ACCEPT, 3);
  expect(accepts()).toHaveLength(3);
  for (const request of accepts()) fake.settle(request, 0);
  while (driver.poll(server) === 0) await turn();
  const taken = Array.from({ length: 3 }, () => driver.accept(server, () => {}));
  expect(taken.every((socket) => typeof socket === 'object')).toBe(true);
  expect(driver.create(stream, () => {})).toBe(-23);
  await turn();
  expect(accepts()).toHaveLength(3);
  await driver.close(taken[0] as XenSocket);
  fake.later();
  await fake.asked(Command.ACCEPT, 4);
});

test('a backend that forgets accepts with their sockets leaves no slot in the end: the device is connected anew', async () => {
  const fake = await started({}, plainOffer);
  const driver = await fake.driver;
  fake.answer = ({ command }) => (command === Command.ACCEPT ? undefined : 0);
  for (let i = 1; i <= 24; i++) {
    const server = made(driver);
    await driver.bind(server, here);
    await driver.listen(server, 5);
    await fake.asked(Command.ACCEPT, i);
    await driver.close(server);
  }
  await fake.guestState(5);
  await fake.state(6);
  await fake.guestState(1);
  await fake.offer(plainOffer);
  await fake.accept();
  expect(await driver.connect(made(driver), there)).toBe(0);
});

test('calls that wait do not wait for a backend that has broken the rules', async () => {
  const fake = await started();
  const driver = await fake.driver;
  fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
  void driver.connect(made(driver), there);
  await fake.asked(Command.CONNECT);
  fake.respond({ reqId: 31, command: 1, id: 1n, ret: 0 });
  await fake.error();
  const socket = driver.create(stream, () => {});
  expect(socket).toBe(-100);
});

describe('closed in the midst of a call', () => {
  // A backend makes a socket of a BIND for a number that it does not know.
  test.each<[string, (driver: XenSock, socket: XenSocket) => Promise<unknown>]>([
    ['bind', (driver, socket) => driver.bind(socket, here)],
    ['connect', (driver, socket) => driver.connect(socket, there)],
    ['listen', (driver, socket) => driver.listen(socket, 1)],
  ])('%s: its release is the last that is asked', async (_, call) => {
    const fake = await started();
    const driver = await fake.driver;
    for (const kind of [stream, { ...stream, type: 2 }]) {
      const socket = made(driver, kind);
      const outcome = call(driver, socket);
      await driver.close(socket);
      expect(await outcome).toBeLessThan(0);
    }
    expect(commands(fake).at(-1)).toBe(Command.RELEASE);
    expect(commands(fake)).not.toContain(Command.BIND);
  });

  test('one that is closed while LISTEN is under way listens no more', async () => {
    const fake = await started();
    const driver = await fake.driver;
    for (let i = 0; i < 20; i++) {
      const socket = made(driver);
      await driver.bind(socket, here);
      fake.answer = ({ command }) => (command === Command.LISTEN ? undefined : 0);
      const listening = driver.listen(socket, 1);
      const request = await fake.asked(Command.LISTEN, i + 1);
      const closing = driver.close(socket);
      fake.settle(request, 0);
      expect(await listening).toBe(-9);
      await closing;
    }
    expect(commands(fake)).not.toContain(Command.ACCEPT);
    fake.answer = ({ command }) => (command === Command.ACCEPT ? undefined : 0);
    const last = made(driver);
    await driver.bind(last, here);
    expect(await driver.listen(last, 1)).toBe(0);
  });

  test('a call that waits for a connection of the device ends with its socket', async () => {
    const fake = await started();
    const driver = await fake.driver;
    await fake.state(5);
    await fake.guestState(6);
    const socket = made(driver);
    const outcome = driver.connect(socket, there);
    await driver.close(socket);
    expect(await outcome).toBe(-9);
  });
});
