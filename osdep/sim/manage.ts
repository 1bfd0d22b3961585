/** libxenmanage on the simulator. */
import { isRealDomid } from '../domid.ts';
import { Errno, OsError } from '../errno.ts';
import type { DomainStatus, Manage } from '../manage.ts';
import type { HandleRegistry } from '../toolcore.ts';
import type { Machine } from './machine.ts';
import { Restriction } from './restriction.ts';
import type { DomainStateValue } from './world/requests.ts';

export class SimManage implements Manage {
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #restriction = new Restriction();

  constructor(machine: Machine, handles: HandleRegistry) {
    this.#machine = machine;
    this.#handles = handles;
    handles.register(this);
  }

  restrict(domid: number): void {
    this.#restriction.restrict(domid);
  }

  getDomainInfo(domid: number): DomainStatus {
    this.#restriction.checkUnrestricted();
    if (!isRealDomid(domid)) {
      throw new OsError(Errno.EINVAL, `state of domain ${domid}`);
    }
    return statusOf(this.#machine.call('domainState', { domid }));
  }

  pollChangedDomain(): DomainStatus | undefined {
    this.#restriction.checkUnrestricted();
    try {
      return statusOf(this.#machine.call('pollChangedDomain', {}));
    } catch (error) {
      if (error instanceof OsError && error.errno === Errno.ENOENT) {
        return undefined;
      }
      throw error;
    }
  }

  close(): void {
    this.#handles.deregister(this);
    this.#restriction.close();
  }
}

function statusOf(value: DomainStateValue): DomainStatus {
  return { ...value, uniqueId: BigInt(value.uniqueId) };
}
