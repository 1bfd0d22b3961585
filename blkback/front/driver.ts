/**
 * The disk driver of a simulated guest: what the handshake's runner (xenstored/client) asks of a driver, and the guest's disks by their
 * numbers. One ring and one port a disk. Knows nothing of what is on a disk.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Platform } from '../../osdep/platform.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../xenstored/client/frontend.ts';
import type { Keys } from '../../xenstored/xenbus/backend-events.ts';
import { readVbdBack } from '../../xenstored/xenbus/vbd.ts';
import { FrontDisk } from './disk.ts';

export interface BlkfrontOptions {
  readonly platform: Pick<Platform, 'openEvtchn' | 'openGntshr'>;
  /** The largest ring, in pages; the backend may offer less. Default: 1. */
  readonly ringPages?: number;
  /** A disk is connected. */
  readonly onDisk: (devid: number, disk: FrontDisk) => void;
}

export function blkfront({ platform, ringPages = 1, onDisk }: BlkfrontOptions): FrontendDriver {
  const gntshr = platform.openGntshr();
  const evtchn: Evtchn = platform.openEvtchn();
  const disks = new Map<number, FrontDisk>();
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      disks.get(port)?.event();
    }
  });
  const open = (link: FrontendLink): FrontendDevice => {
    let disk: FrontDisk | undefined;
    return {
      async share(): Promise<Keys> {
        const { maxRingPageOrder } = await link.readBack(readVbdBack());
        const order = Math.min(maxRingPageOrder, Math.floor(Math.log2(ringPages)));
        const made = new FrontDisk({
          gntshr,
          evtchn,
          backendDomid: link.backendDomid,
          ringPages: 1 << order,
          onBroken: (reason) => link.broken(reason),
        });
        disk = made;
        disks.set(made.port, made);
        const refs = made.ringRefs.map((ref, i) => [order === 0 ? 'ring-ref' : `ring-ref${i}`, `${ref}`]);
        return {
          ...(order === 0 ? {} : { 'ring-page-order': `${order}` }),
          ...Object.fromEntries(refs),
          'event-channel': `${made.port}`,
          protocol: 'x86_64-abi',
          'feature-persistent': '1',
        };
      },
      async activate(): Promise<void> {
        disk!.activate(await link.readBack(readVbdBack()));
        onDisk(link.devid, disk!);
      },
      refresh(): void {
        void link.readBack(readVbdBack()).then(
          (properties) => disk?.activate(properties),
          (error: unknown) => link.broken(String(error)),
        );
      },
      async quiesce(gone: AbortSignal): Promise<void> {
        await disk?.quiesce(gone);
      },
      release(): void {
        if (disk === undefined) return;
        disks.delete(disk.port);
        disk.release();
        disk = undefined;
      },
    };
  };
  return { kind: 'vbd', published: 3, open };
}
