/**
 * The client's conformance suite, as a function: a store that is running, reached in some way, goes in; what a user of the
 * client relies on is shown on it. The same suite runs over sockets and rings, on our core, our daemon and Xen's daemons.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toBytes } from '../../xenstored/cli/bytes.ts';
import {
  type Client,
  type Connector,
  connect,
  type Store,
  type XenstoreError,
} from '../../xenstored/client/index.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import type { Link } from './link.ts';

/** A test that is there only for a store that can do it. */
function where(possible: boolean): (title: string, test: () => Promise<void>) => void {
  return (title, test) => {
    if (possible) it(title, test);
  };
}

/** A running store, and a way to it. */
export interface ClientHost {
  readonly connector: Connector;
  stop(): Promise<void>;
}

export interface ClientSupports {
  /** The way is a privileged one. */
  readonly privileged: boolean;
  /** Depth, features and quotas: today's. */
  readonly today: boolean;
  /** Does a write of another client make a transaction fail that wrote the same node? Not in oxenstored, which plays it again. */
  readonly conflicts: boolean;
  /** A directory of any size may be asked for (default). Not by the kernel's device of oxenstored: its answer is too long for the kernel. */
  readonly wide?: boolean;
  /** The way is the kernel's device, which keeps watches itself: each is another, none has a depth. */
  readonly device?: boolean;
}

/** A way over a raw link of the test kit; each connection asks for a new one. */
export function overLink(open: () => Promise<Link>): Connector {
  return {
    name: 'link',
    connect: async (user) => {
      const link = await open();
      let closed = false;
      const pump = async (): Promise<void> => {
        for (;;) {
          const { type, reqId, txId, body } = await link.recv(0x7fffffff);
          user.receive(encodeMessage(type, reqId, txId, toBytes(body)));
        }
      };
      pump().catch((error: Error) => {
        if (!closed) user.closed(error);
      });
      return {
        send: (message) => link.send(message),
        close: () => {
          closed = true;
          link.close();
        },
      };
    },
  };
}

export function clientSuite(
  name: string,
  start: () => Promise<ClientHost>,
  { privileged, today, conflicts, device = false, wide = true }: ClientSupports,
): void {
  describe(name, () => {
    let host: ClientHost;
    let store: Client;
    let home = '';

    beforeAll(async () => {
      host = await start();
      store = await connect({ connector: host.connector });
    });
    afterAll(async () => {
      await store?.close();
      await host?.stop();
    });

    /** Each test below a directory of its own; relative, so that a guest may write there. */
    let tests = 0;
    const fresh = async (): Promise<string> => {
      home = `test${++tests}`;
      await store.mkdir(home);
      return home;
    };

    it('reads what it wrote, bytes and text', async () => {
      const path = `${await fresh()}/value`;
      await store.write(path, 'grüße');
      expect(await store.readText(path)).toBe('grüße');
      await store.write(path, Uint8Array.of(0, 1, 0, 255));
      expect([...(await store.read(path))]).toEqual([0, 1, 0, 255]);
      await store.write(path, '');
      expect(await store.read(path)).toHaveLength(0);
    });

    it('tells absence from failure', async () => {
      const path = `${await fresh()}/nothing`;
      await expect(store.read(path)).rejects.toMatchObject({ code: 'ENOENT', op: 'READ', path });
      expect(await store.findText(path)).toBeUndefined();
      expect(await store.exists(path)).toBe(false);
      await store.mkdir(path);
      expect(await store.findText(path)).toBe('');
      expect(await store.exists(path)).toBe(true);
      await store.rm(path);
      expect(await store.exists(path)).toBe(false);
      await expect(store.write('bad path', '')).rejects.toMatchObject({ code: 'EINVAL' });
    });

    it('refuses what cannot travel, and goes on', async () => {
      const path = `${await fresh()}/value`;
      await expect(store.write('a\0b', '')).rejects.toMatchObject({ code: 'EINVAL', op: 'WRITE' });
      await expect(store.write(path, 'x'.repeat(4096))).rejects.toMatchObject({ code: 'E2BIG', path });
      await store.write(path, 'small');
    });

    it('answers many requests that are under way at once, each with its own', async () => {
      const path = await fresh();
      const names = Array.from({ length: 100 }, (_, n) => `${path}/n${n}`);
      await Promise.all(names.map((each) => store.write(each, each)));
      expect(await Promise.all(names.map((each) => store.readText(each)))).toEqual(names);
    });

    it('lists children', async () => {
      const path = await fresh();
      expect(await store.directory(path)).toEqual([]);
      for (const each of ['a', 'b', 'c']) await store.mkdir(`${path}/${each}`);
      expect(await store.directory(path)).toEqual(['a', 'b', 'c']);
    });

    where(wide && privileged)('lists more children than one message holds, in order', async () => {
      const path = await fresh();
      const names = Array.from({ length: 1000 }, (_, n) => `child-${String(n).padStart(4, '0')}`);
      await Promise.all(names.map((each) => store.mkdir(`${path}/${each}`)));
      expect(await store.directory(path)).toEqual(names);
      const inside = await store.transaction((tx) => tx.directory(path));
      expect(inside).toEqual(names);
    });

    it('reads and sets permissions', async () => {
      const path = await fresh();
      const [owner] = await store.getPerms(path);
      await store.setPerms(path, [owner!, 'r7', { letter: 'b', domid: 9 }]);
      expect(await store.getPerms(path)).toEqual([
        owner,
        { letter: 'r', domid: 7 },
        { letter: 'b', domid: 9 },
      ]);
    });

    it('commits a transaction, or leaves nothing of it', async () => {
      const path = await fresh();
      const answer = await store.transaction(async (tx) => {
        await tx.write(`${path}/a`, '1');
        expect(await store.exists(`${path}/a`)).toBe(false);
        return await tx.readText(`${path}/a`);
      });
      expect(answer).toBe('1');
      expect(await store.readText(`${path}/a`)).toBe('1');
      const failing = store.transaction(async (tx) => {
        await tx.write(`${path}/b`, '2');
        throw new RangeError('changed my mind');
      });
      await expect(failing).rejects.toThrow(RangeError);
      expect(await store.exists(`${path}/b`)).toBe(false);
    });

    where(conflicts)('runs a transaction again that others came in between of', async () => {
      const path = `${await fresh()}/counter`;
      await store.write(path, '0');
      let runs = 0;
      await store.transaction(async (tx) => {
        const value = Number(await tx.readText(path));
        if (++runs === 1) await store.write(path, '10');
        await tx.write(path, String(value + 1));
      });
      expect([runs, await store.readText(path)]).toEqual([2, '11']);
      const hopeless = store.transaction(
        async (tx) => {
          await tx.readText(path);
          await store.write(path, '20');
          await tx.write(path, '30');
        },
        { retries: 2 },
      );
      await expect(hopeless).rejects.toMatchObject({ code: 'EAGAIN' });
      expect(await store.readText(path)).toBe('20');
    });

    it('counts right with many transactions at once', async () => {
      const path = `${await fresh()}/counter`;
      await store.write(path, '0');
      const increment = (tx: Store): Promise<void> =>
        tx.readText(path).then((text) => tx.write(path, String(Number(text) + 1)));
      await Promise.all(Array.from({ length: 5 }, () => store.transaction(increment)));
      expect(await store.readText(path)).toBe('5');
    });

    it('watches: the first event at once, then each change below', async () => {
      const path = await fresh();
      await using watch = store.watch(path);
      expect(await watch.take()).toEqual({ path, token: watch.token });
      await store.write(`${path}/a/b`, '');
      expect(await watch.take()).toMatchObject({ path: `${path}/a/b` });
      await store.write(`${path}x`, 'beside, not below');
      await store.rm(path);
      const last: string[] = [];
      for await (const event of watch) {
        last.push(event.path);
        if (event.path === path) break;
      }
      expect(last.every((each) => each === path || each.startsWith(`${path}/`))).toBe(true);
      expect(await watch.take()).toBeUndefined();
    });

    it('keeps watches apart, and ends them', async () => {
      const path = await fresh();
      const [one, two] = [store.watch(path), store.watch(path, { token: 'mine' })];
      const stop = new AbortController();
      const three = store.watch(`${path}/sub`, { token: 'mine', signal: stop.signal });
      await Promise.all([one.take(), two.take(), three.take()]);
      await store.write(`${path}/sub/x`, '');
      expect((await one.take())?.path).toBe(`${path}/sub/x`);
      expect((await two.take())?.token).toBe('mine');
      expect((await three.take())?.path).toBe(`${path}/sub/x`);
      const waiting = three.take();
      stop.abort();
      expect(await waiting).toBeUndefined();
      await one.close();
      expect(await one.take()).toBeUndefined();
      // Its place is free again, and the first event comes again.
      await two.close();
      await using again = store.watch(path, { token: 'mine' });
      expect(await again.take()).toEqual({ path, token: 'mine' });
    });

    it('leaves nothing behind of a watch that ends before it was set', async () => {
      const path = await fresh();
      await store.watch(path, { token: 'brief' }).close();
      await using again = store.watch(path, { token: 'brief' });
      expect(await again.take()).toEqual({ path, token: 'brief' });
    });

    where(!device)('says why a watch cannot be set', async () => {
      const path = await fresh();
      await using first = store.watch(path, { token: 'same' });
      await first.ready;
      await expect(store.watch(path, { token: 'same' }).take()).rejects.toMatchObject({ code: 'EEXIST' });
      await store.write(`${path}/x`, '');
      // The refused one has not taken the first one down with it.
      const paths = [await first.take(), await first.take()].map((event) => event?.path);
      expect(paths).toEqual([path, `${path}/x`]);
      await expect(store.watch('bad path').take()).rejects.toMatchObject({ code: 'EINVAL' });
    });

    where(device)('says why a watch cannot be set through the kernel', async () => {
      await expect(store.watch('bad path').take()).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(store.watch('test1', { depth: 1 }).take()).rejects.toMatchObject({ code: 'EINVAL' });
      expect(await store.exists('test1')).toBe(true);
    });

    where(today && !device)('limits the depth of a watch', async () => {
      const path = await fresh();
      await using watch = store.watch(path, { depth: 1 });
      await watch.take();
      await store.write(`${path}/a/b`, 'too deep');
      await store.write(`${path}/a`, '');
      expect((await watch.take())?.path).toBe(`${path}/a`);
    });

    it('resets its watches', async () => {
      const path = await fresh();
      const watch = store.watch(path, { token: 'reset' });
      await watch.take();
      await store.resetWatches();
      expect(await watch.take()).toBeUndefined();
      await using again = store.watch(path, { token: 'reset' });
      expect((await again.take())?.path).toBe(path);
    });

    where(privileged)('speaks of domains', async () => {
      expect(await store.getDomainPath(7)).toBe('/local/domain/7');
      expect(await store.isDomainIntroduced(77)).toBe(false);
      await expect(store.release(77)).rejects.toMatchObject({ op: 'RELEASE' });
    });

    where(!privileged)('is told what it may not', async () => {
      await expect(store.isDomainIntroduced(0)).rejects.toMatchObject({ code: 'EACCES' });
      await expect(store.read('/tool')).rejects.toMatchObject({ code: 'EACCES' });
    });

    where(today && privileged)('speaks of features and quotas', async () => {
      expect(await store.getFeature()).toBe(14);
      expect(await store.quotaNames()).toContain('nodes');
      const before = await store.getQuota('nodes');
      await store.setQuota('nodes', before + 1);
      expect(await store.getQuota('nodes')).toBe(before + 1);
      await store.setQuota('nodes', before);
      expect(await store.control('check')).toBe('OK');
      const error: XenstoreError = await store.control('no-such-command').catch((reason) => reason);
      expect(error).toMatchObject({ code: 'EINVAL', path: 'no-such-command' });
    });

    it('ends: watches are over, requests are refused', async () => {
      const other = await connect({ connector: host.connector });
      const watch = other.watch('test1');
      await watch.ready;
      await other.close();
      await watch.take();
      expect(await watch.take()).toBeUndefined();
      await expect(other.read('test1')).rejects.toMatchObject({ code: 'ENOTCONN' });
      expect(other.connected).toBe(false);
    });
  });
}
