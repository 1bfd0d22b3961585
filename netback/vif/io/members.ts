/**
 * Who takes part in the exchange's turns: an interface with its hands, and lists of those that have something to do. Being on such a list, or off
 * it, costs the same however many others there are. Decides nothing about packets.
 */
import { mistake } from '../core/mistake.ts';
import type { Vif } from '../core/vif.ts';
import type { Hands } from './hands.ts';
import type { Lan } from './lan.ts';

export interface Worker {
  /** It is on the list. */
  queued: boolean;
  /** It stays there for another turn. */
  again: boolean;
}

export interface MemberOptions {
  readonly vif: Vif;
  readonly hands: Hands;
  readonly lan: Lan;
  /** The interface has to be closed: a line for its error node. It takes no part any more. */
  readonly onBroken: (reason: string) => void;
}

export class Member implements Worker {
  readonly vif: Vif;
  readonly hands: Hands;
  readonly lan: Lan;
  readonly onBroken: (reason: string) => void;
  queued = false;
  again = false;
  /** It was sent something that it has not been asked to take yet. */
  waiting = false;
  /** It was removed. */
  gone = false;
  #mistake: string | undefined;

  constructor({ vif, hands, lan, onBroken }: MemberOptions) {
    this.vif = vif;
    this.hands = hands;
    this.lan = lan;
    this.onBroken = onBroken;
  }

  /** Why it has to be closed. */
  get failure(): string | undefined {
    return this.#mistake ?? this.vif.failure;
  }

  /** It is there, and nobody has made a mistake in its service. */
  get works(): boolean {
    return !this.gone && this.#mistake === undefined;
  }

  /** Something that cannot be was: it costs this interface, not the others. */
  guard(act: (member: Member, now: number) => void, now: number): void {
    try {
      act(this, now);
    } catch (error) {
      this.#mistake = mistake(error);
    }
  }
}

/** Those that have something to do, in an order that gives each of them its turn to be the first. */
export class WorkList<T extends Worker> {
  readonly #items: (T | undefined)[] = [];
  #turns = 0;
  count = 0;

  add(item: T): void {
    if (item.queued) return;
    item.queued = true;
    this.#items[this.count++] = item;
  }

  /** Another one is the first from now on. */
  turn(): void {
    if (this.count < 2) return;
    this.#turns = (this.#turns + 1) & 0xffff;
    const place = this.#turns % this.count;
    const first = this.#items[0];
    this.#items[0] = this.#items[place];
    this.#items[place] = first;
  }

  /** By place; those that were added since `turn` come last. */
  at(index: number): T {
    return this.#items[index]!;
  }

  each(act: (item: T) => void): void {
    for (let i = 0; i < this.count; i++) act(this.#items[i]!);
  }

  /** Keeps those that stay for another turn. */
  sweep(): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const item = this.#items[i]!;
      item.queued = item.again;
      if (item.again) this.#items[kept++] = item;
      item.again = false;
    }
    this.#items.fill(undefined, kept, this.count);
    this.count = kept;
  }
}
