/**
 * What of a frontend's sockets outlives the process that serves it, as values: each socket as far as its answered commands have brought it. The machine
 * (`sockets.ts`) tells of every change before it responds, and makes the sockets again from what it told; requests that wait for an answer are kept by
 * whoever keeps the ring, and asked again. Knows no file and no ring.
 */
import type { InetAddress } from './address.ts';

/** `active`: it had a data ring. Of its connection nothing is left; its id is taken until it is released. */
export type EntryState = 'made' | 'bound' | 'listening' | 'active';

export interface SocketEntry {
  readonly id: bigint;
  readonly state: EntryState;
  readonly family: number;
  readonly type: number;
  /** Where it is bound, in the guest's words, with the port that it got; undefined: it was not. */
  readonly address: InetAddress | undefined;
  /** It wanted any port: the policy was asked about port 0. */
  readonly anyPort?: true;
  /** :: is not 0.0.0.0 to it. */
  readonly only6?: true;
  readonly backlog: number;
  /** Of its data ring, in the guest's words; otherwise 0. */
  readonly ref: number;
  readonly evtchn: number;
}

/** Where the machine writes its entries down. What is noted counts from the moment at which the responses of the same turn are shown. */
export interface Ledger {
  /** A socket is new, or another than it was. */
  put(entry: SocketEntry): void;
  /** There is no such socket any more. */
  remove(id: bigint): void;
}
