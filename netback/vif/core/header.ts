/**
 * The first bytes of a packet: whom it is for, and which stream it belongs to. Reads at most `HEADER_BYTES`, and takes nothing on
 * trust: what is not there, or does not add up, is simply not found. Ethernet with up to two VLAN tags, IPv4, IPv6, TCP and UDP.
 */
import { ETHERNET_HEADER_BYTES } from './netif.ts';
import { HEADER_BYTES } from './packets.ts';

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_SERVICE_VLAN = 0x88a8;
const TCP = 6;
const UDP = 17;
/** IPv6 headers that only stand in front of another: hop-by-hop options, routing, destination options. */
const isSkippable = (protocol: number): boolean => protocol === 0 || protocol === 43 || protocol === 60;
const SKIPPED_MAX = 4;

const word = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

/** One packet's headers at a time; positions are those of the memory that it was given. */
export class Header {
  memory: Uint8Array = new Uint8Array(0);
  /** Destination's address, six bytes; the source's follows. */
  start = 0;
  ipVersion: 0 | 4 | 6 = 0;
  /** Source and destination address of IP, one after the other. */
  addresses = 0;
  addressesLength = 0;
  isTcp = false;
  /** Source and destination port, four bytes; 0: there are none. */
  ports = 0;
  #end = 0;

  /** False: it is no Ethernet frame. */
  parse(memory: Uint8Array, start: number, length: number): boolean {
    this.memory = memory;
    this.start = start;
    this.#end = start + Math.min(length, HEADER_BYTES);
    this.ipVersion = 0;
    this.isTcp = false;
    this.ports = 0;
    this.addressesLength = 0;
    if (length < ETHERNET_HEADER_BYTES) return false;
    let at = start + 12;
    let type = word(memory, at);
    for (let tags = 0; tags < 2 && (type === ETHERTYPE_VLAN || type === ETHERTYPE_SERVICE_VLAN); tags++) {
      at += 4;
      if (at + 2 > this.#end) return true;
      type = word(memory, at);
    }
    if (type === ETHERTYPE_IPV4) this.#ipv4(at + 2);
    else if (type === ETHERTYPE_IPV6) this.#ipv6(at + 2);
    return true;
  }

  /** For many: the group bit of its destination. */
  get isMulticast(): boolean {
    return (this.memory[this.start]! & 1) !== 0;
  }

  get isBroadcast(): boolean {
    for (let i = 0; i < 6; i++) if (this.memory[this.start + i] !== 0xff) return false;
    return true;
  }

  #ipv4(at: number): void {
    const { memory } = this;
    if (at + 20 > this.#end || memory[at]! >> 4 !== 4) return;
    const headerLength = (memory[at]! & 0xf) * 4;
    if (headerLength < 20) return;
    this.ipVersion = 4;
    this.addresses = at + 12;
    this.addressesLength = 8;
    // A fragment has no ports that all of its packet's fragments would have.
    if ((word(memory, at + 6) & 0x3fff) === 0) this.#transport(memory[at + 9]!, at + headerLength);
  }

  #ipv6(at: number): void {
    const { memory } = this;
    if (at + 40 > this.#end || memory[at]! >> 4 !== 6) return;
    this.ipVersion = 6;
    this.addresses = at + 8;
    this.addressesLength = 32;
    let protocol = memory[at + 6]!;
    let next = at + 40;
    for (let skipped = 0; isSkippable(protocol); skipped++) {
      if (skipped === SKIPPED_MAX || next + 8 > this.#end) return;
      protocol = memory[next]!;
      next += (memory[next + 1]! + 1) * 8;
    }
    this.#transport(protocol, next);
  }

  #transport(protocol: number, at: number): void {
    if ((protocol !== TCP && protocol !== UDP) || at + 4 > this.#end) return;
    this.isTcp = protocol === TCP;
    this.ports = at;
  }
}
