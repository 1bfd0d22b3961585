/** A device's connection to its backend, from the handshake to its end: what all its sockets share. */
import type { Commands } from './commands.ts';
import type { RingPool } from './pool.ts';
import type { Events } from './ring.ts';

export interface Session {
  readonly commands: Commands;
  readonly pool: RingPool;
  /** The largest data ring that the backend takes. */
  readonly maxOrder: number;
  /** Both ends speak the extension. */
  readonly extended: boolean;
  /** What is in a ring when its socket is released is still sent. */
  readonly sendsReleased: boolean;
  /** Of streams: a backend that speaks the extension looks again before it sleeps. */
  readonly events: Events;
  /** False: it has ended. */
  live: boolean;
}
