// A frontend that writes what it likes, everywhere that it can: it costs itself alone. A neighbour's bytes flow all the time and are right, the device that
// breaks is its own, and when it has gone nothing of it is mapped, bound or open any more.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setImmediate as soon } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Command, ENOTSUP, Index, SLOT_BYTES } from '../../netback/xensock/core/pvcalls.ts';
import { Sockets } from '../../netback/xensock/core/sockets.ts';
import { TcpStream } from '../../netback/xensock/io/tcp.ts';
import { Errno } from '../../osdep/errno.ts';
import { Page } from '../../osdep/ring/page.ts';
import { Hypervisor, isReserved } from '../kit/hypervisor.ts';
import { bootBareGuest } from '../xenstored/client-guest.ts';
import { at, machine, Silence, SockHost } from './sock-io-host.ts';
import { Noise } from './sock-noise.ts';
import { addressed, attachSock, type RawRing, RawSockGuest } from './sock-rawguest.ts';

const REQ_PROD = 0;

let host: SockHost;
let hypervisor: Hypervisor;
let server: Server;
let echoPort: number;
let files: number;
let flows: Promise<number>;
let stopFlow: () => void;

const openFiles = (): number => readdirSync('/proc/self/fd').length;
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** Sends and gets back what it has sent, until it is told to stop. Answers how often; rejects if anything comes back changed or not at all. */
async function flow(neighbour: RawSockGuest, onFirst: () => void): Promise<number> {
  let stopped = false;
  stopFlow = () => {
    stopped = true;
  };
  const { ret, ring } = await neighbour.dial(1, machine(echoPort), neighbour.ring(3));
  expect(ret).toBe(0);
  let rounds = 0;
  for (; !stopped; rounds++) {
    const bytes = randomBytes(1 + ((rounds * 7919) % 60_000));
    const back = ring.receive(bytes.length);
    await ring.send(bytes);
    expect(md5(await back)).toBe(md5(bytes));
    onFirst();
    await soon();
  }
  return rounds;
}

/** Settles when it is so. */
async function when(condition: () => boolean): Promise<void> {
  while (!condition()) await soon();
}

beforeEach(async () => {
  host = await SockHost.start();
  hypervisor = new Hypervisor(host.sim.machine.platformFor(0));
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  echoPort = (server.address() as { port: number }).port;
  const neighbour = await host.guest();
  await new Promise<void>((resolve, reject) => {
    flows = flow(neighbour, resolve);
    flows.catch(reject);
  });
  files = openFiles();
});

afterEach(async () => {
  vi.restoreAllMocks();
  stopFlow();
  expect(await flows).toBeGreaterThan(0);
  await host.stop();
  server.close();
});

/** A hostile guest that is connected. */
const extended = (): Promise<RawSockGuest> => host.guest({ 'feature-xensock': '1' });

/** It closes its device, or has it closed: nothing of it is left. */
async function gone(guest: RawSockGuest): Promise<void> {
  await guest.enter('5');
  await guest.backend('5', '6');
  await guest.enter('6');
  await guest.backend('6');
  await when(() => openFiles() <= files);
  const mapped = hypervisor
    .grants(guest.domid)
    .filter((grant) => !isReserved(grant) && grant.mapped !== 'no');
  expect(mapped).toEqual([]);
  const bound = hypervisor.ports(0).filter(({ remoteDomid }) => remoteDomid === guest.domid);
  expect(bound.length, 'its way to the store').toBe(1);
}

describe('its ring of commands', () => {
  test.each([35, 1000, 0x8000_0000, 0xffff_fff0])(
    'with an index of %d: its device is closed',
    async (index) => {
      const guest = await host.guest();
      await guest.dial(1, machine(echoPort));
      new Page(guest.page.bytes).store(REQ_PROD, index);
      guest.notify();
      expect(await guest.error()).toBe('ring of commands: req_prod is impossible');
      await gone(guest);
    },
  );

  test.each([
    ['a ring that is not granted', { 'ring-ref': '4000' }, 'ring-ref 4000 cannot be mapped: EINVAL'],
    ["a port that is nobody's", { port: '900' }, 'port 900 cannot be bound: EINVAL'],
    ['no number', { port: '0x1' }, 'port: "0x1" is not a number from 1 to 131071'],
    ['another version', { version: '2' }, 'version: "2" is not spoken here'],
  ])('%s: a line that says so', async (_, keys, line) => {
    const bare = await bootBareGuest(host.sim, host.dom0);
    await attachSock(host.dom0, bare.domid);
    const guest = new RawSockGuest(host.dom0, bare);
    await guest.publish(keys);
    expect(await guest.error()).toBe(line);
    await gone(guest);
    await bare.store.close();
  });

  test('full of noise: each slot gets an answer, or waits, or costs the device', async () => {
    // Chance finds addresses of others, too.
    host.rules = { ...host.rules, otherwise: 'deny' };
    const guest = await extended();
    const slot = new Uint8Array(SLOT_BYTES);
    for (let round = 0; round < 300; round++) {
      for (let free = guest.commands.free; free > 0; free--) {
        slot.set(randomBytes(SLOT_BYTES));
        // Commands that there are, and small numbers, find more than chance does.
        slot.set([round % 8, round % 3 === 0 ? 1 : 0, 0, 0, free % 4, 0, 0, 0, 0, 0, 0, 0], 4);
        guest.commands.request(slot);
      }
      guest.show();
      await soon();
      if (guest.commands.free === 0) await guest.until(() => guest.commands.free > 0);
    }
    expect(guest.responses.length).toBeGreaterThan(3000);
    await gone(guest);
  });

  test.each([1, 2, 3, 4])(
    'full of sense in no order: commands that might be, on rings that there are (%d)',
    async (seed) => {
      const guest = await extended();
      const noise = new Noise(guest, seed, echoPort);
      for (let round = 0; round < 400; round++) {
        noise.round();
        await soon();
      }
      await when(() => noise.waiting < 32);
      expect(noise.answeredTwice).toEqual([]);
      const answered = guest.socket(99).then(() => 'answered');
      expect(await Promise.race([guest.error(), answered])).toBe('answered');
      await gone(guest);
    },
  );

  test('that is never emptied: as many commands as it likes, and their answers overwritten', async () => {
    const guest = await host.guest();
    guest.collecting = false;
    const page = new Page(guest.page.bytes);
    for (let prod = 32; prod <= 32 * 200; prod += 32) {
      page.store(REQ_PROD, prod);
      guest.notify();
      await when(() => page.load(8) === prod);
    }
    await gone(guest);
  });
});

describe('a data ring', () => {
  const attach = (ring: RawRing, over: { readonly ref?: number; readonly evtchn?: number } = {}) => ({
    command: Command.CONNECT,
    ...addressed(machine(echoPort)),
    flags: 0,
    ...ring.ringed,
    ...over,
  });

  test.each([0, 10, 31, 32, 0x8000_0001, 0xffff_ffff])('of order %d is refused', async (order) => {
    const guest = await host.guest();
    const ring = guest.ring();
    ring.index.store(Index.RING_ORDER, order);
    expect(await guest.ret(1, attach(ring))).toBe(-Errno.EINVAL);
    ring.index.store(Index.RING_ORDER, 1);
    expect(await guest.ret(1, attach(ring))).toBe(0);
    await gone(guest);
  });

  test('of pages, or with a port, that are not its own to give', async () => {
    const guest = await host.guest();
    const other = await host.guest();
    const ring = guest.ring();
    expect(await guest.ret(1, attach(ring, { ref: 4000 }))).toBe(-Errno.EFAULT);
    expect(await guest.ret(1, attach(ring, { ref: 0xffff_ffff }))).toBe(-Errno.EFAULT);
    expect(await guest.ret(1, attach(ring, { evtchn: 900 }))).toBe(-Errno.EFAULT);
    expect(await guest.ret(1, attach(ring, { evtchn: 0 }))).toBe(-Errno.EFAULT);
    // Its own, and for somebody else.
    expect(await guest.ret(1, attach(ring, { ref: guest.share(1, other.domid).refs[0]! }))).toBe(
      -Errno.EFAULT,
    );
    expect(await guest.ret(1, attach(ring, { evtchn: guest.port(other.domid) }))).toBe(-Errno.EFAULT);
    await guest.release(1);
    const own = ring.index.load(Index.REFS);
    ring.index.store(Index.REFS, 4000);
    expect(await guest.ret(1, attach(ring))).toBe(-Errno.EFAULT);
    ring.index.store(Index.REFS, own);
    expect(await guest.ret(1, attach(ring))).toBe(0);
    await gone(guest);
    await other.enter('5');
  });

  test('whose order and pages change while they are looked at', async () => {
    const guest = await host.guest();
    const ring = guest.ring(1);
    const { load } = Page.prototype;
    const orders: number[] = [];
    vi.spyOn(Page.prototype, 'load').mockImplementation(function (this: Page, offset) {
      const value = load.call(this, offset);
      if (this.bytes.buffer === ring.index.bytes.buffer && offset >= Index.RING_ORDER) {
        orders.push(offset);
        // Whoever looks a second time sees something else.
        ring.index.store(offset, 9);
      }
      return value;
    });
    expect(await guest.ret(1, attach(ring))).toBe(0);
    vi.restoreAllMocks();
    expect(orders).toEqual([Index.RING_ORDER, Index.REFS, Index.REFS + 4]);
    const back = ring.receive(5);
    await ring.send(Buffer.from('hello'));
    expect(Buffer.from(await back).toString()).toBe('hello');
    await gone(guest);
  });

  test.each([
    ['out_prod far ahead', Index.OUT_PROD, 5000],
    ['out_prod behind', Index.OUT_PROD, 0xffff_ff00],
    ['in_cons ahead of in_prod', Index.IN_CONS, 1],
    ['in_cons far behind', Index.IN_CONS, 0x8000_0000],
  ])('with %s: that connection is broken off, and no other', async (_, index, value) => {
    const guest = await host.guest();
    const good = await guest.dial(1, machine(echoPort));
    const bad = await guest.dial(2, machine(echoPort));
    bad.ring.index.store(index, value);
    if (index === Index.IN_CONS) bad.ring.put(Buffer.from('something comes back'));
    bad.ring.ring();
    await guest.until(() => bad.ring.inError !== 0 && bad.ring.outError !== 0);
    expect([bad.ring.inError, bad.ring.outError]).toEqual([-Errno.EINVAL, -Errno.EINVAL]);
    const back = good.ring.receive(5);
    await good.ring.send(Buffer.from('hello'));
    expect(Buffer.from(await back).toString()).toBe('hello');
    await gone(guest);
  });

  test('the same between guests', async () => {
    const [guest, other] = [await extended(), await extended()];
    expect(await other.serve(1, at('127.0.0.1', 5000))).toBe(0);
    const theirs = other.ring();
    const accepted = other.accept(1, 2, theirs);
    const { ret, ring } = await guest.dial(1, at('127.0.0.1', 5000));
    expect([ret, await accepted]).toEqual([0, 0]);
    ring.put(Buffer.from('before'));
    expect(Buffer.from(await theirs.receive(6)).toString()).toBe('before');
    ring.index.store(Index.OUT_PROD, 0x7fff_ffff);
    ring.ring();
    await guest.until(() => ring.outError !== 0);
    await other.until(() => theirs.inError !== 0);
    expect(theirs.inError).toBe(-Errno.ECONNRESET);
    await other.enter('5');
    await other.backend('5', '6');
    await gone(guest);
  });

  test('that is taken away while bytes flow', async () => {
    const guest = await host.guest();
    const { ring } = await guest.dial(1, machine(echoPort), guest.ring(4));
    for (let i = 0; i < 20; i++) {
      ring.put(randomBytes(20_000));
      await soon();
    }
    ring.drop();
    await soon();
    await gone(guest);
  });

  test('that it wants to use again, and has made another one of', async () => {
    const guest = await extended();
    const ring = guest.ring(4);
    expect(await guest.ret(1, attach(ring))).toBe(0);
    for (const [order, wanted] of [
      [1, 0],
      [0, -Errno.EINVAL],
      [9, -Errno.EFAULT],
      [4, 0],
    ] as const) {
      expect(await guest.release(1, true)).toBe(0);
      ring.index.store(Index.RING_ORDER, order);
      for (let at = 0; at < 128; at += 4) ring.index.store(at, 0);
      expect(await guest.ret(1, attach(ring)), `order ${order}`).toBe(wanted);
    }
    expect(await guest.release(1, true)).toBe(0);
    ring.index.store(Index.REFS + 4, 4000);
    expect(await guest.ret(1, attach(ring))).toBe(-Errno.EFAULT);
    await gone(guest);
  });

  test('that two sockets share: the bytes of both are its own to sort out', async () => {
    const guest = await extended();
    const ring = guest.ring(2);
    expect(await guest.ret(1, attach(ring))).toBe(0);
    // Its port is taken, its pages are not: without one there is no second ring.
    expect(await guest.ret(2, attach(ring))).toBe(-Errno.EFAULT);
    expect(await guest.ret(2, attach(ring, { evtchn: guest.port() }))).toBe(0);
    ring.put(randomBytes(5000));
    await guest.until(() => ring.there > 0);
    await guest.release(1);
    await guest.release(2, true);
    await gone(guest);
  });

  test('that nobody empties: what comes for it waits with who sends it', async () => {
    const source = createServer((socket) => {
      socket.on('error', () => {});
      const more = (): void => {
        while (socket.write(Buffer.alloc(65_536)));
      };
      socket.on('drain', more);
      more();
    });
    source.listen(0, '127.0.0.1');
    await once(source, 'listening');
    const { port } = source.address() as { port: number };
    const guest = await extended();
    const rings: RawRing[] = [];
    for (let id = 0; id < 50; id++) rings.push((await guest.dial(id, machine(port))).ring);
    await when(() => rings.every((ring) => ring.there === ring.size));
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    for (let i = 0; i < 50; i++) await soon();
    const now = process.memoryUsage();
    expect(now.heapUsed + now.arrayBuffers - heapUsed - arrayBuffers).toBeLessThan(64 << 20);
    source.close();
    await gone(guest);
  });
});

describe('sockets', () => {
  test('by the thousand, up to its limit; then no more, and again when some are gone', async () => {
    host.rules = { ...host.rules, limits: { ...host.rules.limits, sockets: 2000 } };
    const guest = await extended();
    const made = await Promise.all(Array.from({ length: 2500 }, (_, id) => guest.socket(id)));
    expect(made.filter((ret) => ret === 0).length).toBe(2000);
    expect(made.filter((ret) => ret === -Errno.EMFILE).length).toBe(500);
    await guest.release(5);
    expect(await guest.socket(9999)).toBe(0);
    await gone(guest);
  });

  test('with rings: no more pages are mapped than it may have', async () => {
    host.rules = { ...host.rules, limits: { ...host.rules.limits, pages: 100 } };
    const guest = await host.guest();
    const [big, small] = [guest.ring(6), guest.ring(5)];
    expect((await guest.dial(1, machine(echoPort), big)).ret).toBe(0);
    expect((await guest.dial(2, machine(echoPort), guest.ring(6))).ret).toBe(-Errno.ENOMEM);
    expect((await guest.dial(3, machine(echoPort), small)).ret).toBe(0);
    expect((await guest.dial(4, machine(echoPort))).ret).toBe(-Errno.ENOMEM);
    await guest.release(1);
    expect((await guest.dial(5, machine(echoPort), guest.ring(6))).ret).toBe(0);
    await gone(guest);
  });

  test('by ids that are taken, that never were, and that are released again and again', async () => {
    const guest = await extended();
    const id = 0xffff_ffff_ffff_ffffn;
    expect(await guest.socket(id)).toBe(0);
    expect(await guest.socket(id)).toBe(-Errno.EEXIST);
    expect(await guest.socket(0n)).toBe(0);
    for (const call of [
      { command: Command.LISTEN, backlog: 1 },
      { command: Command.POLL },
      { command: Command.ACCEPT, newId: 3n, ...guest.ring().ringed },
    ] as const)
      expect(await guest.ret(77, call)).toBe(-Errno.EINVAL);
    expect(await guest.serve(1, at('127.0.0.1', 5000))).toBe(0);
    expect(await guest.accept(1, id)).toBe(-Errno.EEXIST);
    expect(await guest.accept(1, 1)).toBe(-Errno.EEXIST);
    const storm = await Promise.all(Array.from({ length: 500 }, (_, i) => guest.release(i % 3)));
    expect(storm.every((ret) => ret === 0)).toBe(true);
    await gone(guest);
  });

  test('of kinds that there are not', async () => {
    const guest = await host.guest();
    for (const [family, type] of [
      [1, 1],
      [2, 3],
      [2, 2],
      [17, 3],
      [0, 0],
      [0xffff_ffff, 0xffff_ffff],
    ] as const)
      expect(await guest.socket(1, family, type)).toBe(-ENOTSUP);
    expect(await guest.ret(1, { command: Command.SHUTDOWN, how: 9 }), 'not asked for').toBe(-ENOTSUP);
    await gone(guest);
  });

  test('that listen with any backlog, and are accepted and polled more often than may wait', async () => {
    const guest = await extended();
    expect(await guest.serve(1, at('127.0.0.1', 5000), 0xffff_ffff)).toBe(0);
    const accepts = Array.from({ length: 24 }, (_, i) => guest.accept(1, 100 + i));
    const polls = Array.from({ length: 3 }, () => guest.ret(1, { command: Command.POLL }));
    expect(await Promise.all(accepts.slice(16))).toEqual(Array(8).fill(-Errno.EINTR));
    expect(await Promise.all(polls.slice(1))).toEqual(Array(2).fill(-Errno.EINTR));
    expect(await guest.socket(2)).toBe(0);
    await guest.release(1);
    expect(await Promise.all(accepts.slice(0, 16))).toEqual(Array(16).fill(-Errno.EINTR));
    await gone(guest);
  });

  test('that ask for what is not theirs: ports of the machine, and the machine behind localhost', async () => {
    const guest = await extended();
    expect(await guest.serve(1, at('0.0.0.0', 80))).toBe(-Errno.EACCES);
    let id = 2;
    for (const ip of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1'])
      expect((await guest.dial(id++, at(ip, echoPort))).ret, ip).toBe(-Errno.ECONNREFUSED);
    for (const ip of ['224.0.0.1', '255.255.255.255', 'ff02::1'])
      expect((await guest.dial(id++, at(ip, 80))).ret, ip).toBe(-Errno.EACCES);
    await gone(guest);
  });

  test('that listen on all ports that it may', async () => {
    const guest = await extended();
    const served = [];
    for (let i = 0; i < 80; i++) served.push(await guest.serve(i, at('127.0.0.1', 5000 + i)));
    expect(served.filter((ret) => ret === 0).length).toBe(host.rules.limits.listening);
    expect(served.at(-1)).toBe(-Errno.ENOBUFS);
    await gone(guest);
  });

  test('that all wait for a peer who never answers', async () => {
    const silence = await Silence.begin();
    const guest = await extended();
    for (let id = 0; id < 16; id++) expect(await guest.socket(id)).toBe(0);
    for (let id = 0; id < 32; id++) {
      const { ringed } = guest.ring();
      guest.put(id % 16, {
        command: Command.CONNECT,
        ...addressed(machine(silence.port)),
        flags: 0,
        ...ringed,
      });
    }
    guest.show();
    // Each socket waits once; asked again, it says so.
    await guest.until(() => guest.responses.length === 16 + 16);
    expect(guest.responses.slice(16).map(({ ret }) => ret)).toEqual(Array(16).fill(-Errno.EALREADY));
    expect(guest.commands.free, 'and as many commands may be under way').toBe(16);
    silence.end();
    await gone(guest);
  });

  test('that come and go as fast as it can, each with a ring', async () => {
    const guest = await extended();
    const rings = Array.from({ length: 8 }, () => guest.ring());
    for (let round = 0; round < 40; round++) {
      const dialled = await Promise.all(rings.map((ring, id) => guest.dial(id, machine(echoPort), ring)));
      expect(dialled.every(({ ret }) => ret === 0)).toBe(true);
      for (const ring of rings) ring.put(randomBytes(100));
      await Promise.all(rings.map((_, id) => guest.release(id)));
      for (const [id, ring] of rings.entries()) {
        ring.drop();
        rings[id] = guest.ring();
      }
    }
    await gone(guest);
  });
});

test('a storm of events, for nothing', async () => {
  const guest = await host.guest();
  const { ring } = await guest.dial(1, machine(echoPort));
  for (let i = 0; i < 20_000; i++) {
    guest.notify();
    ring.ring();
    if (i % 500 === 0) await soon();
  }
  const back = ring.receive(5);
  await ring.send(Buffer.from('hello'));
  expect(Buffer.from(await back).toString()).toBe('hello');
  await gone(guest);
});

test('it dies in the middle of all it is at', async () => {
  const guest = await extended();
  for (let id = 0; id < 5; id++) (await guest.dial(id, machine(echoPort))).ring.put(randomBytes(3000));
  expect(await guest.serve(10, at('0.0.0.0', 0))).toBe(0);
  void guest.accept(10, 11);
  await guest.until(() => guest.responses.length > 10);
  hypervisor.ctrl.destroyDomain(guest.domid);
  await host.dom0.rm(`/local/domain/${guest.domid}`);
  await host.dom0.write(`${guest.back}/online`, '0');
  await host.dom0.write(`${guest.back}/state`, '5');
  await guest.backend('6');
  await host.dom0.rm(guest.back);
  await when(() => openFiles() <= files);
  // Nobody keeps a page of it.
  await when(() => !hypervisor.exists(guest.domid));
});

test('it opens and closes its device as fast as it can', async () => {
  const guest = await host.guest();
  for (let i = 0; i < 10; i++) {
    await guest.enter('5');
    await guest.enter('6');
    await guest.enter('1');
    await guest.enter('3');
  }
  await gone(guest);
});

describe('a mistake of ours', () => {
  test('in its commands: its device is closed with a line', async () => {
    const guest = await host.guest();
    const { handle } = Sockets.prototype;
    vi.spyOn(Sockets.prototype, 'handle').mockImplementation(function (this: Sockets, request) {
      if (request.id === 0x77n) throw new RangeError('no such socket');
      handle.call(this, request);
    });
    void guest.socket(0x77);
    expect(await guest.error()).toBe('internal error: no such socket');
    await gone(guest);
  });

  test('while its bytes are moved: the same', async () => {
    const guest = await host.guest();
    const { ring } = await guest.dial(1, machine(echoPort));
    const { move } = TcpStream.prototype;
    vi.spyOn(TcpStream.prototype, 'move').mockImplementation(function (this: TcpStream) {
      if (ring.index.load(Index.OUT_PROD) === 7 && this.traffic.outBytes === 0)
        throw new RangeError('no room');
      return move.call(this);
    });
    ring.put(Buffer.from('1234567'));
    expect(await guest.error()).toBe('internal error: no room');
    await gone(guest);
  });
});
