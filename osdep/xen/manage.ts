/**
 * libxenmanage on real Xen, from 4.21 on: the one domctl whose shape never changes. An older hypervisor refuses its version, with
 * EACCES. Knows nothing of what a change means. (xen/tools/libs/manage, xen/include/public/domctl.h)
 */
import type { Call } from '../call.ts';
import { Domid, isRealDomid } from '../domid.ts';
import { Errno, OsError } from '../errno.ts';
import type { DomainStatus, Manage } from '../manage.ts';
import { Operations } from './operations.ts';

const GET_DOMAIN_STATE = 90;

export class XenManage implements Manage {
  readonly #call: Call;
  readonly #operations: Operations;

  /** Closes `call` with itself. */
  constructor(call: Call) {
    this.#call = call;
    this.#operations = new Operations(call);
  }

  getDomainInfo(domid: number): DomainStatus {
    if (!isRealDomid(domid)) {
      throw new OsError(Errno.EINVAL, `state of domain ${domid}`);
    }
    return this.#state(domid);
  }

  pollChangedDomain(): DomainStatus | undefined {
    try {
      return this.#state(Domid.INVALID);
    } catch (error) {
      if (error instanceof OsError && error.errno === Errno.ENOENT) {
        return undefined;
      }
      throw error;
    }
  }

  close(): void {
    this.#call.close();
  }

  #state(asked: number): DomainStatus {
    const { domid, argument } = this.#operations.stableDomctl(GET_DOMAIN_STATE, asked);
    return domainStatus(domid, argument);
  }
}

function domainStatus(domid: number, argument: DataView): DomainStatus {
  return {
    domid,
    state: argument.getUint16(0, true),
    caps: argument.getUint16(2, true),
    uniqueId: argument.getBigUint64(8, true),
  };
}
