/**
 * The machine where there is no hypervisor: one domain, the one that the daemon runs in, whose ring nobody is at. Serves socket clients alone.
 */
import type { Attached, DomainState, Machine, RingFields } from '../core/ports.ts';
import type { RingEffects } from './loop.ts';

const DOM0 = 0;
const dom0: DomainState = {
  domid: DOM0,
  exists: true,
  shutdown: false,
  dying: false,
  dead: false,
  uniqueId: 0n,
};

const quiet: RingFields = { reqCons: 0, reqProd: 0, rspCons: 0, rspProd: 0, connection: 0, error: 0 };

export class StandaloneMachine implements Machine, RingEffects {
  readonly roles: { readonly storeDomid: number; readonly privDomid: number } = {
    storeDomid: DOM0,
    privDomid: DOM0,
  };
  #told = false;

  domain(domid: number): DomainState | undefined {
    return domid === DOM0 ? dom0 : undefined;
  }

  pollChanged(): DomainState | undefined {
    if (this.#told) return undefined;
    this.#told = true;
    return dom0;
  }

  /** As with real Xen, dom0 counts as introduced. For any other domain there is no grant to map. */
  attach(domid: number): Attached {
    return domid === DOM0 ? { ok: true, port: 0 } : { ok: false, errno: 'EINVAL' };
  }

  rebind(domid: number): boolean {
    return domid === DOM0;
  }

  ring(domid: number): RingFields | undefined {
    return domid === DOM0 ? quiet : undefined;
  }

  features(): void {}
  reset(): void {}
  error(): void {}
  detach(): void {}
  connected(): void {}
  resume(): void {}
  adopt(): undefined {}
  settle(): void {}
  close(): void {}
}
