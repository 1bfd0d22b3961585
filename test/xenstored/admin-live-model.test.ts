// Whoever keeps a picture of a subtree out of events has, once the store is quiet, the store: whatever several clients did meanwhile, on every
// daemon; also if the daemon was killed and began anew, and if the reader lost its connection or took nothing for a while. And a subtree out of
// the mirror is what the store holds at that moment.
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock as clock } from '../../osdep/os/clock.ts';
import { EventStream, type Pipe } from '../../xenstored/admin/events.ts';
import { Live } from '../../xenstored/admin/live.ts';
import type { Subscriber } from '../../xenstored/admin/livetree.ts';
import { type Node, showOf } from '../../xenstored/admin/node.ts';
import { secretsOf } from '../../xenstored/admin/secrets.ts';
import { storeOf } from '../../xenstored/admin/source.ts';
import type { Permission } from '../../xenstored/admin/store.ts';
import { type Client, connect, XenstoreError } from '../../xenstored/client/index.ts';
import { peerMissing, startC, startOx } from '../conformance/peers.ts';
import { type Daemon, lastingDaemon } from './daemonprocess.ts';

const daemons: readonly [string, () => Promise<Daemon>, string | undefined][] = [
  ['ours', () => lastingDaemon(), undefined],
  ['the C daemon', () => startC(), peerMissing('c417')],
  ['oxenstored', () => startOx(), peerMissing('ox')],
];

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** A reader as a browser is one: a picture of the subtree, fetched at each resync, kept by changes. */
class Reader {
  readonly picture = new Map<string, Node>();
  /** Nothing is taken while it is so. */
  paused = false;
  resyncs = 0;
  #stream: EventStream | undefined;
  #id: string | undefined;
  #held: string[] = [];
  #close: () => void = () => {};
  readonly #live: Live;
  readonly #root: string;
  readonly #lookers = new Set<() => void>();
  #fetching: Promise<void> = Promise.resolve();

  constructor(live: Live, root: string) {
    this.#live = live;
    this.#root = root;
  }

  /** As EventSource does: again with the last id it has seen. */
  async open(): Promise<void> {
    const subscriber: Subscriber = {
      path: this.#root,
      nodes: true,
      changes: (told) => this.#stream?.changes(told),
      resync: (reason, seq) => this.#stream?.resync(reason, seq),
      ended: () => this.#stream?.end(),
    };
    const pipe: Pipe = {
      write: (text) => {
        if (this.paused) this.#held.push(text);
        else this.#take(text);
        return !this.paused;
      },
      end: () => {},
      destroy: () => {},
    };
    const subscription = await this.#live.subscribe(subscriber);
    const known = this.#id === undefined ? subscription.seq : Number(this.#id.split('-')[1]);
    const { epoch } = this.#live;
    const missed = subscription.tree.missed.bind(subscription.tree, subscriber);
    const first = this.#id === undefined;
    this.#stream = new EventStream({ pipe, clock, epoch, missed, connected: () => true }, known);
    this.#close = () => {
      this.#stream?.closed();
      subscription.close();
    };
    if (first) await this.fetch();
    else this.#stream.resume();
  }

  close(): void {
    this.#close();
  }

  resume(): void {
    this.paused = false;
    for (const text of this.#held.splice(0)) this.#take(text);
    this.#stream?.drained();
  }

  fetch(): Promise<void> {
    this.#fetching = this.#fetching.then(async () => {
      const mirrored = (await this.#live.mirrored(this.#root, { depth: 64 }))!;
      this.picture.clear();
      const left = [this.#root];
      for (let path = left.pop(); path !== undefined; path = left.pop()) {
        const raw = await mirrored.node(path);
        if (raw === undefined) continue;
        this.picture.set(path, this.#live.shown(raw));
        for (const name of raw.children) left.push(`${path}/${name}`);
      }
      for (const look of this.#lookers) look();
    });
    return this.#fetching;
  }

  /** When the picture shows this value. */
  shows(path: string, value: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.picture.get(path)?.value.text !== value) return;
        this.#lookers.delete(look);
        resolve();
      };
      this.#lookers.add(look);
      look();
    });
  }

  #take(text: string): void {
    for (const [, name, id, data] of text.matchAll(/event: (\w+)\nid: (\S+)\ndata: (.*)\n\n/g)) {
      this.#id = id;
      if (name === 'resync') {
        this.resyncs++;
        this.fetch().catch(() => {});
        continue;
      }
      const { changes } = JSON.parse(data!) as { changes: { path: string; node?: Node | null }[] };
      // A fetch under way may be older or newer than this: its answer is followed by what came meanwhile.
      this.#fetching = this.#fetching.then(() => this.#apply(changes));
    }
  }

  #apply(changes: readonly { path: string; node?: Node | null }[]): void {
    for (const { path, node } of changes) {
      if (node === undefined) throw new Error('a change without its node');
      if (node === null) this.#drop(path);
      else this.picture.set(path, node);
    }
    for (const look of [...this.#lookers]) look();
  }

  #drop(path: string): void {
    for (const each of [...this.picture.keys()])
      if (each === path || each.startsWith(`${path}/`)) this.picture.delete(each);
  }
}

function inWords(value: Uint8Array, permissions: readonly Permission[], children: readonly string[]): string {
  return `${Buffer.from(value)} ${permissions.map(({ letter, domid }) => `${letter}${domid}`)} [${children.toSorted()}]`;
}

/** Everything at and below a path, as the store tells it. */
async function dump(client: Client, root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const left = [root];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const children = await client.directory(path);
    found[path] = inWords(await client.read(path), await client.getPerms(path), children);
    for (const name of children) left.push(`${path}/${name}`);
  }
  return found;
}

/** What hangs together in a picture: a node is there if the one above it names it. */
function shown(picture: ReadonlyMap<string, Node>): Record<string, string> {
  const found: Record<string, string> = {};
  const left = ['/data'];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const { value, permissions, children } = picture.get(path)!;
    found[path] = inWords(Buffer.from(value.base64, 'base64'), permissions, children);
    for (const name of children) left.push(`${path}/${name}`);
  }
  return found;
}

/** A small deterministic source of chance. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One change of one client, as unkind as any: removals of what others write below, parents made on the way, transactions. */
async function change(client: Client, below: (limit: number) => number, root: string): Promise<void> {
  const path = (): string => {
    let made = root;
    for (let depth = 1 + below(4); depth > 0; depth--) made += `/${'abc'[below(3)]}`;
    return made;
  };
  const one = async (store: Pick<Client, 'write' | 'rm' | 'mkdir' | 'setPerms'>): Promise<void> => {
    const kind = below(10);
    if (kind < 5) await store.write(path(), `${below(1000)}`);
    else if (kind < 7) await store.rm(path());
    else if (kind < 8) await store.mkdir(path());
    else await store.setPerms(path(), ['n0', `r${below(5)}`]);
  };
  const tolerant = async (work: Promise<void>): Promise<void> => {
    await work.catch((error: XenstoreError) => {
      if (!(error instanceof XenstoreError)) throw error;
    });
  };
  if (below(5) > 0) return await tolerant(one(client));
  await tolerant(
    client.transaction(async (tx) => {
      for (let times = 1 + below(4); times > 0; times--)
        await one(tx).catch((error: XenstoreError) => {
          if (error.code !== 'ENOENT') throw error;
        });
    }),
  );
}

for (const [name, start, missing] of daemons) {
  describe.skipIf(missing)(name, () => {
    const begin = async (): Promise<{ daemon: Daemon; live: Live; clients: Client[]; reader: Reader }> => {
      const daemon = await start();
      cleanups.push(() => daemon.stop());
      const clients: Client[] = [];
      for (let count = 0; count < 4; count++) {
        const client = await connect({ path: daemon.socketPath });
        clients.push(client);
        cleanups.push(() => client.close());
      }
      await clients[0]!.write('/data/begin', '0');
      const live = new Live({
        store: storeOf(clients[3]!),
        show: showOf(secretsOf()),
        clock,
        tellsAll: async () => true,
      });
      cleanups.push(async () => live.close());
      const reader = new Reader(live, '/data');
      return { daemon, live, clients, reader };
    };

    test.each([1, 2, 3])('the picture is the store, seed %i', async (seed) => {
      const { clients, reader } = await begin();
      const below = chance(seed);
      await reader.open();
      for (let phase = 0; phase < 6; phase++) {
        if (phase === 2) reader.paused = true;
        if (phase === 3) reader.resume();
        if (phase === 4) reader.close();
        if (phase === 5) await reader.open();
        for (let round = 0; round < 25; round++) {
          await Promise.all(clients.slice(0, 3).map((client) => change(client, below, '/data')));
        }
        if (phase === 2 || phase === 4) continue;
        // A batch may already show what the next one tells of: after the second mark nothing is under way.
        for (const mark of [`${seed} ${phase}`, `${seed} ${phase} again`]) {
          await clients[phase % 3]!.write('/data/end', mark);
          await reader.shows('/data/end', mark);
        }
        expect(shown(reader.picture)).toEqual(await dump(clients[0]!, '/data'));
      }
    });

    test('the mirror is the store, at any moment', async () => {
      const { clients, live } = await begin();
      const below = chance(7);
      for (let round = 0; round < 60; round++) {
        await Promise.all(clients.slice(0, 3).map((client) => change(client, below, '/data')));
        const root = ['/data', '/data/a', '/data/a/b'][round % 3]!;
        const expected = await dump(clients[0]!, root).catch(() => ({}));
        const mirrored = (await live.mirrored(root, { depth: 64 }))!;
        const found: Record<string, string> = {};
        const left = [root];
        for (let path = left.pop(); path !== undefined; path = left.pop()) {
          const raw = await mirrored.node(path);
          if (raw === undefined) continue;
          found[path] = inWords(raw.value, raw.permissions, raw.children);
          for (const each of raw.children) left.push(`${path}/${each}`);
        }
        expect({ round, ...found }).toEqual({ round, ...expected });
      }
    });
  });
}

test('a daemon that was killed and began anew: fetched again, and right again', async () => {
  const daemon = await lastingDaemon();
  cleanups.push(() => daemon.stop());
  const [client, own] = [
    await connect({ path: daemon.socketPath }),
    await connect({ path: daemon.socketPath }),
  ];
  cleanups.push(
    () => client.close(),
    () => own.close(),
  );
  await client.write('/data/a', '1');
  const live = new Live({
    store: storeOf(own),
    show: showOf(secretsOf()),
    clock,
    tellsAll: async () => true,
  });
  cleanups.push(async () => live.close());
  const reader = new Reader(live, '/data');
  await reader.open();
  for (let time = 0; time < 2; time++) {
    await daemon.restart!();
    await client.write('/data/b', `${time}`);
    await reader.shows('/data/b', `${time}`);
    await client.write('/data/end', `${time}`);
    await reader.shows('/data/end', `${time}`);
    expect(reader.resyncs).toBeGreaterThan(time);
    expect(shown(reader.picture)).toEqual(await dump(client, '/data'));
  }
});
