// The turn: nothing leaves the daemon before its changes are safe, and what must not happen while serving one link happens to that link alone.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Daemon } from '../../xenstored/core/daemon.ts';
import type { Keeper } from '../../xenstored/io/database.ts';
import { SimHost } from '../conformance/simhost.ts';
import { ask, next, request } from './daemonprocess.ts';

let host: SimHost;
beforeEach(async () => {
  host = await SimHost.start([]);
});
afterEach(() => host.stop());

/** Makes the core fail an assertion whenever a request says so. */
function breakCore(daemon: Daemon, word: string): void {
  const receive = daemon.receive.bind(daemon);
  daemon.receive = (link, bytes) => {
    if (bytes.includes(word)) throw new Error(`assertion: ${word}`);
    return receive(link, bytes);
  };
}

test('an assertion while serving a socket closes it, is logged, and everybody else goes on', async () => {
  breakCore(host.server!.daemon, 'BOOM');
  const [culprit, other] = [await host.connect(), await host.connect()];
  culprit.send(request('READ', '/BOOM|'));
  await expect(next(culprit)).rejects.toThrow();
  expect(await ask(other, 'READ', '/|')).toBe('');
  expect(host.log).toEqual([
    expect.stringMatching(/^closing socket link \d+ of domain 0: Error: assertion: BOOM/),
  ]);
});

test('an assertion while serving a ring ends that ring, and no other', async () => {
  breakCore(host.server!.daemon, 'BOOM');
  const dom0 = await host.connect();
  for (const domid of [3, 4]) {
    await host.addDomain(domid);
    await ask(dom0, 'INTRODUCE', `${domid}|1|1|`);
  }
  host.ring(3).send(request('READ', '/BOOM|'));
  await expect
    .poll(() => host.log)
    .toContainEqual(expect.stringMatching(/^closing ring link \d+ of domain 3/));
  expect(await ask(host.ring(4), 'GET_DOMAIN_PATH', '4|')).toBe('/local/domain/4|');
});

test('a reply and an event leave only after the change is recorded', async () => {
  const watcher = await host.connect();
  await ask(watcher, 'WATCH', '/a|t|');
  await next(watcher);
  const writer = await host.connect();
  await ask(writer, 'READ', '/|');
  const keeper = host.server!.keeper as Keeper;
  const append = keeper.append.bind(keeper);
  let recorded = 0;
  const seen: number[] = [];
  const look = (): void => void seen.push(recorded);
  keeper.append = (commit) => {
    append(commit);
    recorded++;
  };
  const told = [next(watcher).then(look), ask(writer, 'WRITE', '/a|x').then(look)];
  await Promise.all(told);
  expect(seen).toEqual([1, 1]);
});

test('where a change cannot be recorded, nothing leaves: the daemon has to end', async () => {
  const client = await host.connect();
  const other = await host.connect();
  await ask(other, 'READ', '/|');
  host.server!.keeper.append = () => {
    throw new Error('no space left on device');
  };
  client.send(request('WRITE', '/a|x'));
  await expect.poll(() => host.fatal).toEqual([new Error('no space left on device')]);
  other.send(request('READ', '/|'));
  await expect(other.recv(100)).rejects.toThrow('no message');
  await expect(client.recv(1)).rejects.toThrow('no message');
});

test('guests that are not read do not cost the others a question each in every turn, and are read as soon as they may', async () => {
  const { daemon } = host.server!;
  const dom0 = await host.connect();
  const guests = Array.from({ length: 50 }, (_, i) => i + 3);
  for (const domid of guests) {
    await host.addDomain(domid);
    await ask(dom0, 'INTRODUCE', `${domid}|1|1|`);
  }
  const mayRead = daemon.mayRead.bind(daemon);
  let asked = 0;
  let barred = true;
  daemon.mayRead = (link) => {
    if (link.kind === 'socket') return mayRead(link);
    asked++;
    return !barred && mayRead(link);
  };
  const answers = guests.map((domid) => ask(host.ring(domid), 'GET_DOMAIN_PATH', `${domid}|`));
  await expect.poll(() => asked).toBeGreaterThanOrEqual(guests.length);
  asked = 0;
  const began = performance.now();
  for (let i = 0; i < 500; i++) await ask(dom0, 'READ', '/|');
  expect(asked / guests.length).toBeLessThan(2 + (performance.now() - began) / 5);
  barred = false;
  expect(await Promise.all(answers)).toEqual(guests.map((domid) => `/local/domain/${domid}|`));
});
