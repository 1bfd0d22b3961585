/**
 * As much of a host as a simulated guest needs to be found on a network: it answers ARP, neighbour solicitations and echo requests (ICMP, ICMPv6), sends
 * back what comes to UDP port 7, and can ask others for the same. Its IPv4 address is given, or lent by DHCP. Knows frames, not where they come from;
 * time and chance are arguments.
 */
import type { Clock, Random } from '../../../osdep/clock.ts';
import { DhcpPort } from './dhcp.ts';
import { DhcpClient, type Lease } from './dhcpclient.ts';
import { fragmentsOf, Reassembly } from './fragments.ts';
import {
  ArpOp,
  arp,
  bytesOf,
  Echo,
  EtherType,
  ethernet,
  type Ipv4,
  icmpEcho,
  ipv4,
  openArp,
  openEthernet,
  openIcmpEcho,
  openIpv4,
  openUdp,
  Protocol,
  udp,
} from './frames.ts';
import { parseIpv6 } from './ipv6.ts';
import { LinkLocal } from './linklocal.ts';
import { type FrameMeta, NO_META } from './meta.ts';
import { Neighbours } from './neighbours.ts';
import { Questions } from './questions.ts';

const BROADCAST: Uint8Array = new Uint8Array(6).fill(0xff);
const NOBODY: Uint8Array = new Uint8Array(6);
const ANYBODY = '255.255.255.255';
const NO_ADDRESS = '0.0.0.0';
/** RFC 862. */
const ECHO_PORT = 7;
const FIRST_PORT = 49152;

export interface NetHostOptions {
  readonly mac: Uint8Array;
  /** `10.0.0.1/24`; without a length everybody is at hand. `dhcp`: it is asked for. */
  readonly address: string;
  /** Where packets for others than those at hand go. */
  readonly router?: string;
  /** The largest packet, in bytes: others are cut into pieces. Without, nothing is. */
  readonly mtu?: number;
  readonly send: (frame: Uint8Array) => void;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** For DHCP. */
  readonly random?: Pick<Random, 'u32' | 'below'>;
  /** The address has changed; undefined: there is none any more. */
  readonly onAddress?: (address: string | undefined) => void;
}

export class NetHost {
  readonly #options: NetHostOptions;
  readonly #neighbours: Neighbours;
  readonly #questions: Questions;
  readonly #reassembly: Reassembly;
  readonly #linkLocal: LinkLocal;
  readonly #dhcp: DhcpClient | undefined;
  #lease: Lease | undefined;
  #next = 1;

  /** Announces itself, or asks for an address. Throws RangeError for an address that is none. */
  constructor(options: NetHostOptions) {
    const { mac, address, router, clock, random } = options;
    this.#options = options;
    this.#neighbours = new Neighbours(clock);
    this.#questions = new Questions(clock);
    this.#reassembly = new Reassembly(clock);
    const send = (to: Uint8Array, payload: Uint8Array): void => this.#send(to, EtherType.IPV6, payload);
    this.#linkLocal = new LinkLocal({ mac, questions: this.#questions, neighbours: this.#neighbours, send });
    if (address !== 'dhcp') {
      this.#setLease({ ...parseAddress(address), router });
      return;
    }
    if (random === undefined) throw new RangeError('DHCP needs chance');
    this.#dhcp = new DhcpClient({
      mac,
      clock,
      random,
      send: (message, server) => void this.#sendDhcp(message, server),
      onLease: (lease) => this.#setLease(lease),
    });
    this.#dhcp.start();
  }

  /** IPv4; undefined: there is none, or not yet. */
  get address(): string | undefined {
    return this.#lease?.address;
  }

  /** `fe80::...` */
  get linkLocalAddress(): string {
    return this.#linkLocal.address;
  }

  /** Groups to join where multicast is filtered, as Ethernet addresses. */
  get groups(): readonly Uint8Array[] {
    return this.#linkLocal.groups;
  }

  /** Neighbours that are remembered. */
  get neighbours(): number {
    return this.#neighbours.size;
  }

  /** Asks for an echo, of an IPv4 or a link-local IPv6 address; what came back. Rejects if nothing does. */
  async ping(to: string, data: Uint8Array): Promise<Uint8Array> {
    const id = this.#next++;
    const group = parseIpv6(to);
    if (group !== undefined) return this.#linkLocal.ping(group, id, data);
    const mac = await this.#resolve(to);
    const payload = icmpEcho({ type: Echo.REQUEST, id, data });
    return this.#questions.ask(`echo ${to} ${id}`, () => this.#ip(mac, to, Protocol.ICMP, payload));
  }

  /** The same by UDP. */
  async udpEcho(to: string, data: Uint8Array): Promise<Uint8Array> {
    const mac = await this.#resolve(to);
    const fromPort = FIRST_PORT + (this.#next++ % 0x4000);
    const payload = udp({ fromPort, toPort: ECHO_PORT, data }, this.#lease?.address ?? NO_ADDRESS, to);
    return this.#questions.ask(`udp ${to} ${fromPort}`, () => this.#ip(mac, to, Protocol.UDP, payload));
  }

  /** A frame has come. */
  receive(frame: Uint8Array, { csum }: FrameMeta = NO_META): void {
    const opened = openEthernet(frame);
    if (opened === undefined || !this.#isForUs(frame)) return;
    const back = frame.slice(6, 12);
    if (opened.type === EtherType.ARP) this.#arp(opened.payload);
    else if (opened.type === EtherType.IPV6) this.#linkLocal.receive(opened.payload, back);
    else if (opened.type === EtherType.IPV4) {
      const piece = openIpv4(opened.payload);
      const packet = piece && this.#reassembly.take(piece);
      if (packet !== undefined) this.#ipv4(packet, back, csum === undefined);
    }
  }

  /** Asks nothing more, and answers nobody. */
  close(): void {
    this.#dhcp?.stop();
    this.#questions.stop();
    this.#lease = undefined;
  }

  #isForUs(frame: Uint8Array): boolean {
    if ((frame[0]! & 1) !== 0) return true;
    return this.#options.mac.every((byte, at) => byte === frame[at]);
  }

  #ipv4(packet: Ipv4, back: Uint8Array, check: boolean): void {
    const isOurs = packet.to === this.#lease?.address;
    // Before there is an address, a server's answer may be for one that is not ours yet.
    if (packet.protocol === Protocol.UDP && (isOurs || this.#dhcp !== undefined))
      this.#udp(back, packet, { check, isOurs });
    else if (packet.protocol === Protocol.ICMP && isOurs) this.#icmp(back, packet);
  }

  #setLease(lease: Lease | undefined): void {
    const changed = lease?.address !== this.#lease?.address;
    this.#lease = lease;
    if (!changed) return;
    this.#neighbours.clear();
    // Switches and neighbours learn of it (RFC 5227, 2.3).
    if (lease !== undefined) this.#ask(lease.address, lease.address);
    this.#options.onAddress?.(lease?.address);
  }

  /** Who is at hand for it. */
  async #resolve(to: string): Promise<Uint8Array> {
    const lease = this.#lease;
    if (lease === undefined) throw new Error('there is no address yet');
    const hop = lease.router !== undefined && !isNear(lease, to) ? lease.router : to;
    const known = this.#neighbours.find(hop);
    return known ?? this.#questions.ask(`arp ${hop}`, () => this.#ask(lease.address, hop));
  }

  #ask(sender: string, target: string): void {
    const request = { op: ArpOp.REQUEST, senderMac: this.#options.mac, sender, target };
    this.#send(BROADCAST, EtherType.ARP, arp(request, NOBODY));
  }

  #arp(bytes: Uint8Array): void {
    const { mac } = this.#options;
    const asked = openArp(bytes);
    const address = this.#lease?.address;
    if (asked === undefined || address === undefined || asked.target !== address) return;
    // What nobody asked for is not believed, but by those who know him.
    if (asked.op === ArpOp.REPLY) this.#heard(asked.sender, asked.senderMac);
    if (asked.op !== ArpOp.REQUEST || asked.sender === address) return;
    const answer = { op: ArpOp.REPLY, senderMac: mac, sender: address, target: asked.sender };
    this.#send(asked.senderMac, EtherType.ARP, arp(answer, asked.senderMac));
  }

  #heard(address: string, mac: Uint8Array): void {
    if (this.#questions.answer(`arp ${address}`, mac)) this.#neighbours.learn(address, mac);
  }

  #icmp(back: Uint8Array, { from, payload }: Ipv4): void {
    const echo = openIcmpEcho(payload);
    if (echo?.type === Echo.REPLY) this.#questions.answer(`echo ${from} ${echo.id}`, echo.data);
    if (echo?.type === Echo.REQUEST)
      this.#ip(back, from, Protocol.ICMP, icmpEcho({ ...echo, type: Echo.REPLY }));
  }

  #udp(back: Uint8Array, packet: Ipv4, { check, isOurs }: { check: boolean; isOurs: boolean }): void {
    const { from, to } = packet;
    const datagram = openUdp(packet, check);
    if (datagram === undefined) return;
    const { fromPort, toPort, data } = datagram;
    if (toPort === DhcpPort.CLIENT && fromPort === DhcpPort.SERVER) this.#dhcp?.receive(data);
    else if (!isOurs) return;
    // Two that echo would not come to an end.
    else if (toPort === ECHO_PORT && fromPort !== ECHO_PORT)
      this.#ip(back, from, Protocol.UDP, udp({ fromPort: ECHO_PORT, toPort: fromPort, data }, to, from));
    else if (fromPort === ECHO_PORT) this.#questions.answer(`udp ${from} ${toPort}`, data);
  }

  async #sendDhcp(message: Uint8Array, server: string | undefined): Promise<void> {
    const to = server ?? ANYBODY;
    const from = server === undefined ? NO_ADDRESS : (this.#lease?.address ?? NO_ADDRESS);
    const payload = udp({ fromPort: DhcpPort.CLIENT, toPort: DhcpPort.SERVER, data: message }, from, to);
    // Who cannot be found is asked again anyway.
    const mac = server === undefined ? BROADCAST : await this.#resolve(server).catch(() => BROADCAST);
    this.#send(mac, EtherType.IPV4, ipv4({ from, to, protocol: Protocol.UDP, payload }));
  }

  #ip(mac: Uint8Array, to: string, protocol: number, payload: Uint8Array): void {
    const from = this.#lease?.address;
    if (from === undefined) return;
    const { mtu = 0xffff } = this.#options;
    const pieces = fragmentsOf({ from, to, protocol, payload }, mtu, this.#next++ & 0xffff);
    for (const piece of pieces) this.#send(mac, EtherType.IPV4, ipv4(piece));
  }

  #send(to: Uint8Array, type: number, payload: Uint8Array): void {
    this.#options.send(ethernet(to, this.#options.mac, type, payload));
  }
}

function parseAddress(text: string): { address: string; netmask: string } {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?$/.exec(text);
  const bits = Number(match?.[2] ?? 0);
  if (match === null || bits > 32 || bytesOf(match[1]!).some((byte) => byte > 255))
    throw new RangeError(`not an IPv4 address: ${text}`);
  const mask = bits === 0 ? 0 : (~0 << (32 - bits)) >>> 0;
  return { address: match[1]!, netmask: [24, 16, 8, 0].map((by) => (mask >>> by) & 0xff).join('.') };
}

function isNear({ address, netmask }: Lease, to: string): boolean {
  const [own, mask, other] = [address, netmask, to].map(bytesOf) as [
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  return own.every((byte, at) => (byte & mask[at]!) === (other[at]! & mask[at]!));
}
