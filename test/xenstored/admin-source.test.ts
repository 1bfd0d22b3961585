// What xenstore-admin says when the store does not answer, or is lost in the middle: nothing was done where that is certain, and where it is
// not it says so. The client is a small fake; time is vitest's.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { storeOf } from '../../xenstored/admin/source.ts';
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = (): Promise<never> => new Promise(() => {});

/** A client that does this, and nothing else. */
function client(parts: Partial<Client>): Client {
  return { connected: true, connections: 1, ...parts } as Client;
}

/** Runs the body as a transaction, and ends it like this. */
function ending(end: () => Promise<never>): Client {
  const tx = { write: async () => {} };
  return client({
    transaction: (async (body: (tx: unknown) => Promise<unknown>) => {
      await body(tx);
      return await end();
    }) as Client['transaction'],
  });
}

const write = (from: Client): Promise<unknown> =>
  storeOf(from).change(async (tx) => await tx.write('/a', Buffer.from('1')));

test('a store that is not connected is not waited for', async () => {
  const store = storeOf(client({ connected: false }));
  const unavailable = { code: 'store_unavailable' };
  await expect(store.snapshot(never)).rejects.toMatchObject(unavailable);
  await expect(store.change(never)).rejects.toMatchObject(unavailable);
  await expect(store.live.read('/')).rejects.toMatchObject(unavailable);
  await expect(store.control('help', [])).rejects.toMatchObject(unavailable);
  await expect(
    store.changes('/', new AbortController().signal)[Symbol.asyncIterator]().next(),
  ).rejects.toMatchObject(unavailable);
});

test('a store that does not answer is waited for so long and no longer', async () => {
  const store = storeOf(client({ read: never, transaction: never, control: never }));
  const answers = [
    store.live.read('/'),
    store.snapshot(never),
    store.control('help', []),
    store.change(never),
  ];
  const all = Promise.allSettled(answers);
  await vi.advanceTimersByTimeAsync(60_000);
  for (const answer of await all)
    expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } });
});

test('lost before its commit nothing was done, lost in it nobody knows', async () => {
  const lost = (): Promise<never> => Promise.reject(new XenstoreError('ECONNRESET', 'TRANSACTION_END'));
  await expect(write(ending(lost))).rejects.toMatchObject({ code: 'outcome_unknown' });
  const hanging = expect(write(ending(never))).rejects.toMatchObject({ code: 'outcome_unknown' });
  await vi.advanceTimersByTimeAsync(60_000);
  await hanging;
  const conflict = new XenstoreError('EAGAIN', 'TRANSACTION_END');
  await expect(write(ending(() => Promise.reject(conflict)))).rejects.toBe(conflict);
});

test('a change that comes too late is given up, not made', async () => {
  let go = (): void => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  let outcome: unknown;
  const transaction = (async (body: (tx: unknown) => Promise<unknown>) => {
    outcome = await body({ write: () => held }).catch((error: unknown) => error);
  }) as Client['transaction'];
  const late = expect(write(client({ transaction }))).rejects.toMatchObject({ code: 'store_unavailable' });
  await vi.advanceTimersByTimeAsync(60_000);
  await late;
  go();
  await vi.runAllTimersAsync();
  // What the body throws ends its transaction.
  expect(outcome).toMatchObject({ code: 'store_unavailable' });
});
