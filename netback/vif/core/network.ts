/**
 * Everything between the interfaces: packets come in by a port, the switch says where they go, and each port takes or drops them for
 * itself. What a port cannot take as it is goes to a list of packets that io cuts up or completes and gives back. Looks at headers
 * in the packets' memory, which is the backend's own, and at nothing behind them.
 */
import { Header } from './header.ts';
import { mistake } from './mistake.ts';
import { Gso } from './netif.ts';
import { NONE, PacketFlag, type PacketPool } from './packets.ts';
import { type PortOptions, type Refusal, Switch } from './switch.ts';

/** What a port does about a packet for it. It takes a reference of its own if it keeps it. */
export interface Port {
  /** Bytes of the largest frame that it takes in one piece. */
  readonly frameMax: number;
  /** 0: it takes it, or has dropped it. Otherwise what has to be done first (`Need`); it has not kept it. */
  enqueue(packet: number, header: Header, now: number): number;
  /** After that was done, or cannot be. False: it has dropped it. */
  enqueueAdapted(packet: number, header: Header, now: number): boolean;
  /** It cannot be had: there is no room even for doing that. */
  dropped(): void;
  /** Something that cannot be was, in its service. */
  blame(reason: string): void;
}

/** What a packet lacks for a port: the checksum has to be filled in, or the packet cut into segments. */
export const Need = { CHECKSUM: 1, SEGMENTS: 2 } as const;

/** It lacks nothing, but one before it does, and it is not to overtake that. */
const NEED_ORDER = 4;

/** Packets waiting to be adapted, of all ports; a power of two. */
const ADAPTATIONS_MAX = 4096;

export class Network {
  readonly pool: PacketPool;
  readonly #memory: Uint8Array;
  readonly #switch: Switch;
  readonly #ports: (Port | undefined)[] = [];
  readonly #header: Header = new Header();
  readonly #adaptPackets: Int32Array = new Int32Array(ADAPTATIONS_MAX);
  readonly #adaptPorts: Int32Array = new Int32Array(ADAPTATIONS_MAX);
  readonly #adaptNeeds: Uint8Array = new Uint8Array(ADAPTATIONS_MAX);
  #adaptHead = 0;
  #adaptCount = 0;
  /** By port: how many of these are for it. */
  readonly #adapting: number[] = [];
  /** The adaptation taken last: what it needs, and of how many bytes a frame may be at most. */
  adaptNeeds = 0;
  adaptFrameMax = 0;
  #adaptPort = 0;

  /**
   * @param memory the packets', as long as the pool says
   * @param seed any 32 bits that guests don't know
   */
  constructor(pool: PacketPool, memory: Uint8Array, seed: number) {
    if (memory.length < pool.memoryBytes) throw new RangeError('too little memory for the packets');
    this.pool = pool;
    this.#memory = memory;
    this.#switch = new Switch(seed);
  }

  /** Addresses that the switch knows. */
  get addresses(): number {
    return this.#switch.addresses;
  }

  /** The new port's number. */
  add(port: Port, options: PortOptions, now: number): number {
    const number = this.#switch.add(options, now);
    this.#ports[number] = port;
    this.#adapting[number] = 0;
    return number;
  }

  remove(number: number): void {
    this.#switch.remove(number);
    this.#ports[number] = undefined;
    for (let left = this.#adaptCount; left > 0; left--) {
      const packet = this.#shift();
      if (this.#adaptPort === number) this.pool.release(packet);
      else this.#adapt(packet, this.#adaptPort, this.adaptNeeds);
    }
  }

  /**
   * A packet came in by a port, which gives up its reference. A refusal: why it goes nowhere; `malformed`: its headers are not what it
   * says of itself; `lost`: nobody has taken it.
   */
  receive(from: number, packet: number, now: number): Refusal | 'malformed' | 'lost' | undefined {
    const refusal = this.#parse(packet) ? this.#switch.forward(from, this.#header, now) : 'malformed';
    if (refusal === undefined) {
      const { targets, targetCount } = this.#switch;
      for (let i = 0; i < targetCount; i++) this.#give(targets[i]!, packet, now);
    }
    const lost = refusal === undefined && this.pool.isSole(packet);
    this.pool.release(packet);
    return lost ? 'lost' : refusal;
  }

  /** Whoever trusts the flags of a packet finds what they are about. */
  #parse(packet: number): boolean {
    const { pool } = this;
    const header = this.#header;
    if (!header.parse(this.#memory, pool.position(packet), pool.lengths[packet]!)) return false;
    const blank = (pool.flags[packet]! & PacketFlag.CSUM_BLANK) !== 0;
    if (blank && header.ports === 0) return false;
    const gso = pool.gsoTypes[packet]!;
    if (gso === Gso.NONE) return true;
    return blank && header.isTcp && header.ipVersion === (gso === Gso.TCPV4 ? 4 : 6);
  }

  #give(to: number, packet: number, now: number): void {
    const port = this.#ports[to]!;
    let needs: number = NEED_ORDER;
    try {
      if (this.#adapting[to] === 0) needs = port.enqueue(packet, this.#header, now);
    } catch (error) {
      port.blame(mistake(error));
      return;
    }
    if (needs === 0) return;
    if (this.#adaptCount === ADAPTATIONS_MAX) {
      port.dropped();
      return;
    }
    this.pool.hold(packet);
    this.#adapt(packet, to, needs);
  }

  #adapt(packet: number, port: number, needs: number): void {
    const at = (this.#adaptHead + this.#adaptCount++) % ADAPTATIONS_MAX;
    this.#adapting[port]!++;
    this.#adaptPackets[at] = packet;
    this.#adaptPorts[at] = port;
    this.#adaptNeeds[at] = needs;
  }

  /** A packet to be adapted, with its reference: it is not to be changed, others may have it. NONE: there is none. */
  nextAdaptation(now: number): number {
    while (this.#adaptCount > 0) {
      const packet = this.#shift();
      const port = this.#ports[this.#adaptPort]!;
      if (this.adaptNeeds === NEED_ORDER) {
        this.#parse(packet);
        this.adaptNeeds = port.enqueue(packet, this.#header, now);
      }
      this.adaptFrameMax = port.frameMax;
      if (this.adaptNeeds !== 0) return packet;
      this.pool.release(packet);
    }
    return NONE;
  }

  /** The one that has waited longest. */
  #shift(): number {
    const at = this.#adaptHead;
    this.#adaptHead = (this.#adaptHead + 1) % ADAPTATIONS_MAX;
    this.#adaptCount--;
    this.#adaptPort = this.#adaptPorts[at]!;
    this.adaptNeeds = this.#adaptNeeds[at]!;
    this.#adapting[this.#adaptPort]!--;
    return this.#adaptPackets[at]!;
  }

  /** Something that cannot be was while the one taken last was being adapted: whoever it is for pays. */
  blame(reason: string): void {
    this.#ports[this.#adaptPort]?.blame(reason);
  }

  /** One packet made of the one taken last, or that one; the reference comes along. False: whoever it is for has dropped it. */
  adapted(packet: number, now: number): boolean {
    const taken =
      this.#parse(packet) && this.#ports[this.#adaptPort]!.enqueueAdapted(packet, this.#header, now);
    this.pool.release(packet);
    return taken;
  }
}
