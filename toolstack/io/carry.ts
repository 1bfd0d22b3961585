/**
 * Carries a plan out, step by step, and takes it back when a step fails or somebody wants it back. Knows no step.
 */
import type { Plan } from '../core/plan.ts';
import type { Progress } from '../core/toolstack.ts';
import { Fault, reasonOf } from './fault.ts';

export interface Carrier<Action> {
  perform(action: Action): Promise<void> | void;
  /** True: no further step is started, and what was done is undone. */
  interrupted?(): boolean;
  note?(text: string): void;
  progress?(made: Progress): void;
}

/** Throws Fault with the step that failed, once everything else is undone. False: it was interrupted, and is undone. */
export async function carryOut<Action>(plan: Plan<Action>, carrier: Carrier<Action>): Promise<boolean> {
  for (;;) {
    let order = plan.next();
    if (order.kind === 'run' && carrier.interrupted?.()) {
      plan.turnBack();
      order = plan.next();
    }
    if (order.kind === 'done') return true;
    if (order.kind === 'undone') {
      for (const { step, reason } of order.leftovers) carrier.note?.(`could not undo "${step}": ${reason}`);
      if (order.cause === undefined || carrier.interrupted?.()) return false;
      throw new Fault(`could not ${order.cause.step}: ${order.cause.reason}`);
    }
    const step = order.name;
    const forward = order.kind === 'run';
    try {
      carrier.note?.(forward ? step : `undo: ${step}`);
      if (forward) carrier.progress?.({ step, how: 'begun' });
      await carrier.perform(order.action);
      plan.succeeded();
      carrier.progress?.({ step, how: forward ? 'done' : 'undone' });
    } catch (error) {
      plan.failed(reasonOf(error));
      carrier.progress?.({ step, how: 'failed' });
    }
  }
}
