/**
 * Requests that were refused for want of rights or quota, for CONTROL `refusals`: the last of each domain, the same refusal once with how often.
 * Bounded however many there are and whoever makes them. Knows nothing but what it is told.
 */

export interface Refused {
  readonly domid: number;
  /** The request's type on the wire. */
  readonly type: number;
  readonly errno: string;
  /** What it was about, as the peer said it: any bytes. */
  readonly subject: string;
  /** How often. */
  readonly count: number;
  /** When it last was, in milliseconds on the daemon's clock. */
  readonly at: number;
}

const KEPT_PER_DOMAIN = 32;
const DOMAINS_MAX = 256;

type Entry = { -readonly [key in keyof Refused]: Refused[key] };

/** Worth telling: a node that is not there is nothing unusual. */
export const notable: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'ENOSPC', 'ENOMEM', 'EIO']);

export class Refusals {
  /** By domain, then by what was refused; the latest last in both. */
  readonly #domains = new Map<number, Map<string, Entry>>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(at: number, domid: number, type: number, errno: string, subject: string): void {
    this.#total++;
    let entries = this.#domains.get(domid);
    if (!entries) {
      entries = new Map();
      evict(this.#domains, DOMAINS_MAX);
      this.#domains.set(domid, entries);
    }
    const key = `${type} ${errno} ${subject}`;
    const known = entries.get(key);
    if (known) {
      known.count++;
      known.at = at;
      entries.delete(key);
      entries.set(key, known);
      return;
    }
    evict(entries, KEPT_PER_DOMAIN);
    entries.set(key, { domid, type, errno, subject, count: 1, at });
  }

  /** Newest first. */
  last(domid: number | undefined): Refused[] {
    const found: Refused[] = [];
    for (const [id, entries] of this.#domains) {
      if (domid === undefined || id === domid) found.push(...entries.values());
    }
    return found.sort((a, b) => b.at - a.at);
  }
}

function evict<K>(map: Map<K, unknown>, max: number): void {
  if (map.size < max) return;
  const [oldest] = map.keys();
  map.delete(oldest!);
}
