/**
 * The port to the rest of the world: packets for it wait here, bounded, until io has written them. What is behind it (a TAP device, a
 * capture, nothing at all) is not known; it says what it takes without help.
 */
import { Gso, MAX_PACKET_BYTES } from './netif.ts';
import { Need, type Port } from './network.ts';
import { NONE, PacketFlag, type PacketPool } from './packets.ts';
import { Statistics } from './statistics.ts';

const QUEUE_MAX = 1024;

export interface UplinkOptions {
  /** Takes packets with a blank checksum, and large TCP packets (a TAP device with IFF_VNET_HDR). */
  readonly offload: boolean;
}

export class Uplink implements Port {
  /** tx is what came from outside, rx what went there. */
  readonly statistics: Statistics = new Statistics();
  readonly frameMax: number = MAX_PACKET_BYTES;
  readonly #pool: PacketPool;
  readonly #offload: boolean;
  readonly #queue: Int32Array = new Int32Array(QUEUE_MAX);
  #head = 0;
  #count = 0;

  constructor(pool: PacketPool, { offload }: UplinkOptions) {
    this.#pool = pool;
    this.#offload = offload;
  }

  enqueue(packet: number): number {
    if (!this.#offload) {
      const blank = (this.#pool.flags[packet]! & PacketFlag.CSUM_BLANK) !== 0;
      const segments = this.#pool.gsoTypes[packet] !== Gso.NONE;
      if (blank || segments) {
        this.statistics.rxAdapted++;
        return (blank ? Need.CHECKSUM : 0) | (segments ? Need.SEGMENTS : 0);
      }
    }
    this.enqueueAdapted(packet);
    return 0;
  }

  enqueueAdapted(packet: number): boolean {
    if (this.#count === QUEUE_MAX) {
      this.dropped();
      return false;
    }
    this.#pool.hold(packet);
    this.#queue[(this.#head + this.#count++) % QUEUE_MAX] = packet;
    return true;
  }

  dropped(): void {
    this.statistics.rxDropped++;
  }

  /** The world cannot be closed. */
  blame(): void {
    this.dropped();
  }

  /** The next packet to write, with its reference; NONE: there is none. */
  next(): number {
    if (this.#count === 0) return NONE;
    const packet = this.#queue[this.#head]!;
    this.#head = (this.#head + 1) % QUEUE_MAX;
    this.#count--;
    this.statistics.rxPackets++;
    this.statistics.rxBytes += this.#pool.lengths[packet]!;
    return packet;
  }
}
