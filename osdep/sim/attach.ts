/** Where a simulated domain finds its rings: in its parameters, as a guest on Xen without a kernel in between. */
import type { ConsoleAttachment, RingAttachment, StoreAttachment } from '../attach.ts';
import { HvmParam } from '../ctrl.ts';
import { Domid } from '../domid.ts';
import { Errno, OsError } from '../errno.ts';
import { SimMapping } from './area.ts';
import type { Machine } from './machine.ts';

/** The page and port that a toolstack left for the domain; ENOENT if it left none. */
function ringAt(machine: Machine, what: string, pfnParam: number, portParam: number): RingAttachment {
  const param = (index: number) => machine.call('hvmParamGet', { domid: Domid.SELF, param: index }).value;
  const gfn = param(pfnParam);
  const port = param(portParam);
  if (gfn === 0 || port === 0) {
    throw new OsError(Errno.ENOENT, `${what} ring of domain ${machine.domid}`);
  }
  const { value, area } = machine.callMapped('ownMap', { gfns: [gfn] });
  return { page: new SimMapping(machine, value.map, area, 1, true), port };
}

export class SimStoreAttachment implements StoreAttachment {
  readonly device = undefined;
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ring(): RingAttachment {
    return ringAt(this.#machine, 'store', HvmParam.STORE_PFN, HvmParam.STORE_EVTCHN);
  }

  kernelRing(): undefined {
    return undefined;
  }
}

export class SimConsoleAttachment implements ConsoleAttachment {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ring(): RingAttachment {
    return ringAt(this.#machine, 'console', HvmParam.CONSOLE_PFN, HvmParam.CONSOLE_EVTCHN);
  }
}
