// The host behind a simulated guest's interface, on a wire in virtual time: it finds others and is found, asks again where something was lost, gives up in the
// end, remembers so many and no more, and takes no frame for what it is not.
import { expect, test } from 'vitest';
import { fragmentsOf, Reassembly } from '../../netback/vif/front/fragments.ts';
import { arp, ethernet, icmpEcho, ipv4, udp } from '../../netback/vif/front/frames.ts';
import { formatIpv6, parseIpv6 } from '../../netback/vif/front/ipv6.ts';
import { macOf, Wire } from './front-wire.ts';

const bytes = Uint8Array.of(1, 2, 3, 4, 5);

test('hosts answer each other: ICMP, UDP, ICMPv6', async () => {
  const wire = new Wire();
  const [one, two] = [wire.host(1), wire.host(2)];
  expect(await one.ping('10.0.0.2', bytes)).toEqual(bytes);
  expect(await two.udpEcho('10.0.0.1', bytes)).toEqual(bytes);
  expect(two.linkLocalAddress).toBe('fe80::216:3eff:fe00:2');
  expect(await one.ping(two.linkLocalAddress, bytes)).toEqual(bytes);
});

test('what is lost is asked for again, each second; in the end that is it', async () => {
  const wire = new Wire();
  const [one] = [wire.host(1), wire.host(2)];
  let lost = 3;
  wire.passes = () => lost-- <= 0;
  const echo = one.ping('10.0.0.2', bytes);
  await wire.time.pass(2999);
  expect(await Promise.race([echo, 'waits'])).toBe('waits');
  await wire.time.pass(1);
  expect(await echo).toEqual(bytes);

  const none = expect(one.ping('10.0.0.3', bytes)).rejects.toThrow('no answer: arp 10.0.0.3');
  const before = wire.frames.length;
  await wire.time.pass(10_000);
  await none;
  expect(wire.frames.length - before).toBe(4);
});

test('who is behind a router is found there', async () => {
  const wire = new Wire();
  const one = wire.host(1, { address: '10.0.0.1/24', router: '10.0.0.2' });
  wire.host(2);
  const echo = one.ping('192.0.2.1', bytes).catch(() => {});
  await wire.time.pass(10_000);
  await echo;
  const sent = wire.frames.filter((frame) => frame[12] === 8 && frame[13] === 0);
  expect(sent.length).toBeGreaterThan(0);
  expect(sent.every((frame) => Buffer.compare(frame.subarray(0, 6), macOf(2)) === 0)).toBe(true);
});

test('packets larger than the link takes go in pieces, in any order; what comes twice or askew is nothing', async () => {
  const wire = new Wire();
  const [one, two] = [wire.host(1, { mtu: 1500 }), wire.host(2, { mtu: 576 })];
  const large = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  expect(await one.ping('10.0.0.2', large)).toEqual(large);
  expect(await two.udpEcho('10.0.0.1', large)).toEqual(large);
  expect(wire.frames.every(({ length }) => length <= 1514)).toBe(true);

  const reassembly = new Reassembly(wire.time);
  const packet = { from: '10.0.0.1', to: '10.0.0.2', protocol: 17, payload: large };
  const pieces = fragmentsOf(packet, 1500, 7);
  const whole = pieces
    .toReversed()
    .map((piece) => reassembly.take(piece))
    .at(-1);
  expect(whole).toEqual(packet);
  for (const bad of [
    { ...pieces[1]!, fragment: { id: 7, offset: 8, more: true } },
    { ...pieces[1]!, fragment: { id: 7, offset: 65_528, more: true } },
    { ...pieces[1]!, payload: large.subarray(0, 9) },
    pieces[0]!,
  ]) {
    for (const piece of pieces.slice(0, -1)) expect(reassembly.take(piece)).toBeUndefined();
    expect(reassembly.take(bad)).toBeUndefined();
    expect(reassembly.size).toBe(0);
  }
  for (let id = 0; id < 100; id++)
    reassembly.take({ ...pieces[0]!, fragment: { id, offset: 0, more: true } });
  expect(reassembly.size).toBe(16);
  await wire.time.pass(30_000);
  reassembly.take(pieces[0]!);
  expect(reassembly.size).toBe(1);
});

test('an address is remembered for a minute; of 300 the last 256', async () => {
  const wire = new Wire();
  const one = wire.host(1);
  wire.host(2);
  const asked = (): number =>
    wire.frames.filter((frame) => frame[12] === 8 && frame[13] === 6 && frame[21] === 1).length;
  await one.ping('10.0.0.2', bytes);
  const before = asked();
  await one.ping('10.0.0.2', bytes);
  expect(asked()).toBe(before);
  await wire.time.pass(60_000);
  await one.ping('10.0.0.2', bytes);
  expect(asked()).toBe(before + 1);

  // One that is everybody.
  const answer = wire.join((frame) => {
    if (frame[13] !== 6 || frame[41] === 2) return;
    const target = [...frame.subarray(38, 42)].join('.');
    const reply = arp({ op: 2, senderMac: macOf(9), sender: target, target: '10.0.0.1' }, macOf(1));
    answer(ethernet(macOf(1), macOf(9), 0x0806, reply));
  });
  const echoes = Array.from({ length: 300 }, (_, i) =>
    one.ping(`10.1.${i >> 8}.${i & 255}`, bytes).catch(() => {}),
  );
  await wire.time.pass(10_000);
  await Promise.all(echoes);
  expect(one.neighbours).toBe(256);
});

test('nobody is believed who was not asked', async () => {
  const wire = new Wire();
  const one = wire.host(1);
  const send = wire.join(() => {});
  const lie = arp({ op: 2, senderMac: macOf(9), sender: '10.0.0.2', target: '10.0.0.1' }, macOf(1));
  send(ethernet(macOf(1), macOf(9), 0x0806, lie));
  await wire.time.pass(0);
  expect(one.neighbours).toBe(0);
});

test('frames for others, and such as are not whole, get no answer', async () => {
  const wire = new Wire();
  wire.host(1);
  const send = wire.join(() => {});
  await wire.time.pass(0);
  const before = wire.frames.length;
  const packet = { from: '10.0.0.9', to: '10.0.0.1' };
  const echo = ipv4({ ...packet, protocol: 1, payload: icmpEcho({ type: 8, id: 1, data: bytes }) });
  const datagram = udp({ fromPort: 9, toPort: 7, data: bytes }, packet.from, packet.to);
  const good = [
    ethernet(macOf(1), macOf(9), 0x0800, echo),
    ethernet(macOf(1), macOf(9), 0x0800, ipv4({ ...packet, protocol: 17, payload: datagram })),
  ];
  const bad = [ethernet(macOf(2), macOf(9), 0x0800, echo)];
  for (const frame of good) {
    for (let length = 0; length < frame.length - 18; length++) bad.push(frame.slice(0, length));
    // Each byte of the packet and what is in it, one bit of it wrong.
    for (let at = 14; at < 42; at++) bad.push(frame.map((byte, i) => (i === at ? byte ^ 1 : byte)));
  }
  for (const frame of bad) send(frame);
  await wire.time.pass(0);
  expect(wire.frames.length).toBe(before + bad.length);
  for (const frame of good) send(frame);
  await wire.time.pass(0);
  expect(wire.frames.length).toBe(before + bad.length + 4);
});

test('addresses of IPv6, as people write them', () => {
  for (const text of [
    '::',
    '::1',
    'fe80::216:3eff:fe00:2',
    '1::2:0:0:3',
    'ff02::1:ff00:1',
    '1:2:3:4:5:6:7:8',
  ])
    expect(formatIpv6(parseIpv6(text)!)).toBe(text);
  for (const text of [
    '',
    '1',
    '10.0.0.1',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    'g::',
    '1:2:3:4:5:6:7::8',
  ])
    expect(parseIpv6(text)).toBeUndefined();
});
