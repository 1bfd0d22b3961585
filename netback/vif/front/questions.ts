/**
 * What was asked on a network and has not been answered: asked again each second, five times, and then given up. Several that ask the same are
 * answered together. Knows no frames.
 */
import type { Clock } from '../../../osdep/clock.ts';

const AGAIN_MS = 1000;
const TIMES = 5;

interface Question {
  readonly promise: Promise<Uint8Array>;
  readonly end: (answer: Uint8Array | undefined) => void;
}

export class Questions {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #open = new Map<string, Question>();

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** @param what by which the answer will be known */
  ask(what: string, send: () => void): Promise<Uint8Array> {
    const asked = this.#open.get(what);
    if (asked !== undefined) return asked.promise;
    let end: Question['end'] = () => {};
    const promise = new Promise<Uint8Array>((resolve, reject) => {
      let stop = (): void => {};
      let times = 0;
      end = (answer) => {
        stop();
        this.#open.delete(what);
        if (answer === undefined) reject(new Error(`no answer: ${what}`));
        else resolve(answer);
      };
      const again = (): void => {
        if (times++ === TIMES) {
          end(undefined);
          return;
        }
        stop = this.#clock.after(AGAIN_MS, again);
        send();
      };
      again();
    });
    this.#open.set(what, { promise, end });
    return promise;
  }

  /** False: nobody has asked. */
  answer(what: string, bytes: Uint8Array): boolean {
    const asked = this.#open.get(what);
    asked?.end(bytes);
    return asked !== undefined;
  }

  /** Nobody will answer any more. */
  stop(): void {
    for (const { end } of [...this.#open.values()]) end(undefined);
  }
}
