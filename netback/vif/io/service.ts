/**
 * Network interfaces as a service: what the handshake's runner (xenstored/client) wants of a kind of device, all of them through one exchange. An
 * interface that fails costs itself alone.
 */
import { join } from 'node:path';
import { Poller } from '../../../osdep/os/poll.ts';
import type { Platform } from '../../../osdep/platform.ts';
import { Ports } from '../../../osdep/ports.ts';
import type { BackendService } from '../../../xenstored/client/backend.ts';
import type { VifFrontKeys } from '../../../xenstored/xenbus/vif.ts';
import { capturing } from './capture.ts';
import { VifDevice } from './device.ts';
import { Exchange } from './exchange.ts';
import type { Wiring } from './flags.ts';
import { Outlets } from './outlet.ts';
import { type Switched, switched } from './switched.ts';
import { type Tapped, tapped } from './tapped.ts';

export interface VifsOptions {
  readonly platform: Pick<Platform, 'clock' | 'random' | 'openEvtchn' | 'openGnttab'>;
  /** How interfaces are connected; default: all on switches of ours, without a way out. */
  readonly wiring?: Wiring;
  /** Where records are kept, of rings and of network devices; made if need be. It outlives the process, and ends with the machine. */
  readonly recordDir: string;
  /** Captures are below it; default: there are none. */
  readonly captureDir?: string;
  /** One line at a time. */
  readonly log: (line: string) => void;
}

export interface Vifs {
  readonly service: BackendService<VifFrontKeys>;
  /** Before it is served: removes what a predecessor has left for interfaces that nobody orders any more. */
  sweep(isOrdered: (path: string) => Promise<boolean>): Promise<void>;
  /** After the service is no longer served. */
  close(): void;
}

const noWiring: Wiring = { mode: 'switch', uplink: undefined };

/** Serves any number of interfaces. Throws OsError without a hypervisor. */
export function serveVifs({ platform, wiring = noWiring, recordDir, captureDir, log }: VifsOptions): Vifs {
  const { clock, random } = platform;
  const gnttab = platform.openGnttab();
  const ports = new Ports(platform.openEvtchn());
  const exchange = new Exchange(gnttab, clock, random.u32());
  const poller = new Poller();
  const devices = new Set<VifDevice>();
  const outlets = new Outlets({ exchange, clock, poller, log });
  const ways: Switched | Tapped =
    wiring.mode === 'switch'
      ? switched({ exchange, outlets, uplink: wiring.uplink, log })
      : tapped({ exchange, outlets, recordFile: join(recordDir, 'taps'), scripts: wiring.scripts, log });
  const { pool, memory } = exchange;
  const places =
    captureDir === undefined
      ? ways.places
      : capturing(ways.places, { directory: captureDir, clock, pool, memory, log });
  return {
    service: {
      kind: 'vif',
      // Nobody's script finds anything on a switch of ours.
      hotplug: wiring.mode === 'tap' && wiring.scripts ? 'ordered' : 'self',
      follows: 'request-multicast-control',
      async open(link) {
        const onClosed = (): void => void devices.delete(device);
        const given = { clock, gnttab, ports, exchange, places, recordDir, log };
        const device = await VifDevice.open({ link, onClosed, ...given });
        devices.add(device);
        return device;
      },
      statistics: () => [...devices].flatMap(({ statistics }) => statistics ?? []),
    },
    async sweep(isOrdered) {
      if ('sweep' in ways) await ways.sweep(isOrdered);
    },
    close() {
      if ('close' in ways) ways.close();
      outlets.close();
      exchange.stop();
      poller.close();
      ports.close();
      gnttab.close();
    },
  };
}
