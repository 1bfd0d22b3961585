// A guest's socket driver beside a backend that is the test: what it publishes, what it asks in which order, and that bytes go both ways in order. What
// ends with the device's connection and what is made again on the next. A backend that breaks the rules costs the device, or the one socket.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodeAddress, type InetAddress } from '../../netback/xensock/core/address.ts';
import { Command, Index } from '../../netback/xensock/core/pvcalls.ts';
import { Ready } from '../../netback/xensock/front/driver.ts';
import type { XenSocket } from '../../netback/xensock/front/socket.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { Page } from '../../osdep/ring/page.ts';
import { echo, FakeSockBackend, fullOffer, giveIn, plainOffer, started, takeOut } from './sock-front.ts';
import { inet } from './sock-rawguest.ts';

const stream = { family: 2, type: 1, protocol: 0 };
const there = inet('10.0.0.1', 80);

/** A socket, and a way to wait until it is ready for something. */
class Used {
  readonly driver: XenSock;
  bits = 0;
  #wakes: (() => void)[] = [];
  readonly ready = (bits: number): void => {
    this.bits |= bits;
    for (const wake of this.#wakes.splice(0)) wake();
  };
  socket: XenSocket;

  constructor(driver: XenSock, kind = stream) {
    this.driver = driver;
    const made = driver.create(kind, this.ready);
    if (typeof made === 'number') throw new Error(`no socket: ${made}`);
    this.socket = made;
  }

  async until(bits: number): Promise<void> {
    while ((this.bits & bits) === 0)
      await new Promise<void>((resolve) => {
        this.#wakes.push(resolve);
      });
    this.bits &= ~bits;
  }

  async sendAll(bytes: Uint8Array): Promise<number> {
    for (let sent = 0; ; ) {
      const count = this.driver.send(this.socket, bytes.subarray(sent));
      if (count < 0 && count !== -11) return count;
      sent += Math.max(count, 0);
      if (sent === bytes.length) return sent;
      await this.until(Ready.OUT);
    }
  }

  /** So many bytes; fewer if the stream ends. */
  async receive(count: number): Promise<Buffer> {
    const into = Buffer.alloc(count);
    for (let got = 0; ; ) {
      const some = this.driver.recv(this.socket, into.subarray(got));
      if (some === 0) return into.subarray(0, got);
      if (some < 0 && some !== -11) throw new Error(`recv: ${some}`);
      got += Math.max(some, 0);
      if (got === count) return into;
      if (some < 0) await this.until(Ready.IN);
    }
  }
}

async function dialled(fake: FakeSockBackend, address = there): Promise<Used> {
  const used = new Used(await fake.driver);
  expect(await used.driver.connect(used.socket, address)).toBe(0);
  return used;
}

function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('what it publishes', () => {
  test('its version, a ring, a port; the extension where it is offered', async () => {
    const fake = await started();
    expect(await fake.key('version')).toBe('1');
    expect(await fake.key('ring-ref')).toMatch(/^\d+$/);
    expect(await fake.key('port')).toMatch(/^\d+$/);
    expect(await fake.key('feature-xensock')).toBe('1');
    const plain = await started({}, plainOffer);
    expect(await plain.key('feature-xensock')).toBe('0');
    const shy = await started({ extension: false });
    expect(await shy.key('feature-xensock')).toBe('0');
  });

  test.each([
    [{ ...plainOffer, versions: '2,3' }, 'versions: "2,3" does not have 1'],
    [{ ...plainOffer, 'function-calls': '0' }, 'function-calls'],
    [{ ...plainOffer, 'max-page-order': '0' }, 'max-page-order'],
  ])('a backend that cannot be worked with is refused with a line (%o)', async (offer, line) => {
    const fake = await FakeSockBackend.boot();
    await fake.offer(offer);
    expect(await fake.error()).toContain(line);
    await fake.guestState(6);
  });
});

describe('streams', () => {
  test('SOCKET and CONNECT go together, with the ring of the order that was chosen', async () => {
    const fake = await started({ connectOrder: 3 });
    const used = await dialled(fake);
    expect(fake.seen.map(({ command }) => command)).toEqual([Command.SOCKET, Command.CONNECT]);
    const [made, connect] = fake.seen;
    expect(made!.call).toEqual({ command: 0, domain: 2, type: 1, protocol: 0 });
    expect(connect!.id).toBe(made!.id);
    expect(fake.dataRing(connect!).size).toBe(4 * 4096);
    expect(await used.driver.getpeername(used.socket)).toEqual(there);
  });

  test('no ring is larger than the backend takes', async () => {
    const fake = await started({ connectOrder: 9 }, { ...plainOffer, 'max-page-order': '2' });
    await dialled(fake);
    expect(fake.dataRing(await fake.asked(Command.CONNECT)).size).toBe(2 * 4096);
  });

  test.each([
    [1, 300_000],
    [4, 3_000_000],
    [9, 5_000_001],
  ])('order %i: %i bytes there and back are the same', async (connectOrder, length) => {
    const fake = await started({ connectOrder });
    fake.answer = echo;
    const used = await dialled(fake);
    const bytes = noise(length);
    const [sent, got] = await Promise.all([used.sendAll(bytes), used.receive(length)]);
    expect(sent).toBe(length);
    expect(md5(got)).toBe(md5(bytes));
  });

  test('pieces of any size, taken in pieces of any other, in rings of one page a direction', async () => {
    const fake = await started({ connectOrder: 1 });
    fake.answer = echo;
    const used = await dialled(fake);
    const bytes = noise(120_000, 7);
    const sizes = (seed: number) => {
      let x = seed;
      return (): number => {
        x = (Math.imul(x, 69069) + 1) >>> 0;
        return 1 + ((x >>> 8) % [3, 60, 700, 5000, 9000][x % 5]!);
      };
    };
    const send = async (): Promise<void> => {
      const size = sizes(3);
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + size());
        await used.sendAll(part);
        at += part.length;
      }
    };
    const receive = async (): Promise<Buffer> => {
      const parts: Buffer[] = [];
      const size = sizes(11);
      for (let got = 0; got < bytes.length; ) {
        const part = await used.receive(Math.min(size(), bytes.length - got));
        parts.push(part);
        got += part.length;
      }
      return Buffer.concat(parts);
    };
    const [, back] = await Promise.all([send(), receive()]);
    expect(back.equals(bytes)).toBe(true);
  });

  test('a message in parts is one after the other', async () => {
    const fake = await started();
    fake.answer = echo;
    const used = await dialled(fake);
    const { driver, socket } = used;
    const parts = ['one ', 'two ', 'three'].map((text) => Buffer.from(text));
    expect(driver.sendmsg(socket, { parts })).toBe(13);
    await used.until(Ready.IN);
    const into = [Buffer.alloc(3), Buffer.alloc(4), Buffer.alloc(20)];
    expect(driver.recvmsg(socket, { parts: into })).toBe(13);
    expect(Buffer.concat(into).toString('latin1', 0, 13)).toBe('one two three');
  });

  test('the end of the stream comes after the last byte, and sending goes on', async () => {
    const fake = await started();
    const used = await dialled(fake);
    const ring = fake.dataRing(fake.seen[1]!);
    giveIn(ring, Buffer.from('the last words'));
    ring.fail('in', 107);
    ring.notify();
    expect((await used.receive(100)).toString()).toBe('the last words');
    expect(used.driver.recv(used.socket, new Uint8Array(1))).toBe(0);
    expect(used.driver.send(used.socket, Buffer.from('still here'))).toBe(10);
    expect(takeOut(ring).toString()).toBe('still here');
    expect(used.driver.poll(used.socket)).toBe(Ready.IN | Ready.OUT);
  });

  test('a reset is told once both ways, after what was received', async () => {
    const fake = await started();
    const used = await dialled(fake);
    const ring = fake.dataRing(fake.seen[1]!);
    giveIn(ring, Buffer.from('before'));
    ring.fail('in', 104);
    ring.fail('out', 104);
    ring.notify();
    await used.until(Ready.ERROR);
    expect(used.driver.recv(used.socket, Buffer.alloc(6))).toBe(6);
    expect(used.driver.recv(used.socket, Buffer.alloc(6))).toBe(-104);
    expect(used.driver.send(used.socket, Buffer.alloc(6))).toBe(-32);
    expect(used.driver.recv(used.socket, Buffer.alloc(6))).toBe(0);
  });

  test('closing asks for the release, and the next socket has the same ring', async () => {
    const fake = await started();
    const first = await dialled(fake);
    await first.driver.close(first.socket);
    const released = await fake.asked(Command.RELEASE);
    expect(released.call).toEqual({ command: Command.RELEASE, reuse: true });
    expect(first.driver.send(first.socket, Buffer.alloc(1))).toBe(-9);
    await dialled(fake);
    const [one, two] = fake.seen.filter(({ command }) => command === Command.CONNECT);
    expect(two!.call).toEqual(one!.call);
    expect(two!.id).not.toBe(one!.id);
  });

  test('a connect that fails says why, and gives its ring back', async () => {
    const fake = await started();
    fake.answer = ({ command }) => (command === Command.CONNECT ? -111 : 0);
    const used = new Used(await fake.driver);
    expect(await used.driver.connect(used.socket, there)).toBe(-111);
    fake.answer = () => 0;
    expect(await used.driver.connect(used.socket, there)).toBe(0);
    const [one, two] = fake.seen.filter(({ command }) => command === Command.CONNECT);
    expect(two!.call).toEqual(one!.call);
  });

  test('why a socket could not be made is what its connect says', async () => {
    const fake = await started();
    fake.answer = ({ command }) => (command === Command.SOCKET ? -97 : -22);
    const used = new Used(await fake.driver);
    expect(await used.driver.connect(used.socket, there)).toBe(-97);
  });

  test('slow connects leave slots for others, and one that was never sent costs nothing', async () => {
    const fake = await started();
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const driver = await fake.driver;
    const many = Array.from({ length: 60 }, () => new Used(driver));
    const outcomes = many.map(({ socket }) => driver.connect(socket, there));
    await fake.asked(Command.CONNECT, 28);
    const quick = new Used(driver);
    expect(await driver.bind(quick.socket, inet('0.0.0.0', 8080))).toBe(0);
    await driver.close(many[59]!.socket);
    expect(await outcomes[59]).toBe(-103);
    const connects = fake.seen.filter(({ command }) => command === Command.CONNECT);
    expect(connects).toHaveLength(28);
    for (const request of connects) fake.settle(request, -110);
    await fake.asked(Command.CONNECT, 56);
    expect(await Promise.all(outcomes.slice(0, 28))).toEqual(Array(28).fill(-110));
  });

  test('closed while it connects: it is released when both are answered', async () => {
    const fake = await started();
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const used = new Used(await fake.driver);
    const outcome = used.driver.connect(used.socket, there);
    const connect = await fake.asked(Command.CONNECT);
    const closed = used.driver.close(used.socket);
    await fake.asked(Command.RELEASE);
    fake.settle(connect, -4);
    expect(await outcome).toBe(-4);
    await closed;
  });
});

describe('listening', () => {
  const here = inet('0.0.0.0', 8080);

  async function served(fake: FakeSockBackend): Promise<Used> {
    fake.answer = ({ command }) => (command === Command.ACCEPT ? undefined : 0);
    const used = new Used(await fake.driver);
    expect(await used.driver.bind(used.socket, here)).toBe(0);
    expect(await used.driver.listen(used.socket, 5)).toBe(0);
    return used;
  }

  test('accepts are with the backend before anybody asks; more than one with the extension alone', async () => {
    const fake = await started();
    await served(fake);
    await fake.asked(Command.ACCEPT, 9);
    // The next one has its own in spite of that.
    const next = await served(fake);
    expect((await fake.asked(Command.ACCEPT, 10)).id).toBe(next.socket.id);
    await turn();
    expect(fake.seen.filter(({ command }) => command === Command.ACCEPT)).toHaveLength(10);
    const plain = await started({}, plainOffer);
    await served(plain);
    await plain.asked(Command.ACCEPT);
    await turn();
    expect(plain.seen.filter(({ command }) => command === Command.ACCEPT)).toHaveLength(1);
  });

  test('what comes is told of, and waits until it is taken, with its bytes', async () => {
    const fake = await started({ acceptOrder: 2 });
    const used = await served(fake);
    const { driver, socket } = used;
    expect(driver.accept(socket, () => {})).toBe(-11);
    const request = await fake.asked(Command.ACCEPT);
    const ring = fake.dataRing(request);
    expect(ring.size).toBe(2 * 4096);
    giveIn(ring, Buffer.from('hello'));
    fake.settle(request, 0);
    await used.until(Ready.IN);
    let told: (bits: number) => void = () => {};
    const heard = new Promise<number>((resolve) => {
      told = resolve;
    });
    const child = driver.accept(socket, (bits) => told(bits)) as XenSocket;
    expect(await heard).toBe(Ready.IN);
    const into = Buffer.alloc(5);
    expect(driver.recv(child, into)).toBe(5);
    expect(into.toString()).toBe('hello');
    expect(driver.accept(socket, () => {})).toBe(-11);
    // The one that was taken has its successor.
    await fake.asked(Command.ACCEPT, 10);
  });

  test('what was never taken is released with its listening socket', async () => {
    const fake = await started();
    const used = await served(fake);
    const request = await fake.asked(Command.ACCEPT);
    fake.settle(request, 0);
    await used.until(Ready.IN);
    const closing = used.driver.close(used.socket);
    await fake.asked(Command.RELEASE, 2);
    await closing;
    const child = request.call?.command === Command.ACCEPT ? request.call.newId : 0n;
    const released = fake.seen.filter(({ command }) => command === Command.RELEASE).map(({ id }) => id);
    expect(new Set(released)).toEqual(new Set([request.id, child]));
    // One that comes in spite of it is for nobody.
    const late = await fake.asked(Command.ACCEPT, 2);
    fake.settle(late, 0);
    expect((await fake.asked(Command.RELEASE, 3)).id).toBe(
      late.call?.command === Command.ACCEPT ? late.call.newId : 0n,
    );
  });

  test('a backend that has no room for another connection is asked again after a while, not at once', async () => {
    const fake = await started();
    const used = await served(fake);
    const accepts = (): number => fake.seen.filter(({ command }) => command === Command.ACCEPT).length;
    await fake.asked(Command.ACCEPT, 9);
    for (const request of fake.seen.filter(({ command }) => command === Command.ACCEPT))
      fake.settle(request, -24);
    for (let i = 0; i < 5; i++) await turn();
    expect(accepts()).toBe(9);
    fake.later();
    fake.settle(await fake.asked(Command.ACCEPT, 10), 0);
    await used.until(Ready.IN);
  });

  test('when the backend says that it listens no more, so does accept', async () => {
    const fake = await started({}, plainOffer);
    const used = await served(fake);
    fake.settle(await fake.asked(Command.ACCEPT), -13);
    await used.until(Ready.ERROR);
    expect(used.driver.accept(used.socket, () => {})).toBe(-13);
  });

  test('sixteen listen at a time', async () => {
    const fake = await started();
    const driver = await fake.driver;
    for (let i = 0; i < 16; i++) await served(fake);
    const last = new Used(driver);
    await driver.bind(last.socket, here);
    expect(await driver.listen(last.socket, 1)).toBe(-105);
  });
});

describe('the extension', () => {
  test('names, options and half-close are asked of the backend; without it they are not to be had', async () => {
    const fake = await started();
    const used = await dialled(fake);
    const { driver, socket } = used;
    const name = inet('10.0.0.7', 40_000);
    const bytes = new Uint8Array(28);
    const length = encodeAddress(name, bytes);
    fake.answer = (request) => {
      if (request.command === Command.GETSOCKNAME) fake.settle(request, 0, bytes.subarray(0, length));
      else if (request.command === Command.GETSOCKOPT) fake.settle(request, 0, Uint8Array.of(1, 0, 0, 0));
      else return 0;
      return undefined;
    };
    expect(await driver.getsockname(socket)).toEqual(name);
    expect(await driver.getsockopt(socket, 6, 1)).toEqual(Uint8Array.of(1, 0, 0, 0));
    expect(await driver.setsockopt(socket, 6, 1, Uint8Array.of(1, 0, 0, 0))).toBe(0);
    expect(await driver.shutdown(socket, 'write')).toBe(0);
    expect((await fake.asked(Command.SHUTDOWN)).call).toEqual({ command: Command.SHUTDOWN, how: 1 });
    expect(driver.send(socket, Buffer.alloc(1))).toBe(-32);

    const plain = await started({}, plainOffer);
    const other = await dialled(plain);
    expect(await other.driver.shutdown(other.socket, 'write')).toBe(-524);
    expect(await other.driver.setsockopt(other.socket, 6, 1, Uint8Array.of(1, 0, 0, 0))).toBe(-524);
    expect(await other.driver.getpeername(other.socket)).toEqual(there);
    expect(other.driver.create({ family: 2, type: 2, protocol: 0 }, () => {})).toBe(-524);
    expect(plain.seen.map(({ command }) => command)).toEqual([Command.SOCKET, Command.CONNECT]);
  });

  test('names that come with an answer are not asked for', async () => {
    const fake = await started();
    const bytes = new Uint8Array(28);
    const name = inet('10.0.0.7', 40_000);
    const length = encodeAddress(name, bytes);
    fake.answer = (request) => {
      if (request.command !== Command.CONNECT && request.command !== Command.ACCEPT) return 0;
      fake.settle(request, 0, bytes.subarray(0, length));
      return undefined;
    };
    const client = await dialled(fake);
    expect(await client.driver.getsockname(client.socket)).toEqual(name);
    const server = new Used(client.driver);
    await server.driver.listen(server.socket, 1);
    await server.until(Ready.IN);
    const child = server.driver.accept(server.socket, () => {}) as XenSocket;
    expect(await server.driver.getpeername(child)).toEqual(name);
    expect(fake.seen.some(({ command }) => command === Command.GETPEERNAME)).toBe(false);
  });

  test('datagrams keep their edges and their addresses', async () => {
    const fake = await started();
    fake.answer = (request) => {
      if (request.command !== Command.ATTACH) return 0;
      let held = Buffer.alloc(0);
      fake.dataRing(request, (ring) => {
        held = Buffer.concat([held, takeOut(ring)]);
        held = held.subarray(giveIn(ring, held));
        // A datagram may want more room than there was without the ring being full.
        ring.ring();
      });
      return 0;
    };
    const used = new Used(await fake.driver, { family: 2, type: 2, protocol: 0 });
    const { driver, socket } = used;
    const sizes = [1, 0, 1472, 65_507, 8, 30_000];
    for (const [i, size] of sizes.entries()) {
      const to = inet('10.1.1.1', 1000 + i);
      while (driver.sendto(socket, noise(size, i), to) === -11) await used.until(Ready.OUT);
    }
    const into = Buffer.alloc(65_536);
    for (const [i, size] of sizes.entries()) {
      let got = driver.recvfrom(socket, into);
      while (got.count === -11) {
        await used.until(Ready.IN);
        got = driver.recvfrom(socket, into);
      }
      expect(got).toEqual({ count: size, from: inet('10.1.1.1', 1000 + i) });
      expect(md5(into.subarray(0, size))).toBe(md5(noise(size, i)));
    }
    expect(driver.recv(socket, into)).toBe(-11);
    expect(driver.sendto(socket, Buffer.alloc(65_508), there)).toBe(-90);
    driver.sendto(socket, Buffer.from('too long'), there);
    await used.until(Ready.IN);
    const message = { parts: [Buffer.alloc(3)] };
    expect(driver.recvmsg(socket, message)).toBe(3);
    expect(message).toMatchObject({ truncated: true, address: there });
  });
});

describe('when the connection of the device ends', () => {
  async function renewed(fake: FakeSockBackend): Promise<void> {
    await fake.state(5);
    await fake.guestState(6);
    await fake.state(6);
    await fake.guestState(1);
    fake.seen.length = 0;
    await fake.offer(fullOffer);
    await fake.accept();
  }

  test('streams are reset, and what listens is made again', async () => {
    const fake = await started();
    const driver = await fake.driver;
    fake.answer = ({ command }) => (command === Command.ACCEPT ? undefined : 0);
    const server = new Used(driver);
    await driver.setsockopt(server.socket, 1, 2, Uint8Array.of(1, 0, 0, 0));
    await driver.bind(server.socket, inet('0.0.0.0', 8080));
    await driver.listen(server.socket, 7);
    const client = await dialled(fake);
    await renewed(fake);
    await client.until(Ready.ERROR);
    expect(client.driver.recv(client.socket, Buffer.alloc(1))).toBe(-104);
    expect(client.driver.send(client.socket, Buffer.alloc(1))).toBe(-104);
    await fake.asked(Command.ACCEPT);
    const kinds = fake.seen.map(({ command }) => command).slice(0, 5);
    expect(kinds).toEqual([Command.SOCKET, Command.SETSOCKOPT, Command.BIND, Command.LISTEN, Command.ACCEPT]);
    expect(fake.seen[3]!.call).toEqual({ command: Command.LISTEN, backlog: 7 });
    fake.settle(await fake.asked(Command.ACCEPT), 0);
    await server.until(Ready.IN);
    expect(driver.accept(server.socket, () => {})).toBeTypeOf('object');
  });

  test('calls under way are reset; calls made meanwhile wait for the next connection', async () => {
    const fake = await started();
    const driver = await fake.driver;
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const first = new Used(driver);
    const lost = driver.connect(first.socket, there);
    await fake.asked(Command.CONNECT);
    await fake.state(5);
    expect(await lost).toBe(-104);
    const second = new Used(driver);
    const waits = driver.connect(second.socket, there);
    const never = new Used(driver);
    const gone = driver.connect(never.socket, there);
    await driver.close(never.socket);
    fake.answer = () => 0;
    await fake.guestState(6);
    await fake.state(6);
    await fake.guestState(1);
    await fake.offer(fullOffer);
    await fake.accept();
    expect(await waits).toBe(0);
    expect(await gone).toBeLessThan(0);
  });

  test("an answer that comes too late is nobody's, and no mistake", async () => {
    const fake = await started();
    const driver = await fake.driver;
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const used = new Used(driver);
    const outcome = driver.connect(used.socket, there);
    const request = await fake.asked(Command.CONNECT);
    driver.reconnect();
    expect(await outcome).toBe(-104);
    fake.settle(request, -4);
    await fake.state(5);
    await fake.guestState(6);
    await fake.state(6);
    await fake.guestState(1);
    fake.answer = () => 0;
    await fake.offer(fullOffer);
    await fake.accept();
    await dialled(fake);
  });

  test('when the guest wants it no more, calls say that the network is down', async () => {
    const fake = await started();
    const driver = await fake.driver;
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const used = new Used(driver);
    const outcome = driver.connect(used.socket, there);
    await fake.asked(Command.CONNECT);
    driver.leave();
    expect(await outcome).toBe(-100);
    expect(driver.create(stream, () => {})).toBe(-100);
    expect(await driver.connect(used.socket, there)).toBeLessThan(0);
  });

  test('datagrams go on with the next process of a backend that was killed', async () => {
    const fake = await started();
    const used = new Used(await fake.driver, { family: 2, type: 2, protocol: 0 });
    const { driver, socket } = used;
    await driver.bind(socket, inet('0.0.0.0', 5353));
    fake.answer = ({ command }) => (command === Command.ATTACH ? undefined : 0);
    const first = fake.dataRing(await fake.asked(Command.ATTACH));
    first.fail('in', 104);
    first.fail('out', 104);
    first.notify();
    const request = await fake.asked(Command.ATTACH, 2);
    const commands = fake.seen.map(({ command }) => command).slice(-4);
    expect(commands).toEqual([Command.RELEASE, Command.SOCKET, Command.ATTACH, Command.BIND]);
    expect(driver.sendto(socket, Buffer.from('again'), there)).toBe(5);
    expect(takeOut(fake.dataRing(request)).toString('latin1', 40, 45)).toBe('again');
  });

  test('nothing is left of it at the guest', async () => {
    const fake = await started();
    const used = await dialled(fake);
    const driver = await fake.driver;
    driver.leave();
    await used.until(Ready.ERROR);
    await fake.state(5);
    await fake.guestState(6);
    await fake.state(6);
    const { ref } = fake.seen[1]!.call as { readonly ref: number };
    const mapped = (): boolean => {
      try {
        fake.gnttab.mapGrantRef(fake.guest.domid, ref, 'rw').unmap();
        return true;
      } catch {
        return false;
      }
    };
    while (mapped()) await turn();
    await driver.close(used.socket);
  });
});

describe('a backend that breaks the rules', () => {
  test.each<[string, (fake: FakeSockBackend) => void, string]>([
    [
      'answers what nobody asked',
      (fake) => fake.respond({ reqId: 31, command: 1, id: 1n, ret: 0 }),
      'request 31',
    ],
    [
      'answers another command',
      (fake) => fake.respond({ reqId: fake.seen[1]!.reqId, command: 5, id: fake.seen[1]!.id, ret: 0 }),
      'as 5',
    ],
    [
      'answers for another socket',
      (fake) => fake.respond({ reqId: fake.seen[1]!.reqId, command: 1, id: 77n, ret: 0 }),
      'as 77',
    ],
    [
      'answers more than there were requests',
      (fake) => {
        fake.page!.store(8, 99);
        fake.ring();
      },
      'more than it was asked',
    ],
  ])('%s: the device is given up with a line', async (_, misbehave, line) => {
    const fake = await started();
    fake.answer = ({ command }) => (command === Command.CONNECT ? undefined : 0);
    const used = new Used(await fake.driver);
    const outcome = used.driver.connect(used.socket, there);
    await fake.asked(Command.CONNECT);
    misbehave(fake);
    expect(await outcome).toBe(-104);
    expect(await fake.error()).toContain(line);
    await fake.guestState(5);
  });

  test.each<[string, number, number]>([
    ['an impossible index of bytes to come', Index.IN_PROD, 0x7fff_ffff],
    ['an impossible index of bytes taken', Index.OUT_CONS, 5],
    ['an error that is none', Index.IN_ERROR, 5],
  ])('%s costs the one socket', async (_, offset, value) => {
    const fake = await started();
    const used = await dialled(fake);
    const other = await dialled(fake);
    const [one, two] = fake.seen.filter(({ command }) => command === Command.CONNECT);
    const call = one!.call as { readonly ref: number };
    const index = new Page(fake.gnttab.mapGrantRef(fake.guest.domid, call.ref, 'rw').bytes);
    index.store(offset, value);
    const { driver } = used;
    const results = [
      driver.recv(used.socket, Buffer.alloc(9)),
      driver.send(used.socket, Buffer.alloc(9)),
      driver.recv(used.socket, Buffer.alloc(9)),
    ];
    expect(results).toContain(-5);
    expect(driver.send(other.socket, Buffer.from('fine'))).toBe(4);
    expect(takeOut(fake.dataRing(two!)).toString()).toBe('fine');
  });

  test('a datagram that cannot be ends its socket', async () => {
    const fake = await started();
    const used = new Used(await fake.driver, { family: 2, type: 2, protocol: 0 });
    const ring = fake.dataRing(await fake.asked(Command.ATTACH));
    const header = Buffer.alloc(40);
    header.writeUInt32LE(0xffff_fff0, 0);
    giveIn(ring, header);
    await used.until(Ready.IN);
    expect(used.driver.recv(used.socket, Buffer.alloc(9))).toBe(-5);
    expect(used.driver.sendto(used.socket, Buffer.alloc(9), there)).toBe(-5);
  });
});

test('addresses of both families go out as they are', async () => {
  const fake = await started();
  const six: InetAddress = { family: 10, ip: new Uint8Array(16).fill(7), port: 443, scope: 2 };
  const used = new Used(await fake.driver, { family: 10, type: 1, protocol: 0 });
  expect(await used.driver.connect(used.socket, six)).toBe(0);
  const { call } = fake.seen[1]!;
  const bytes = new Uint8Array(28);
  encodeAddress(six, bytes);
  expect(call).toMatchObject({ address: bytes, addressLength: 28 });
});
