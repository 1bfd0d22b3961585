/**
 * The network driver of a simulated guest: what the handshake's runner (xenstored/client) asks of a driver, and the guest's interfaces by their
 * numbers. One pair of rings and one port an interface. Knows nothing of what is in a frame.
 */
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Platform } from '../../../osdep/platform.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../../xenstored/client/frontend.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import { Checker, type KeyReader, parseMac } from '../../../xenstored/xenbus/value.ts';
import { readVifBack } from '../../../xenstored/xenbus/vif.ts';
import { FrontNic } from './nic.ts';

export interface Interface {
  readonly devid: number;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Sends a frame, or loses it. */
  send(frame: Uint8Array): void;
}

export interface NetfrontOptions {
  readonly platform: Pick<Platform, 'openEvtchn' | 'openGntshr'>;
  /** An interface is connected; what is returned is called with each frame that comes. */
  readonly onInterface: (nic: Interface) => (frame: Uint8Array) => void;
}

export function netfront({ platform, onInterface }: NetfrontOptions): FrontendDriver {
  const gntshr = platform.openGntshr();
  const evtchn: Evtchn = platform.openEvtchn();
  const nics = new Map<number, FrontNic>();
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      nics.get(port)?.event();
    }
  });
  const open = (link: FrontendLink): FrontendDevice => {
    let nic: FrontNic | undefined;
    let receive: (frame: Uint8Array) => void = () => {};
    return {
      async share(): Promise<Keys> {
        const { rxCopy } = await link.readBack(readVifBack());
        if (!rxCopy) throw new Error('the backend does not copy');
        nic = new FrontNic({
          gntshr,
          evtchn,
          backendDomid: link.backendDomid,
          onFrame: (frame) => receive(frame),
          onBroken: (reason) => link.broken(reason),
        });
        nics.set(nic.port, nic);
        return {
          'tx-ring-ref': `${nic.txRingRef}`,
          'rx-ring-ref': `${nic.rxRingRef}`,
          'event-channel': `${nic.port}`,
          'request-rx-copy': '1',
          'feature-rx-notify': '1',
          'feature-sg': '1',
          'feature-no-csum-offload': '1',
        };
      },
      async activate(): Promise<void> {
        const mac = await link.read(readMac());
        const made = nic!;
        receive = onInterface({ devid: link.devid, mac, send: (frame) => made.send(frame) });
        made.activate();
      },
      async quiesce(gone: AbortSignal): Promise<void> {
        await nic?.quiesce(gone);
      },
      release(): void {
        if (nic === undefined) return;
        nics.delete(nic.port);
        nic.release();
        nic = undefined;
      },
    };
  };
  return { kind: 'vif', published: 4, open };
}

function* readMac(): KeyReader<Uint8Array> {
  const check = new Checker();
  const mac = parseMac((yield 'mac') ?? '');
  if (mac === undefined) check.fail('mac', 'missing, or not a MAC address');
  return check.result(Uint8Array.from(mac ?? []));
}
