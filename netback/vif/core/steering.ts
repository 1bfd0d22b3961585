/**
 * Which queue of a guest a packet goes to. The guest may order a hash, its key, and a table from hash to queue, over the control ring;
 * otherwise streams are spread by a hash of ours. A stream always stays in one queue. Knows packets by their headers only.
 */
import type { Header } from './header.ts';
import { HashAlgorithm, HashType } from './netif.ts';
import { NONE } from './packets.ts';
import { Toeplitz } from './toeplitz.ts';

/** Linux's limit; one page would have room for 1024. */
export const MAPPING_MAX = 128;

export class Steering {
  readonly queues: number;
  algorithm: number = HashAlgorithm.NONE;
  /** A bit for each HashType that is wanted. */
  flags = 0;
  /** Entries in use; 0: the queue is hash modulo queues. */
  mappingSize = 0;
  readonly mapping: Uint16Array = new Uint16Array(MAPPING_MAX);
  readonly toeplitz: Toeplitz = new Toeplitz();
  /** Of the packet that was steered last. NONE: it has no hash. */
  hashType: number = NONE;
  hashValue = 0;

  constructor(queues: number) {
    this.queues = queues;
  }

  /** The queue for a packet; what was found out about it is in `hashType` and `hashValue`. */
  steer(header: Header): number {
    this.hashType = NONE;
    this.hashValue = 0;
    if (this.algorithm !== HashAlgorithm.TOEPLITZ || this.flags === 0)
      return this.queues === 1 ? 0 : spread(header) % this.queues;
    this.#hash(header);
    if (this.mappingSize === 0) return this.hashValue % this.queues;
    return this.mapping[this.hashValue % this.mappingSize]!;
  }

  /** The most specific type that is wanted and that the packet has. */
  #hash(header: Header): void {
    if (header.ipVersion === 0) return;
    const plain = header.ipVersion === 4 ? HashType.IPV4 : HashType.IPV6;
    const tcp = header.ipVersion === 4 ? HashType.IPV4_TCP : HashType.IPV6_TCP;
    const withPorts = header.isTcp && (this.flags & (1 << tcp)) !== 0;
    if (!withPorts && (this.flags & (1 << plain)) === 0) return;
    const { memory, addresses, addressesLength, ports } = header;
    const sum = this.toeplitz.add(0, 0, memory, addresses, addressesLength);
    this.hashType = withPorts ? tcp : plain;
    this.hashValue = withPorts ? this.toeplitz.add(sum, addressesLength, memory, ports, 4) : sum;
  }
}

/** A cheap hash of a stream (FNV-1a over addresses and ports); what is no IP is spread by its Ethernet addresses. */
function spread(header: Header): number {
  const { memory } = header;
  const isIp = header.ipVersion !== 0;
  const from = isIp ? header.addresses : header.start;
  let hash = fnv(0x811c9dc5, memory, from, isIp ? header.addressesLength : 12);
  if (header.ports !== 0) hash = fnv(hash, memory, header.ports, 4);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function fnv(start: number, bytes: Uint8Array, at: number, length: number): number {
  let hash = start;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ bytes[at + i]!, 0x01000193);
  return hash;
}
