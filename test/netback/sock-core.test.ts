// The machine of a frontend's sockets: every command in every state, as the tables of netback/xensock/README.md have it; what waits and what ends the
// waiting; limits; other rules while it runs; and what a successor makes of what was noted.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { address, Bench, calls } from './sock-core.ts';

const EINTR = 4;
const EBADF = 9;
const EAGAIN = 11;
const EACCES = 13;
const EEXIST = 17;
const EINVAL = 22;
const EMFILE = 24;
const ENOPROTOOPT = 92;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;
const EADDRINUSE = 98;
const ECONNRESET = 104;
const ENOBUFS = 105;
const EISCONN = 106;
const ENOTCONN = 107;
const ECONNREFUSED = 111;
const EALREADY = 114;
const ENOTSUP = 524;

const ID = 7;
const OTHER = 8;

/** How socket 7 comes into each state. */
const states = {
  absent: () => {},
  created: (bench: Bench) => bench.ask(ID, calls.socket()),
  connecting: (bench: Bench) => {
    bench.ask(ID, calls.socket());
    bench.ask(ID, calls.connect());
  },
  active: (bench: Bench) => {
    bench.hands.connectErrno = 0;
    bench.ask(ID, calls.socket());
    bench.ask(ID, calls.connect());
  },
  bound: (bench: Bench) => {
    bench.ask(ID, calls.socket());
    bench.ask(ID, calls.bind());
  },
  passive: (bench: Bench) => {
    bench.ask(ID, calls.socket());
    bench.ask(ID, calls.bind());
    bench.ask(ID, calls.listen());
  },
  accepting: (bench: Bench) => {
    bench.ask(OTHER, calls.socket());
    bench.ask(OTHER, calls.bind());
    bench.ask(OTHER, calls.listen());
    bench.ask(OTHER, calls.accept(ID));
  },
  lost: (bench: Bench) =>
    bench.sockets.restore([
      {
        id: BigInt(ID),
        state: 'active',
        family: 2,
        type: 1,
        address: undefined,
        backlog: 0,
        ref: 8,
        evtchn: 9,
      },
    ]),
} as const;

type State = keyof typeof states;
const names = Object.keys(states) as State[];

/** `-`: no answer yet. In the order of `names`. */
type Row = readonly (number | '-')[];

const plainRows: readonly (readonly [keyof typeof calls, Row])[] = [
  //          absent  created connecting active   bound   passive accepting lost
  ['socket', [0, EEXIST, EEXIST, EEXIST, EEXIST, EEXIST, EEXIST, EEXIST]],
  ['connect', ['-', '-', EALREADY, EISCONN, EINVAL, EINVAL, EINVAL, EINVAL]],
  ['release', [0, 0, 0, 0, 0, 0, 0, 0]],
  ['bind', [0, 0, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL]],
  ['listen', [EINVAL, EINVAL, EINVAL, EINVAL, 0, 0, EINVAL, ECONNRESET]],
  ['poll', [EINVAL, EINVAL, EINVAL, EINVAL, EINVAL, '-', EINVAL, ECONNRESET]],
];

const extendedRows: typeof plainRows = [
  ...plainRows.map(([name, row]): (typeof plainRows)[number] =>
    name === 'connect' ? [name, ['-', '-', EALREADY, EISCONN, '-', EINVAL, EINVAL, EINVAL]] : [name, row],
  ),
  ['shutdown', [EBADF, ENOTCONN, ENOTCONN, 0, ENOTCONN, ENOTCONN, ENOTCONN, ENOTCONN]],
  ['getsockname', [EBADF, 0, 0, 0, 0, 0, ENOTCONN, ENOTCONN]],
  ['getpeername', [EBADF, ENOTCONN, ENOTCONN, 0, ENOTCONN, ENOTCONN, ENOTCONN, ENOTCONN]],
  ['getsockopt', [EBADF, 0, 0, 0, 0, 0, ENOTCONN, ENOTCONN]],
  ['setsockopt', [EBADF, 0, 0, 0, 0, 0, ENOTCONN, ENOTCONN]],
  ['attach', [EBADF, ...Array.from({ length: 7 }, () => EOPNOTSUPP)]],
];

const acceptRow: Row = [EINVAL, EINVAL, EINVAL, EINVAL, EINVAL, '-', EINVAL, ECONNRESET];

const errors = { EEXIST, EINVAL, EALREADY, EISCONN, EBADF, ENOTCONN };

function outcome(bench: Bench, name: keyof typeof calls): number | '-' {
  const call = name === 'accept' ? calls.accept(99) : (calls[name] as () => ReturnType<typeof calls.poll>)();
  const ret = bench.ask(ID, call);
  return ret === undefined ? '-' : Math.abs(ret);
}

describe.each([
  ['without the extension', false, plainRows],
  ['with the extension', true, extendedRows],
] as const)('every command in every state, %s', (_, extended, rows) => {
  test.each(rows)('%s', (name, row) => {
    const found = names.map((state) => {
      const bench = new Bench({ extended });
      states[state](bench);
      return outcome(bench, name);
    });
    expect(Object.fromEntries(names.map((state, at) => [state, found[at]]))).toEqual(
      Object.fromEntries(names.map((state, at) => [state, row[at]])),
    );
  });

  test('accept', () => {
    const found = names.map((state) => {
      const bench = new Bench({ extended });
      states[state](bench);
      return outcome(bench, 'accept');
    });
    expect(found).toEqual(acceptRow);
  });
});

test("the README's table says the same", () => {
  const readme = readFileSync(new URL('../../netback/xensock/README.md', import.meta.url), 'utf8');
  const numbers: Readonly<Record<string, number | '-'>> = { '0': 0, '...': '-', why: ECONNRESET, ...errors };
  const told = new Map(
    [...readme.matchAll(/^\| ([A-Z]{4,}[A-Z, ]*) \| (.*) \|$/gm)].flatMap(([, commands, cells]) => {
      const row = cells!.split(' | ').map((cell) => numbers[cell.replace(/ \(\d\)$/, '')]);
      return commands!.split(', ').map((command) => [command.toLowerCase(), row] as const);
    }),
  );
  expect(told.get('accept')).toEqual(acceptRow);
  for (const [name, row] of [...extendedRows.slice(6), ...plainRows])
    if (name !== 'attach') expect([name, told.get(name)]).toEqual([name, row]);
});

describe('what is not spoken', () => {
  test.each([
    ['AF_UNIX', calls.socket(1, 1)],
    ['SOCK_RAW', calls.socket(2, 3)],
    ['a family that nobody knows', calls.socket(40, 1)],
    ['a protocol of another type', calls.socket(2, 1, 17)],
  ])('%s is ENOTSUP', (_, call) => {
    for (const extended of [false, true]) expect(new Bench({ extended }).ask(ID, call)).toBe(-ENOTSUP);
  });

  test("datagrams and the extension's commands are ENOTSUP for a frontend that did not ask for them", () => {
    const bench = new Bench();
    states.active(bench);
    expect(bench.ask(OTHER, calls.socket(2, 2))).toBe(-ENOTSUP);
    for (const name of [
      'shutdown',
      'getsockname',
      'getpeername',
      'getsockopt',
      'setsockopt',
      'attach',
    ] as const)
      expect(outcome(bench, name)).toBe(ENOTSUP);
  });

  test('a command that nobody knows is ENOTSUP, and has its number in the answer', () => {
    const bench = new Bench({ extended: true });
    bench.sockets.handle({ reqId: 3, command: 77, id: 5n, call: undefined });
    expect(bench.hands.responses).toEqual([{ reqId: 3, command: 77, id: 5n, ret: -ENOTSUP }]);
  });
});

describe('addresses', () => {
  const bind = calls.bind();
  test.each([
    ['too short', 15, EINVAL],
    ['none', 0, EINVAL],
    ['too long', 29, EINVAL],
    ['as short as Linux lets it be', 16, 0],
  ])('%s: %i', (_, addressLength, errno) => {
    const bench = new Bench();
    if (bind.command === 3) expect(bench.ask(ID, { ...bind, addressLength })).toBe(errno === 0 ? 0 : -errno);
  });

  test('one of another family than the socket is EAFNOSUPPORT', () => {
    const bench = new Bench();
    bench.ask(ID, calls.socket(2));
    expect(bench.ask(ID, calls.connect(address('2001:db8::1', 80)))).toBe(-EAFNOSUPPORT);
    bench.ask(OTHER, calls.socket(10));
    expect(bench.ask(OTHER, calls.bind(address('0.0.0.0', 80)))).toBe(-EAFNOSUPPORT);
  });

  test('IPv4 in IPv6 goes where the IPv4 address is, and the socket is IPv6 all the same', () => {
    const bench = new Bench({ extended: true });
    bench.hands.connectErrno = 0;
    bench.ask(ID, calls.socket(10));
    expect(bench.ask(ID, calls.connect(address('::ffff:198.51.100.1', 80)))).toBe(0);
    expect(bench.hands.held.get(bench.newest)?.places).toEqual([
      { network: 'inet', name: '', address: address('198.51.100.1', 80) },
    ]);
    bench.ask(ID, calls.getsockname());
    const own = bench.hands.responses.at(-1)!.data!;
    expect(own.length).toBe(28);
    expect([...own.subarray(18, 24)]).toEqual([0xff, 0xff, 192, 0, 2, 1]);
  });
});

describe('connecting', () => {
  test('a connection that stands is answered when it does', () => {
    const bench = new Bench();
    bench.ask(ID, calls.socket());
    const request = bench.send(ID, calls.connect());
    expect(bench.answer(request)).toBeUndefined();
    bench.sockets.connected(bench.newest, 0);
    expect(bench.answer(request)).toBe(0);
    expect(bench.ask(ID, calls.connect())).toBe(-EISCONN);
  });

  test('one that is refused leaves the socket as it was made: the guest may try again, with another ring', () => {
    const bench = new Bench();
    bench.ask(ID, calls.socket());
    const request = bench.send(ID, calls.connect());
    bench.sockets.connected(bench.newest, ECONNREFUSED);
    expect(bench.answer(request)).toBe(-ECONNREFUSED);
    expect([...bench.hands.held.values()]).toMatchObject([{ made: true, ring: false }]);
    bench.hands.connectErrno = 0;
    expect(bench.ask(ID, calls.connect())).toBe(0);
  });

  test('a ring that cannot be mapped is the answer, and nothing is connected', () => {
    const bench = new Bench();
    bench.hands.attachErrno = 14;
    expect(bench.ask(ID, calls.connect())).toBe(-14);
    expect(bench.hands.held.get(bench.newest)?.places).toEqual([]);
  });

  test('release ends the waiting with EINTR, and its own answer comes after it', () => {
    const bench = new Bench();
    states.connecting(bench);
    expect(bench.ask(ID, calls.release())).toBe(0);
    expect(bench.hands.responses.map(({ command, ret }) => [command, ret])).toEqual([
      [0, 0],
      [1, -EINTR],
      [2, 0],
    ]);
    // What the network says later is about nothing.
    bench.sockets.connected(1, 0);
    expect(bench.hands.responses).toHaveLength(3);
    expect(bench.hands.held.size).toBe(0);
  });

  test('release says whether the ring comes back, which without the extension nobody relies on', () => {
    for (const extended of [true, false]) {
      const bench = new Bench({ extended });
      states.active(bench);
      bench.ask(ID, calls.release(true));
      expect(bench.hands.released.at(-1)?.[1]).toBe(extended ? 'keep' : 'unmap');
    }
  });
});

describe('listening', () => {
  test('an accept waits for a connection, and its new socket is active then', () => {
    const bench = new Bench();
    states.passive(bench);
    const listener = bench.newest;
    const request = bench.send(ID, calls.accept(OTHER));
    bench.hands.held.get(listener)!.waiting = 1;
    bench.sockets.waiting(listener);
    expect(bench.answer(request)).toBe(0);
    expect(bench.hands.responses.at(-1)?.id).toBe(BigInt(ID));
    expect(bench.ask(OTHER, calls.connect())).toBe(-EISCONN);
  });

  test('a connection that waits already is taken at once', () => {
    const bench = new Bench();
    states.passive(bench);
    bench.hands.held.get(bench.newest)!.waiting = 1;
    expect(bench.ask(ID, calls.accept(OTHER))).toBe(0);
  });

  test('without the extension one waits: a second accept, a poll, or an accept beside a poll is EINTR', () => {
    const bench = new Bench();
    states.passive(bench);
    expect(bench.ask(ID, calls.accept(20))).toBeUndefined();
    expect(bench.ask(ID, calls.accept(21))).toBe(-EINTR);
    expect(bench.ask(ID, calls.poll())).toBe(-EINTR);
    const polled = new Bench();
    states.passive(polled);
    expect(polled.ask(ID, calls.poll())).toBeUndefined();
    expect(polled.ask(ID, calls.poll())).toBe(-EINTR);
    expect(polled.ask(ID, calls.accept(20))).toBe(-EINTR);
  });

  test('with the extension 16 wait, and are served in their order', () => {
    const bench = new Bench({ extended: true });
    states.passive(bench);
    const listener = bench.newest;
    const requests = Array.from({ length: 16 }, (_, at) => bench.send(ID, calls.accept(20 + at)));
    expect(bench.ask(ID, calls.accept(99))).toBe(-EINTR);
    expect(bench.ask(ID, calls.poll())).toBeUndefined();
    bench.hands.held.get(listener)!.waiting = 2;
    bench.sockets.waiting(listener);
    expect(requests.map((request) => bench.answer(request))).toEqual([0, 0, ...Array(14).fill(undefined)]);
  });

  test('a poll is answered once, when a connection waits, or at once if one does', () => {
    const bench = new Bench();
    states.passive(bench);
    const listener = bench.newest;
    const request = bench.send(ID, calls.poll());
    bench.sockets.waiting(listener);
    expect(bench.answer(request)).toBeUndefined();
    bench.hands.held.get(listener)!.waiting = 1;
    bench.sockets.waiting(listener);
    bench.sockets.waiting(listener);
    expect(bench.hands.responses.filter(({ command }) => command === 6)).toHaveLength(1);
    expect(bench.ask(ID, calls.poll())).toBe(0);
  });

  test('an id that is taken, or a ring that cannot be mapped, costs the accept alone', () => {
    const bench = new Bench();
    states.passive(bench);
    expect(bench.ask(ID, calls.accept(ID))).toBe(-EEXIST);
    bench.hands.attachErrno = 14;
    expect(bench.ask(ID, calls.accept(OTHER))).toBe(-14);
    bench.hands.attachErrno = 0;
    expect(bench.ask(ID, calls.accept(OTHER))).toBeUndefined();
    expect(bench.account.held.sockets).toBe(2);
  });

  test('release: with the extension all that wait hear EINTR; without it a poll does, and an accept nothing, as from Linux', () => {
    for (const extended of [true, false]) {
      const bench = new Bench({ extended });
      states.passive(bench);
      const request = bench.send(ID, calls.accept(OTHER));
      expect(bench.ask(ID, calls.release())).toBe(0);
      expect(bench.answer(request)).toBe(extended ? -EINTR : undefined);
      expect(bench.hands.dropped.map(({ reqId }) => reqId)).toEqual(extended ? [] : [request]);
      expect(bench.hands.held.size).toBe(0);
      expect(bench.account.held).toMatchObject({ sockets: 0, listening: 0 });
    }
    const bench = new Bench();
    states.passive(bench);
    const poll = bench.send(ID, calls.poll());
    bench.ask(ID, calls.release());
    expect(bench.answer(poll)).toBe(-EINTR);
  });

  test('a datagram socket does not listen, and a bind that fails changes nothing', () => {
    const bench = new Bench({ extended: true });
    bench.ask(ID, calls.socket(2, 2));
    bench.ask(ID, calls.bind());
    expect(bench.ask(ID, calls.listen())).toBe(-EOPNOTSUPP);
    bench.hands.bindErrno = EADDRINUSE;
    bench.ask(OTHER, calls.socket());
    expect(bench.ask(OTHER, calls.bind())).toBe(-EADDRINUSE);
    bench.hands.bindErrno = 0;
    expect(bench.ask(OTHER, calls.bind())).toBe(0);
  });
});

describe('datagrams', () => {
  test('a ring of its own, a peer that may change, and where the policy lets it send', () => {
    const policy = {
      default: { rules: [{ action: 'deny' as const, address: '198.51.100.0/24', ports: 53 }] },
    };
    const bench = new Bench({ extended: true, policy });
    bench.hands.connectErrno = 0;
    bench.ask(ID, calls.socket(2, 2));
    expect(bench.ask(ID, calls.attach())).toBe(0);
    expect(bench.ask(ID, calls.attach())).toBe(-EINVAL);
    expect(bench.ask(ID, calls.connect())).toBe(0);
    expect(bench.ask(ID, calls.connect(address('198.51.100.2', 81)))).toBe(0);
    expect(bench.ask(ID, calls.connect(address('198.51.100.2', 53)))).toBe(-EACCES);
    const number = bench.newest;
    expect(bench.sockets.maySend(number, address('198.51.100.9', 53))).toEqual({ ok: false, errno: EACCES });
    expect(bench.sockets.maySend(number, address('198.51.100.9', 54)).ok).toBe(true);
    expect(bench.sockets.maySend(number, address('255.255.255.255', 54))).toEqual({
      ok: false,
      errno: EACCES,
    });
    expect(bench.sockets.maySend(number, address('224.0.0.251', 5353))).toEqual({ ok: false, errno: EACCES });
  });
});

describe('options and names', () => {
  test('what is not in the list is ENOPROTOOPT, what cannot be set now EINVAL', () => {
    const bench = new Bench({ extended: true });
    bench.ask(ID, calls.socket(10));
    // SO_REUSEPORT, SO_BINDTODEVICE, SO_BROADCAST, SO_MARK, IP_HDRINCL
    for (const [level, name] of [
      [1, 15],
      [1, 25],
      [1, 6],
      [1, 36],
      [0, 3],
    ] as const)
      expect(bench.ask(ID, calls.setsockopt(level, name))).toBe(-ENOPROTOOPT);
    expect(bench.ask(ID, calls.setsockopt(1, 3))).toBe(-ENOPROTOOPT);
    expect(bench.ask(ID, calls.setsockopt(1, 8, new Uint8Array(3)))).toBe(-EINVAL);
    expect(bench.ask(ID, calls.setsockopt(1, 13, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)))).toBe(0);
    expect(bench.ask(ID, calls.setsockopt(41, 26))).toBe(0);
    bench.ask(ID, calls.bind(address('::', 8080)));
    expect(bench.ask(ID, calls.setsockopt(41, 26))).toBe(-EINVAL);
  });

  test('SO_TYPE and its like are told without anybody being asked', () => {
    const bench = new Bench({ extended: true });
    states.passive(bench);
    const read = (name: number): number => {
      bench.ask(ID, calls.getsockopt(1, name));
      return bench.hands.responses.at(-1)!.data![0]!;
    };
    expect([read(3), read(30), read(38), read(39)]).toEqual([1, 1, 6, 2]);
  });

  test('SO_ERROR of a connection under way is nothing: the kernel tells it once, and we have to hear it', () => {
    const bench = new Bench({ extended: true });
    const asked = (): number => {
      bench.ask(ID, calls.getsockopt(1, 4));
      return bench.hands.responses.at(-1)!.data![0]!;
    };
    const connect = bench.send(ID, calls.connect());
    expect(asked()).toBe(0);
    bench.sockets.connected(bench.newest, 0);
    expect(bench.answer(connect)).toBe(0);
    // The hands say 7.
    expect(asked()).toBe(7);
  });

  test('names are as the guest gave them, not as the policy maps them', () => {
    const policy = { default: { map: { connect: { '10.53.0.1': '127.0.0.1' } } } };
    const bench = new Bench({ extended: true, policy });
    bench.hands.connectErrno = 0;
    bench.ask(ID, calls.connect(address('10.53.0.1', 80)));
    expect(bench.hands.held.get(bench.newest)?.places[0]?.address).toEqual(address('127.0.0.1', 80));
    bench.ask(ID, calls.getpeername());
    expect([...bench.hands.responses.at(-1)!.data!]).toEqual([
      2,
      0,
      0,
      80,
      10,
      53,
      0,
      1,
      ...Array(8).fill(0),
    ]);
  });

  test('what was accepted is where its listening socket is, whatever port that is on the machine', () => {
    const bench = new Bench({ extended: true });
    states.passive(bench);
    bench.hands.held.get(bench.newest)!.waiting = 1;
    expect(bench.ask(ID, calls.accept(OTHER))).toBe(0);
    bench.ask(OTHER, calls.getsockname());
    // The hands say 192.0.2.1:1234.
    expect([...bench.hands.responses.at(-1)!.data!.subarray(0, 8)]).toEqual([2, 0, 0x1f, 0x90, 192, 0, 2, 1]);
    bench.ask(OTHER, calls.getpeername());
    expect([...bench.hands.responses.at(-1)!.data!.subarray(0, 8)]).toEqual([2, 0, 4, 210, 192, 0, 2, 1]);
  });

  test.each([
    ['told with the extension', true, [2, 0, 4, 210, 192, 0, 2, 1]],
    ['nothing without it', false, undefined],
  ])('by a connect the own name, by an accept the peer: %s', (_, extended, name) => {
    const bench = new Bench({ extended });
    const told = (): number[] | undefined => {
      const { ret, data } = bench.hands.responses.at(-1)!;
      expect(ret).toBe(0);
      return data && [...data.subarray(0, 8)];
    };
    bench.send(OTHER, calls.connect());
    bench.sockets.connected(bench.newest, 0);
    expect(told()).toEqual(name);
    states.passive(bench);
    bench.hands.held.get(bench.newest)!.waiting = 1;
    bench.send(ID, calls.accept(30));
    expect(told()).toEqual(name);
  });

  test('a port that was chosen is told', () => {
    const bench = new Bench({ extended: true });
    bench.ask(ID, calls.bind(address('0.0.0.0', 0)));
    bench.ask(ID, calls.getsockname());
    const data = bench.hands.responses.at(-1)!.data!;
    expect((data[2]! << 8) | data[3]!).toBe(40_000);
  });
});

describe('limits', () => {
  test('sockets, over all of a guest; what is released is free again', () => {
    const bench = new Bench();
    bench.limit({ sockets: 2 });
    bench.ask(1, calls.socket());
    bench.ask(2, calls.socket());
    expect(bench.ask(3, calls.socket())).toBe(-EMFILE);
    expect(bench.ask(4, calls.connect())).toBe(-EMFILE);
    bench.ask(1, calls.release());
    expect(bench.ask(3, calls.socket())).toBe(0);
  });

  test('listening sockets', () => {
    const bench = new Bench();
    bench.limit({ listening: 1 });
    states.passive(bench);
    expect(bench.ask(ID, calls.listen())).toBe(0);
    bench.ask(OTHER, calls.bind());
    expect(bench.ask(OTHER, calls.listen())).toBe(-ENOBUFS);
    bench.ask(ID, calls.release());
    expect(bench.ask(OTHER, calls.listen())).toBe(0);
  });

  test('connections begun in a second', () => {
    const bench = new Bench();
    bench.limit({ connectsPerSecond: 2 });
    expect([1, 2, 3].map((id) => bench.ask(id, calls.connect()))).toEqual([undefined, undefined, -EAGAIN]);
    bench.nowMs = 1000;
    expect(bench.ask(3, calls.connect())).toBeUndefined();
  });
});

describe('other rules while it runs', () => {
  const rules = [
    { action: 'deny' as const, address: '198.51.100.0/24' },
    { action: 'deny' as const, direction: 'listen' as const },
  ];
  const forbid = (bench: Bench): void => {
    bench.sockets.rules = new Bench({ policy: { default: { rules } } }).rules;
  };

  test('connections that they forbid are reset, those under way are EACCES, others stay', () => {
    const bench = new Bench();
    states.active(bench);
    bench.ask(20, calls.connect(address('203.0.113.1', 80)));
    bench.hands.connectErrno = 115;
    const request = bench.send(OTHER, calls.connect());
    forbid(bench);
    expect(bench.answer(request)).toBe(-EACCES);
    expect([...bench.hands.held.values()].map(({ reset }) => reset)).toEqual([true, false, false]);
    expect(bench.ask(ID, calls.release())).toBe(0);
    expect(bench.ask(20, calls.connect())).toBe(-EISCONN);
  });

  test('what is cut is a decision like others', () => {
    const bench = new Bench();
    states.active(bench);
    bench.ask(20, calls.bind());
    const before = bench.decisions.length;
    forbid(bench);
    forbid(bench);
    expect(bench.decisions.slice(before)).toMatchObject([
      { direction: 'connect', errno: EACCES, reason: 'default.rules[0] (deny 198.51.100.0/24)' },
      { direction: 'listen', errno: EACCES, address: { port: 8080 } },
    ]);
  });

  test('what was accepted by a socket for IPv6 alone is judged as that one', () => {
    const policy = {
      default: {
        rules: [{ action: 'deny' as const, direction: 'listen' as const, address: '0.0.0.0/0' }],
      },
    };
    const bench = new Bench({ extended: true, policy });
    bench.ask(ID, calls.socket(10));
    bench.ask(ID, calls.setsockopt(41, 26));
    bench.ask(ID, calls.bind(address('::', 8080)));
    expect(bench.ask(ID, calls.listen())).toBe(0);
    bench.hands.held.get(bench.newest)!.waiting = 1;
    expect(bench.ask(ID, calls.accept(OTHER))).toBe(0);
    bench.sockets.rules = bench.rules;
    expect(bench.sockets.list.map(({ state }) => state)).toEqual(['passive', 'active']);
  });

  test('listening sockets end, with what waits at them and what they have accepted', () => {
    const bench = new Bench();
    states.passive(bench);
    const listener = bench.newest;
    bench.hands.held.get(listener)!.waiting = 1;
    bench.ask(ID, calls.accept(20));
    const request = bench.send(ID, calls.accept(21));
    forbid(bench);
    expect(bench.answer(request)).toBe(-EACCES);
    expect(bench.ask(ID, calls.accept(22))).toBe(-EACCES);
    expect(bench.account.held).toMatchObject({ sockets: 2, listening: 0 });
    expect([...bench.hands.held.values()].map(({ reset }) => reset)).toEqual([true, true]);
  });
});

describe('what survives', () => {
  test('a successor listens again where its predecessor did, and has its ids', () => {
    const before = new Bench({ extended: true });
    states.passive(before);
    before.ask(20, calls.socket());
    before.ask(21, calls.bind(address('0.0.0.0', 0)));
    const bench = new Bench({ extended: true });
    bench.sockets.restore(before.entries.values());
    expect(bench.ask(ID, calls.accept(30))).toBeUndefined();
    expect(bench.ask(20, calls.socket())).toBe(-EEXIST);
    bench.ask(21, calls.getsockname());
    const data = bench.hands.responses.at(-1)!.data!;
    expect((data[2]! << 8) | data[3]!).toBe(40_000);
    expect(bench.entries).toEqual(new Map([...before.entries, ...bench.entries]));
  });

  test('whoever is killed while it makes them again has written nothing of half of it', () => {
    const before = new Bench({ extended: true });
    states.passive(before);
    before.ask(20, calls.socket());
    before.ask(20, calls.connect());
    const bench = new Bench({ extended: true });
    const noted: [bigint, string][] = [];
    const { set } = bench.entries;
    bench.entries.set = (id, entry) => {
      noted.push([id, entry.state]);
      return set.call(bench.entries, id, entry);
    };
    bench.sockets.restore(before.entries.values());
    expect(noted).toEqual([...before.entries.values()].map(({ id, state }) => [id, state]));
  });

  test('any port stays the port that it was, and the policy is asked as before; :: without IPv4 stays so', () => {
    const policy = {
      default: { otherwise: 'deny' as const, rules: [{ action: 'allow' as const, ports: 0 }] },
    };
    const before = new Bench({ extended: true, policy });
    before.ask(ID, calls.socket(10));
    before.ask(ID, calls.setsockopt(41, 26));
    expect(before.ask(ID, calls.bind(address('::', 0)))).toBe(0);
    expect(before.ask(ID, calls.listen())).toBe(0);
    const bench = new Bench({ extended: true, policy });
    bench.sockets.restore(before.entries.values());
    expect(bench.ask(ID, calls.accept(30))).toBeUndefined();
    expect(bench.hands.held.get(1)?.places).toMatchObject([
      { network: 'inet', address: { port: 40_000 } },
      { network: 'local', address: { port: 40_000 } },
    ]);
    expect(bench.entries).toEqual(before.entries);
  });

  test('an address that is taken meanwhile is the answer to whoever waits there', () => {
    const before = new Bench();
    states.passive(before);
    const bench = new Bench();
    bench.hands.bindErrno = EADDRINUSE;
    bench.sockets.restore(before.entries.values());
    expect(bench.ask(ID, calls.accept(30))).toBe(-EADDRINUSE);
    expect(bench.ask(ID, calls.poll())).toBe(-EADDRINUSE);
    expect(bench.ask(ID, calls.release())).toBe(0);
  });

  test('what is more than a limit allows by now is as if it had never been, in the ledger, too', () => {
    const before = new Bench();
    before.ask(ID, calls.socket());
    before.ask(OTHER, calls.socket());
    const bench = new Bench({ policy: { default: { limits: { sockets: 1 } } } });
    for (const [id, entry] of before.entries) bench.entries.set(id, entry);
    bench.sockets.restore([...before.entries.values()]);
    expect([...bench.entries.keys()]).toEqual([BigInt(ID)]);
    expect(bench.ask(ID, calls.release())).toBe(0);
    expect(bench.ask(OTHER, calls.socket())).toBe(0);
  });

  test('nothing is left in the ledger of what was released', () => {
    const bench = new Bench({ extended: true });
    states.accepting(bench);
    states.active(new Bench());
    bench.ask(OTHER, calls.release());
    expect(bench.entries.size).toBe(0);
  });
});

test('when the frontend is gone nothing is left, and nothing is answered', () => {
  const bench = new Bench({ extended: true });
  states.passive(bench);
  bench.send(ID, calls.accept(20));
  bench.send(30, calls.connect());
  const answers = bench.hands.responses.length;
  bench.sockets.close();
  expect(bench.hands.held.size).toBe(0);
  expect(bench.hands.responses).toHaveLength(answers);
  expect(bench.account.held).toEqual({ sockets: 0, listening: 0, pages: 0 });
});
