/**
 * As much of a host as a simulated guest needs to be found on a network: it answers ARP and ICMP echo, sends back what comes to UDP port 7, and can ask
 * others for the same. What is asked is asked again each second, five times. Knows frames, not where they come from.
 */
import type { Clock } from '../../../osdep/clock.ts';
import {
  ArpOp,
  arp,
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
import { type FrameMeta, NO_META } from './meta.ts';

const BROADCAST = new Uint8Array(6).fill(0xff);
const NOBODY = new Uint8Array(6);
/** RFC 862. */
const ECHO_PORT = 7;
const FIRST_PORT = 49152;
const AGAIN_MS = 1000;
const TIMES = 5;
/** Addresses that are remembered. */
const NEIGHBOURS_MAX = 256;

export interface NetHostOptions {
  readonly mac: Uint8Array;
  /** `10.0.0.1` */
  readonly address: string;
  readonly send: (frame: Uint8Array) => void;
  readonly clock: Pick<Clock, 'after'>;
}

interface Question {
  readonly answer: Promise<Uint8Array>;
  readonly heard: (bytes: Uint8Array) => void;
}

export class NetHost {
  readonly #options: NetHostOptions;
  readonly #neighbours = new Map<string, Uint8Array>();
  /** By what was asked. */
  readonly #waiting = new Map<string, Question>();
  #next = 1;

  constructor(options: NetHostOptions) {
    this.#options = options;
  }

  /** Asks for an echo (ICMP); what came back. Rejects if nothing does. */
  async ping(to: string, data: Uint8Array): Promise<Uint8Array> {
    const mac = await this.#resolve(to);
    const id = this.#next++;
    const payload = icmpEcho({ type: Echo.REQUEST, id, data });
    return this.#ask(`echo ${to} ${id}`, () => this.#ip(mac, to, Protocol.ICMP, payload));
  }

  /** The same by UDP. */
  async udpEcho(to: string, data: Uint8Array): Promise<Uint8Array> {
    const mac = await this.#resolve(to);
    const fromPort = FIRST_PORT + (this.#next++ % 0x4000);
    const payload = udp({ fromPort, toPort: ECHO_PORT, data }, this.#options.address, to);
    return this.#ask(`udp ${to} ${fromPort}`, () => this.#ip(mac, to, Protocol.UDP, payload));
  }

  /** A frame has come. */
  receive(frame: Uint8Array, { csum }: FrameMeta = NO_META): void {
    const opened = openEthernet(frame);
    if (opened?.type === EtherType.ARP) this.#arp(opened.payload);
    if (opened?.type !== EtherType.IPV4) return;
    const packet = openIpv4(opened.payload);
    if (packet?.to !== this.#options.address) return;
    const back = frame.slice(6, 12);
    if (packet.protocol === Protocol.ICMP) this.#icmp(back, packet);
    if (packet.protocol === Protocol.UDP) this.#udp(back, packet, csum === undefined);
  }

  async #resolve(to: string): Promise<Uint8Array> {
    const { mac, address } = this.#options;
    const known = this.#neighbours.get(to);
    if (known !== undefined) return known;
    const request = arp({ op: ArpOp.REQUEST, senderMac: mac, sender: address, target: to }, NOBODY);
    const found = await this.#ask(`arp ${to}`, () => this.#send(BROADCAST, EtherType.ARP, request));
    if (this.#neighbours.size === NEIGHBOURS_MAX) this.#neighbours.clear();
    this.#neighbours.set(to, found);
    return found;
  }

  #arp(bytes: Uint8Array): void {
    const { mac, address } = this.#options;
    const asked = openArp(bytes);
    if (asked === undefined || asked.target !== address) return;
    if (asked.op === ArpOp.REPLY) this.#waiting.get(`arp ${asked.sender}`)?.heard(asked.senderMac);
    if (asked.op !== ArpOp.REQUEST) return;
    const answer = { op: ArpOp.REPLY, senderMac: mac, sender: address, target: asked.sender };
    this.#send(asked.senderMac, EtherType.ARP, arp(answer, asked.senderMac));
  }

  #icmp(back: Uint8Array, { from, payload }: Ipv4): void {
    const echo = openIcmpEcho(payload);
    if (echo?.type === Echo.REPLY) this.#waiting.get(`echo ${from} ${echo.id}`)?.heard(echo.data);
    if (echo?.type === Echo.REQUEST)
      this.#ip(back, from, Protocol.ICMP, icmpEcho({ ...echo, type: Echo.REPLY }));
  }

  #udp(back: Uint8Array, packet: Ipv4, check: boolean): void {
    const { from, to } = packet;
    const datagram = openUdp(packet, check);
    if (datagram === undefined) return;
    const { fromPort, toPort, data } = datagram;
    // Two that echo would not come to an end.
    if (toPort === ECHO_PORT && fromPort !== ECHO_PORT)
      this.#ip(back, from, Protocol.UDP, udp({ fromPort: ECHO_PORT, toPort: fromPort, data }, to, from));
    else if (fromPort === ECHO_PORT) this.#waiting.get(`udp ${from} ${toPort}`)?.heard(data);
  }

  /** Asks until there is an answer; several that ask for the same get it together. */
  #ask(what: string, send: () => void): Promise<Uint8Array> {
    const asked = this.#waiting.get(what);
    if (asked !== undefined) return asked.answer;
    let heard: (bytes: Uint8Array) => void = () => {};
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      let stop = (): void => {};
      let times = 0;
      const again = (): void => {
        if (times++ === TIMES) {
          this.#waiting.delete(what);
          reject(new Error(`no answer: ${what}`));
          return;
        }
        stop = this.#options.clock.after(AGAIN_MS, again);
        send();
      };
      heard = (bytes) => {
        stop();
        this.#waiting.delete(what);
        resolve(bytes);
      };
      again();
    });
    this.#waiting.set(what, { answer, heard });
    return answer;
  }

  #ip(mac: Uint8Array, to: string, protocol: number, payload: Uint8Array): void {
    this.#send(mac, EtherType.IPV4, ipv4({ from: this.#options.address, to, protocol, payload }));
  }

  #send(to: Uint8Array, type: number, payload: Uint8Array): void {
    this.#options.send(ethernet(to, this.#options.mac, type, payload));
  }
}
