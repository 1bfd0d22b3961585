/**
 * The IPv6 half of a guest's host: an address that is good on the link, made of its Ethernet address; neighbours are found and answered, echoes asked for
 * and sent back. (RFC 4291, 4861, 4443)
 */

import { view } from './checksum.ts';
import {
  discovery,
  formatIpv6,
  groupMac,
  Icmp6,
  type Icmp6Packet,
  icmp6,
  linkLocal,
  openDiscovery,
  openIcmp6,
  solicitedNode,
} from './ipv6.ts';
import type { Neighbours } from './neighbours.ts';
import type { Questions } from './questions.ts';

const ALL_NODES: Uint8Array = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export interface LinkLocalOptions {
  readonly mac: Uint8Array;
  readonly questions: Questions;
  readonly neighbours: Neighbours;
  /** A packet for an Ethernet address. */
  readonly send: (to: Uint8Array, packet: Uint8Array) => void;
}

export class LinkLocal {
  readonly address: string;
  /** Ethernet addresses of the groups that it is in. */
  readonly groups: readonly Uint8Array[];
  readonly #options: LinkLocalOptions;
  readonly #own: Uint8Array;
  readonly #groups: readonly Uint8Array[];

  constructor(options: LinkLocalOptions) {
    this.#options = options;
    this.#own = linkLocal(options.mac);
    this.address = formatIpv6(this.#own);
    this.#groups = [ALL_NODES, solicitedNode(this.#own)];
    this.groups = this.#groups.map(groupMac);
  }

  async ping(to: Uint8Array, id: number, data: Uint8Array): Promise<Uint8Array> {
    const mac = await this.#resolve(to);
    const body = new Uint8Array(4 + data.length);
    view(body).setUint32(0, id);
    body.set(data, 4);
    return this.#options.questions.ask(`echo ${formatIpv6(to)} ${id}`, () =>
      this.#send(mac, to, Icmp6.ECHO_REQUEST, body),
    );
  }

  /** @param back the Ethernet address that it is from */
  receive(bytes: Uint8Array, back: Uint8Array): void {
    const packet = openIcmp6(bytes);
    if (packet === undefined) return;
    const isOurs = same(packet.to, this.#own);
    if (!isOurs && !this.#groups.some((group) => same(packet.to, group))) return;
    const { type, from, body } = packet;
    if (type === Icmp6.SOLICITATION) this.#solicited(packet);
    else if (type === Icmp6.ADVERTISEMENT) this.#advertised(packet);
    else if (type === Icmp6.ECHO_REQUEST) this.#send(back, from, Icmp6.ECHO_REPLY, body);
    else if (type === Icmp6.ECHO_REPLY && isOurs && body.length >= 4)
      this.#options.questions.answer(`echo ${formatIpv6(from)} ${view(body).getUint32(0)}`, body.slice(4));
  }

  async #resolve(to: Uint8Array): Promise<Uint8Array> {
    const { mac, neighbours, questions } = this.#options;
    const name = formatIpv6(to);
    const group = solicitedNode(to);
    const body = discovery(Icmp6.SOLICITATION, { target: to, mac });
    const ask = (): void => this.#send(groupMac(group), group, Icmp6.SOLICITATION, body);
    return neighbours.find(name) ?? questions.ask(`neighbour ${name}`, ask);
  }

  #solicited(packet: Icmp6Packet): void {
    const { mac } = this.#options;
    const asked = openDiscovery(packet);
    // Without a link-layer address it is somebody who wants to know whether the address is free; nobody has ours.
    if (asked?.mac === undefined || !same(asked.target, this.#own)) return;
    this.#send(
      asked.mac,
      packet.from,
      Icmp6.ADVERTISEMENT,
      discovery(Icmp6.ADVERTISEMENT, { target: this.#own, mac }),
    );
  }

  #advertised(packet: Icmp6Packet): void {
    const { questions, neighbours } = this.#options;
    const told = openDiscovery(packet);
    if (told?.mac === undefined) return;
    const name = formatIpv6(told.target);
    if (questions.answer(`neighbour ${name}`, told.mac)) neighbours.learn(name, told.mac);
  }

  #send(mac: Uint8Array, to: Uint8Array, type: number, body: Uint8Array): void {
    this.#options.send(mac, icmp6({ from: this.#own, to, type, body }));
  }
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, at) => byte === other[at]);
}
