/**
 * Disks as a service: what the handshake's runner (xenstored/client) wants of a kind of device, and for each device a medium, a core and
 * its hands. A device that fails costs itself alone. How a medium is opened is an argument.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Ports } from '../../osdep/ports.ts';
import type { BackendService } from '../../xenstored/client/backend.ts';
import type { VbdFrontKeys } from '../../xenstored/xenbus/vbd.ts';
import { DiskDevice, INDIRECT_SEGMENTS } from './device.ts';
import { Lookout } from './lookout.ts';
import { MapBudget } from './mapbudget.ts';
import type { Medium, MediumOrder } from './medium.ts';
import { PoolBudget } from './poolbudget.ts';

export interface DisksOptions {
  readonly platform: Pick<Platform, 'clock' | 'openEvtchn' | 'openGnttab'>;
  /** Where the records of rings lie (xenstored/client/ringrecord.ts); made if need be. It outlives the process, and ends with the machine. */
  readonly recordDir: string;
  /** Throws for what cannot be a disk. */
  readonly openMedium: (order: MediumOrder) => Medium;
  /** How long to look for more to do before sleeping, at most; default: 0. */
  readonly lookOutMs?: number;
  /** For guests' pages that are kept mapped. Default: what Linux allows this process. */
  readonly maps?: MapBudget;
  /** One line at a time. */
  readonly log: (line: string) => void;
}

export interface Disks {
  readonly service: BackendService<VbdFrontKeys>;
  /** After the service is no longer served. */
  close(): void;
}

/** Serves any number of disks. Throws OsError without a hypervisor. */
export function serveDisks({
  platform,
  recordDir,
  openMedium,
  lookOutMs = 0,
  maps = new MapBudget(),
  log,
}: DisksOptions): Disks {
  const { clock } = platform;
  const gnttab = platform.openGnttab();
  const evtchn: Evtchn = platform.openEvtchn();
  const ports = new Ports(evtchn);
  const lookout = new Lookout({ now: () => clock.now(), longestMs: lookOutMs, flush: () => ports.flush() });
  const pools = new PoolBudget(INDIRECT_SEGMENTS);
  const devices = new Set<DiskDevice>();
  let stop = (): void => {};
  const tick = (): void => {
    for (const device of devices) device.tick();
    stop = clock.after(1000, tick);
  };
  tick();
  return {
    service: {
      kind: 'vbd',
      hotplug: 'ordered',
      async open(link) {
        const device = await DiskDevice.open({
          link,
          clock,
          gnttab,
          ports,
          lookout,
          maps,
          pools,
          recordDir,
          openMedium,
          log,
          onClosed: () => devices.delete(device),
        });
        devices.add(device);
        return device;
      },
      statistics: () => [...devices].flatMap(({ statistics }) => statistics ?? []),
    },
    close() {
      stop();
      ports.close();
      gnttab.close();
    },
  };
}
