/**
 * Network interfaces as a service: what the handshake's runner (xenstored/client) wants of a kind of device, all of them on one network of their
 * own. An interface that fails costs itself alone.
 */
import type { Platform } from '../../../osdep/platform.ts';
import { Ports } from '../../../osdep/ports.ts';
import type { BackendService } from '../../../xenstored/client/backend.ts';
import type { VifFrontKeys } from '../../../xenstored/xenbus/vif.ts';
import { VifDevice } from './device.ts';
import { Exchange } from './exchange.ts';
import type { Place, Places } from './lan.ts';

export interface VifsOptions {
  readonly platform: Pick<Platform, 'clock' | 'random' | 'openEvtchn' | 'openGnttab'>;
  /** One line at a time. */
  readonly log: (line: string) => void;
}

export interface Vifs {
  readonly service: BackendService<VifFrontKeys>;
  /** After the service is no longer served. */
  close(): void;
}

/** Serves any number of interfaces. Throws OsError without a hypervisor. */
export function serveVifs({ platform, log }: VifsOptions): Vifs {
  const { clock, random } = platform;
  const gnttab = platform.openGnttab();
  const ports = new Ports(platform.openEvtchn());
  const exchange = new Exchange(gnttab, clock, random.u32());
  const lan = exchange.openLan();
  const place: Place = { lan, connected() {}, disconnected() {}, changed() {}, close() {} };
  const places: Places = async () => place;
  return {
    service: {
      kind: 'vif',
      hotplug: 'self',
      open: (link) => VifDevice.open({ link, clock, gnttab, ports, exchange, places, log }),
    },
    close() {
      exchange.stop();
      ports.close();
      gnttab.close();
    },
  };
}
