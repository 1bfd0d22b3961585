/**
 * The network driver of a simulated guest: what the handshake's runner (xenstored/client) asks of a driver, and the guest's interfaces as their users see
 * them. Reads what the backend offers and publishes rings, ports and features. An interface whose backend has closed and stays is connected again. Knows
 * nothing of what is in a frame.
 */
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Platform } from '../../../osdep/platform.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../../xenstored/client/frontend.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import { Checker, type KeyReader, parseMac } from '../../../xenstored/xenbus/value.ts';
import { readVifBack, type VifBackKeys, type VifFeatures } from '../../../xenstored/xenbus/vif.ts';
import type { Control } from './controlring.ts';
import type { FrameCounts, FrameMeta } from './meta.ts';
import { FrontNic } from './nic.ts';
import type { PumpControl } from './pump.ts';

/** A connected interface. After it was closed and connected again there is another one. */
export interface Interface {
  readonly devid: number;
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** The largest packet behind an Ethernet header, in bytes. */
  readonly mtu: number;
  readonly queues: number;
  /** What the backend takes. */
  readonly offered: VifFeatures;
  readonly counts: Readonly<FrameCounts>;
  /** Aborts when it is closed. */
  readonly closed: AbortSignal;
  /** What may be ordered about queues; undefined: the backend has no control ring. */
  readonly control: Control | undefined;
  /**
   * Sends a frame of 14 to 65535 bytes, or loses it; without scatter-gather 4096. Throws RangeError for what the backend does not take (`offered`).
   */
  send(frame: Uint8Array, meta?: FrameMeta): void;
  /** With multicast control, packets for a group come in after this only; six bytes. False: refused, or there is no such control. */
  joinGroup(group: Uint8Array): Promise<boolean>;
  leaveGroup(group: Uint8Array): Promise<boolean>;
  /** The guest wants it no more. */
  close(): void;
  /** Goes through the handshake again, as after a resume. */
  reconnect(): void;
  /** For measuring: a source of one frame in a queue of its own choice. */
  pump(queue: number, frame: Uint8Array, meta?: FrameMeta): PumpControl;
  /** For measuring: from now on frames are counted, and not handed over. */
  countOnly(): void;
}

/** How long a backend may take to answer what was sent, when the guest leaves. */
const QUIESCE_MS = 1000;
/** How often a backend may close without having done anything before. */
const FRUITLESS = 5;

/** What to ask for, where the backend offers it. */
export interface NetfrontWishes {
  readonly queues: number;
  readonly splitPorts: boolean;
  readonly controlRing: boolean;
  /** Only groups that were joined. */
  readonly multicastControl: boolean;
  /** Notify of buffers. Without, the backend has to look. */
  readonly rxNotify: boolean;
  /** What may come in. */
  readonly accepts: VifFeatures;
}

const defaultWishes: NetfrontWishes = {
  queues: 1,
  splitPorts: true,
  controlRing: true,
  multicastControl: false,
  rxNotify: true,
  accepts: { sg: true, gsoTcpv4: true, gsoTcpv6: true, ipv4CsumOffload: true, ipv6CsumOffload: true },
};

export interface NetfrontOptions {
  readonly platform: Pick<Platform, 'clock' | 'openEvtchn' | 'openGntshr'>;
  /** `defaultWishes`, but for these. */
  readonly wishes?: Partial<NetfrontWishes>;
  /** An interface is connected; what is returned is called with each frame that comes, whose bytes are its own. */
  readonly onInterface: (nic: Interface) => (frame: Uint8Array, meta: FrameMeta) => void;
}

export function netfront({ platform, wishes, onInterface }: NetfrontOptions): FrontendDriver {
  const gntshr = platform.openGntshr();
  const evtchn: Evtchn = platform.openEvtchn();
  const wish = { ...defaultWishes, ...wishes };
  const events = new Map<number, () => void>();
  evtchn.onReadable(() => {
    for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
      evtchn.unmask(port);
      events.get(port)?.();
    }
  });
  const open = (link: FrontendLink): FrontendDevice => {
    let nic: FrontNic | undefined;
    let back: VifBackKeys;
    let receive: (frame: Uint8Array, meta: FrameMeta) => void = () => {};
    let closed = new AbortController();
    let wanted = true;
    let fruitless = 0;
    const leave = (toComeBack: boolean): void => {
      wanted = toComeBack;
      fruitless = 0;
      link.close();
    };
    return {
      async share(): Promise<Keys> {
        back = await link.readBack(readVifBack());
        if (!back.rxCopy) throw new Error('the backend does not copy');
        receive = () => {};
        nic = new FrontNic({
          gntshr,
          evtchn,
          backendDomid: link.backendDomid,
          queues: Math.min(wish.queues, back.maxQueues),
          splitPorts: wish.splitPorts && back.splitEventChannels,
          controlRing: wish.controlRing && back.ctrlRing,
          offered: back.features,
          accepted: wish.accepts,
          onPort: (port, event) => events.set(port, event),
          onFrame: (frame, meta) => receive(frame, meta),
          onBroken: (reason) => {
            wanted = false;
            link.broken(reason);
          },
        });
        return { ...nic.keys, ...wishKeys(wish, back) };
      },
      async activate(): Promise<void> {
        const own = await link.read(readOwn());
        const made = nic!;
        closed = new AbortController();
        receive = onInterface(
          interfaceOf({ link, nic: made, back, wish, own, closed: closed.signal, leave }),
        );
        made.activate();
      },
      async quiesce(gone: AbortSignal): Promise<void> {
        receive = () => {};
        closed.abort();
        const late = new AbortController();
        const stop = platform.clock.after(QUIESCE_MS, () => late.abort());
        await nic?.quiesce(AbortSignal.any([gone, late.signal]));
        stop();
      },
      async release(): Promise<void> {
        for (const port of nic?.ports ?? []) events.delete(port);
        nic?.release();
        fruitless = nic?.useful === true ? 0 : fruitless + 1;
        nic = undefined;
        if (!wanted || fruitless > FRUITLESS) return;
        if (await link.readBack(readOnline()).catch(() => false)) link.open();
      },
    };
  };
  return { kind: 'vif', published: 4, open };
}

/** Each is written, yes or no: there may be others in the directory, of a former backend's time. */
function wishKeys({ accepts, multicastControl, rxNotify }: NetfrontWishes, back: VifBackKeys): Keys {
  const flag = (is: boolean): string => (is ? '1' : '0');
  return {
    'request-rx-copy': '1',
    'feature-rx-notify': flag(rxNotify),
    'feature-sg': flag(accepts.sg),
    'feature-gso-tcpv4': flag(accepts.gsoTcpv4),
    'feature-gso-tcpv6': flag(accepts.gsoTcpv6),
    'feature-no-csum-offload': flag(!accepts.ipv4CsumOffload),
    'feature-ipv6-csum-offload': flag(accepts.ipv6CsumOffload),
    'request-multicast-control': flag(multicastControl && back.multicastControl),
  };
}

interface InterfaceParts {
  readonly link: FrontendLink;
  readonly nic: FrontNic;
  readonly back: VifBackKeys;
  readonly wish: NetfrontWishes;
  readonly own: Own;
  readonly closed: AbortSignal;
  readonly leave: (toComeBack: boolean) => void;
}

function interfaceOf({ link, nic, back, wish, own, closed, leave }: InterfaceParts): Interface {
  const filters = wish.multicastControl && back.multicastControl;
  return {
    devid: link.devid,
    ...own,
    queues: nic.queues,
    offered: back.features,
    counts: nic.counts,
    closed,
    control: nic.control,
    send: (frame, meta) => nic.send(frame, meta),
    joinGroup: async (group) => filters && nic.amend('join', group),
    leaveGroup: async (group) => filters && nic.amend('leave', group),
    close: () => leave(false),
    reconnect: () => leave(true),
    pump: (queue, frame, meta = {}) => nic.pump(queue, frame, meta),
    countOnly() {
      nic.counting = true;
    },
  };
}

/** Whether the backend's device stays when its frontend has closed. */
function* readOnline(): KeyReader<boolean> {
  return { ok: true, value: (yield 'online') === '1' };
}

interface Own {
  readonly mac: Uint8Array;
  readonly mtu: number;
}

function* readOwn(): KeyReader<Own> {
  const check = new Checker();
  const mac = parseMac((yield 'mac') ?? '');
  if (mac === undefined) check.fail('mac', 'missing, or not a MAC address');
  return check.result({
    mac: Uint8Array.from(mac ?? []),
    mtu: check.number('mtu', yield 'mtu', 68, 0xffff, 1500),
  });
}
