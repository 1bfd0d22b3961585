/**
 * A network of interfaces and its way out, and where an interface is put: what the exchange takes turns with, and what a device asks for. Knows
 * neither the store nor what a way out is made of.
 */
import type { BackendLink } from '../../../xenstored/client/backend.ts';
import type { VifFrontKeys, VifOrder } from '../../../xenstored/xenbus/vif.ts';
import type { Network } from '../core/network.ts';
import type { Vif } from '../core/vif.ts';

/** A network's way out; its port is the network's already. */
export interface Wire {
  /** From outside into the network, at most `limit` packets. What it waits for, if there may be more; `rest`: for time to pass. */
  read(limit: number, now: number): 'turn' | 'memory' | 'rest' | undefined;
  /** To the outside: all that waits. */
  write(): void;
}

/** Whoever is on it reaches each other. */
export interface Lan {
  readonly network: Network;
  /** Undefined: it ends at our door. */
  wire: Wire | undefined;
  /** The exchange's: it has something to do, and will have in the next turn. */
  queued: boolean;
  again: boolean;
}

/** Where an interface is plugged in, from when it is ordered until it is detached. */
export interface Place {
  readonly lan: Lan;
  /** A guest has connected; what is behind its interface may send to it from now on. */
  connected(vif: Vif, front: VifFrontKeys): void;
  disconnected(): void;
  /** A key of the backend's directory has been written. */
  changed(key: string): void;
  /** `gone`: there is no such interface any more; `stop`: a successor goes on with it. */
  close(why: 'gone' | 'stop'): void;
}

/** Finds the place of an interface. Rejects with an Error of one line. */
export type Places = (link: BackendLink, order: VifOrder) => Promise<Place>;
