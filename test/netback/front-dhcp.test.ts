// A simulated guest's host and a server of DHCP on one wire, in virtual time: it gets an address, keeps it by asking again, takes another when it is told to,
// and has none when nobody answers any more.
import { expect, test } from 'vitest';
import { type DhcpMessage, DhcpType, dhcp, openDhcp } from '../../netback/vif/front/dhcp.ts';
import { ethernet, ipv4, openEthernet, openIpv4, openUdp, udp } from '../../netback/vif/front/frames.ts';
import { macOf, Wire } from './front-wire.ts';

const SERVER = '10.0.0.254';
const bytes = Uint8Array.of(1, 2, 3);

/** Lends one address after the other, an hour each. */
class Server {
  readonly heard: DhcpMessage[] = [];
  /** How an answer is changed; undefined: there is none. */
  answers: (message: DhcpMessage) => DhcpMessage | undefined = (message) => message;
  next = 100;
  readonly #lent = new Map<string, string>();
  readonly #send: (frame: Uint8Array) => void;

  constructor(wire: Wire) {
    this.#send = wire.join((frame) => this.#hear(frame));
    // So that it answers ARP, too.
    wire.host(254);
  }

  forget(): void {
    this.#lent.clear();
  }

  #hear(frame: Uint8Array): void {
    const packet = openIpv4(openEthernet(frame)!.payload);
    const datagram = packet?.protocol === 17 ? openUdp(packet, true) : undefined;
    if (datagram?.toPort !== 67) return;
    const message = openDhcp(datagram.data)!;
    this.heard.push(message);
    const who = message.mac.join(':');
    const address = this.#lent.get(who) ?? `10.0.0.${this.next++}`;
    this.#lent.set(who, address);
    const asked = message.requested ?? message.clientAddress;
    const type =
      message.type === DhcpType.DISCOVER ? DhcpType.OFFER : asked === address ? DhcpType.ACK : DhcpType.NAK;
    const answer = this.answers({
      isReply: true,
      type,
      xid: message.xid,
      mac: message.mac,
      yourAddress: address,
      server: SERVER,
      netmask: '255.255.255.0',
      router: SERVER,
      lease: 3600,
    });
    if (answer === undefined) return;
    const payload = udp({ fromPort: 67, toPort: 68, data: dhcp(answer) }, SERVER, address);
    this.#send(
      ethernet(message.mac, macOf(254), 0x0800, ipv4({ from: SERVER, to: address, protocol: 17, payload })),
    );
  }
}

test('an address is lent, used, and kept by asking again in time', async () => {
  const wire = new Wire();
  const server = new Server(wire);
  const addresses: (string | undefined)[] = [];
  const one = wire.host(1, { address: 'dhcp', onAddress: (address) => addresses.push(address) });
  const two = wire.host(2);
  expect(one.address).toBeUndefined();
  await wire.time.pass(0);
  expect(one.address).toBe('10.0.0.100');
  expect(await two.ping('10.0.0.100', bytes)).toEqual(bytes);
  expect(await one.ping('10.0.0.2', bytes)).toEqual(bytes);
  expect(server.heard.map(({ type }) => type)).toEqual([DhcpType.DISCOVER, DhcpType.REQUEST]);
  await wire.time.pass(1_799_999);
  expect(server.heard.length).toBe(2);
  await wire.time.pass(1);
  expect(server.heard.slice(2)).toMatchObject([{ type: DhcpType.REQUEST, clientAddress: '10.0.0.100' }]);
  await wire.time.pass(10 * 3_600_000);
  expect(one.address).toBe('10.0.0.100');
  expect(addresses).toEqual(['10.0.0.100']);
});

test('a server that is late is asked again, less and less often', async () => {
  const wire = new Wire();
  const server = new Server(wire);
  server.answers = () => undefined;
  const one = wire.host(1, { address: 'dhcp' });
  await wire.time.pass(60_000);
  expect(server.heard.length).toBe(5);
  server.answers = (message) => message;
  await wire.time.pass(65_000);
  expect(one.address).toBe('10.0.0.100');
});

test('a lease that nobody renews ends; afterwards there is another', async () => {
  const wire = new Wire();
  const server = new Server(wire);
  const one = wire.host(1, { address: 'dhcp' });
  await wire.time.pass(0);
  server.answers = () => undefined;
  await wire.time.pass(3_599_000);
  expect(one.address).toBe('10.0.0.100');
  // From the seventh eighth on everybody is asked.
  expect(server.heard.some(({ type }) => type === DhcpType.REQUEST)).toBe(true);
  await wire.time.pass(2000);
  expect(one.address).toBeUndefined();
  server.forget();
  server.answers = (message) => message;
  await wire.time.pass(65_000);
  expect(one.address).toBe('10.0.0.101');
});

test('who is told no begins anew', async () => {
  const wire = new Wire();
  const server = new Server(wire);
  const addresses: (string | undefined)[] = [];
  wire.host(1, { address: 'dhcp', onAddress: (address) => addresses.push(address) });
  await wire.time.pass(0);
  server.forget();
  await wire.time.pass(1_800_000);
  expect(addresses).toEqual(['10.0.0.100', undefined, '10.0.0.101']);
});

test('answers to others, from others, or of no use change nothing', async () => {
  const wire = new Wire();
  const server = new Server(wire);
  const lies: ((message: DhcpMessage) => DhcpMessage)[] = [
    (message) => ({ ...message, xid: message.xid ^ 1 }),
    (message) => ({ ...message, mac: macOf(7) }),
    (message) => ({ ...message, isReply: false }),
    (message) => ({ ...message, yourAddress: '0.0.0.0' }),
    (message) => ({ ...message, yourAddress: '224.0.0.1' }),
    (message) => ({ ...message, yourAddress: '127.0.0.1' }),
    (message) => ({ ...message, lease: 0 }),
    (message) => (message.type === DhcpType.ACK ? { ...message, server: '10.0.0.9' } : message),
  ];
  for (const [index, lie] of lies.entries()) {
    server.answers = lie;
    const one = wire.host(10 + index, { address: 'dhcp' });
    await wire.time.pass(5000);
    expect(one.address).toBeUndefined();
    one.close();
  }
});

test('messages of any length are taken or left', () => {
  const whole = dhcp({
    isReply: true,
    type: DhcpType.ACK,
    xid: 7,
    mac: macOf(1),
    yourAddress: '10.0.0.5',
    lease: 60,
  });
  expect(openDhcp(whole)).toMatchObject({ type: DhcpType.ACK, xid: 7, yourAddress: '10.0.0.5', lease: 60 });
  for (let length = 0; length < whole.length; length++) openDhcp(whole.subarray(0, length));
  // Options without an end.
  expect(openDhcp(whole.map((byte, at) => (at >= 240 ? 0xfe : byte)))).toBeUndefined();
});
