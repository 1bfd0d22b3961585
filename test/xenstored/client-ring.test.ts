/**
 * The client over a ring: the whole suite through 1024 bytes each way, and what a guest must bear: waiting for its ring at start, a server
 * that starts the ring over, one that gives it up. The server's end is the core behind the backend's half of the page.
 */
import { describe, expect, it } from 'vitest';
import { StoreRing, storeBackend } from '../../osdep/ring/bytering.ts';
import { Page } from '../../osdep/ring/page.ts';
import { toBytes } from '../../xenstored/cli/bytes.ts';
import { connect } from '../../xenstored/client/index.ts';
import { type GuestRing, overRing } from '../../xenstored/client/ring.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { clientSuite } from '../conformance/client.ts';
import { startCore } from '../conformance/corehost.ts';
import type { Link } from '../conformance/link.ts';
import type { Host } from '../conformance/store.ts';

/** A page, a bell of a queue, and behind it a link of a store that shovels bytes: the daemon's side of a ring. */
class ServedRing {
  readonly page: Page = new Page(new Uint8Array(new SharedArrayBuffer(4096)));
  readonly #end = storeBackend(this.page.bytes);
  readonly #listeners = new Set<() => void>();
  readonly #open: () => Promise<Link>;
  #link: Link | undefined;
  #output: Buffer = Buffer.alloc(0);
  #serving = false;

  constructor(open: () => Promise<Link>) {
    this.#open = open;
  }

  /** As INTRODUCE does: the indices at 0, and the field that the guest waits for. */
  async serve(): Promise<void> {
    this.#link?.close();
    const link = await this.#open();
    this.#link = link;
    this.#output = Buffer.alloc(0);
    for (const { cons, prod } of [StoreRing.REQUEST, StoreRing.RESPONSE]) {
      this.page.store(cons, 0);
      this.page.store(prod, 0);
    }
    this.page.store(StoreRing.CONNECTION, 0);
    this.#serving = true;
    this.ring();
    const pump = async (): Promise<void> => {
      for (;;) {
        const { type, reqId, txId, body } = await link.recv(0x7fffffff);
        this.#output = Buffer.concat([this.#output, encodeMessage(type, reqId, txId, toBytes(body))]);
        this.#turn();
      }
    };
    pump().catch(() => {});
  }

  /** Rings the guest. */
  ring(): void {
    setImmediate(() => {
      for (const listener of this.#listeners) listener();
    });
  }

  attach(): GuestRing {
    return {
      bytes: this.page.bytes,
      notify: () => void setImmediate(() => this.#turn()),
      onEvent: (callback) => {
        this.#listeners.add(callback);
        return () => this.#listeners.delete(callback);
      },
      release: () => {},
    };
  }

  #turn(): void {
    if (!this.#serving) return;
    const { reader, writer } = this.#end;
    const there = reader.available(reader.position);
    const room = writer.room(writer.position);
    if (!there.ok || !room.ok) throw new Error('the guest broke the ring');
    if (there.bytes > 0) {
      const bytes = Buffer.alloc(there.bytes);
      reader.peek(reader.position, bytes);
      reader.advance(reader.position + bytes.length);
      this.#link?.send(bytes);
    }
    const piece = this.#output.subarray(0, room.bytes);
    this.#output = this.#output.subarray(piece.length);
    writer.put(writer.position, piece);
    writer.advance(writer.position + piece.length);
    if (there.bytes + piece.length > 0) this.ring();
  }
}

clientSuite(
  'over a ring',
  async () => {
    const host = await startCore({});
    const connector = {
      name: 'ring',
      connect: async (user: Parameters<ReturnType<typeof overRing>['connect']>[0]) => {
        const ring = new ServedRing(() => host.connect());
        await ring.serve();
        return await overRing(() => ring.attach()).connect(user);
      },
    };
    return { connector, stop: () => host.stop() };
  },
  { privileged: true, today: true, conflicts: true },
);

describe('a ring with a life of its own', () => {
  async function withRing(body: (ring: ServedRing, host: Host) => Promise<void>): Promise<void> {
    const host = await startCore({});
    try {
      await body(new ServedRing(() => host.connect()), host);
    } finally {
      await host.stop();
    }
  }

  it('waits until the ring is connected, and touches nothing before', () =>
    withRing(async (ring) => {
      ring.page.store(StoreRing.CONNECTION, 1);
      const coming = connect({ connector: overRing(() => ring.attach()) });
      ring.ring();
      await new Promise((resolve) => setImmediate(resolve));
      expect(ring.page.load(StoreRing.REQUEST.prod)).toBe(0);
      await ring.serve();
      await using store = await coming;
      await store.write('/a', '1');
    }));

  it('goes on after the server has started the ring over: watches are set again, transactions begin again', () =>
    withRing(async (ring) => {
      await ring.serve();
      await using store = await connect({ connector: overRing(() => ring.attach()) });
      await using watch = store.watch('/a');
      await watch.take();
      let runs = 0;
      await store.transaction(async (tx) => {
        await tx.write('/b', String(++runs));
        if (runs === 1) await ring.serve();
        await tx.write('/c', '');
      });
      expect([runs, await store.readText('/b')]).toEqual([2, '2']);
      expect((await watch.take())?.path).toBe('/a');
      await store.write('/a/x', '');
      expect((await watch.take())?.path).toBe('/a/x');
    }));

  it('takes a ring over from somebody who left it in the middle, where the server offers that', () =>
    withRing(async (ring) => {
      await ring.serve();
      ring.page.store(StoreRing.SERVER_FEATURES, 1);
      ring.page.store(StoreRing.RESPONSE.prod, 7);
      const attached = ring.attach();
      const connector = overRing(() => ({
        ...attached,
        // The server answers the wish to reconnect.
        notify: () => (ring.page.load(StoreRing.CONNECTION) === 1 ? void ring.serve() : attached.notify()),
      }));
      await using store = await connect({ connector });
      await store.write('/a', '1');
      expect(await store.readText('/a')).toBe('1');
    }));

  it('says that the server has given the ring up', () =>
    withRing(async (ring) => {
      await ring.serve();
      await using store = await connect({ connector: overRing(() => ring.attach()), lost: 'end' });
      const watch = store.watch('/a');
      await watch.take();
      ring.page.store(StoreRing.ERROR, 3);
      ring.ring();
      await expect(watch.take()).rejects.toMatchObject({ code: 'ECONNRESET' });
      await expect(store.read('/')).rejects.toMatchObject({ code: 'ECONNRESET' });
      await expect(connect({ connector: overRing(() => ring.attach()) })).rejects.toMatchObject({
        code: 'EPROTO',
      });
    }));
});
