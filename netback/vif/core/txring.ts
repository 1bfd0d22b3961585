/**
 * A tx ring's slots as packets: what a guest asks to be sent, checked, in the order of the ring, until it is answered. Takes what was
 * copied out of the ring once. A packet that makes no sense is marked and its slots are kept, so that slots and packets stay
 * aligned; what no honest frontend does (Linux's netback closes the device for the same things) is a reason to give up the ring.
 * Columns of numbers as long as the ring; knows neither memory nor grants.
 */
import {
  ETHERNET_HEADER_BYTES,
  EXTRA_MORE,
  Extra,
  ExtraType,
  Gso,
  NR_SLOTS_MIN,
  PAGE_BYTES,
  TX_SLOT_BYTES,
  TxFlag,
  TxRequest,
  u16,
  u32,
} from './netif.ts';

/** More data slots than this are not a mistake: who does that does not speak the protocol (Linux: fatal_skb_slots). */
const FATAL_SLOTS = 20;

/** Linux's smallest for TCP (TCP_MIN_SND_MSS). */
const SEGMENT_MIN_BYTES = 48;

/** What is to become of a packet. */
export const Verdict = {
  /** Send it. */
  SEND: 0,
  /** Its slots are answered ERROR. */
  BAD: 1,
  /** It carries an order for the multicast filter and no data. */
  FILTER: 2,
} as const;

export class TxRing {
  readonly size: number;
  /** By slot, at `index & (size - 1)`. Sizes are those of the fragment, also in the first slot. */
  readonly ids: Uint16Array;
  readonly grefs: Uint32Array;
  readonly offsets: Uint16Array;
  readonly sizes: Uint16Array;
  readonly isExtra: Uint8Array;
  /** By packet, at `index & (size - 1)`. */
  readonly slots: Uint16Array;
  readonly lengths: Uint16Array;
  readonly flags: Uint8Array;
  readonly verdicts: Uint8Array;
  readonly gsoTypes: Uint8Array;
  readonly gsoSizes: Uint16Array;
  /** For FILTER: which order, and the address, six bytes each. */
  readonly filterOrders: Uint8Array;
  readonly filterAddresses: Uint8Array;
  /** Slots and packets taken so far, free-running. */
  slotTail = 0;
  packetTail = 0;
  readonly #mask: number;
  /** The batch being taken, and its next slot. */
  #bytes: Uint8Array = new Uint8Array(0);
  #count = 0;
  #next = 0;

  constructor(size: number) {
    this.size = size;
    this.#mask = size - 1;
    this.ids = new Uint16Array(size);
    this.grefs = new Uint32Array(size);
    this.offsets = new Uint16Array(size);
    this.sizes = new Uint16Array(size);
    this.isExtra = new Uint8Array(size);
    this.slots = new Uint16Array(size);
    this.lengths = new Uint16Array(size);
    this.flags = new Uint8Array(size);
    this.verdicts = new Uint8Array(size);
    this.gsoTypes = new Uint8Array(size);
    this.gsoSizes = new Uint16Array(size);
    this.filterOrders = new Uint8Array(size);
    this.filterAddresses = new Uint8Array(size * 6);
  }

  /** Takes all slots that were published. A text: why the ring has to be given up; the packets before that stand. */
  take(bytes: Uint8Array, count: number): string | undefined {
    this.#bytes = bytes;
    this.#count = count;
    this.#next = 0;
    while (this.#next < count) {
      const firstSlot = this.slotTail;
      const failure = this.#packet();
      if (failure !== undefined) {
        this.slotTail = firstSlot;
        return failure;
      }
      this.slots[this.packetTail & this.#mask] = (this.slotTail - firstSlot) >>> 0;
      this.packetTail = (this.packetTail + 1) >>> 0;
    }
    return undefined;
  }

  #packet(): string | undefined {
    const packet = this.packetTail & this.#mask;
    const first = this.slotTail & this.#mask;
    const at = this.#next * TX_SLOT_BYTES;
    const flags = u16(this.#bytes, at + TxRequest.FLAGS);
    this.lengths[packet] = u16(this.#bytes, at + TxRequest.SIZE);
    this.flags[packet] = flags & 0xff;
    this.verdicts[packet] = Verdict.SEND;
    this.gsoTypes[packet] = Gso.NONE;
    this.gsoSizes[packet] = 0;
    this.#dataSlot(at);
    const failure = (flags & TxFlag.EXTRA_INFO) === 0 ? undefined : this.#extras(packet);
    return failure ?? this.#fragments(packet, first, (flags & TxFlag.MORE_DATA) !== 0);
  }

  #dataSlot(at: number): void {
    const slot = this.slotTail & this.#mask;
    this.grefs[slot] = u32(this.#bytes, at + TxRequest.GREF);
    this.offsets[slot] = u16(this.#bytes, at + TxRequest.OFFSET);
    this.ids[slot] = u16(this.#bytes, at + TxRequest.ID);
    this.sizes[slot] = u16(this.#bytes, at + TxRequest.SIZE);
    this.isExtra[slot] = 0;
    this.slotTail = (this.slotTail + 1) >>> 0;
    this.#next++;
  }

  #extras(packet: number): string | undefined {
    for (let seen = 0, more = true; more; ) {
      if (this.#next === this.#count) return 'extra info is missing';
      const at = this.#next * TX_SLOT_BYTES;
      const type = this.#bytes[at + Extra.TYPE]!;
      if (type === 0 || type > ExtraType.XDP) return `extra info of type ${type}`;
      if ((seen & (1 << type)) !== 0) this.verdicts[packet] = Verdict.BAD;
      seen |= 1 << type;
      const failure = this.#extra(packet, type, at);
      if (failure !== undefined) return failure;
      more = (this.#bytes[at + Extra.FLAGS]! & EXTRA_MORE) !== 0;
      this.isExtra[this.slotTail & this.#mask] = 1;
      this.slotTail = (this.slotTail + 1) >>> 0;
      this.#next++;
    }
    return undefined;
  }

  #extra(packet: number, type: number, at: number): string | undefined {
    if (type === ExtraType.GSO) {
      const size = u16(this.#bytes, at + Extra.GSO_SIZE);
      const gso = this.#bytes[at + Extra.GSO_TYPE]!;
      if (gso !== Gso.TCPV4 && gso !== Gso.TCPV6) return `segmentation of type ${gso}`;
      if (size === 0) return 'segments of 0 bytes';
      // One packet must not become tens of thousands.
      if (size < SEGMENT_MIN_BYTES) this.verdicts[packet] = Verdict.BAD;
      this.gsoTypes[packet] = gso;
      this.gsoSizes[packet] = size;
    } else if (type === ExtraType.MCAST_ADD || type === ExtraType.MCAST_DEL) {
      if (this.verdicts[packet] === Verdict.SEND) this.verdicts[packet] = Verdict.FILTER;
      this.filterOrders[packet] = type;
      for (let i = 0; i < 6; i++)
        this.filterAddresses[packet * 6 + i] = this.#bytes[at + Extra.MCAST_ADDRESS + i]!;
    }
    return undefined;
  }

  /** The slots behind the first, and what is left for the first one: `size` says there how long the packet is. */
  #fragments(packet: number, first: number, chained: boolean): string | undefined {
    let rest = this.lengths[packet]!;
    let slots = 1;
    for (let more = chained; more; slots++) {
      if (this.#next === this.#count) return 'a packet has no end';
      if (slots === FATAL_SLOTS) return `a packet of more than ${FATAL_SLOTS} slots`;
      const at = this.#next * TX_SLOT_BYTES;
      const size = u16(this.#bytes, at + TxRequest.SIZE);
      const failure = withinPage(u16(this.#bytes, at + TxRequest.OFFSET), size);
      if (failure !== undefined) return failure;
      // An empty fragment is XSA-448; one larger than what is left would make the first one's length negative.
      if (size === 0 || size >= rest) this.verdicts[packet] = Verdict.BAD;
      else rest -= size;
      this.#dataSlot(at);
      more = (u16(this.#bytes, at + TxRequest.FLAGS) & TxFlag.MORE_DATA) !== 0;
    }
    if (slots > NR_SLOTS_MIN) this.verdicts[packet] = Verdict.BAD;
    if (this.verdicts[packet] !== Verdict.SEND) return undefined;
    if (this.lengths[packet]! < ETHERNET_HEADER_BYTES) {
      this.verdicts[packet] = Verdict.BAD;
      return undefined;
    }
    this.sizes[first] = rest;
    return withinPage(this.offsets[first]!, rest);
  }
}

function withinPage(offset: number, size: number): string | undefined {
  return offset + size > PAGE_BYTES
    ? `bytes ${offset} to ${offset + size} of a page of ${PAGE_BYTES}`
    : undefined;
}
