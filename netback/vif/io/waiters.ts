/**
 * Those that cannot go on by themselves: who waits for packets' memory, for credit to send, or for time to pass. Each is woken when there may be
 * something to do. Costs nothing while nobody waits. Knows no packets and no turns.
 */
import type { Clock } from '../../../osdep/clock.ts';
import { NONE, type PacketPool } from '../core/packets.ts';
import type { Lan } from './lan.ts';
import type { Member } from './members.ts';

const TICK_MS = 250;
/** Linux's, for guests that do not say when there are buffers. */
const LOOK_MS = 30;
/** For those whose packets nobody takes: receivers may want the processor. */
export const REST_MS = 1;

export class Waiters {
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  readonly #pool: PacketPool;
  readonly #wake: (who: Member | Lan) => void;
  readonly #thirsty = new Set<Member | Lan>();
  readonly #indebted = new Set<Member>();
  readonly #resting = new Set<Lan>();
  readonly #watched = new Set<Member>();
  /** Memory that was free when somebody found too little; the least of several. */
  #freeThen = 0;
  /** When the first of those in debt may send again. */
  #creditAt: number = Number.POSITIVE_INFINITY;
  #stopCredit: (() => void) | undefined;
  #stopTick: (() => void) | undefined;
  /** The next tick comes soon, for those that have to be looked at. */
  #looks = false;
  #stopRest: (() => void) | undefined;

  constructor(clock: Pick<Clock, 'now' | 'after'>, pool: PacketPool, wake: (who: Member | Lan) => void) {
    this.#clock = clock;
    this.#pool = pool;
    this.#wake = wake;
  }

  forget(who: Member | Lan): void {
    this.#thirsty.delete(who);
    if (!('vif' in who)) {
      this.#resting.delete(who);
      return;
    }
    this.#indebted.delete(who);
    this.#watched.delete(who);
  }

  /** There is no memory for what it has. */
  thirsts(who: Member | Lan): void {
    const { free } = this.#pool;
    this.#freeThen = this.#thirsty.size === 0 ? free : Math.min(this.#freeThen, free);
    this.#thirsty.add(who);
  }

  /** If there is more memory than when somebody found too little, he tries again. */
  quench(): void {
    if (this.#thirsty.size === 0 || this.#pool.free <= this.#freeThen) return;
    for (const who of this.#thirsty) this.#wake(who);
    this.#thirsty.clear();
  }

  /** It may send again then. Milliseconds. */
  owes(member: Member, until: number): void {
    this.#indebted.add(member);
    if (until >= this.#creditAt) return;
    this.#creditAt = until;
    this.#stopCredit?.();
    const delayMs = Math.max(1, Math.ceil(until - this.#clock.now()));
    this.#stopCredit = this.#clock.after(delayMs, () => {
      this.#creditAt = Number.POSITIVE_INFINITY;
      for (const one of this.#indebted) this.#wake(one);
      this.#indebted.clear();
    });
  }

  /** It goes on in a moment. */
  rests(lan: Lan): void {
    this.#resting.add(lan);
    this.#stopRest ??= this.#clock.after(REST_MS, () => {
      this.#stopRest = undefined;
      for (const one of this.#resting) this.#wake(one);
      this.#resting.clear();
    });
  }

  /** It has had to do with time: it is told of it until nothing waits in it. */
  watch(member: Member): void {
    this.#watched.add(member);
    const looks = member.vif.wantsLooking;
    if (this.#stopTick === undefined || (looks && !this.#looks)) this.#tickLater(looks);
  }

  stop(): void {
    this.#stopCredit?.();
    this.#stopTick?.();
    this.#stopRest?.();
  }

  #tick(): void {
    const now = Math.floor(this.#clock.now());
    let looks = false;
    for (const member of [...this.#watched]) {
      member.guard(passTime, now);
      const { vif } = member;
      // Not every guest says that there are buffers again.
      if (!vif.isQuiet || !member.works) this.#wake(member);
      // Whoever has turns all the while is not watched anew when something waits in it.
      else if (!member.queued) this.#watched.delete(member);
      if (vif.wantsLooking) looks = true;
    }
    // Some of what was dropped may be theirs.
    if (this.#thirsty.size > 0) this.#freeThen = NONE;
    this.quench();
    if (this.#watched.size > 0) this.#tickLater(looks);
    else this.#stopTick = undefined;
  }

  #tickLater(looks: boolean): void {
    this.#stopTick?.();
    this.#looks = looks;
    this.#stopTick = this.#clock.after(looks ? LOOK_MS : TICK_MS, () => this.#tick());
  }
}

function passTime({ vif, hands }: Member, now: number): void {
  if (vif.tick(now)) hands.listen();
}
