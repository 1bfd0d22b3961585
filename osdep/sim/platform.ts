/** A simulated machine as a Platform: Xen's libraries over whatever reaches the world. */
import type { Call } from '../call.ts';
import type { Evtchn, EvtchnOptions } from '../evtchn.ts';
import type { Platform } from '../platform.ts';
import { HandleRegistry } from '../toolcore.ts';
import { SimConsoleAttachment, SimStoreAttachment } from './attach.ts';
import { SimCall } from './call.ts';
import { SimCtrl } from './ctrl.ts';
import { SimDevicemodel } from './devicemodel.ts';
import { SimEvtchn } from './evtchn.ts';
import { SimForeignmemory } from './foreignmemory.ts';
import { SimGntshr } from './gntshr.ts';
import { SimGnttab } from './gnttab.ts';
import { type SimGuest, simGuest } from './guest.ts';
import type { Machine } from './machine.ts';
import { SimManage } from './manage.ts';

/** What only a simulated domain has beside Xen's libraries. */
export interface SimPlatform extends Platform {
  readonly name: 'sim';
  readonly domid: number;
  /** The domain as a guest without libraries: its own port I/O, its own end, its own grant entries. */
  readonly guest: SimGuest;
}

export function platformOn(machine: Machine): SimPlatform {
  const handles = new HandleRegistry();
  return {
    name: 'sim',
    domid: machine.domid,
    clock: machine.clock,
    random: machine.random,
    handles,
    store: new SimStoreAttachment(machine),
    console: new SimConsoleAttachment(machine),
    guest: simGuest(machine),
    openCall: (): Call => new SimCall(machine, handles),
    openEvtchn: (options: EvtchnOptions = {}): Evtchn => new SimEvtchn(machine, handles, options),
    openGnttab: () => new SimGnttab(machine),
    openGntshr: () => new SimGntshr(machine),
    openForeignmemory: () => new SimForeignmemory(machine, handles),
    openDevicemodel: () => new SimDevicemodel(machine, handles),
    openCtrl: () => new SimCtrl(machine, handles),
    openManage: () => new SimManage(machine, handles),
    close: () => machine.close(),
  };
}
