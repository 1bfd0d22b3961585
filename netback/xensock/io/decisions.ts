/**
 * What the policy has said, for whoever wants to know why: the last of it in memory, and lines for the log: every refusal, and if wanted every
 * permission. Lines begin with the device's path, so that a guest who asks too often has its share and no more (xenstored/client/loglimit.ts).
 */
import { formatAddress } from '../core/address.ts';
import type { Decision } from '../core/sockets.ts';

/** Of all guests together; each has its own share, so that one cannot push away what was said to another. */
const KEPT_OF_GUEST = 256;
/** Guests come and go: those who asked last are kept. */
const KEPT_GUESTS = 128;

/** As it is handed out. */
export interface DecisionRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly domid: number;
  readonly device: string;
  readonly direction: Decision['direction'];
  readonly address: string;
  readonly allowed: boolean;
  readonly reason: string;
  /** Where that is: `inet 127.0.0.1:8080`, `local host 127.0.0.1:80`. */
  readonly places: readonly string[];
}

export interface DecisionsOptions {
  /** One line for permissions, too. */
  readonly all: boolean;
  readonly log: (line: string) => void;
  /** Default: now. */
  readonly date?: () => Date;
}

interface Asked {
  readonly domid: number;
  /** Its device's directory in the store. */
  readonly path: string;
}

export class Decisions {
  readonly #options: DecisionsOptions;
  readonly #kept = new Map<number, DecisionRecord[]>();

  constructor(options: DecisionsOptions) {
    this.#options = options;
  }

  add({ domid, path }: Asked, decision: Decision): void {
    const { all, log, date = () => new Date() } = this.#options;
    const record: DecisionRecord = {
      time: date().toISOString(),
      domid,
      device: path,
      direction: decision.direction,
      address: formatAddress(decision.address),
      allowed: decision.errno === 0,
      reason: decision.reason,
      places: decision.places.map(({ network, name, address }) =>
        [network, ...(name === '' ? [] : [name]), formatAddress(address)].join(' '),
      ),
    };
    this.#keep(record);
    if (record.allowed && !all) return;
    const said = record.allowed ? 'allowed' : 'refused';
    log(`${path}: ${record.direction} ${record.address}: ${said}: ${record.reason}`);
  }

  /** In the order in which they were made. */
  get list(): readonly DecisionRecord[] {
    return [...this.#kept.values()].flat().sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  }

  #keep(record: DecisionRecord): void {
    const kept = this.#kept.get(record.domid) ?? [];
    kept.push(record);
    if (kept.length > KEPT_OF_GUEST) kept.shift();
    // The last one to ask is the last of the map.
    this.#kept.delete(record.domid);
    this.#kept.set(record.domid, kept);
    if (this.#kept.size > KEPT_GUESTS) this.#kept.delete(this.#kept.keys().next().value!);
  }
}
