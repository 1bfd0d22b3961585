/**
 * All interfaces together, in turns: what guests send is copied in, their network says whose it is, and it is copied out to them; one call to the
 * hypervisor a turn, or two where it is quiet, however many interfaces and networks there are. Only those that have something to do take part, and
 * turns are bounded, so that whoever sends without end costs others no more than their share, and whoever is idle nothing. A mistake of ours costs
 * the interface in whose service it shows. Knows no store.
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Copier, Gnttab } from '../../../osdep/gnttab.ts';
import { CopyBatch } from '../core/copies.ts';
import { mistake } from '../core/mistake.ts';
import { Network } from '../core/network.ts';
import { NONE, PacketPool } from '../core/packets.ts';
import { Adapter } from './adapter.ts';
import type { Lan } from './lan.ts';
import { type Member, WorkList } from './members.ts';
import { Waiters } from './waiters.ts';

/** Packets of an interface in a turn: as many as its rings have slots. */
const TURN_PACKETS = 256;
/** Packets from outside, of a network in a turn: whoever is behind a wire is many. */
const WIRE_PACKETS = 128;
/** Copies in a call. */
const BATCH_COPIES = 2048;
/** From so many copies in it on, a call is worth waiting for. */
const MANY_COPIES = 64;
/** In a turn, where they are that small. */
const ROUNDS = 4;
const POOL = { small: 4096, large: 128 };
/** After a takeover: until nobody else has been taken over for so long, but for so long at most. */
const SETTLE_MS = 50;
const SETTLE_MAX_MS = 1000;

/** Less garbage than queueMicrotask makes. */
const SOON: Promise<void> = Promise.resolve();

type Step = (member: Member, now: number) => void;

export class Exchange {
  /** Of all networks. */
  readonly pool: PacketPool = new PacketPool(POOL);
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  readonly #seed: number;
  readonly #copier: Copier;
  readonly #copies: CopyBatch = new CopyBatch(BATCH_COPIES);
  readonly #adapter: Adapter;
  readonly #lans = new Set<Lan>();
  /** Who has something to do. */
  readonly #active: WorkList<Member> = new WorkList();
  readonly #activeLans: WorkList<Lan> = new WorkList();
  readonly #waiters: Waiters;
  #scheduled = false;
  #stopped = false;
  #stopSettling: (() => void) | undefined;
  #settlingSince: number | undefined;
  readonly #turnNow = (): void => this.#turn();
  readonly #fetch = (domid: number, gref: number, length: number): Uint8Array | undefined =>
    this.#copyOf(domid, gref, length);

  /** @param seed any 32 bits that guests don't know */
  constructor(gnttab: Gnttab, clock: Pick<Clock, 'now' | 'after'>, seed: number) {
    this.#clock = clock;
    this.#seed = seed;
    this.#copier = gnttab.openCopier(this.pool.memoryBytes);
    this.#adapter = new Adapter(this.pool, this.memory);
    this.#waiters = new Waiters(clock, this.pool, (who) => {
      // It may be on the list already, and about to be taken off.
      who.again = true;
      if ('vif' in who) this.wake(who);
      else this.schedule(who);
    });
  }

  /** The packets' memory, of all networks. */
  get memory(): Uint8Array {
    return this.#copier.memory;
  }

  /** Another network, without anybody on it. */
  openLan(): Lan {
    const network = new Network(this.pool, this.memory, this.#seed);
    const lan: Lan = { network, wire: undefined, queued: false, again: false };
    this.#lans.add(lan);
    return lan;
  }

  /** Nobody is on it any more. */
  closeLan(lan: Lan): void {
    this.#lans.delete(lan);
    this.#waiters.forget(lan);
    lan.wire = undefined;
  }

  /**
   * A guest was taken over from a predecessor, and others may follow: nothing is passed on before they are all there, since it would find nobody
   * to take it.
   */
  settle(): void {
    const now = this.#clock.now();
    this.#settlingSince ??= now;
    if (now - this.#settlingSince > SETTLE_MAX_MS) return;
    this.#stopSettling?.();
    this.#stopSettling = this.#clock.after(SETTLE_MS, () => {
      this.#stopSettling = undefined;
      this.#schedule();
    });
  }

  /** Its interface is closed, its hands are not. */
  remove(member: Member): void {
    if (member.gone) return;
    member.gone = true;
    this.#waiters.forget(member);
    member.vif.close();
  }

  /** Something may have come from a guest. */
  wake(member: Member): void {
    if (member.queued || member.gone) return;
    this.#active.add(member);
    this.#waiters.watch(member);
    this.#schedule();
  }

  /** A packet waits for a guest. */
  deliver(member: Member): void {
    member.waiting = true;
    this.wake(member);
  }

  /** Something may have come from outside: for one network, or nobody knows which. */
  schedule(lan?: Lan): void {
    if (lan === undefined) for (const any of this.#lans) this.#activeLans.add(any);
    else this.#activeLans.add(lan);
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#waiters.stop();
    this.#stopSettling?.();
    this.#copier.close();
  }

  /** Once for all that happens in a turn of the loop. */
  #schedule(): void {
    if (this.#scheduled || this.#stopSettling !== undefined) return;
    this.#scheduled = true;
    void SOON.then(this.#turnNow);
  }

  #turn(): void {
    if (this.#stopped) return;
    if (this.#stopSettling !== undefined) {
      this.#scheduled = false;
      return;
    }
    // Whole milliseconds: other numbers would be garbage wherever they are handed on.
    const now = Math.floor(this.#clock.now());
    let more = true;
    // Where there is little to do, it is looked once more right away, and then all may sleep.
    for (let round = 0; more && round < ROUNDS; round++) {
      const copies = this.#round(now);
      more = this.#active.count > 0 || this.#activeLans.count > 0;
      if (copies >= MANY_COPIES) break;
    }
    this.#scheduled = more;
    // Whatever else there is to do has its turn in between.
    if (more) setImmediate(this.#turnNow);
  }

  /** How many copies came in or went out first. */
  #round(now: number): number {
    this.#active.turn();
    const copies = this.#copy(now, this.#planBoth, this.#finishBoth);
    this.#pass(now);
    // Who is waited for gets his packets at once; where there are many they go out with the next ones that come in.
    if (copies < MANY_COPIES) this.#copy(now, this.#planRx, this.#finishRx);
    else this.#active.each(stayIfWaiting);
    this.#activeLans.each(write);
    this.#expel();
    this.#waiters.quench();
    this.#active.sweep();
    this.#activeLans.sweep();
    return copies;
  }

  /** One call to the hypervisor for all that have something to do. How many copies it was. */
  #copy(now: number, plan: Step, finish: Step): number {
    const active = this.#active;
    const copies = this.#copies;
    const { count } = active;
    for (let i = 0; i < count; i++) if (active.at(i).works) active.at(i).guard(plan, now);
    const planned = copies.count;
    if (planned > 0) this.#copier.copy(copies);
    for (let i = 0; i < count; i++) if (active.at(i).works) active.at(i).guard(finish, now);
    copies.clear();
    return planned;
  }

  readonly #planBoth: Step = (member, now) => {
    this.#planRx(member, now);
    this.#planTx(member, now);
  };

  readonly #finishBoth: Step = (member, now) => {
    this.#finishRx(member, now);
    this.#finishTx(member, now);
  };

  readonly #planTx: Step = (member, now) => {
    const { vif, hands } = member;
    if (hands.takeTx(vif)) member.again = true;
    const why = vif.planTx(this.#copies, TURN_PACKETS, now);
    if (why === 'credit') this.#waiters.owes(member, vif.creditAtMs);
    else if (why === 'memory') this.#waiters.thirsts(member);
    else if (why !== undefined) member.again = true;
  };

  readonly #finishTx: Step = (member, now) => {
    const { vif, hands, lan } = member;
    vif.copiedTx(this.#copies, now);
    hands.respondTx(vif);
    this.#activeLans.add(lan);
    if (hands.obey(vif, this.#fetch)) member.again = true;
  };

  /** From outside into the networks; and what somebody cannot take as it is gets made fit for him. */
  #pass(now: number): void {
    const lans = this.#activeLans;
    for (let i = 0; i < lans.count; i++) {
      const lan = lans.at(i);
      const why = lan.wire?.read(WIRE_PACKETS, now);
      if (why === 'turn') lan.again = true;
      else if (why === 'memory') this.#waiters.thirsts(lan);
      else if (why === 'rest') this.#waiters.rests(lan);
      if (this.#adapts(lan, now)) lan.again = true;
    }
  }

  #adapts({ network }: Lan, now: number): boolean {
    try {
      return this.#adapter.work(network, now);
    } catch (error) {
      network.blame(mistake(error));
      return true;
    }
  }

  readonly #planRx: Step = (member, now) => {
    member.waiting = false;
    member.hands.takeRx(member.vif);
    if (!member.vif.planRx(this.#copies, now)) member.again = true;
  };

  readonly #finishRx: Step = (member) => {
    member.vif.copiedRx(this.#copies);
    member.hands.respondRx(member.vif);
  };

  #expel(): void {
    const { count } = this.#active;
    for (let i = 0; i < count; i++) {
      const member = this.#active.at(i);
      const { failure } = member;
      if (failure === undefined || member.gone) continue;
      this.remove(member);
      member.onBroken(failure);
    }
  }

  #copyOf(domid: number, gref: number, length: number): Uint8Array | undefined {
    const packet = this.pool.take(length);
    if (packet === NONE) return undefined;
    const position = this.pool.position(packet);
    const one = new CopyBatch(1);
    one.fromGuest(domid, gref, 0, position, length);
    this.#copier.copy(one);
    const bytes = one.statuses[0] === 0 ? this.memory.slice(position, position + length) : undefined;
    this.pool.release(packet);
    return bytes;
  }
}

function stayIfWaiting(member: Member): void {
  if (member.waiting) member.again = true;
}

function write(lan: Lan): void {
  lan.wire?.write();
}
