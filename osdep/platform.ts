/**
 * A machine to run on: real Xen or the simulated one. A service gets one as an argument and can tell nothing else
 * about where it is. Every opener throws OsError: ENOENT or ENODEV without a hypervisor, EACCES, EOPNOTSUPP.
 */
import type { ConsoleAttachment, StoreAttachment } from './attach.ts';
import type { Call, CallOptions } from './call.ts';
import type { Clock, Random } from './clock.ts';
import type { Ctrl, CtrlOptions } from './ctrl.ts';
import type { Devicemodel, DevicemodelOptions } from './devicemodel.ts';
import type { Evtchn, EvtchnOptions } from './evtchn.ts';
import type { Foreignmemory, ForeignmemoryOptions } from './foreignmemory.ts';
import type { Gntshr, GntshrOptions } from './gntshr.ts';
import type { Gnttab, GnttabOptions } from './gnttab.ts';
import type { Manage, ManageOptions } from './manage.ts';
import type { HandleRegistry } from './toolcore.ts';

export interface Platform {
  /** `sim` or `xen`, for messages; nothing may depend on it. */
  readonly name: string;
  /** The caller's own domain; undefined where the system does not tell. */
  readonly domid: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Open handles, for restrictAll. */
  readonly handles: HandleRegistry;
  readonly store: StoreAttachment;
  readonly console: ConsoleAttachment;
  openCall(options?: CallOptions): Call;
  openEvtchn(options?: EvtchnOptions): Evtchn;
  openGnttab(options?: GnttabOptions): Gnttab;
  openGntshr(options?: GntshrOptions): Gntshr;
  openForeignmemory(options?: ForeignmemoryOptions): Foreignmemory;
  openDevicemodel(options?: DevicemodelOptions): Devicemodel;
  openCtrl(options?: CtrlOptions): Ctrl;
  openManage(options?: ManageOptions): Manage;
  /** Gives back what the platform itself holds, after all handles are closed. */
  close(): void;
}
