/**
 * A client's life: finding its store, losing it and finding it again; a server that talks nonsense; the device. Time is the test's.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { close, pair, recv, send } from '../../osdep/os/sock.ts';
import { DeviceTransport } from '../../xenstored/client/device.ts';
import { type Connector, connect, type TransportUser, XenstoreError } from '../../xenstored/client/index.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op } from '../../xenstored/wire/ops.ts';
import { SocketServer } from './client-server.ts';

describe('a store that comes and goes', () => {
  let server: SocketServer;

  beforeEach(async () => {
    server = await SocketServer.start();
  });
  afterEach(() => server.stop());

  it('is found where Xen’s clients find it', async () => {
    const { path, runDir } = server;
    for (const options of [
      { path },
      { env: { XENSTORED_PATH: path } },
      { env: { XENSTORED_RUNDIR: runDir } },
      // The path is the stronger of the two.
      { env: { XENSTORED_PATH: path, XENSTORED_RUNDIR: '/nowhere' } },
    ]) {
      await using store = await connect(options);
      expect(await store.directory('/')).toEqual(['tool']);
    }
  });

  it('says why it is not there', async () => {
    const { runDir } = server;
    await expect(connect({ path: '/nowhere/socket' })).rejects.toMatchObject({
      code: 'ENOENT',
      op: 'CONNECT',
    });
    await expect(connect({ run: runDir })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(connect({ path: '/'.padEnd(200, 'x') })).rejects.toMatchObject({ code: 'ENOENT' });
    const file = join(runDir, 'file');
    writeFileSync(file, '');
    await expect(connect({ path: file })).rejects.toMatchObject({ code: 'EPERM' });
  });

  it('is waited for, if that is wished', async () => {
    await server.hangUp();
    const coming = connect({ path: server.path, first: 'wait' });
    await server.listen();
    await using store = await coming;
    expect(await store.exists('/tool')).toBe(true);
  });

  it('is not waited for longer than wished', async () => {
    await server.hangUp();
    const stop = new AbortController();
    const coming = connect({ path: server.path, first: 'wait', signal: stop.signal });
    stop.abort();
    await expect(coming).rejects.toMatchObject({ code: 'ENOTCONN', op: 'CONNECT' });
  });

  it('is found again: requests wait, watches are set anew and say so by a first event', async () => {
    await using store = await connect({ path: server.path });
    await using watch = store.watch('/a');
    await watch.take();
    await server.hangUp();
    const waiting = store.readText('/tool');
    await server.listen();
    expect(await waiting).toBe('');
    expect((await watch.take())?.path).toBe('/a');
    await store.write('/a/b', '');
    expect((await watch.take())?.path).toBe('/a/b');
  });

  it('lost in a transaction: it begins again, and nothing is done twice', async () => {
    await using store = await connect({ path: server.path });
    let runs = 0;
    await store.transaction(async (tx) => {
      await tx.write(`/run${++runs}`, '');
      if (runs > 1) return;
      await server.hangUp();
      await server.listen();
      await tx.write('/more', '');
    });
    expect([runs, await store.exists('/run1'), await store.exists('/run2')]).toEqual([2, false, true]);
  });

  it('lost for good, if reconnecting is not wished', async () => {
    const store = await connect({ path: server.path, lost: 'end' });
    const watch = store.watch('/a');
    await watch.take();
    const event = watch.take();
    await server.hangUp();
    await expect(event).rejects.toMatchObject({ code: 'ECONNRESET' });
    await expect(store.write('/a', '')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(store.connected).toBe(false);
  });

  it('closed while it is being looked for: whoever waits is told', async () => {
    const store = await connect({ path: server.path });
    await server.hangUp();
    const waiting = store.read('/a');
    await store.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ENOTCONN', op: 'READ', path: '/a' });
  });
});

/** A server of which each answer is written by hand. */
class Scripted implements Connector {
  readonly name = 'script';
  readonly sent: Buffer[] = [];
  user!: TransportUser;
  attempts = 0;
  /** Fails as often, with ECONNREFUSED. */
  refusals = 0;

  async connect(user: TransportUser) {
    this.attempts++;
    if (this.refusals-- > 0) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    this.user = user;
    return { send: (message: Buffer) => void this.sent.push(message), close: () => {} };
  }

  /** Answers the last request. */
  answer(type: number, payload: string): void {
    this.user.receive(encodeMessage(type, this.sent.at(-1)!.readUInt32LE(4), 0, payload));
  }
}

/** Time that stands still until the test moves it. */
class StillClock {
  readonly delays: number[] = [];
  #due: (() => void)[] = [];

  after(delayMs: number, callback: () => void): () => void {
    this.delays.push(delayMs);
    this.#due.push(callback);
    return () => {
      this.#due = this.#due.filter((each) => each !== callback);
    };
  }

  /** Lets everybody come to rest, then lets the pause end. */
  async pass(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    for (const callback of this.#due.splice(0)) callback();
  }
}

describe('a server by hand', () => {
  it('is looked for in longer and longer pauses', async () => {
    const [server, clock] = [new Scripted(), new StillClock()];
    server.refusals = 10;
    const coming = connect({ connector: server, clock, first: 'wait' });
    for (let n = 0; n < 10; n++) await clock.pass();
    await using store = await coming;
    expect(clock.delays).toEqual([10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    // Lost: the first attempt is made at once.
    server.user.closed(new Error('gone'));
    await new Promise((resolve) => setImmediate(resolve));
    expect([server.attempts, store.connected]).toEqual([12, true]);
  });

  it('may cut its messages anywhere, and let answers and events interleave', async () => {
    const server = new Scripted();
    await using store = await connect({ connector: server });
    const watch = store.watch('/a', { token: 't' });
    const watchId = server.sent.at(-1)!.readUInt32LE(4);
    const read = store.readText('/b');
    const readId = server.sent.at(-1)!.readUInt32LE(4);
    const bytes = Buffer.concat([
      encodeMessage(Op.READ, readId, 0, 'value'),
      encodeMessage(Op.WATCH_EVENT, 0, 0, '/a\0t\0'),
      encodeMessage(Op.WATCH, watchId, 0, 'OK\0'),
    ]);
    for (const byte of bytes) server.user.receive(Buffer.of(byte));
    expect(await read).toBe('value');
    expect(await watch.take()).toEqual({ path: '/a', token: 't' });
    await watch.ready;
  });

  it('may send a flood of events: those that wait take no more room than there are paths', async () => {
    const server = new Scripted();
    await using store = await connect({ connector: server });
    const watch = store.watch('/a', { token: 't' });
    server.answer(Op.WATCH, 'OK\0');
    const flood = encodeMessage(Op.WATCH_EVENT, 0, 0, '/a/x\0t\0');
    for (let n = 0; n < 10_000; n++) server.user.receive(flood);
    server.user.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, '/a/y\0t\0'));
    // Of a watch that is over, or of nobody's.
    server.user.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, '/a\0other\0'));
    server.user.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, '/ab\0t\0'));
    expect([await watch.take(), await watch.take()].map((event) => event?.path)).toEqual(['/a/x', '/a/y']);
    const next = watch.take();
    server.user.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, '/a/z\0t\0'));
    expect((await next)?.path).toBe('/a/z');
  });

  it('reads an unknown error as EINVAL', async () => {
    const server = new Scripted();
    await using store = await connect({ connector: server });
    const write = store.write('/a', '');
    server.answer(Op.ERROR, 'EQUOTA\0');
    await expect(write).rejects.toMatchObject({ code: 'EINVAL', op: 'WRITE', path: '/a' });
  });

  it.each([
    ['an answer of another kind', (server: Scripted) => server.answer(Op.WRITE, 'OK\0'), 'EPROTO'],
    [
      'an answer to nothing',
      (server: Scripted) => server.user.receive(encodeMessage(Op.READ, 77, 0, '')),
      'ECONNRESET',
    ],
    [
      'a message too long',
      (server: Scripted) => server.user.receive(encodeMessage(Op.READ, 1, 0, 'x'.repeat(4097))),
      'ECONNRESET',
    ],
    [
      'an event without a token',
      (server: Scripted) => server.user.receive(encodeMessage(Op.WATCH_EVENT, 0, 0, '/a')),
      'ECONNRESET',
    ],
  ])('is left when it sends %s', async (_, send, code) => {
    const server = new Scripted();
    const store = await connect({ connector: server, lost: 'end' });
    const read = store.read('/a');
    send(server);
    await expect(read).rejects.toMatchObject({ code });
    expect(store.connected).toBe(false);
  });

  it.each([
    [
      'permissions',
      'x5\0',
      (store: Awaited<ReturnType<typeof connect>>) => store.getPerms('/a'),
      Op.GET_PERMS,
    ],
    [
      'a number',
      'many\0',
      (store: Awaited<ReturnType<typeof connect>>) => store.getFeature(),
      Op.GET_FEATURE,
    ],
  ])('answers nonsense instead of %s', async (_, answer, ask, type) => {
    const server = new Scripted();
    await using store = await connect({ connector: server });
    const asked = ask(store);
    server.answer(type, answer);
    await expect(asked).rejects.toMatchObject({ code: 'EPROTO' });
  });

  it('may send anything at all: the client lives, and every request is answered or refused', async () => {
    const message = fc
      .tuple(fc.nat({ max: 30 }), fc.nat({ max: 5 }), fc.string({ unit: 'binary-ascii', maxLength: 20 }))
      .map(([type, reqId, payload]) => encodeMessage(type, reqId, 0, payload));
    const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(message, bytes), { maxLength: 8 }), async (pieces) => {
        const server = new Scripted();
        const store = await connect({ connector: server, lost: 'end' });
        const watch = store.watch('/a');
        const answers = Promise.allSettled([watch.take(), store.directory('/a'), store.getPerms('/a')]);
        for (const piece of pieces) server.user.receive(piece);
        await store.close();
        for (const answer of await answers) {
          if (answer.status === 'rejected') expect(answer.reason).toBeInstanceOf(XenstoreError);
        }
      }),
    );
  });

  it('may change a directory while it is read in parts', async () => {
    const server = new Scripted();
    await using store = await connect({ connector: server });
    const names = store.directory('/a');
    const answers: [number, string][] = [
      [Op.ERROR, 'E2BIG\0'],
      [Op.DIRECTORY_PART, '7\0one\0'],
      [Op.DIRECTORY_PART, '8\0\0'],
      [Op.DIRECTORY_PART, '8\0uno\0'],
      [Op.DIRECTORY_PART, '8\0due\0\0'],
    ];
    for (const [type, payload] of answers) {
      server.answer(type, payload);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await names).toEqual(['uno', 'due']);
    expect(server.sent.slice(1).map((each) => each.toString('latin1', 16))).toEqual([
      '/a\x000\0',
      '/a\x004\0',
      '/a\x000\0',
      '/a\x004\0',
    ]);
  });
});

describe('the device', () => {
  it('takes whole messages and gives bytes, until it ends', async () => {
    // A pair of sockets behaves as the device does.
    const [ours, theirs] = pair();
    let received = Buffer.alloc(0);
    let wake = (): void => {};
    const more = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    let ended: Error | undefined;
    const device = new DeviceTransport(ours, {
      receive: (bytes) => {
        received = Buffer.concat([received, bytes]);
        wake();
      },
      closed: (reason) => {
        ended = reason;
        wake();
      },
    });
    try {
      const message = encodeMessage(Op.READ, 1, 0, '/a\0');
      device.send(message);
      const there = Buffer.alloc(100);
      expect(there.subarray(0, recv(theirs, there))).toEqual(message);
      const answer = encodeMessage(Op.READ, 1, 0, 'value');
      const arrived = more();
      send(theirs, answer);
      await arrived;
      expect(received).toEqual(answer);
      const gone = more();
      close(theirs);
      await gone;
      expect(ended).toBeInstanceOf(Error);
      device.send(message);
    } finally {
      device.close();
    }
  });

  it('answers what the driver would misunderstand as the store would', async () => {
    const [ours, theirs] = pair();
    const answers: string[] = [];
    const device = new DeviceTransport(ours, {
      receive: (bytes) => answers.push(bytes.toString('latin1', 16)),
      closed: () => {},
    });
    try {
      device.send(encodeMessage(Op.WRITE, 1, 0, `/a\0${'x'.repeat(4078)}`));
      device.send(encodeMessage(Op.RESET_WATCHES, 2, 0, '\0'));
      device.send(encodeMessage(Op.WATCH, 3, 0, '/a\0token\x001\0'));
      expect(answers).toEqual([]);
      await Promise.resolve();
      expect(answers).toEqual(['E2BIG\0', 'ENOSYS\0', 'EINVAL\0']);
      device.send(encodeMessage(Op.WRITE, 4, 0, `/a\0${'x'.repeat(4077)}`));
      expect(recv(theirs, Buffer.alloc(5000))).toBe(4096);
    } finally {
      device.close();
      close(theirs);
    }
  });

  it('has one request under way at a time: the driver would overwrite it by the next', async () => {
    const [ours, theirs] = pair();
    const client = await connect({
      connector: { name: 'device', connect: async (user) => new DeviceTransport(ours, user) },
    });
    try {
      const reads = ['a', 'b', 'c'].map((name) => client.readText(`/${name}`));
      const message = Buffer.alloc(100);
      for (const name of ['a', 'b', 'c']) {
        expect(message.toString('latin1', 16, await arrived(theirs, message))).toBe(`/${name}\0`);
        const answer = encodeMessage(Op.READ, message.readUInt32LE(4), 0, name);
        // An event comes between, and the answer in two pieces.
        send(theirs, encodeMessage(Op.WATCH_EVENT, 0, 0, '/x\0token\0'));
        send(theirs, answer.subarray(0, 5));
        await new Promise((resolve) => setImmediate(resolve));
        expect(recv(theirs, message)).toBeLessThan(0);
        send(theirs, answer.subarray(5));
      }
      expect(await Promise.all(reads)).toEqual(['a', 'b', 'c']);
    } finally {
      await client.close();
      close(theirs);
    }
  });

  it('ends its own watches where the kernel is not to lose its', async () => {
    const [ours, theirs] = pair();
    const client = await connect({
      connector: { name: 'device', connect: async (user) => new DeviceTransport(ours, user) },
    });
    const watch = client.watch('/a', { token: 't' });
    const request = Buffer.alloc(100);
    recv(theirs, request);
    send(theirs, encodeMessage(Op.WATCH, request.readUInt32LE(4), 0, 'OK\0'));
    await watch.ready;
    const reset = client.resetWatches();
    const length = await arrived(theirs, request);
    expect(request.toString('latin1', 16, length)).toBe('/a\0t\0');
    send(theirs, encodeMessage(Op.UNWATCH, request.readUInt32LE(4), 0, 'OK\0'));
    await reset;
    expect(await watch.take()).toBeUndefined();
    await client.close();
    close(theirs);
  });
});

/** The length of what the other end of a pair sends next. */
async function arrived(fd: number, into: Buffer): Promise<number> {
  for (;;) {
    const length = recv(fd, into);
    if (length > 0) return length;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
