/**
 * All interfaces together, in turns: what guests send is copied in, their network says whose it is, and it is copied out to them; two calls to the
 * hypervisor a turn, however many interfaces and networks there are. Turns are bounded, so that whoever sends without end costs others no more
 * than their share. Knows no store.
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import { CopyBatch } from '../core/copies.ts';
import { Need, Network } from '../core/network.ts';
import { NONE, PacketFlag, PacketPool } from '../core/packets.ts';
import type { Vif } from '../core/vif.ts';
import { fillChecksum } from './checksum.ts';
import { Copier } from './copier.ts';
import type { Hands } from './hands.ts';
import type { Lan } from './lan.ts';

/** Packets of an interface in a turn. */
const TURN_PACKETS = 64;
/** Packets from outside, of a network in a turn: whoever is behind a wire is many. */
const WIRE_PACKETS = 128;
/** Copies in a call. */
const BATCH_COPIES = 2048;
/** Room for one packet more, however many slots it has. */
const PACKET_COPIES = 18;
const POOL = { small: 4096, large: 64 };
const TICK_MS = 250;

export interface Member {
  readonly vif: Vif;
  readonly hands: Hands;
  /** The interface has to be closed: a line for its error node. It takes no part any more. */
  readonly onBroken: (reason: string) => void;
}

export class Exchange {
  /** Of all networks. */
  readonly pool: PacketPool = new PacketPool(POOL);
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  readonly #seed: number;
  readonly #copier: Copier;
  readonly #copies: CopyBatch = new CopyBatch(BATCH_COPIES);
  readonly #members = new Set<Member>();
  readonly #lans = new Set<Lan>();
  #scheduled = false;
  #stopped = false;
  #stopTick: () => void = () => {};
  #stopCredit: (() => void) | undefined;

  /** @param seed any 32 bits that guests don't know */
  constructor(gnttab: Gnttab, clock: Pick<Clock, 'now' | 'after'>, seed: number) {
    this.#clock = clock;
    this.#seed = seed;
    this.#copier = new Copier(gnttab, this.pool.memoryBytes);
    this.#tick();
  }

  /** The packets' memory, of all networks. */
  get memory(): Uint8Array {
    return this.#copier.memory;
  }

  /** Another network, without anybody on it. */
  openLan(): Lan {
    const lan: Lan = { network: new Network(this.pool, this.memory, this.#seed), wire: undefined };
    this.#lans.add(lan);
    return lan;
  }

  /** Nobody is on it any more. */
  closeLan(lan: Lan): void {
    this.#lans.delete(lan);
  }

  add(member: Member): void {
    this.#members.add(member);
    this.schedule();
  }

  /** Its interface is closed, its hands are not. */
  remove(member: Member): void {
    if (this.#members.delete(member)) member.vif.close();
  }

  /** Once for all that happens in a turn of the loop. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#turn());
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTick();
    this.#stopCredit?.();
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    const sent = this.#send();
    const read = this.#read();
    for (const lan of this.#lans) this.#adapt(lan);
    const free = this.pool.free;
    const filled = this.#deliver();
    for (const lan of this.#lans) lan.wire?.write();
    this.#expel();
    const starved = sent === 'memory' || read === 'memory';
    const again = sent === 'again' || read === 'again' || filled || (starved && this.pool.free > free);
    if (!again || this.#scheduled) return;
    // Whatever else there is to do has its turn in between.
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  /** From the guests into the network. */
  #send(): 'again' | 'memory' | undefined {
    const copies = this.#copies;
    const now = this.#clock.now();
    let waits: 'again' | 'memory' | undefined;
    let creditAt = Number.POSITIVE_INFINITY;
    for (const { vif, hands } of this.#members) {
      if (hands.takeTx(vif)) waits = 'again';
      const why = vif.planTx(copies, TURN_PACKETS, now);
      if (why === 'credit') creditAt = Math.min(creditAt, vif.creditAtMs);
      else if (why === 'memory') waits ??= 'memory';
      else if (why !== undefined) waits = 'again';
    }
    this.#copier.carryOut(copies);
    for (const { vif, hands } of this.#members) {
      vif.copiedTx(copies, now);
      hands.respondTx(vif);
    }
    copies.clear();
    if (creditAt !== Number.POSITIVE_INFINITY) this.#wakeAt(creditAt, now);
    return waits;
  }

  /** From outside into the networks. */
  #read(): 'again' | 'memory' | undefined {
    const now = this.#clock.now();
    let waits: 'again' | 'memory' | undefined;
    for (const { wire } of this.#lans) {
      const why = wire?.read(WIRE_PACKETS, now);
      if (why === 'turn') waits = 'again';
      else if (why === 'memory') waits ??= 'memory';
    }
    return waits;
  }

  /** Fills in checksums for those who want them. Who would need segments gets nothing: no large packets are offered to anybody. */
  #adapt({ network }: Lan): void {
    const { pool } = this;
    const { memory } = this.#copier;
    for (let packet = network.nextAdaptation(); packet !== NONE; packet = network.nextAdaptation()) {
      const port = network.adaptPort;
      const length = pool.lengths[packet]!;
      const made = network.adaptNeeds === Need.CHECKSUM ? pool.take(length) : NONE;
      if (made !== NONE) {
        // Others may have the packet as it is.
        const position = pool.position(packet);
        const start = pool.position(made);
        memory.copyWithin(start, position, position + length);
        const filled = fillChecksum(memory, start, length);
        pool.flags[made] = filled ? PacketFlag.VALIDATED : pool.flags[packet]!;
        pool.release(packet);
      }
      network.adapted(port, made === NONE ? packet : made, this.#clock.now());
    }
  }

  /** From the network to the guests. True: there was no room for all copies. */
  #deliver(): boolean {
    const copies = this.#copies;
    const now = this.#clock.now();
    for (const { vif, hands } of this.#members) {
      hands.takeRx(vif);
      vif.planRx(copies, now);
    }
    this.#copier.carryOut(copies);
    for (const { vif, hands } of this.#members) {
      vif.copiedRx(copies);
      hands.respondRx(vif);
    }
    const filled = copies.room < PACKET_COPIES;
    copies.clear();
    return filled;
  }

  #expel(): void {
    for (const member of this.#members) {
      const { failure } = member.vif;
      if (failure === undefined) continue;
      this.remove(member);
      member.onBroken(failure);
    }
  }

  #wakeAt(time: number, now: number): void {
    this.#stopCredit?.();
    this.#stopCredit = this.#clock.after(Math.max(1, Math.ceil(time - now)), () => this.schedule());
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const { vif, hands } of this.#members) if (vif.tick(now)) hands.listen();
    this.schedule();
    this.#stopTick = this.#clock.after(TICK_MS, () => this.#tick());
  }
}
