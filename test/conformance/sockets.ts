/**
 * What every socket driver must do, as one suite: a function of a factory, which makes a driver whose sockets reach each other at 127.0.0.1 (and ::1), and of
 * what it supports. The same tests run within one guest, and through a ring and a backend.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Family, type InetAddress, parseIp, SocketType } from '../../netback/xensock/core/address.ts';
import { type Message, Ready, type SocketDriver } from '../../netback/xensock/front/driver.ts';
import { Errno } from '../../osdep/errno.ts';

export interface DriverUnderTest {
  readonly driver: SocketDriver<object>;
  stop(): Promise<void>;
}

export interface SocketSupports {
  /** One side can end, and the other go on. */
  readonly halfClose: boolean;
  readonly names: boolean;
  readonly options: boolean;
  readonly datagrams: boolean;
  readonly ipv6: boolean;
  /** What is received of the random bytes in one test; less where it is slow. */
  readonly bytes: number;
}

/** A socket, and waiting for it to be ready. */
class Sock {
  readonly driver: SocketDriver<object>;
  state: object | number = -Errno.EBADF;
  #bits = 0;
  #wake: (() => void) | undefined;
  readonly onReady = (bits: number): void => {
    this.#bits |= bits;
    this.#wake?.();
  };

  constructor(driver: SocketDriver<object>) {
    this.driver = driver;
  }

  get socket(): object {
    if (typeof this.state === 'number') throw new Error(`no socket: ${this.state}`);
    return this.state;
  }

  /** Something has come up since the last time. */
  async news(): Promise<number> {
    if (this.#bits === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const bits = this.#bits;
    this.#bits = 0;
    return bits;
  }

  /** The first answer that is not -EAGAIN. */
  async retry(call: () => number): Promise<number> {
    for (;;) {
      const answer = call();
      if (answer !== -Errno.EAGAIN) return answer;
      await this.news();
    }
  }

  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const count = await this.retry(() => this.driver.send(this.socket, bytes.subarray(at)));
      if (count < 0) throw new Error(`send: ${count}`);
      at += count;
    }
  }

  /** At most so much, or a negative number; 0: the end. */
  recv(into: Uint8Array): Promise<number> {
    return this.retry(() => this.driver.recv(this.socket, into));
  }

  /** So many bytes, or fewer and the end. */
  async receive(length: number, piece = 65_536): Promise<Uint8Array> {
    const all = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const count = await this.recv(all.subarray(at, at + piece));
      if (count < 0) throw new Error(`recv: ${count}`);
      if (count === 0) break;
      at += count;
    }
    return all.subarray(0, at);
  }

  async accept(): Promise<Sock> {
    const accepted = new Sock(this.driver);
    await this.retry(() => {
      accepted.state = this.driver.accept(this.socket, accepted.onReady);
      return typeof accepted.state === 'number' ? accepted.state : 0;
    });
    return accepted;
  }

  async name(): Promise<InetAddress> {
    const name = await this.driver.getsockname(this.socket);
    if (typeof name === 'number') throw new Error(`getsockname: ${name}`);
    return name;
  }

  close(): Promise<void> {
    return this.driver.close(this.socket);
  }
}

const at = (ip: string, port = 0): InetAddress => parseIp(ip, port)!;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (value: string): Uint8Array => Buffer.from(value);
const word = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0);
const EMPTY: Uint8Array = new Uint8Array(16);

/** Ports of tests where names cannot be asked for: one after another. */
let nextPort = 20_000;

function noise(length: number): Uint8Array {
  const made = new Uint8Array(length);
  for (let i = 0, seed = length; i < length; i++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    made[i] = seed >>> 16;
  }
  return made;
}

export function socketSuite(
  title: string,
  factory: () => Promise<DriverUnderTest>,
  supports: SocketSupports,
): void {
  describe(title, () => {
    let under: DriverUnderTest;
    beforeEach(async () => {
      under = await factory();
    });
    afterEach(() => under.stop());

    const open = (type: number = SocketType.STREAM, family: number = Family.INET): Sock => {
      const sock = new Sock(under.driver);
      sock.state = under.driver.create({ family, type, protocol: 0 }, sock.onReady);
      expect(typeof sock.state).toBe('object');
      return sock;
    };
    const bound = async (sock: Sock, ip: string): Promise<InetAddress> => {
      const wanted = at(ip, supports.names ? 0 : nextPort++);
      expect(await under.driver.bind(sock.socket, wanted)).toBe(0);
      return supports.names ? sock.name() : wanted;
    };
    const listen = async (ip = '127.0.0.1', backlog = 8): Promise<[Sock, InetAddress]> => {
      const family = at(ip).family;
      const sock = open(SocketType.STREAM, family);
      const address = await bound(sock, ip);
      expect(await under.driver.listen(sock.socket, backlog)).toBe(0);
      return [sock, address];
    };
    const connect = async (to: InetAddress): Promise<Sock> => {
      const sock = open(SocketType.STREAM, to.family);
      expect(await under.driver.connect(sock.socket, to)).toBe(0);
      return sock;
    };
    const pair = async (): Promise<[Sock, Sock]> => {
      const [server, address] = await listen();
      const client = await connect(address);
      return [client, await server.accept()];
    };

    describe('streams', () => {
      test('carry bytes both ways', async () => {
        const [a, b] = await pair();
        await a.send(bytes('question'));
        expect(text(await b.receive(8))).toBe('question');
        await b.send(bytes('answer'));
        expect(text(await a.receive(6))).toBe('answer');
      });

      test('carry many, in order, whatever the sizes of sends and reads', async () => {
        const sizes = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 20 });
        const run = fc.asyncProperty(sizes, sizes, async (sends, reads) => {
          const [a, b] = await pair();
          const sent = noise(
            Math.min(
              supports.bytes,
              sends.reduce((sum, size) => sum + size, 0),
            ),
          );
          const sending = (async () => {
            for (let from = 0, i = 0; from < sent.length; i++) {
              const to = from + sends[i % sends.length]!;
              await a.send(sent.subarray(from, to));
              from = to;
            }
            await a.close();
          })();
          const got: Uint8Array[] = [];
          for (let i = 0; ; i++) {
            const into = new Uint8Array(reads[i % reads.length]!);
            const count = await b.recv(into);
            expect(count).toBeGreaterThanOrEqual(0);
            if (count === 0) break;
            got.push(into.subarray(0, count));
          }
          await sending;
          expect(Buffer.concat(got).equals(sent)).toBe(true);
          await b.close();
        });
        await fc.assert(run, { numRuns: 10, seed: 1 });
      });

      test('a message of parts is sent and received as one', async () => {
        const [a, b] = await pair();
        const parts = ['one', 'two', 'three'].map(bytes);
        expect(under.driver.sendmsg(a.socket, { parts })).toBe(11);
        await b.retry(() => ((under.driver.poll(b.socket) & Ready.IN) === 0 ? -Errno.EAGAIN : 0));
        const into = [new Uint8Array(4), new Uint8Array(20)];
        expect(under.driver.recvmsg(b.socket, { parts: into })).toBe(11);
        expect(text(into[0]!) + text(into[1]!.subarray(0, 7))).toBe('onetwothree');
      });

      test('who sends faster than the other reads is stopped, and told when there is room', async () => {
        const [a, b] = await pair();
        const block = noise(65_536);
        let stopped = false;
        let sent = 0;
        while (!stopped && sent < 1 << 30) {
          const count = under.driver.send(a.socket, block);
          if (count >= 0) sent += count;
          // What is under way to the peer makes room again: stopped is who hears nothing for a while.
          else stopped = (await quiet(a)) === 'quiet';
        }
        expect(stopped).toBe(true);
        expect((await b.receive(sent)).length).toBe(sent);
        expect(await a.retry(() => under.driver.send(a.socket, block))).toBeGreaterThan(0);
      });

      test('nothing there: -EAGAIN, and IN when there is', async () => {
        const [a, b] = await pair();
        expect(under.driver.recv(b.socket, new Uint8Array(1))).toBe(-Errno.EAGAIN);
        expect(under.driver.poll(b.socket) & Ready.IN).toBe(0);
        expect(under.driver.poll(b.socket) & Ready.OUT).toBe(Ready.OUT);
        await a.send(bytes('x'));
        expect((await b.news()) & Ready.IN).toBe(Ready.IN);
        expect(under.driver.poll(b.socket) & Ready.IN).toBe(Ready.IN);
      });

      test('what was sent before the end is received, then the end', async () => {
        const [a, b] = await pair();
        const sent = noise(50_000);
        await a.send(sent);
        await a.close();
        expect(Buffer.from(await b.receive(100_000)).equals(sent)).toBe(true);
        expect(under.driver.recv(b.socket, EMPTY)).toBe(0);
        expect(under.driver.poll(b.socket) & Ready.IN).toBe(Ready.IN);
      });

      test.skipIf(!supports.halfClose)('one side ends, and the other goes on', async () => {
        const [a, b] = await pair();
        await a.send(bytes('all'));
        expect(await under.driver.shutdown(a.socket, 'write')).toBe(0);
        expect(under.driver.send(a.socket, bytes('more'))).toBe(-Errno.EPIPE);
        expect(text(await b.receive(10))).toBe('all');
        await b.send(bytes('still here'));
        await b.close();
        expect(text(await a.receive(100))).toBe('still here');
      });

      test('closed with bytes unread: the other is reset', async () => {
        const [a, b] = await pair();
        await a.send(bytes('never read'));
        await b.retry(() => ((under.driver.poll(b.socket) & Ready.IN) === 0 ? -Errno.EAGAIN : 0));
        await b.close();
        expect(await a.recv(new Uint8Array(1))).toBe(-Errno.ECONNRESET);
        expect(await a.retry(() => under.driver.send(a.socket, EMPTY))).toBe(-Errno.EPIPE);
      });

      test('who sends to one that is gone hears of it, the second time at the latest', async () => {
        const [a, b] = await pair();
        await b.close();
        expect(await a.recv(EMPTY)).toBe(0);
        let answer = 0;
        for (let tries = 0; answer >= 0 && tries < 1000; tries++) {
          answer = await a.retry(() => under.driver.send(a.socket, EMPTY));
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect([-Errno.EPIPE, -Errno.ECONNRESET]).toContain(answer);
      });

      test('a socket that is closed is nobody any more', async () => {
        const [a] = await pair();
        const { socket } = a;
        await a.close();
        expect(under.driver.send(socket, EMPTY)).toBe(-Errno.EBADF);
        expect(under.driver.recv(socket, EMPTY)).toBe(-Errno.EBADF);
        await under.driver.close(socket);
      });
    });

    describe('connections', () => {
      test('nobody listens: ECONNREFUSED', async () => {
        const [server, address] = await listen();
        await server.close();
        const sock = open();
        expect(await under.driver.connect(sock.socket, address)).toBe(-Errno.ECONNREFUSED);
      });

      test('nobody waits: -EAGAIN; whoever comes is IN, and accepted in the order of coming', async () => {
        const [server, address] = await listen();
        expect(under.driver.accept(server.socket, () => {})).toBe(-Errno.EAGAIN);
        const clients: Sock[] = [];
        for (let i = 0; i < 3; i++) {
          const client = await connect(address);
          await client.send(Uint8Array.of(i));
          clients.push(client);
        }
        for (let i = 0; i < 3; i++) expect([...(await (await server.accept()).receive(1))]).toEqual([i]);
      });

      test('more than the backlog get through when those before them are accepted', async () => {
        const [server, address] = await listen('127.0.0.1', 2);
        const clients = Array.from({ length: 20 }, () => open());
        const coming = clients.map(({ socket }) => under.driver.connect(socket, address));
        const accepted = new Set<Sock>();
        while (accepted.size < clients.length) accepted.add(await server.accept());
        expect(await Promise.all(coming)).toEqual(clients.map(() => 0));
      });

      test('bytes that were sent before anybody accepted wait', async () => {
        const [server, address] = await listen();
        const client = await connect(address);
        await client.send(bytes('early'));
        await client.close();
        expect(text(await (await server.accept()).receive(10))).toBe('early');
      });

      test('a listener that closes leaves nobody waiting', async () => {
        const [server, address] = await listen();
        const client = await connect(address);
        await server.close();
        // Who has no SO_LINGER cannot break off what is connected already.
        expect(await client.recv(EMPTY)).toBe(supports.options ? -Errno.ECONNRESET : 0);
      });

      test('a port is taken once, and free again when its socket is closed', async () => {
        const [server, address] = await listen();
        const other = open();
        expect(await under.driver.bind(other.socket, address)).toBe(-Errno.EADDRINUSE);
        await server.close();
        const third = open();
        expect(await under.driver.bind(third.socket, address)).toBe(0);
      });

      test('calls out of order are refused', async () => {
        const [a] = await pair();
        const fresh = open();
        expect(under.driver.recv(fresh.socket, EMPTY)).toBe(-Errno.ENOTCONN);
        expect(under.driver.send(fresh.socket, EMPTY)).toBeLessThan(0);
        expect(under.driver.accept(fresh.socket, () => {})).toBe(-Errno.EINVAL);
        expect(await under.driver.connect(a.socket, at('127.0.0.1', 1))).toBe(-Errno.EISCONN);
        expect(await under.driver.connect(fresh.socket, at('::1', 1))).toBe(-Errno.EAFNOSUPPORT);
        expect(under.driver.create({ family: 77, type: 1, protocol: 0 }, () => {})).toBeLessThan(0);
        expect(under.driver.create({ family: 2, type: SocketType.RAW, protocol: 0 }, () => {})).toBeLessThan(
          0,
        );
      });

      test.skipIf(!supports.names)('both ends know their names', async () => {
        const [server, address] = await listen();
        const client = await connect(address);
        const accepted = await server.accept();
        expect(address.port).toBeGreaterThan(1023);
        expect(await under.driver.getpeername(client.socket)).toEqual(address);
        expect(await under.driver.getpeername(accepted.socket)).toEqual(await client.name());
        expect(await accepted.name()).toEqual(address);
        expect(await under.driver.getpeername(open().socket)).toBe(-Errno.ENOTCONN);
      });

      test.skipIf(!supports.ipv6)('IPv6: ::1, and IPv4 to who listens everywhere', async () => {
        const [server, address] = await listen('::1');
        const client = await connect(address);
        await client.send(bytes('six'));
        expect(text(await (await server.accept()).receive(3))).toBe('six');
        const [both, { port }] = await listen('::');
        const four = await connect(at('127.0.0.1', port));
        await four.send(bytes('four'));
        expect(text(await (await both.accept()).receive(4))).toBe('four');
      });

      test('a hundred at once', async () => {
        const [server, address] = await listen('127.0.0.1', 128);
        const echo = (async () => {
          for (let i = 0; i < 100; i++) {
            const sock = await server.accept();
            void sock.receive(4).then((got) => sock.send(got));
          }
        })();
        const clients = Array.from({ length: 100 }, async (_, i) => {
          const client = await connect(address);
          await client.send(word(i));
          return (await client.receive(4))[0];
        });
        expect(await Promise.all(clients)).toEqual(clients.map((_, i) => i));
        await echo;
      });
    });

    describe.skipIf(!supports.options)('options', () => {
      const TCP = 6;
      const NODELAY = 1;
      test('what is set is read again', async () => {
        const [a] = await pair();
        for (const value of [1, 0]) {
          expect(await under.driver.setsockopt(a.socket, TCP, NODELAY, word(value))).toBe(0);
          expect(await under.driver.getsockopt(a.socket, TCP, NODELAY)).toEqual(word(value));
        }
      });

      test('one that nobody knows is refused', async () => {
        const [a] = await pair();
        expect(await under.driver.setsockopt(a.socket, 200, 200, word(1))).toBeLessThan(0);
        expect(await under.driver.getsockopt(a.socket, 200, 200)).toBeLessThan(0);
      });

      test('SO_LINGER with no time: the other is reset', async () => {
        const [a, b] = await pair();
        const SO_LINGER = 13;
        expect(
          await under.driver.setsockopt(a.socket, 1, SO_LINGER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)),
        ).toBe(0);
        await a.close();
        expect(await b.recv(EMPTY)).toBe(-Errno.ECONNRESET);
      });
    });

    describe.skipIf(!supports.datagrams)('datagrams', () => {
      const receive = async (sock: Sock, into: Uint8Array): Promise<ReturnType<SocketDriver['recvfrom']>> => {
        let got: ReturnType<SocketDriver['recvfrom']> = { count: 0 };
        await sock.retry(() => {
          got = under.driver.recvfrom(sock.socket, into);
          return got.count;
        });
        return got;
      };
      const bind = async (ip = '127.0.0.1'): Promise<[Sock, InetAddress]> => {
        const sock = open(SocketType.DGRAM, at(ip).family);
        return [sock, await bound(sock, ip)];
      };

      test('are whole, and know their sender', async () => {
        const [a, from] = await bind();
        const [b, to] = await bind();
        for (const message of ['one', '', 'three'])
          expect(await a.retry(() => under.driver.sendto(a.socket, bytes(message), to))).toBe(message.length);
        const into = new Uint8Array(100);
        for (const message of ['one', '', 'three']) {
          const got = await receive(b, into);
          expect(got.from).toEqual(from);
          expect(text(into.subarray(0, got.count))).toBe(message);
        }
      });

      test('longer than there is room for are cut, and say so', async () => {
        const [a] = await bind();
        const [b, to] = await bind();
        await a.retry(() => under.driver.sendto(a.socket, bytes('0123456789'), to));
        const message: Message = { parts: [new Uint8Array(2), new Uint8Array(2)] };
        expect(await b.retry(() => under.driver.recvmsg(b.socket, message))).toBe(4);
        expect(message.truncated).toBe(true);
        expect(message.parts.map(text)).toEqual(['01', '23']);
        await a.retry(() => under.driver.sendto(a.socket, bytes('next'), to));
        expect((await receive(b, new Uint8Array(9))).count).toBe(4);
      });

      test('an unbound socket gets a port by its first', async () => {
        const a = open(SocketType.DGRAM);
        const [b, to] = await bind();
        await a.retry(() => under.driver.sendto(a.socket, bytes('hello'), to));
        const { from } = await receive(b, new Uint8Array(9));
        await b.retry(() => under.driver.sendto(b.socket, bytes('back'), from!));
        expect((await receive(a, new Uint8Array(9))).count).toBe(4);
      });

      test('of a connected socket go to its peer, and come from nobody else', async () => {
        const [a, from] = await bind();
        const [b, to] = await bind();
        const [stranger] = await bind();
        expect(await under.driver.connect(a.socket, to)).toBe(0);
        await stranger.retry(() => under.driver.sendto(stranger.socket, bytes('not heard'), from));
        await a.retry(() => under.driver.send(a.socket, bytes('to b')));
        expect((await receive(b, new Uint8Array(20))).count).toBe(4);
        await b.retry(() => under.driver.sendto(b.socket, bytes('to a!'), from));
        expect((await receive(a, new Uint8Array(20))).count).toBe(5);
        expect(await under.driver.getpeername(a.socket)).toEqual(to);
      });

      test('are refused without an address, or when they are too long; nobody there is nobody told', async () => {
        const [a] = await bind();
        const [b, to] = await bind();
        expect(under.driver.send(a.socket, EMPTY)).toBe(-Errno.EDESTADDRREQ);
        expect(under.driver.sendto(a.socket, new Uint8Array(70_000), to)).toBe(-Errno.EMSGSIZE);
        await b.close();
        expect(await a.retry(() => under.driver.sendto(a.socket, EMPTY, to))).toBe(EMPTY.length);
      });
    });
  });
}

/** Whether a socket that was stopped is told to go on, within a time in which anybody who reads would have. */
async function quiet(sock: Sock): Promise<'quiet' | 'news'> {
  const news = sock.news().then(() => 'news' as const);
  const patience = new Promise<'quiet'>((resolve) => setTimeout(() => resolve('quiet'), 50));
  return Promise.race([news, patience]);
}
