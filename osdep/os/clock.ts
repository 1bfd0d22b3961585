/** The machine's own time and chance, for platforms that are not simulated within one process. Knows no schedule. */
import { randomBytes, randomInt } from 'node:crypto';
import type { Clock, Random } from '../clock.ts';

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = {
  u32: () => randomInt(0x1_0000_0000),
  below: (limit) => randomInt(limit),
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
