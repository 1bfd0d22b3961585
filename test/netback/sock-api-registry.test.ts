/**
 * Which driver a socket goes to: the one of its family, or with several the one that the route table names for the first address, with what was asked before
 * asked of it again. Shown with drivers that only say what they are asked, and with one whose family and addresses nobody above knows.
 */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { type InetAddress, parseIp } from '../../netback/xensock/core/address.ts';
import type { Message, Outcome, SocketDriver, SocketKind } from '../../netback/xensock/front/driver.ts';
import type { SocketHandle } from '../../netback/xensock/front/handle.ts';
import { LoopbackDriver } from '../../netback/xensock/front/loopback.ts';
import { SocketRegistry } from '../../netback/xensock/front/registry.ts';
import { RouteTable } from '../../netback/xensock/front/routes.ts';
import { Sockets } from '../../netback/xensock/front/sockets.ts';

const at = (ip: string, port = 0): InetAddress => parseIp(ip, port)!;
const STREAM: SocketKind = { family: 2, type: 1, protocol: 0 };
const DATAGRAM: SocketKind = { family: 2, type: 2, protocol: 0 };
const one = Uint8Array.of(1, 0, 0, 0);

/** Says what it is asked, and answers 0, or what `answers` has for the call. */
function recorder(
  name: string,
  said: string[],
  answers: Record<string, number> = {},
  families: readonly number[] = [2, 10],
): SocketDriver<object> {
  const say = (what: string, more: string | number = ''): number => {
    said.push(`${name} ${what} ${more}`.trim());
    return answers[what] ?? 0;
  };
  const where = ({ ip, port }: InetAddress): string => `${ip.join('.')}:${port}`;
  return {
    name,
    families,
    allocator: { alloc: (bytes) => new Uint8Array(bytes) },
    create: ({ type }) => {
      const errno = say('create', type);
      return errno < 0 ? errno : {};
    },
    bind: async (_, address) => say('bind', where(address)),
    listen: async (_, backlog) => say('listen', backlog),
    connect: async (_, address) => say('connect', where(address)),
    accept: () => -11,
    shutdown: async (_, how) => say('shutdown', how),
    recv: () => -11,
    recvfrom: () => ({ count: -11 }),
    recvmsg: () => -11,
    send: (_, bytes) => say('send') || bytes.length,
    sendto: (_, bytes, to) => say('sendto', where(to)) || bytes.length,
    sendmsg: () => -11,
    getpeername: async () => -107,
    getsockname: async () => at('0.0.0.0'),
    getsockopt: async () => one,
    setsockopt: async (_, level, option) => say('setsockopt', `${level}/${option}`),
    poll: () => 4,
    close: async () => void say('close'),
  };
}

function guest(names: readonly string[], answers: Record<string, number> = {}): [SocketRegistry, string[]] {
  const said: string[] = [];
  const registry = new SocketRegistry();
  for (const name of names) registry.register(recorder(name, said, answers));
  return [registry, said];
}

function open(
  registry: SocketRegistry,
  kind: SocketKind,
  onReady: (bits: number) => void = () => {},
): SocketHandle {
  const handle = registry.socket(kind, onReady);
  if (typeof handle === 'number') throw new Error(`socket: ${handle}`);
  return handle;
}

describe('one driver of a family', () => {
  it('has the socket at once', async () => {
    const [registry, said] = guest(['only']);
    const socket = open(registry, STREAM);
    expect(socket.driver).toBe('only');
    await socket.setsockopt(6, 1, one);
    await socket.connect(at('10.0.0.1', 80));
    expect(said).toEqual(['only create 1', 'only setsockopt 6/1', 'only connect 10.0.0.1:80']);
  });

  it('a family that nobody has: -EAFNOSUPPORT; a driver that goes takes its family along, and leaves its sockets', async () => {
    const said: string[] = [];
    const registry = new SocketRegistry();
    expect(registry.socket(STREAM, () => {})).toBe(-97);
    const leave = registry.register(recorder('only', said));
    const socket = open(registry, STREAM);
    leave();
    leave();
    expect(registry.drivers).toEqual([]);
    expect(registry.socket(STREAM, () => {})).toBe(-97);
    expect(await socket.connect(at('10.0.0.1', 80))).toBe(0);
  });

  it('registering AF_INET replaces what there was, once that has left: programs do not change', async () => {
    const said: string[] = [];
    const sockets = new Sockets();
    const leave = sockets.register(recorder('old', said));
    const program = (): unknown => sockets.connect(80, '10.0.0.1');
    program();
    leave();
    sockets.register(recorder('new', said));
    program();
    await new Promise((resolve) => setImmediate(resolve));
    expect(said.filter((what) => what.includes('connect'))).toEqual([
      'old connect 10.0.0.1:80',
      'new connect 10.0.0.1:80',
    ]);
  });

  it('a name is borne by one', () => {
    const [registry] = guest(['x']);
    expect(() => registry.register(recorder('x', []))).toThrow('there is a socket driver x already');
  });
});

describe('several', () => {
  it('the address of a connect chooses; what was asked before is asked again', async () => {
    const [registry, said] = guest(['first', 'second']);
    registry.routes.add('10.0.0.0/8', 'second');
    const socket = open(registry, STREAM);
    expect(socket.driver).toBeUndefined();
    expect(await socket.setsockopt(6, 1, one)).toBe(0);
    expect(await socket.getsockopt(6, 1)).toEqual(one);
    expect(await socket.bind(at('0.0.0.0', 5000))).toBe(0);
    expect(socket.send(one)).toBe(-107);
    expect(said).toEqual([]);
    expect(await socket.connect(at('10.1.2.3', 80))).toBe(0);
    expect(said).toEqual([
      'second create 1',
      'second setsockopt 6/1',
      'second bind 0.0.0.0:5000',
      'second connect 10.1.2.3:80',
    ]);
    expect(socket.driver).toBe('second');
  });

  it('so does that of a bind; the wildcard of a server goes where the rest goes', async () => {
    const [registry, said] = guest(['first', 'second', 'loopback']);
    registry.routes.add('10.0.0.1', 'second');
    const socket = open(registry, STREAM);
    await socket.bind(at('10.0.0.1', 80));
    await socket.listen(5);
    const server = open(registry, STREAM);
    await server.bind(at('0.0.0.0', 80));
    await server.listen(6);
    expect(said).toEqual([
      'second create 1',
      'second bind 10.0.0.1:80',
      'second listen 5',
      'first create 1',
      'first bind 0.0.0.0:80',
      'first listen 6',
    ]);
  });

  it('a datagram socket is chosen for by its first datagram', async () => {
    const [registry, said] = guest(['first', 'loopback']);
    let ready = 0;
    const socket = open(registry, DATAGRAM, (bits) => {
      ready |= bits;
    });
    await socket.setsockopt(1, 6, one);
    expect(socket.sendto(one, at('127.0.0.1', 53))).toBe(-11);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ready).toBe(4);
    expect(socket.sendto(one, at('127.0.0.1', 53))).toBe(4);
    expect(said).toEqual(['loopback create 2', 'loopback setsockopt 1/6', 'loopback sendto 127.0.0.1:53']);
    const plain = open(registry, DATAGRAM);
    expect(plain.sendto(one, at('10.0.0.1', 53))).toBe(4);
    expect(plain.driver).toBe('first');
  });

  it('what fails on the driver that was chosen is the answer; an option that it has not is left out', async () => {
    const [taken] = guest(['first', 'second'], { bind: -98 });
    const socket = open(taken, STREAM);
    await socket.bind(at('0.0.0.0', 80));
    expect(await socket.listen(1)).toBe(-98);
    for (const [errno, expected] of [
      [-524, 0],
      [-92, 0],
      [-12, -12],
    ] as const) {
      const [registry] = guest(['first', 'second'], { setsockopt: errno });
      const other = open(registry, STREAM);
      await other.setsockopt(6, 1, one);
      expect(await other.connect(at('10.0.0.1', 80))).toBe(expected);
    }
    const [full] = guest(['first', 'second'], { create: -23 });
    expect(await open(full, STREAM).connect(at('10.0.0.1', 80))).toBe(-23);
  });

  it('two real ones: a guest reaches itself by the one, others by the other', async () => {
    const sockets = new Sockets();
    sockets.register(new LoopbackDriver({ name: 'far' }));
    sockets.register(new LoopbackDriver());
    const here = sockets.createServer((socket) => socket.end(`by ${socket.driver}`));
    await once(here.listen(80, '127.0.0.1'), 'listening');
    const client = sockets.connect(80);
    expect(await text(client)).toBe('by loopback');
    const there = sockets.createServer((socket) => socket.end(`by ${socket.driver}`));
    await once(there.listen(80), 'listening');
    sockets.routes.add('127.0.0.2', 'far');
    expect(await text(sockets.connect(80, '127.0.0.2'))).toBe('by far');
  });
});

describe('the table', () => {
  const found = (table: RouteTable, address: InetAddress): string[] => [...table.find(address)];

  it('the longest prefix first, of two that are as long the later', () => {
    const table = new RouteTable();
    table.add('0.0.0.0/0', 'rest');
    table.add('10.0.0.0/8', 'ten');
    table.add('10.128.0.0/9', 'half');
    const remove = table.add('10.128.0.0/9', 'later');
    table.add('10.200.0.1', 'one');
    expect(found(table, at('10.200.0.1'))).toEqual(['one', 'later', 'half', 'ten', 'rest']);
    remove();
    expect(found(table, at('10.127.0.1'))).toEqual(['ten', 'rest']);
    expect(found(table, at('10.200.0.2'))).toEqual(['half', 'ten', 'rest']);
  });

  it('loopback addresses are the loopback driver\u2019s, unless routed otherwise', () => {
    const table = new RouteTable();
    expect(found(table, at('127.1.2.3'))).toEqual(['loopback']);
    expect(found(table, at('::1'))).toEqual(['loopback']);
    expect(found(table, at('::ffff:127.0.0.1'))).toEqual(['loopback']);
    expect(found(table, at('::2'))).toEqual([]);
    table.add('127.0.0.0/8', 'xensock0');
    expect(found(table, at('127.0.0.1'))).toEqual(['xensock0', 'loopback']);
  });

  it('IPv4 within IPv6 goes the way of IPv4, and the families are apart', () => {
    const table = new RouteTable();
    table.add('10.0.0.0/8', 'four');
    table.add('::/0', 'six');
    expect(found(table, at('::ffff:10.0.0.1'))).toEqual(['four']);
    expect(found(table, at('fe80::1'))).toEqual(['six']);
    expect(found(table, at('11.0.0.1'))).toEqual([]);
  });

  it('what is no prefix is refused', () => {
    const table = new RouteTable();
    for (const wrong of ['', '10.0.0', '10.0.0.0/33', '10.0.0.0/8/8', '::/129', '10.0.0.0/x', 'host'])
      expect(() => table.add(wrong, 'x')).toThrow(RangeError);
  });
});

/** Addresses of AF_VSOCK: a machine's number and a port of 32 bits. */
interface VsockAddress {
  readonly family: 40;
  readonly cid: number;
  readonly port: number;
}

/** A transport of its own family; what it does it leaves to another within. CID 1 is this guest. */
class ToyVsock implements SocketDriver<object, VsockAddress> {
  readonly name = 'vsock';
  readonly families: readonly number[] = [40];
  readonly #inner: SocketDriver<object> = new LoopbackDriver();
  readonly blocks: Uint8Array[] = [];
  readonly allocator = {
    alloc: (bytes: number): Uint8Array => {
      const block = new Uint8Array(bytes);
      this.blocks.push(block);
      return block;
    },
  };

  create({ type }: SocketKind, onReady: (bits: number) => void): object | number {
    return this.#inner.create({ family: 2, type, protocol: 0 }, onReady);
  }
  bind(socket: object, address: VsockAddress): Outcome {
    return this.#inner.bind(socket, inner(address));
  }
  listen(socket: object, backlog: number): Outcome {
    return this.#inner.listen(socket, backlog);
  }
  async connect(socket: object, address: VsockAddress): Outcome {
    return address.cid === 1 ? this.#inner.connect(socket, inner(address)) : -113;
  }
  accept(socket: object, onReady: (bits: number) => void): object | number {
    return this.#inner.accept(socket, onReady);
  }
  shutdown(socket: object, how: 'read' | 'write' | 'both'): Outcome {
    return this.#inner.shutdown(socket, how);
  }
  recv(socket: object, into: Uint8Array): number {
    return this.#inner.recv(socket, into);
  }
  recvfrom(socket: object, into: Uint8Array): { readonly count: number } {
    return { count: this.#inner.recv(socket, into) };
  }
  recvmsg(socket: object, { parts }: Message<VsockAddress>): number {
    return this.#inner.recvmsg(socket, { parts });
  }
  send(socket: object, bytes: Uint8Array): number {
    return this.#inner.send(socket, bytes);
  }
  sendto(socket: object, bytes: Uint8Array): number {
    return this.#inner.send(socket, bytes);
  }
  sendmsg(socket: object, { parts }: Message<VsockAddress>): number {
    return this.#inner.sendmsg(socket, { parts });
  }
  async getpeername(socket: object): Promise<VsockAddress | number> {
    return outer(await this.#inner.getpeername(socket));
  }
  async getsockname(socket: object): Promise<VsockAddress | number> {
    return outer(await this.#inner.getsockname(socket));
  }
  getsockopt(socket: object, level: number, name: number): Promise<Uint8Array | number> {
    return this.#inner.getsockopt(socket, level, name);
  }
  setsockopt(socket: object, level: number, name: number, value: Uint8Array): Outcome {
    return this.#inner.setsockopt(socket, level, name, value);
  }
  poll(socket: object): number {
    return this.#inner.poll(socket);
  }
  close(socket: object): Promise<void> {
    return this.#inner.close(socket);
  }
}

const inner = ({ port }: VsockAddress): InetAddress => at('127.0.0.1', port);
const outer = (address: InetAddress | number): VsockAddress | number =>
  typeof address === 'number' ? address : { family: 40, cid: 1, port: address.port };

describe('another family', () => {
  const sockets = new Sockets();
  sockets.register(new LoopbackDriver());
  sockets.register(new ToyVsock());

  it('serves streams and servers by its own addresses, with no change above', async () => {
    const server = sockets.createServer((socket) => socket.pipe(socket));
    const address: VsockAddress = { family: 40, cid: 1, port: 1234 };
    await once(server.listen({ address }), 'listening');
    expect(server.address()).toBeNull();
    const client = sockets.connect({ address });
    client.end('by cid');
    expect(await text(client)).toBe('by cid');
    expect(client.remoteAddress).toBeUndefined();
    await server[Symbol.asyncDispose]();
  });

  it('and says what is wrong', async () => {
    const client = sockets.connect({ address: { family: 40, cid: 9, port: 1 } as VsockAddress });
    expect((await once(client, 'error'))[0]).toMatchObject({ code: 'EHOSTUNREACH', syscall: 'connect' });
  });

  it('what is received lies in memory of its driver', async () => {
    const vsock = new ToyVsock();
    const others = new Sockets();
    others.register(vsock);
    const server = others.createServer((socket) => socket.end('mine'));
    const address: VsockAddress = { family: 40, cid: 1, port: 1235 };
    await once(server.listen({ address }), 'listening');
    const [chunk] = (await once(others.connect({ address }), 'data')) as [Buffer];
    expect(vsock.blocks.map(({ buffer }) => buffer)).toContain(chunk.buffer);
    await server[Symbol.asyncDispose]();
  });

  it('with two drivers, a route is for the family', async () => {
    const said: string[] = [];
    const registry = new SocketRegistry();
    for (const name of ['a', 'b']) registry.register(recorder(name, said, {}, [40]));
    registry.routes.add(40, 'b');
    const socket = open(registry, { ...STREAM, family: 40 });
    await socket.connect({ family: 40, ip: new Uint8Array(), port: 7 } as never);
    expect(socket.driver).toBe('b');
  });
});
