// A network of guests among themselves, without bytes: addresses and ports as on Linux's loopback interface, queues of listeners, what each end is
// called, and, over many random histories, that nothing is left of who has gone.
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { formatAddress, type InetAddress, parseIp } from '../../netback/xensock/core/address.ts';
import { LocalNet } from '../../netback/xensock/core/localnet.ts';
import { errnoName } from '../../osdep/errno.ts';

interface Socket {
  readonly name: string;
}

let net: LocalNet<Socket>;
beforeEach(() => {
  net = new LocalNet();
});

const socket = (name = 'a socket'): Socket => ({ name });
const at = (ip: string, port: number): InetAddress => parseIp(ip, port)!;
const named = (errno: number): string => (errno === 0 ? 'done' : errnoName(errno));

function bound(ip: string, port: number, only6 = false): string {
  const answer = net.bind(socket(), at(ip, port), only6);
  return answer.ok ? formatAddress(answer.value) : errnoName(answer.errno);
}

function listener(ip: string, port: number, backlog = 8): Socket {
  const one = socket(`${ip}:${port}`);
  expect(net.bind(one, at(ip, port)).ok).toBe(true);
  expect(net.listen(one, backlog)).toBe(0);
  return one;
}

/** Who took a connection to this address; else the error. */
function reached(ip: string, port: number): string {
  const client = socket();
  const errno = net.connect(client, at(ip, port));
  return errno === 0 ? net.listenerOf(client)!.name : errnoName(errno);
}

function accepted(from: Socket): { own: string; peer: string; client: Socket } | string {
  const answer = net.accept(from, socket());
  if (!answer.ok) return errnoName(answer.errno);
  const { own, peer, client } = answer.value;
  return { own: formatAddress(own), peer: formatAddress(peer), client };
}

describe('an address', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1', 'EADDRINUSE'],
    ['127.0.0.1', '127.0.0.2', '127.0.0.2:80'],
    ['127.0.0.1', '0.0.0.0', 'EADDRINUSE'],
    ['0.0.0.0', '127.9.9.9', 'EADDRINUSE'],
    ['127.0.0.1', '::1', '[::1]:80'],
    ['127.0.0.1', '::', 'EADDRINUSE'],
    ['::', '127.0.0.1', 'EADDRINUSE'],
    ['::1', '::', 'EADDRINUSE'],
    ['::1', '0.0.0.0', '0.0.0.0:80'],
    ['127.0.0.1', '::ffff:127.0.0.1', 'EADDRINUSE'],
  ])('%s is taken, and %s: %s', (first, second, outcome) => {
    expect(bound(first, 80)).toBe(formatAddress(at(first, 80)));
    expect(bound(second, 80)).toBe(outcome);
  });

  test('of IPv6 alone leaves IPv4 to others', () => {
    expect([bound('::', 80, true), bound('0.0.0.0', 80), bound('::1', 80)]).toEqual([
      '[::]:80',
      '0.0.0.0:80',
      'EADDRINUSE',
    ]);
  });

  test.each(['10.0.0.1', '128.0.0.1', 'fe80::1', '224.0.0.1'])('%s is not of such a network', (ip) => {
    expect(bound(ip, 80)).toBe('EADDRNOTAVAIL');
    expect(named(net.connect(socket(), at(ip, 80)))).toBe('ENETUNREACH');
  });

  test('without a port gets a free one, each another', () => {
    const ports = Array.from({ length: 100 }, () => bound('127.0.0.1', 0));
    expect(new Set(ports).size).toBe(100);
    expect(ports.every((text) => Number(text.split(':')[1]) >= 32768)).toBe(true);
  });
});

describe('a connection', () => {
  test('goes to who fits best, and listens', () => {
    listener('127.0.0.5', 80);
    expect(reached('127.0.0.1', 80)).toBe('ECONNREFUSED');
    net.bind(socket(), at('127.0.0.1', 80));
    expect(reached('127.0.0.1', 80)).toBe('ECONNREFUSED');
    listener('::', 81);
    listener('0.0.0.0', 82);
    expect([reached('127.0.0.5', 80), reached('127.4.4.4', 81), reached('::1', 81)]).toEqual([
      '127.0.0.5:80',
      ':::81',
      ':::81',
    ]);
    expect([reached('127.4.4.4', 82), reached('0.0.0.0', 82), reached('::1', 82)]).toEqual([
      '0.0.0.0:82',
      '0.0.0.0:82',
      'ECONNREFUSED',
    ]);
  });

  test('has names at both ends, IPv4 written as IPv6 where a socket has both', () => {
    const both = listener('::', 80);
    const client = socket();
    expect(net.connect(client, at('127.3.0.1', 80))).toBe(0);
    expect(formatAddress(net.peer(client)!)).toBe('127.3.0.1:80');
    expect(formatAddress(net.own(client)!)).toBe('127.0.0.1:32768');
    expect(accepted(both)).toEqual({
      own: '[::ffff:7f03:1]:80',
      peer: '[::ffff:7f00:1]:32768',
      client,
    });
  });

  test('comes from the address that its socket was bound to', () => {
    const there = listener('127.0.0.1', 80);
    const client = socket();
    net.bind(client, at('127.0.0.7', 1234));
    expect(net.connect(client, at('127.0.0.1', 80))).toBe(0);
    expect(accepted(there)).toMatchObject({ peer: '127.0.0.7:1234' });
    expect(named(net.connect(client, at('127.0.0.1', 80)))).toBe('EISCONN');
  });

  test('waits where the queue is full, and stands when there is room', () => {
    const there = listener('127.0.0.1', 80, 2);
    const clients = Array.from({ length: 4 }, () => socket());
    expect(clients.map((client) => named(net.connect(client, at('127.0.0.1', 80))))).toEqual([
      'done',
      'done',
      'EINPROGRESS',
      'EINPROGRESS',
    ]);
    const first = net.accept(there, socket());
    expect(first).toMatchObject({ ok: true, value: { client: clients[0], admitted: clients[2] } });
    // One that stands goes away: the next has its room.
    expect(net.leave(clients[1]!).admitted).toBe(clients[3]);
    expect(accepted(there)).toMatchObject({ client: clients[2] });
    expect(accepted(there)).toMatchObject({ client: clients[3] });
    expect(accepted(there)).toBe('EAGAIN');
  });

  test('that waited and was given up can be tried again', () => {
    const there = listener('127.0.0.1', 80, 1);
    const [first, second] = [socket(), socket()];
    net.connect(first, at('127.0.0.1', 80));
    expect(named(net.connect(second, at('127.0.0.1', 80)))).toBe('EINPROGRESS');
    net.giveUp(second);
    accepted(there);
    expect(accepted(there)).toBe('EAGAIN');
    expect(named(net.connect(second, at('127.0.0.1', 80)))).toBe('done');
  });

  test('ends when its listener goes before it was accepted', () => {
    const there = listener('127.0.0.1', 80, 1);
    const [first, second] = [socket(), socket()];
    for (const client of [first, second]) net.connect(client, at('127.0.0.1', 80));
    expect(net.leave(there)).toEqual({ admitted: undefined, reset: [first], refused: [second] });
    expect(reached('127.0.0.1', 80)).toBe('ECONNREFUSED');
    for (const client of [first, second]) net.leave(client);
    expect(net.empty).toBe(true);
  });

  test('has a port as long as there are some that nobody has', () => {
    net = new LocalNet({ first: 5000, last: 5009 });
    listener('127.0.0.1', 5003);
    const clients = Array.from({ length: 9 }, () => socket());
    const connected = (client: Socket): string => named(net.connect(client, at('127.0.0.1', 5003)));
    expect(clients.slice(0, 8).map(connected)).toEqual(Array.from({ length: 8 }, () => 'done'));
    expect([connected(clients[8]!), connected(socket())]).toEqual(['EINPROGRESS', 'EADDRNOTAVAIL']);
    net.leave(clients[4]!);
    const another = socket();
    net.connect(another, at('127.0.0.1', 5003));
    expect(net.own(another)?.port).toBe(5005);
  });
});

describe('a datagram', () => {
  test('goes to who is bound there, and says from where', () => {
    const [server, client] = [socket(), socket()];
    net.bindDatagram(server, at('0.0.0.0', 53));
    const sent = net.deliver(client, at('127.0.0.1', 53));
    expect(sent).toMatchObject({ ok: true, value: { to: server } });
    const { from } = (sent as { value: { from: InetAddress } }).value;
    expect(net.deliver(server, from)).toMatchObject({ ok: true, value: { to: client } });
    expect(net.deliver(server, undefined)).toMatchObject({ ok: false, errno: 89 });
  });

  test('is refused where nobody is, or somebody who hears another', () => {
    const [server, client, other] = [socket(), socket(), socket()];
    expect(net.deliver(client, at('127.0.0.1', 53))).toMatchObject({ ok: false, errno: 111 });
    net.bindDatagram(server, at('127.0.0.1', 53));
    net.bindDatagram(other, at('127.0.0.1', 54));
    expect(net.connectDatagram(server, at('127.0.0.1', 54))).toBe(0);
    expect(net.deliver(client, at('127.0.0.1', 53))).toMatchObject({ ok: false, errno: 111 });
    expect(net.deliver(other, at('127.0.0.1', 53))).toMatchObject({ ok: true, value: { to: server } });
    expect(net.deliver(server, undefined)).toMatchObject({ ok: true, value: { to: other } });
  });

  test('has ports of its own, beside those of streams', () => {
    listener('127.0.0.1', 80);
    expect(net.bindDatagram(socket(), at('127.0.0.1', 80)).ok).toBe(true);
  });
});

test('whatever sockets do, each connection is accepted once, queues keep their length, and nothing is left in the end', () => {
  const step = fc.record({
    what: fc.constantFrom('bind', 'listen', 'connect', 'accept', 'leave', 'giveUp'),
    who: fc.nat(7),
    to: fc.constantFrom('127.0.0.1', '127.0.0.2', '0.0.0.0', '::1', '::', '10.0.0.1'),
    port: fc.constantFrom(0, 80, 81),
    backlog: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const own = new LocalNet<Socket>();
      const sockets = Array.from({ length: 8 }, (_, i) => socket(`${i}`));
      const backlogs = new Map<Socket, number>();
      const taken = new Set<Socket>();
      for (const { what, who, to, port, backlog } of steps) {
        const one = sockets[who]!;
        if (what === 'bind') own.bind(one, at(to, port));
        else if (what === 'listen' && own.listen(one, backlog) === 0)
          backlogs.set(one, Math.max(backlogs.get(one) ?? 0, backlog, 1));
        else if (what === 'connect') own.connect(one, at(to, port));
        else if (what === 'giveUp') own.giveUp(one);
        else if (what === 'leave') {
          own.leave(one);
          backlogs.delete(one);
          taken.delete(one);
        } else if (what === 'accept') {
          const into = socket('accepted');
          const answer = own.accept(one, into);
          if (!answer.ok) continue;
          expect(taken.has(answer.value.client)).toBe(false);
          taken.add(answer.value.client);
          expect(own.peer(into)?.port).toBe(own.own(answer.value.client)?.port);
          own.leave(into);
        }
        for (const [there, most] of backlogs) expect(own.queued(there)).toBeLessThanOrEqual(most);
      }
      for (const one of sockets) own.leave(one);
      expect(own.empty).toBe(true);
    }),
    { numRuns: 500 },
  );
});
