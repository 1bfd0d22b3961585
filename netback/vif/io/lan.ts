/**
 * A network of interfaces and its way out, and where an interface is put: what the exchange takes turns with, and what a device asks for. Knows
 * neither the store nor what a way out is made of.
 */
import type { VifFrontKeys, VifOrder } from '../../../xenstored/xenbus/vif.ts';
import type { Network } from '../core/network.ts';

/** A network's way out; its port is the network's already. */
export interface Wire {
  /** From outside into the network, at most `limit` packets. What it waits for, if there may be more. */
  read(limit: number, now: number): 'turn' | 'memory' | undefined;
  /** To the outside: all that waits. */
  write(): void;
}

/** Whoever is on it reaches each other. */
export interface Lan {
  readonly network: Network;
  /** Undefined: it ends at our door. */
  wire: Wire | undefined;
}

/** Which of the guests' interfaces: as in the names of network devices and directories. */
export interface VifName {
  readonly domid: number;
  readonly devid: number;
}

/** Where an interface is plugged in, from when it is ordered until it is detached. */
export interface Place {
  readonly lan: Lan;
  /** A guest has connected; what is behind its interface may be sent to it from now on. */
  connected(front: VifFrontKeys): void;
  disconnected(): void;
  /** Given back. */
  close(): void;
}

/** Finds the place of an interface. Throws an Error of one line. */
export type Places = (name: VifName, order: VifOrder) => Place;
