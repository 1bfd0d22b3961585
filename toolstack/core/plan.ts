/**
 * Ordered steps, each with its undo: how a host or a domain is brought up. If a step fails, those that were done are undone in
 * reverse, and nothing is left behind. Knows what is next, never how it is carried out: a step's action is whatever its user makes of it.
 */

export interface Step<Action> {
  /** As a person would say it: "create domain 3". */
  readonly name: string;
  readonly run: Action;
  /** Left out where there is nothing to take back. */
  readonly undo?: Action;
}

export type Order<Action> =
  | { readonly kind: 'run' | 'undo'; readonly name: string; readonly action: Action }
  /** Every step is done. */
  | { readonly kind: 'done' }
  /** A step failed, or all was taken back on request, and everything that could be undone has been. */
  | { readonly kind: 'undone'; readonly cause: Failure | undefined; readonly leftovers: readonly Failure[] };

export interface Failure {
  readonly step: string;
  readonly reason: string;
}

export class Plan<Action> {
  readonly #steps: readonly Step<Action>[];
  /** Steps before this one are done. */
  #reached = 0;
  #undoing = false;
  #cause: Failure | undefined;
  readonly #leftovers: Failure[] = [];

  constructor(steps: readonly Step<Action>[]) {
    this.#steps = steps;
  }

  /** What to do now; the same answer until `succeeded` or `failed` tells how it went. */
  next(): Order<Action> {
    if (!this.#undoing) {
      const step = this.#steps[this.#reached];
      return step ? { kind: 'run', name: step.name, action: step.run } : { kind: 'done' };
    }
    while (this.#reached > 0) {
      const step = this.#steps[this.#reached - 1]!;
      if (step.undo !== undefined) return { kind: 'undo', name: step.name, action: step.undo };
      this.#reached--;
    }
    return { kind: 'undone', cause: this.#cause, leftovers: this.#leftovers };
  }

  succeeded(): void {
    this.#reached += this.#undoing ? -1 : 1;
  }

  /** A failing step turns the plan round; a failing undo is noted and the rest is undone all the same. */
  failed(reason: string): void {
    if (this.#undoing) {
      this.#reached--;
      this.#leftovers.push({ step: this.#steps[this.#reached]!.name, reason });
    } else {
      this.#cause = { step: this.#steps[this.#reached]!.name, reason };
      this.#undoing = true;
    }
  }

  /** Takes back what was done so far, as after a failure but without one. */
  turnBack(): void {
    this.#undoing = true;
  }
}
