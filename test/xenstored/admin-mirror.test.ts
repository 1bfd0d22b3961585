// The mirror when several ask at once: whatever had happened before a question is in its answer, also if another asker is just reading it, or made
// something of what was before.
import { afterEach, expect, test, vi } from 'vitest';
import { Live } from '../../xenstored/admin/live.ts';
import { Mirror } from '../../xenstored/admin/mirror.ts';
import { showOf } from '../../xenstored/admin/node.ts';
import { secretsOf } from '../../xenstored/admin/secrets.ts';
import { FakeClock, FakeStore, startApp } from './admin-kit.ts';

const clock = new FakeClock();
let live: Live | undefined;
afterEach(() => live?.close());

test('a node that another is reading at this moment is not taken for what it was before', async () => {
  const store = new FakeStore();
  store.write('/a', 'before');
  const mirror = new Mirror({ root: '/', view: store.live, clock });
  const ask = async (): Promise<string> => `${Buffer.from((await mirror.node('/a'))!.value)}`;
  expect(await ask()).toBe('before');
  store.write('/a', 'after');
  mirror.touch('/a');
  expect(await Promise.all([ask(), ask()])).toEqual(['after', 'after']);
});

test('what was made while something changed is not kept, though others have seen the change meanwhile', async () => {
  const store = new FakeStore();
  store.write('/a/x', 'before');
  live = new Live({ store, show: showOf(secretsOf()), clock, tellsAll: async () => true });
  const mirrored = async () => (await live!.mirrored('/a', { depth: 64 }))!;
  const first = await mirrored();
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slow = first.kept('page', async () => {
    const node = await first.node('/a/x');
    await gate;
    return `${Buffer.from(node!.value)}`;
  });
  store.write('/a/x', 'after');
  await mirrored();
  goOn();
  expect(await slow).toBe('before');
  const second = await mirrored();
  const made = await second.kept('page', async () => `${Buffer.from((await second.node('/a/x'))!.value)}`);
  expect(made).toBe('after');
});

test('what is known not to be there is not asked for, and found when it is made', async () => {
  const { ask, store } = await startApp();
  for (let domid = 0; domid < 50; domid++) store.write(`/local/domain/${domid}/name`, `guest ${domid}`);
  await ask('GET', '/v1/domains');
  const before = store.requests;
  expect((await ask('GET', '/v1/devices')).text).toBe('{"devices":[]}');
  expect(store.requests - before).toBeLessThan(5);
  store.write('/local/domain/7/device/vif/0/backend', '/local/domain/0/backend/vif/7/0');
  expect((await ask('GET', '/v1/devices')).text).toMatch(/"devices":\[\{"kind":"vif"/);
});

test('paths that are too long to be told one by one are told as one', async () => {
  const store = new FakeStore();
  store.write('/a', '');
  live = new Live({ store, show: showOf(secretsOf()), clock, tellsAll: async () => true });
  const resync = vi.fn();
  await live.subscribe({ path: '/a', nodes: false, changes: () => {}, resync, ended: () => {} });
  const long = `/a/${`${'x'.repeat(200)}/`.repeat(14)}`;
  for (let node = 0; node < 400; node++) store.write(`${long}${node}`, '');
  await expect.poll(() => resync.mock.calls).toEqual([['more changes than are kept', expect.any(Number)]]);
});
