// What a policy says: rules in their order, nets and ports, where addresses are, what is refused whatever the rules; what cannot be meant is a line that
// names its place; and a file that changes while it holds.
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  formatAddress,
  type InetAddress,
  isAny,
  isLoopback,
  parseIp,
} from '../../netback/xensock/core/address.ts';
import { parseAddress } from '../../netback/xensock/core/net.ts';
import { type GuestRules, judgeOwn, judgePeer, type Verdict } from '../../netback/xensock/core/policy.ts';
import type { GuestText, PolicyText } from '../../netback/xensock/core/policytext.ts';
import { Decisions } from '../../netback/xensock/io/decisions.ts';
import { Policies } from '../../netback/xensock/io/policies.ts';
import { policyOf } from '../../netback/xensock/io/policyfile.ts';

const EACCES = 13;

/** `10.0.0.1:80`, or with any port 0. */
function at(text: string): InetAddress {
  return parseAddress(text) ?? parseIp(text.replace(/:0$/, ''))!;
}

function guest(text: GuestText, name?: string): GuestRules {
  return policyOf({ default: text }, 'test').policy.of(1, name);
}

function places({ errno, places: found }: Verdict): readonly string[] | number {
  if (errno !== 0) return errno;
  return found.map(
    ({ network, name, address }) => `${network}${name && ` ${name}`} ${formatAddress(address)}`,
  );
}

const connect = (rules: GuestRules, to: string): readonly string[] | number =>
  places(judgePeer(rules, 'connect', at(to)));
const listen = (rules: GuestRules, own: string, v6only = false): readonly string[] | number =>
  places(judgeOwn(rules, at(own), { v6only }));

describe('what is usual', () => {
  const usual = guest({});
  test.each([
    ['another host', '192.0.2.1:80', ['inet 192.0.2.1:80']],
    ['the same as IPv6', '[::ffff:192.0.2.1]:80', ['inet 192.0.2.1:80']],
    ['IPv6', '[2001:db8::1]:80', ['inet [2001:db8::1]:80']],
    ["loopback is the guests' own", '127.0.0.1:80', ['local host 127.0.0.1:80']],
    ['all of it', '127.99.0.1:80', ['local host 127.99.0.1:80']],
    ['as IPv6', '[::1]:80', ['local host [::1]:80']],
    ['written as IPv6', '[::ffff:127.0.0.1]:80', ['local host 127.0.0.1:80']],
    ['0.0.0.0 is oneself', '0.0.0.0:80', ['local host 127.0.0.1:80']],
    [':: is oneself', '[::]:80', ['local host [::1]:80']],
    ['0.0.0.0 written as IPv6', '[::ffff:0.0.0.0]:80', ['local host 127.0.0.1:80']],
    ['a group', '224.0.0.1:80', EACCES],
    ['everybody', '255.255.255.255:80', EACCES],
    ['what is reserved', '240.0.0.1:80', EACCES],
    ['a group of IPv6', '[ff02::1]:80', EACCES],
    ['a group written as IPv6', '[::ffff:224.0.0.1]:80', EACCES],
  ])('connect: %s', (_, to, expected) => expect(connect(usual, to)).toEqual(expected));

  test.each([
    ['everywhere', '0.0.0.0:8080', ['inet 0.0.0.0:8080', 'local host 0.0.0.0:8080']],
    ['everywhere, IPv6', '[::]:8080', ['inet [::]:8080', 'local host [::]:8080']],
    ['loopback', '127.0.0.1:8080', ['local host 127.0.0.1:8080']],
    ['an address', '192.0.2.7:8080', ['inet 192.0.2.7:8080']],
    ['any port', '0.0.0.0:0', ['inet 0.0.0.0:0', 'local host 0.0.0.0:0']],
    ['a port below 1024', '0.0.0.0:1023', EACCES],
    ['the first one above', '0.0.0.0:1024', ['inet 0.0.0.0:1024', 'local host 0.0.0.0:1024']],
    ['a port below 1024 among guests', '127.0.0.1:80', EACCES],
    ['a group', '224.0.0.1:8080', EACCES],
  ])('listen: %s', (_, own, expected) => expect(listen(usual, own)).toEqual(expected));
});

describe('rules', () => {
  test('the first that fits decides', () => {
    const rules = guest({
      rules: [
        { action: 'allow', address: '10.1.0.0/16', ports: 80 },
        { action: 'deny', address: ['10.0.0.0/8', 'fc00::/7'] },
        { action: 'deny', direction: 'connect', ports: ['25', '6000-6063'] },
      ],
    });
    expect(connect(rules, '10.1.2.3:80')).toEqual(['inet 10.1.2.3:80']);
    expect(connect(rules, '10.1.2.3:81')).toBe(EACCES);
    expect(connect(rules, '10.2.0.1:80')).toBe(EACCES);
    expect(connect(rules, '[::ffff:10.2.0.1]:80')).toBe(EACCES);
    expect(connect(rules, '[fd00::1]:80')).toBe(EACCES);
    expect(connect(rules, '192.0.2.1:25')).toBe(EACCES);
    expect(connect(rules, '192.0.2.1:6063')).toBe(EACCES);
    expect(connect(rules, '192.0.2.1:6064')).toEqual(['inet 192.0.2.1:6064']);
    expect(places(judgePeer(rules, 'datagram', at('192.0.2.1:25')))).toEqual(['inet 192.0.2.1:25']);
  });

  test('nets: bits that do not fill a byte, one address, all of a family, IPv4 written as IPv6', () => {
    const fits = (address: string, to: string): boolean =>
      connect(guest({ rules: [{ action: 'deny', address }] }), to) === EACCES;
    expect(fits('172.16.0.0/12', '172.31.255.255:1')).toBe(true);
    expect(fits('172.16.0.0/12', '172.32.0.0:1')).toBe(false);
    expect(fits('192.0.2.1', '192.0.2.1:1')).toBe(true);
    expect(fits('192.0.2.1', '192.0.2.2:1')).toBe(false);
    expect(fits('0.0.0.0/0', '192.0.2.1:1')).toBe(true);
    expect(fits('0.0.0.0/0', '[2001:db8::1]:1')).toBe(false);
    expect(fits('::/0', '192.0.2.1:1')).toBe(false);
    expect(fits('2001:db8::/33', '[2001:db8:7fff::]:1')).toBe(true);
    expect(fits('2001:db8::/33', '[2001:db8:8000::]:1')).toBe(false);
    expect(fits('::ffff:10.0.0.0/104', '10.9.9.9:1')).toBe(true);
  });

  test('a port below 1024 is for a rule that names it', () => {
    const all = guest({ rules: [{ action: 'allow', direction: 'listen' }] });
    const named = guest({ rules: [{ action: 'allow', direction: 'listen', ports: '80-90' }] });
    expect(listen(all, '0.0.0.0:80')).toBe(EACCES);
    expect(listen(named, '0.0.0.0:80')).toEqual(['inet 0.0.0.0:80', 'local host 0.0.0.0:80']);
    expect(listen(named, '0.0.0.0:91')).toBe(EACCES);
  });

  test('whoever listens everywhere listens at what is forbidden, too', () => {
    const rules = guest({ rules: [{ action: 'deny', direction: 'listen', address: '10.0.0.0/8' }] });
    expect(listen(rules, '10.0.0.1:8080')).toBe(EACCES);
    expect(listen(rules, '0.0.0.0:8080')).toBe(EACCES);
    expect(listen(rules, '[::]:8080')).toBe(EACCES);
    expect(listen(rules, '[::]:8080', true)).toEqual(['inet [::]:8080', 'local host [::]:8080']);
    expect(connect(rules, '0.0.0.0:8080')).toEqual(['local host 127.0.0.1:8080']);
    const narrow = guest({ otherwise: 'deny', rules: [{ action: 'allow', address: '10.0.0.0/8' }] });
    expect(listen(narrow, '0.0.0.0:8080')).toBe(EACCES);
    expect(listen(narrow, '10.0.0.1:8080')).toEqual(['inet 10.0.0.1:8080']);
  });

  test('reasons name the rule, or what there is instead', () => {
    const rules = guest({
      rules: [{ action: 'deny', direction: 'connect', address: '10.0.0.0/8', ports: 22 }],
    });
    const why = (to: string): string => judgePeer(rules, 'connect', at(to)).reason;
    expect(why('10.0.0.1:22')).toBe('default.rules[0] (deny connect 10.0.0.0/8 port 22)');
    expect(why('10.0.0.1:23')).toBe('no rule of default fits: allowed');
    expect(judgeOwn(rules, at('0.0.0.0:80'), { v6only: false }).reason).toBe(
      'port 80: below 1024 only by a rule that names it (no rule of default fits: allowed)',
    );
  });
});

describe('where addresses are', () => {
  const map = {
    connect: { '10.53.0.1': '127.0.0.1', '10.53.0.2:80': '127.0.0.1:8080', 'fd00::1': '::1' },
    listen: { '0.0.0.0': '127.0.0.1', '0.0.0.0:80': '127.0.0.1:8080' },
  };
  const rules = guest({
    map,
    rules: [{ action: 'allow', direction: 'listen', ports: ['80', '1024-65535'] }],
  });
  test.each([
    ['10.53.0.1:22', ['inet 127.0.0.1:22']],
    ['10.53.0.2:80', ['inet 127.0.0.1:8080']],
    ['10.53.0.2:81', ['inet 10.53.0.2:81']],
    ['[::ffff:10.53.0.1]:22', ['inet 127.0.0.1:22']],
    ['[fd00::1]:22', ['inet [::1]:22']],
    ['127.0.0.1:22', ['local host 127.0.0.1:22']],
  ])('connect %s', (to, expected) => expect(connect(rules, to)).toEqual(expected));

  test('listen, with what a socket for both families means', () => {
    expect(listen(rules, '0.0.0.0:9000')).toEqual(['inet 127.0.0.1:9000', 'local host 0.0.0.0:9000']);
    expect(listen(rules, '0.0.0.0:80')).toEqual(['inet 127.0.0.1:8080', 'local host 0.0.0.0:80']);
    // Or a guest would be everywhere by writing it as IPv6.
    expect(listen(rules, '[::]:9000')).toEqual(['inet 127.0.0.1:9000', 'local host [::]:9000']);
    expect(listen(rules, '[::ffff:0.0.0.0]:9000')).toEqual([
      'inet 127.0.0.1:9000',
      'local host 0.0.0.0:9000',
    ]);
  });

  test('places of both families that are one are one, or nobody could listen at ::', () => {
    const both = guest({
      map: {
        listen: {
          '0.0.0.0': '127.0.0.1',
          '::': '::ffff:127.0.0.1',
          '0.0.0.0:8080': '0.0.0.0:9080',
          '[::]:8080': '[::]:9080',
          '0.0.0.0:8081': '127.0.0.1:9081',
          '[::]:8081': '[::1]:9081',
        },
      },
    });
    expect(listen(both, '::')).toEqual(['inet 127.0.0.1:0', 'local host [::]:0']);
    expect(listen(both, '[::]:8080')).toEqual(['inet [::]:9080', 'local host [::]:8080']);
    expect(listen(both, '[::]:8081')).toEqual([
      'inet [::1]:9081',
      'inet 127.0.0.1:9081',
      'local host [::]:8081',
    ]);
  });

  test('localhost has a name, or is closed', () => {
    const named = guest({ localhost: 'blue' });
    expect(connect(named, '127.0.0.1:80')).toEqual(['local blue 127.0.0.1:80']);
    const shut = guest({ localhost: false });
    expect(connect(shut, '127.0.0.1:80')).toBe(EACCES);
    expect(listen(shut, '127.0.0.1:8080')).toBe(EACCES);
    expect(listen(shut, '0.0.0.0:8080')).toEqual(['inet 0.0.0.0:8080']);
  });
});

test('whatever the rules and the address, nobody reaches the loopback of the machine but by a map', () => {
  const ip = fc.oneof(
    fc.constantFrom(
      '127.0.0.1',
      '127.8.9.1',
      '0.0.0.0',
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::ffff:0.0.0.0',
      '::ffff:7f00:1',
    ),
    fc.ipV4(),
    fc.ipV6(),
  );
  const rule = fc.record(
    {
      action: fc.constantFrom('allow' as const, 'deny' as const),
      direction: fc.constantFrom('connect' as const, 'listen' as const, 'datagram' as const),
      address: fc.tuple(fc.ipV4(), fc.nat(32)).map(([net, bits]) => `${net}/${bits}`),
      ports: fc.nat(0xffff),
    },
    { requiredKeys: ['action'] },
  );
  const text = fc.record({
    rules: fc.array(rule, { maxLength: 4 }),
    otherwise: fc.constantFrom('allow' as const, 'deny' as const),
    localhost: fc.constantFrom(false as const, 'blue'),
  });
  fc.assert(
    fc.property(text, ip, fc.nat(0xffff), fc.boolean(), (policy, to, port, v6only) => {
      const rules = guest(policy);
      const address = parseIp(to, port)!;
      const verdicts = [
        judgePeer(rules, 'connect', address),
        judgePeer(rules, 'datagram', address),
        judgeOwn(rules, address, { v6only }),
      ];
      for (const { errno, places: found } of verdicts) {
        expect(errno === 0).toBe(found.length > 0);
        for (const place of found) {
          expect(place.network === 'inet' && isLoopback(place.address)).toBe(false);
          expect(place.network === 'local' && !isLoopback(place.address) && !isAny(place.address)).toBe(
            false,
          );
        }
      }
      for (const { places: found } of verdicts.slice(0, 2))
        expect(found.some((place) => isAny(place.address))).toBe(false);
    }),
  );
});

test("a guest is found by its domain's id, or its name; what it does not say is everybody's", () => {
  const text: PolicyText = {
    default: { localhost: 'all', otherwise: 'deny', limits: { sockets: 10, backlog: 3 } },
    guests: { web: { otherwise: 'allow', limits: { sockets: 20 } }, '7': { localhost: false } },
  };
  const { policy } = policyOf(text, 'test');
  expect(policy.of(3, 'web')).toMatchObject({ name: 'web', otherwise: 'allow', localhost: 'all' });
  expect(policy.of(3, 'web').limits).toMatchObject({ sockets: 20, backlog: 3, listening: 256 });
  expect(policy.of(7, 'web')).toMatchObject({ name: '7', otherwise: 'deny', localhost: undefined });
  expect(policy.of(3, undefined)).toMatchObject({ name: 'default', otherwise: 'deny' });
});

test('the example of the README is a policy, and says what it seems to', () => {
  const readme = readFileSync(new URL('../../netback/xensock/README.md', import.meta.url), 'utf8');
  const example = /^```json\n(.*?)^```$/ms.exec(readme)![1]!;
  const web = policyOf(JSON.parse(example), 'README').policy.of(5, 'web');
  expect(listen(web, '0.0.0.0:80')).toEqual(['inet 127.0.0.1:8080', 'local shop 0.0.0.0:80']);
  expect(listen(web, '0.0.0.0:8080')).toBe(EACCES);
  expect(connect(web, '10.1.0.5:5432')).toEqual(['inet 10.1.0.5:5432']);
  expect(connect(web, '10.1.0.6:5432')).toBe(EACCES);
  expect(connect(web, '93.184.216.34:443')).toEqual(['inet 93.184.216.34:443']);
  expect(connect(policyOf(JSON.parse(example), 'README').policy.of(6, undefined), '127.0.0.1:80')).toBe(
    EACCES,
  );
});

describe('what cannot be meant', () => {
  test.each([
    [{ guets: {} }, 'p: the policy has no such field: guets'],
    [{ guests: { web: { rule: [] } } }, 'p: guests.web has no such field: rule'],
    [
      { default: { rules: [{ action: 'permit' }] } },
      'p: default.rules[0].action must be equal to one of the allowed values: allow, deny',
    ],
    [{ default: { rules: [{}] } }, "p: default.rules[0] must have required property 'action'"],
    [{ default: { limits: { sockets: -1 } } }, 'p: default.limits.sockets must be >= 1'],
    [{ default: { limits: { ringOrder: 10 } } }, 'p: default.limits.ringOrder must be <= 9'],
    [
      { default: { rules: [{ action: 'deny', address: '10.0.0.0/33' }] } },
      'p: default.rules[0].address: 10.0.0.0/33 is neither an address nor a net such as 10.0.0.0/8',
    ],
    [
      { guests: { web: { rules: [{ action: 'deny', ports: '90-80' }] } } },
      'p: guests.web.rules[0].ports: 90-80 is neither a port nor a range such as 8000-8999',
    ],
    [
      { default: { map: { listen: { 'localhost:80': '127.0.0.1:80' } } } },
      'p: default.map.listen: localhost:80 is neither an address nor one with a port such as 10.0.0.1:80',
    ],
    [
      { default: { map: { connect: { '10.0.0.1': '127.0.0.1:80' } } } },
      'p: default.map.connect: 10.0.0.1 has no port, but 127.0.0.1:80 has one',
    ],
    [
      { default: { map: { connect: { '10.0.0.1': '::1' } } } },
      'p: default.map.connect: 10.0.0.1 is IPv4, and ::1 is not',
    ],
    ['nonsense', 'p: the policy must be object'],
  ])('%j', (text, line) => {
    expect(() => policyOf(text, 'p')).toThrow(new Error(line));
  });
});

describe('a policy that holds', () => {
  const made: string[] = [];
  const held: Policies[] = [];
  afterEach(() => {
    for (const policies of held.splice(0)) policies.close();
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
  });

  function hold(text: string): { file: string; policies: Policies; log: string[]; changes: number[] } {
    const folder = mkdtempSync(join(tmpdir(), 'policy-'));
    made.push(folder);
    const file = join(folder, 'policy.json');
    writeFileSync(file, text);
    const log: string[] = [];
    const changes: number[] = [];
    const onChange = (): void => void changes.push(policies.of(1).limits.sockets);
    const policies = new Policies({ file, onChange, log: (line) => void log.push(line) });
    held.push(policies);
    return { file, policies, log, changes };
  }

  test('a file that changes is read again; one that makes no sense changes nothing', async () => {
    const { file, changes, log, policies } = hold('{"default": {"limits": {"sockets": 5}}}');
    expect(policies.of(1).limits.sockets).toBe(5);
    writeFileSync(`${file}.new`, '{"default": {"limits": {"sockets": 6}}}');
    renameSync(`${file}.new`, file);
    await vi.waitFor(() => expect(changes).toEqual([6]), { timeout: 5000 });
    writeFileSync(file, '{"default": {"limits": {"sockets": "many"}}}');
    await vi.waitFor(
      () => expect(log.at(-1)).toMatch(/the one before stays: .*default\.limits\.sockets must be/),
      {
        timeout: 5000,
      },
    );
    expect(policies.of(1).limits.sockets).toBe(6);
  });

  test('it may be handed in; names of guests count from when they are known', () => {
    const { policies, changes } = hold('{"guests": {"web": {"limits": {"sockets": 9}}}}');
    policies.named(1, 'web');
    expect(policies.of(1).limits.sockets).toBe(9);
    policies.replace({ guests: { web: { limits: { sockets: 8 } } } });
    expect(changes).toEqual([8]);
    expect(() => policies.replace({ guests: [] })).toThrow('policy: guests must be object');
    expect(policies.text).toEqual({ guests: { web: { limits: { sockets: 8 } } } });
  });

  test('a file that is not there, or is no JSON, is one line', () => {
    expect(() => hold('{')).toThrow(/^\S+policy\.json: /);
    expect(() => hold('{')).not.toThrow(/\n/);
  });
});

test('decisions: the last of each guest are kept, refusals are lines', () => {
  const log: string[] = [];
  const decisions = new Decisions({
    all: false,
    log: (line) => void log.push(line),
    date: () => new Date(0),
  });
  const rules = guest({ rules: [{ action: 'deny', ports: 22 }] });
  const ask = (domid: number, to: string): void => {
    const address = at(to);
    decisions.add(
      { domid, path: `/local/domain/0/backend/pvcalls/${domid}/0` },
      { ...judgePeer(rules, 'connect', address), direction: 'connect', address },
    );
  };
  ask(2, '192.0.2.1:22');
  for (let port = 1000; port < 1300; port++) ask(1, `192.0.2.1:${port}`);
  expect(log).toEqual([
    '/local/domain/0/backend/pvcalls/2/0: connect 192.0.2.1:22: refused: default.rules[0] (deny port 22)',
  ]);
  expect(decisions.list).toHaveLength(257);
  expect(decisions.list.find(({ domid }) => domid === 1)).toEqual({
    time: '1970-01-01T00:00:00.000Z',
    domid: 1,
    device: '/local/domain/0/backend/pvcalls/1/0',
    direction: 'connect',
    address: '192.0.2.1:1044',
    allowed: true,
    reason: 'no rule of default fits: allowed',
    places: ['inet 192.0.2.1:1044'],
  });
});
