/**
 * Event channels, as libxenevtchn offers them: one handle, many ports, one descriptor to wait on.
 * A port that fired is masked for this handle until `unmask`; what arrives meanwhile collapses into one.
 * Calls throw OsError. (xen/tools/include/xenevtchn.h)
 */
import type { Logger } from './toollog.ts';

export interface EvtchnOptions {
  readonly logger?: Logger;
  /** Leave the descriptor open over exec, for a live update. Default: false. */
  readonly keepOverExec?: boolean;
  /** A descriptor inherited over exec, instead of opening one (xenevtchn_fdopen). EOPNOTSUPP on the simulator. */
  readonly adoptFd?: number;
}

export interface Evtchn {
  /** Readable while a port is pending; -1 where there is no such descriptor (within one process). */
  readonly fd: number;
  /**
   * Calls back when a port is pending, until the result is called. The callback must drain `pending()`: it is
   * called again only after something new arrived. Never called from within a call on this handle.
   */
  onReadable(callback: () => void): () => void;
  /** Next port that fired, now masked, or undefined. Never blocks. */
  pending(): number | undefined;
  /**
   * As many as there are, or as fit into `ports`: how many. Fewer than fit: there are no more. For whoever has them all looked at before waiting again;
   * a port may have been unbound by then.
   */
  pendingAll(ports: Uint32Array): number;
  /** Lets a port fire again. A port that is not ours or not masked is ignored, as Linux does. */
  unmask(port: number): void;
  /** A new port, waiting for `domid`, who need not exist yet, to bind to it. ENOSPC. */
  bindUnboundPort(domid: number): number;
  /** A new port, connected. It is pending at once, so that no early event is lost. ESRCH, EINVAL, ENOSPC. */
  bindInterdomain(domid: number, remotePort: number): number;
  /** EINVAL unknown, EBUSY another domain's to handle, EEXIST bound already. */
  bindVirq(virq: number): number;
  /** Attaches a port that exists in this domain and belongs to no handle. EINVAL; EOPNOTSUPP on some systems. */
  bind(port: number): void;
  /** Closes a port; the peer's end goes back to unbound. ENOTCONN if not this handle's. */
  unbind(port: number): void;
  /** Rings the peer; a port nobody has bound to yet swallows it. ENOTCONN if not this handle's. */
  notify(port: number): void;
  /** Who does not return soon says so: what was rung and unmasked may otherwise be said when the running callback is over. */
  flush(): void;
  /** From now on no new port but one connected to a port of `domid`. EACCES the second time, EINVAL, EOPNOTSUPP. */
  restrict(domid: number): void;
  /** Unbinds every port of the handle. */
  close(): void;
}

/** Virtual interrupts (xen/include/public/xen.h); DOM_EXC tells of domains that changed state. */
export const Virq = {
  TIMER: 0,
  DEBUG: 1,
  CONSOLE: 2,
  DOM_EXC: 3,
  TBUF: 4,
  DEBUGGER: 6,
  XENOPROF: 7,
  CON_RING: 8,
  PCPU_STATE: 9,
  MEM_EVENT: 10,
  ARGO: 11,
  ENOMEM: 12,
  XENPMU: 13,
  ARCH_0: 16,
  ARCH_1: 17,
} as const;
