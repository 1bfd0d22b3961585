/**
 * How often a guest may ring: xenconsoled's 30 events in 200 ms, so that one that rings without end costs its server a bounded part of its time. Knows no
 * event channel.
 */

const EVENTS = 30;
const PERIOD_MS = 200;

export class EventRate {
  #periodEnds = 0;
  #left = 0;

  /** An event has come. How long its port stays shut (ms); 0: it may ring again. */
  take(nowMs: number): number {
    if (nowMs >= this.#periodEnds) {
      this.#periodEnds = nowMs + PERIOD_MS;
      this.#left = EVENTS;
    }
    this.#left--;
    return this.#left > 0 ? 0 : Math.max(1, this.#periodEnds - nowMs);
  }
}
