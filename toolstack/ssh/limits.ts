/** How much of the server a stranger, a slow client or a greedy one may have. */

export interface Limits {
  /** From the connection to the key that was accepted. */
  readonly loginMs: number;
  /** Wrong keys of one connection. */
  readonly tries: number;
  /** Connections that have not logged in: from `begin` on some are dropped by chance, from `full` on all. OpenSSH's MaxStartups. */
  readonly startups: { readonly begin: number; readonly full: number; readonly rate: number };
  /** Of those, from one address. */
  readonly perAddress: number;
  /** New connections a second, in the long run, and at once. */
  readonly newPerSecond: number;
  readonly newAtOnce: number;
  /** Connections altogether. */
  readonly connections: number;
  /** What one that has not logged in may send, in bytes. */
  readonly loginBytes: number;
  /** Channels of one connection at a time. */
  readonly channels: number;
  /** Without a byte for a command, from it, or a command at work. */
  readonly idleMs: number;
  /** Key exchanges that a client may ask for in a minute, and how long one may take. */
  readonly rekeysPerMinute: number;
  readonly rekeyMs: number;
}

export const defaultLimits: Limits = {
  loginMs: 10_000,
  tries: 6,
  startups: { begin: 10, full: 60, rate: 0.3 },
  perAddress: 40,
  newPerSecond: 40,
  newAtOnce: 100,
  connections: 128,
  loginBytes: 128 * 1024,
  channels: 10,
  idleMs: 3_600_000,
  rekeysPerMinute: 20,
  rekeyMs: 10_000,
};
