/**
 * Makes packets fit for those that cannot take them as they are: blank checksums filled in, large packets cut into segments. Others may have the
 * same packet as it was, so that what comes out is in memory of its own. Bounded, since one packet may become a thousand. Knows no guest.
 */
import { Need, type Network } from '../core/network.ts';
import { NONE, PacketFlag, type PacketPool } from '../core/packets.ts';
import { fillChecksum } from './checksum.ts';
import { Segmenter } from './segment.ts';

/** Frames made for a network in a turn, but for the last packet's. */
const TURN_FRAMES = 1024;

export class Adapter {
  readonly #pool: PacketPool;
  readonly #memory: Uint8Array;
  readonly #segmenter: Segmenter = new Segmenter();

  constructor(pool: PacketPool, memory: Uint8Array) {
    this.#pool = pool;
    this.#memory = memory;
  }

  /** Works off what waits. True: there is more. */
  work(network: Network, now: number): boolean {
    for (let left = TURN_FRAMES; left > 0; ) {
      const packet = network.nextAdaptation(now);
      if (packet === NONE) return false;
      if ((network.adaptNeeds & Need.SEGMENTS) !== 0) left -= this.#cut(network, packet, now);
      else {
        this.#complete(network, packet, now);
        left--;
      }
    }
    return true;
  }

  /** What cannot be made fit is handed in as it is: whoever it is for counts it as lost. */
  #complete(network: Network, packet: number, now: number): void {
    const pool = this.#pool;
    const length = pool.lengths[packet]!;
    const made = pool.take(length);
    if (made === NONE) {
      network.adapted(packet, now);
      return;
    }
    const position = pool.position(packet);
    const start = pool.position(made);
    this.#memory.copyWithin(start, position, position + length);
    pool.flags[made] = fillChecksum(this.#memory, start, length) ? PacketFlag.VALIDATED : pool.flags[packet]!;
    pool.release(packet);
    network.adapted(made, now);
  }

  #cut(network: Network, packet: number, now: number): number {
    const pool = this.#pool;
    const segmenter = this.#segmenter;
    const position = pool.position(packet);
    const mss = pool.gsoSizes[packet]!;
    const { adaptFrameMax } = network;
    let made = 0;
    if (segmenter.begin(this.#memory, position, pool.lengths[packet]!, mss, adaptFrameMax))
      while (made < segmenter.count && this.#segment(network, made, now)) made++;
    if (made < segmenter.count || made === 0) network.adapted(packet, now);
    else pool.release(packet);
    return made + 1;
  }

  /** False: there is no memory, or nobody who takes any more. */
  #segment(network: Network, index: number, now: number): boolean {
    const pool = this.#pool;
    const frame = pool.take(this.#segmenter.lengthOf(index));
    if (frame === NONE) return false;
    this.#segmenter.write(index, pool.position(frame));
    pool.flags[frame] = PacketFlag.VALIDATED;
    return network.adapted(frame, now);
  }
}
