/**
 * The hypervisor's operations with a structure for an argument: the envelopes of domctl and sysctl with the version that
 * this hypervisor wants, and plain structures. All use one page that is kept, so that a call costs no allocation. Knows
 * no single operation. (xen/include/public/domctl.h, sysctl.h)
 */
import { type Call, type CallBuffer, Hypercall } from '../call.ts';
import { Errno, OsError } from '../errno.ts';
import { type Interface, interfaceOf } from './versions.ts';

const DOMCTL_AT = 16;
const DOMCTL_SIZE = 144;
const SYSCTL_AT = 8;
const SYSCTL_SIZE = 136;
/** The version of a domctl whose shape never changes. */
const STABLE = 0;

const RESTRICTED =
  'this kernel makes no hypercalls for a domain that is not dom0: load its driver with ' +
  '`insmod xen-privcmd.ko unrestricted=1` (not possible under kernel lockdown)';

/** Writes the arguments of an operation, which start at byte 0 of the view. */
export type Fill = (argument: DataView) => void;

/** Valid until the next operation, which overwrites it. */
export interface Answer {
  /** The structure, from its byte 0 on. */
  readonly argument: DataView;
  /** Whom it is of: not always whom the question was about. */
  readonly domid: number;
}

export class Operations {
  readonly call: Call;
  readonly #arch: string;
  readonly #page: CallBuffer;
  readonly #view: DataView;
  #interface: Interface | undefined;

  /** Where there is no memory for it, `call` is closed: nobody else could. */
  constructor(call: Call, arch: string = process.arch) {
    this.call = call;
    this.#arch = arch;
    try {
      this.#page = call.allocBufferPages(1);
    } catch (error) {
      call.close();
      throw error;
    }
    this.#view = viewOf(this.#page);
  }

  /** Asked for once. EACCES for a hypervisor that is not known here. */
  get interface(): Interface {
    this.#interface ??= interfaceOf(this.version(), this.#arch);
    return this.#interface;
  }

  /** Major in the upper half. */
  version(): number {
    try {
      return this.call.hypercall(Hypercall.XEN_VERSION, [0, 0]);
    } catch (error) {
      // The hypervisor tells anybody: it was the kernel that refused.
      throw error instanceof OsError && error.errno === Errno.EPERM
        ? new OsError(Errno.EPERM, RESTRICTED)
        : error;
    }
  }

  /** A text that xen_version tells, of at most `sizeBytes` with its final zero. */
  versionText(cmd: number, sizeBytes: number): string {
    this.#clear();
    this.call.hypercall(Hypercall.XEN_VERSION, [cmd, this.#page]);
    const bytes = this.#page.bytes.subarray(0, sizeBytes);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(bytes.slice(0, end < 0 ? sizeBytes : end));
  }

  /** ESRCH without such a domain, EPERM for the unprivileged, EACCES where the hypervisor speaks another version. */
  domctl(cmd: number, domid: number, fill?: Fill): Answer {
    return this.#domctl(cmd, domid, this.interface.domctl, fill);
  }

  /** One of those domctls whose shape is promised never to change. EACCES where the hypervisor has none. */
  stableDomctl(cmd: number, domid: number): Answer {
    return this.#domctl(cmd, domid, STABLE);
  }

  /** The structure as answered; valid until the next operation. EPERM, EACCES. */
  sysctl(cmd: number, fill?: Fill): DataView {
    const view = this.#clear();
    view.setUint32(0, cmd, true);
    view.setUint32(4, this.interface.sysctl, true);
    const argument = new DataView(view.buffer, view.byteOffset + SYSCTL_AT, SYSCTL_SIZE - SYSCTL_AT);
    fill?.(argument);
    this.#run(Hypercall.SYSCTL, `sysctl ${cmd}`);
    return argument;
  }

  /** An operation of the kind (cmd, structure, more words): event channels, grants, memory, parameters. */
  structured(
    op: number,
    cmd: number,
    fill: Fill,
    more: readonly number[] = [],
  ): { readonly argument: DataView; readonly result: number } {
    const view = this.#clear();
    fill(view);
    return { argument: view, result: this.call.hypercall(op, [cmd, this.#page, ...more]) };
  }

  #domctl(cmd: number, domid: number, version: number, fill?: Fill): Answer {
    const view = this.#clear();
    view.setUint32(0, cmd, true);
    view.setUint32(4, version, true);
    view.setUint16(8, domid, true);
    const argument = new DataView(view.buffer, view.byteOffset + DOMCTL_AT, DOMCTL_SIZE - DOMCTL_AT);
    fill?.(argument);
    this.#run(Hypercall.DOMCTL, `domctl ${cmd} of domain ${domid}`);
    return { argument, domid: view.getUint16(8, true) };
  }

  #run(op: number, what: string): void {
    try {
      this.call.hypercall(op, [this.#page]);
    } catch (error) {
      throw error instanceof OsError ? new OsError(error.errno, what) : error;
    }
  }

  #clear(): DataView {
    this.#page.bytes.fill(0);
    return this.#view;
  }
}

export function viewOf({ bytes }: CallBuffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
