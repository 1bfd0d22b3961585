/**
 * A network's way out through a TAP device: frames are read into packets and given to the network, and what it has for the outside is written.
 * Large packets and blank checksums go either way as they are, described by the header in front of each frame. One system call for a frame that is
 * read, one for many that are written, nothing allocated for them. Knows no names of devices and no guests.
 */
import { Errno } from '../../../osdep/errno.ts';
import { type Tap, VNET_HEADER_BYTES } from '../../../osdep/os/tap.ts';
import type { TapWriter } from '../../../osdep/os/tapwriter.ts';
import { Header } from '../core/header.ts';
import { ETHERNET_HEADER_BYTES, MAX_PACKET_BYTES } from '../core/netif.ts';
import type { Network } from '../core/network.ts';
import { NONE, type PacketPool } from '../core/packets.ts';
import type { Statistics } from '../core/statistics.ts';
import { uplinkPort } from '../core/switch.ts';
import { Uplink } from '../core/uplink.ts';
import type { Wire } from './lan.ts';
import { readVnet, writeVnet } from './vnet.ts';
import { REST_MS } from './waiters.ts';

/** Bytes taken in a turn. Above it the network is to have its say first. */
const TURN_BYTES = 1 << 18;
/** Frames that nobody takes, until the next rest: some half of a processor's time is spent on such. Others' frames are behind them. */
const LOST_MAX = 512;

export interface TapWireOptions {
  readonly tap: Pick<Tap, 'fd' | 'read' | 'write'>;
  /** Of the same memory; others use it in between. */
  readonly writer: TapWriter;
  /** Whose address it is that nobody else may use; undefined: others are behind it, too, and theirs are learned. */
  readonly mac?: Uint8Array | undefined;
  readonly network: Network;
  /** In which packets are. */
  readonly memory: Uint8Array;
  readonly spare: Spare;
  readonly now: number;
  /** Those that it is for have enough waiting: what more there is may wait where it is. */
  readonly full: () => boolean;
  /** The device is gone: somebody has removed it. Once. */
  readonly onGone: () => void;
}

export class TapWire implements Wire {
  /** tx is what came from outside, rx what went there. */
  readonly statistics: Statistics;
  readonly #tap: Pick<Tap, 'fd' | 'read' | 'write'>;
  readonly #writer: TapWriter;
  /** Those that are being written. */
  readonly #leaving: Int32Array;
  readonly #network: Network;
  readonly #pool: PacketPool;
  readonly #memory: Uint8Array;
  readonly #full: () => boolean;
  readonly #onGone: () => void;
  readonly #queue: Uplink;
  readonly #port: number;
  readonly #header: Header = new Header();
  readonly #spare: Spare;
  /** There may be frames to read. */
  #readable = true;
  #gone = false;
  /** Frames that nobody has taken, in a row of turns in which most were such. */
  #lost = 0;
  #restsUntil = 0;

  constructor({ tap, writer, mac, network, memory, spare, now, full, onGone }: TapWireOptions) {
    this.#tap = tap;
    this.#writer = writer;
    this.#leaving = new Int32Array(writer.capacity);
    this.#network = network;
    this.#pool = network.pool;
    this.#memory = memory;
    this.#spare = spare;
    this.#full = full;
    this.#onGone = onGone;
    this.#queue = new Uplink(network.pool, { offload: true });
    this.statistics = this.#queue.statistics;
    this.#port = network.add(this.#queue, { ...uplinkPort, mac }, now);
  }

  /** The poller says so. */
  readable(): void {
    this.#readable = true;
  }

  read(limit: number, now: number): 'turn' | 'memory' | 'rest' | undefined {
    if (!this.#readable || this.#gone) return undefined;
    if (now < this.#restsUntil) return 'rest';
    if (this.#full()) return 'memory';
    let bytes = 0;
    let lost = 0;
    let count = 0;
    for (; count < limit && bytes < TURN_BYTES; count++) {
      const packet = this.#next();
      if (packet === NONE) return this.#readable ? 'memory' : undefined;
      bytes += this.#pool.lengths[packet]!;
      if (!this.#enter(packet, now)) lost++;
    }
    this.#lost = lost * 2 > count ? this.#lost + lost : 0;
    if (this.#lost < LOST_MAX) return 'turn';
    this.#lost = 0;
    this.#restsUntil = now + REST_MS;
    return 'rest';
  }

  write(): void {
    for (let count = this.#gather(); count > 0; count = this.#gather()) {
      if (!this.#gone) this.#writer.write(this.#tap);
      for (let i = 0; i < count; i++) this.#written(this.#leaving[i]!, this.#writer.results[i]!);
    }
  }

  /** Makes ready as many as are written together. How many there are. */
  #gather(): number {
    const pool = this.#pool;
    let count = 0;
    while (count < this.#leaving.length) {
      const packet = this.#queue.next();
      if (packet === NONE) break;
      this.#leaving[count++] = packet;
      if (this.#gone) continue;
      const at = pool.position(packet) - VNET_HEADER_BYTES;
      writeVnet(this.#memory, at, pool, packet, this.#header);
      this.#writer.add(at, pool.lengths[packet]! + VNET_HEADER_BYTES);
    }
    return count;
  }

  #written(packet: number, result: number): void {
    if (this.#gone || result <= 0) this.statistics.rxErrors++;
    if (result === -Errno.EBADFD) this.#leave();
    this.#pool.release(packet);
  }

  /** Leaves the network; the device is the caller's. */
  close(): void {
    this.#network.remove(this.#port);
    for (let packet = this.#queue.next(); packet !== NONE; packet = this.#queue.next())
      this.#pool.release(packet);
    this.#gone = true;
  }

  /** The next frame as a packet, with its header read in front of it. NONE: there is none, or no memory for it. */
  #next(): number {
    const pool = this.#pool;
    const spare = this.#spare.of(pool);
    const small = spare === NONE ? NONE : pool.take(ETHERNET_HEADER_BYTES);
    if (small === NONE) return NONE;
    const at = pool.position(small) - VNET_HEADER_BYTES;
    const fits = pool.capacity(small);
    const restAt = pool.position(spare) + fits;
    const count = this.#tap.read(at, VNET_HEADER_BYTES + fits, restAt, MAX_PACKET_BYTES - fits);
    if (count < 0) {
      pool.release(small);
      if (count === -Errno.EAGAIN) this.#readable = false;
      else if (count === -Errno.EBADFD) this.#leave();
      return NONE;
    }
    const length = count - VNET_HEADER_BYTES;
    if (length <= fits) {
      pool.lengths[small] = length;
      return small;
    }
    // The beginning joins the rest.
    const packet = this.#spare.take();
    this.#memory.copyWithin(pool.position(packet) - VNET_HEADER_BYTES, at, at + VNET_HEADER_BYTES + fits);
    pool.release(small);
    pool.lengths[packet] = length;
    return packet;
  }

  /** Gives it to the network. False: nobody has taken it. */
  #enter(packet: number, now: number): boolean {
    const pool = this.#pool;
    const length = pool.lengths[packet]!;
    const at = pool.position(packet) - VNET_HEADER_BYTES;
    const known = length <= MAX_PACKET_BYTES && readVnet(this.#memory, at, pool, packet, this.#header);
    if (!known) {
      this.statistics.txErrors++;
      pool.release(packet);
      return false;
    }
    this.statistics.txPackets++;
    this.statistics.txBytes += length;
    const refusal = this.#network.receive(this.#port, packet, now);
    if (refusal === 'spoofed') this.statistics.txSpoofed++;
    else if (refusal === 'flood') this.statistics.txFloods++;
    else if (refusal === 'malformed') this.statistics.txErrors++;
    return refusal === undefined;
  }

  /** Somebody has removed the device. */
  #leave(): void {
    this.#readable = false;
    if (!this.#gone) this.#onGone();
    this.#gone = true;
  }
}

/** A large packet's memory, for the rest of frames that don't fit into a small one's; one for all wires, since it is empty between two frames. */
export class Spare {
  #packet: number = NONE;

  /** NONE: there is no memory. */
  of(pool: PacketPool): number {
    if (this.#packet === NONE) this.#packet = pool.take(MAX_PACKET_BYTES);
    return this.#packet;
  }

  take(): number {
    const packet = this.#packet;
    this.#packet = NONE;
    return packet;
  }
}
