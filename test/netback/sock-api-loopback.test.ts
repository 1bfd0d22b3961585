// The loopback driver does what every socket driver must, and the same each time.
import { expect, test } from 'vitest';
import { parseIp } from '../../netback/xensock/core/address.ts';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { socketSuite } from '../conformance/sockets.ts';

socketSuite('loopback', async () => ({ driver: new LoopbackDriver(), stop: async () => {} }), {
  halfClose: true,
  names: true,
  options: true,
  datagrams: true,
  ipv6: true,
  bytes: 1_000_000,
});

test('nothing happens by itself: what others hear comes when its turn is', async () => {
  const turns: (() => void)[] = [];
  const driver = new LoopbackDriver({ defer: (work) => turns.push(work) });
  const heard: string[] = [];
  const kind = { family: 2, type: 1, protocol: 0 };
  const server = driver.create(kind, (bits) => heard.push(`server ${bits}`)) as never;
  await driver.bind(server, parseIp('127.0.0.1', 80)!);
  await driver.listen(server, 1);
  const client = driver.create(kind, (bits) => heard.push(`client ${bits}`)) as never;
  await driver.connect(client, parseIp('127.0.0.1', 80)!);
  expect(heard).toEqual([]);
  expect(turns.length).toBe(1);
  turns.shift()!();
  expect(heard).toEqual(['server 1']);
  const accepted = driver.accept(server, (bits) => heard.push(`accepted ${bits}`)) as never;
  driver.send(client, new Uint8Array(3));
  driver.send(accepted, new Uint8Array(3));
  turns.shift()!();
  expect(heard).toEqual(['server 1', 'accepted 1', 'client 1']);
});

test('addresses that are not of this guest: ENETUNREACH to connect, EADDRNOTAVAIL to bind', async () => {
  const driver = new LoopbackDriver();
  const socket = driver.create({ family: 2, type: 1, protocol: 0 }, () => {}) as never;
  expect(await driver.connect(socket, parseIp('10.0.0.1', 80)!)).toBe(-101);
  expect(await driver.bind(socket, parseIp('10.0.0.1', 80)!)).toBe(-99);
});
