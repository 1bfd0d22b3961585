/**
 * Guests of which many share a process: handed over to one that was started for the first of them, until it is full. Knows no domain but its number.
 */
import type { Writable } from 'node:stream';
import { bulkLog, type Started, startReader } from './guestprocess.ts';
import { bulkCommand } from './programs.ts';

const DOMAINS_A_PROCESS = 200;

interface Carriage {
  readonly id: Started['id'];
  readonly over: Promise<string>;
  readonly input: Writable;
  taken: number;
}

export class Bulk {
  readonly #run: string;
  #carriage: Carriage | undefined;

  /** `run`: the host's run directory. */
  constructor(run: string) {
    this.#run = run;
  }

  /** `environment`: what makes a process that domain. Throws Fault. */
  join(domid: number, environment: Readonly<Record<string, string>>): Started {
    const { STUBDOM0_TOKEN: token, ...others } = environment;
    const carriage = this.#carriage ?? this.#start(others);
    carriage.taken++;
    if (carriage.taken === DOMAINS_A_PROCESS) this.#carriage = undefined;
    const go = (): void => {
      carriage.input.write(`${JSON.stringify({ domid, token })}\n`);
      // It ends with the last of those that it has.
      if (carriage.taken === DOMAINS_A_PROCESS) carriage.input.end();
    };
    return { id: { ...carriage.id, shared: true }, over: carriage.over, go };
  }

  #start(environment: Readonly<Record<string, string>>): Carriage {
    const { id, over, input } = startReader(bulkCommand(environment), bulkLog(this.#run));
    const carriage = { id, over, input, taken: 0 };
    this.#carriage = carriage;
    void over.then(() => {
      if (this.#carriage === carriage) this.#carriage = undefined;
    });
    return carriage;
  }
}
