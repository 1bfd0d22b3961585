// The mirror when several ask at once: whatever had happened before a question is in its answer, also if another asker is just reading it, or made
// something of what was before.
import { afterEach, expect, test } from 'vitest';
import { Live } from '../../xenstored/admin/live.ts';
import { Mirror } from '../../xenstored/admin/mirror.ts';
import { showOf } from '../../xenstored/admin/node.ts';
import { secretsOf } from '../../xenstored/admin/secrets.ts';
import { FakeClock, FakeStore } from './admin-kit.ts';

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
