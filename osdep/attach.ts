/**
 * Where the store's and the console's rings are: what differs most between systems, for both ends. Knows where
 * a ring is, never what is in it. (xen/docs/misc/xenstore-ring.txt, xen/include/public/io/console.h)
 */
import type { Mapping } from './mapping.ts';

/** A ring page and the event channel that goes with it. */
export interface RingAttachment {
  readonly page: Mapping;
  /** For one's own ring a port of one's own (Evtchn.bind); for another's a port of his (Evtchn.bindInterdomain). */
  readonly port: number;
}

export interface StoreAttachment {
  /**
   * This domain's own store ring, as a guest finds it when it starts. ENOENT where there is none, or where a kernel
   * below us owns it: then `device` is the way in.
   */
  ring(): RingAttachment;
  /** A device that speaks the store's protocol (/dev/xen/xenbus), if there is one. */
  readonly device: string | undefined;
  /**
   * For a daemon in a Linux control domain: the kernel's ring (/proc/xen/xsd_kva, xsd_port), which is granted to
   * nobody. undefined: there is none, and every ring is reached by grant 1.
   */
  kernelRing(): (RingAttachment & { readonly domid: number }) | undefined;
}

export interface ConsoleAttachment {
  /** This domain's own console ring. ENOENT as for the store. */
  ring(): RingAttachment;
}
