/**
 * Real Xen as a Platform: its libraries over the kernel's devices. Knows which device does what, and whether this machine has them.
 */
import type { Call } from '../call.ts';
import type { Ctrl } from '../ctrl.ts';
import type { Evtchn, EvtchnOptions } from '../evtchn.ts';
import type { Foreignmemory } from '../foreignmemory.ts';
import { systemClock, systemRandom } from '../os/clock.ts';
import type { Platform } from '../platform.ts';
import { HandleRegistry } from '../toolcore.ts';
import { consoleAttachment, isControlDomain, storeAttachment } from './attach.ts';
import { XenCall } from './call.ts';
import { XenCtrl } from './ctrl.ts';
import { XenDevicemodel } from './devicemodel.ts';
import { XenEvtchn } from './evtchn.ts';
import { XenForeignmemory } from './foreignmemory.ts';
import { XenGntshr } from './gntshr.ts';
import { XenGnttab } from './gnttab.ts';
import { XenManage } from './manage.ts';
import { ownDomid } from './self.ts';
import { Waiting } from './waiting.ts';

export interface XenOptions {
  /**
   * This domain's id, where the caller has been told. The kernel tells it in the control domain alone; `ask`: of the hypervisor, for a domain
   * that is free to make hypercalls.
   */
  readonly domid?: number | 'ask';
}

/** Whether this is the control domain of real Xen. In any other domain, somebody has to say that it is to be used. */
export function xenIsThere(): boolean {
  return isControlDomain();
}

export interface XenPlatform extends Platform {
  readonly name: 'xen';
}

/** Opens nothing yet, unless it has to ask. */
export function xenPlatform({ domid }: XenOptions = {}): XenPlatform {
  const handles = new HandleRegistry();
  const waiting = new Waiting();
  const openCall = (): Call => new XenCall(handles);
  const openForeignmemory = (): Foreignmemory => new XenForeignmemory(handles);
  const openCtrl = (): Ctrl => new XenCtrl(openCall(), openForeignmemory);
  const openEvtchn = (options: EvtchnOptions = {}): Evtchn => new XenEvtchn(handles, waiting, options);
  const own = domid === 'ask' ? ownDomid({ openEvtchn, openCtrl }) : domid;
  return {
    name: 'xen',
    domid: own ?? (isControlDomain() ? 0 : undefined),
    clock: systemClock,
    random: systemRandom,
    handles,
    store: storeAttachment,
    console: consoleAttachment,
    openCall,
    openEvtchn,
    openGnttab: () => new XenGnttab(),
    openGntshr: () => new XenGntshr(),
    openForeignmemory,
    openDevicemodel: () => new XenDevicemodel(handles),
    openCtrl,
    openManage: () => new XenManage(openCall()),
    close: () => waiting.close(),
  };
}
