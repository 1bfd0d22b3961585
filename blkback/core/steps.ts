/**
 * The steps in which a request is carried out. Most have one; a flush or barrier with data has three: what was written before is made
 * safe, the data is written, and is made safe. Knows what a request asks for, not whether it may.
 */
import { BlkifOp } from './blkif.ts';
import { Effect, type EffectKind } from './effects.ts';
import { isFence } from './order.ts';
import type { Requests } from './requests.ts';

/** Values of `Requests.stage`. */
const FLUSH_BEFORE = 0;
const DATA = 1;
const FLUSH_BEHIND = 2;

/** Whether the step that a request is at moves data, and so needs memory. */
export function movesData({ op, stage }: Requests, request: number): boolean {
  const what = op[request]!;
  return isFence(what) ? stage[request] === DATA : what !== BlkifOp.DISCARD;
}

/** What the disk is asked for in this step. */
export function transferKind(requests: Requests, request: number, secureDiscard: boolean): EffectKind {
  const what = requests.op[request]!;
  if (what === BlkifOp.READ) return Effect.READ;
  if (movesData(requests, request)) return Effect.WRITE;
  if (isFence(what)) return Effect.FLUSH;
  return secureDiscard && requests.secure[request] !== 0 ? Effect.SECURE_DISCARD : Effect.DISCARD;
}

/** Goes on to the next step. False: that was the last. */
export function nextStep({ op, stage, segments, solo }: Requests, request: number): boolean {
  const at = stage[request]!;
  if (!isFence(op[request]!) || segments[request] === 0 || at === FLUSH_BEHIND) return false;
  stage[request] = at === FLUSH_BEFORE ? DATA : FLUSH_BEHIND;
  // Its data travels alone: a barrier that fails has failed, there is nothing to be tried again apart.
  solo[request] = at === FLUSH_BEFORE ? 1 : 0;
  return true;
}
