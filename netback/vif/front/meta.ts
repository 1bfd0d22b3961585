/**
 * What goes with a frame besides its bytes, both ways: work on it that is left to whoever gets it. Numbers of the protocol stay behind this.
 * (xen/include/public/io/netif.h)
 */
import { Gso } from '../core/netif.ts';

/** A large TCP packet, to be cut into segments by whoever can take no such. */
export interface Segmentation {
  readonly type: 'tcpv4' | 'tcpv6';
  /** Bytes of TCP payload in each segment. */
  readonly size: number;
}

export interface FrameMeta {
  /**
   * `blank`: the checksum of TCP or UDP is not there yet, the field holds the sum of the pseudo-header alone. `validated`: somebody has found it to be
   * right. Absent: nothing is known of it.
   */
  readonly csum?: 'blank' | 'validated';
  /** Only with a blank checksum. */
  readonly gso?: Segmentation;
  /** What comes in: the hash that was ordered of the backend (`Interface.control`), by which the queue was chosen. */
  readonly hash?: { readonly type: number; readonly value: number };
}

/** Nothing is left to do. */
export const NO_META: FrameMeta = {};

/** Counted by a driver, of one interface since it was connected. */
export interface FrameCounts {
  txFrames: number;
  txBytes: number;
  /** Not sent: no room in the ring or in front of it. */
  txLost: number;
  /** The backend has said so. */
  txErrors: number;
  rxFrames: number;
  rxBytes: number;
  /** With a part that the backend could not write, or shorter than a frame's header. */
  rxErrors: number;
}

export function noFrames(): FrameCounts {
  return { txFrames: 0, txBytes: 0, txLost: 0, txErrors: 0, rxFrames: 0, rxBytes: 0, rxErrors: 0 };
}

export function gsoNumber(type: Segmentation['type']): number {
  return type === 'tcpv4' ? Gso.TCPV4 : Gso.TCPV6;
}
