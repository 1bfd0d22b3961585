/**
 * The socket device of a guest: what the handshake's runner (xenstored/client) asks of a driver. Reads what the backend offers, publishes the ring of
 * commands, and hands out a socket driver, once, that lives on however often the device is connected. Knows nothing of what sockets do.
 */
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Gntshr } from '../../../osdep/gntshr.ts';
import type { Platform } from '../../../osdep/platform.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../../xenstored/client/frontend.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import {
  MAX_PAGE_ORDER,
  PVCALLS_VERSION,
  type PvcallsBackKeys,
  readPvcallsBack,
} from '../../../xenstored/xenbus/pvcalls.ts';
import type { KeyReader } from '../../../xenstored/xenbus/value.ts';
import { Commands } from './commands.ts';
import { RingPool } from './pool.ts';
import { XenSock } from './xensock.ts';

export interface SockfrontOptions {
  readonly platform: Pick<Platform, 'clock' | 'openEvtchn' | 'openGntshr'>;
  /** A device is connected: once for each, however often it is connected again. */
  readonly onDriver: (devid: number, driver: XenSock) => void;
  /**
   * Pages of a data ring, as a power of two from 1 to 9, half of them for each direction; the backend may take less. Of sockets that connect.
   * Default: 6.
   */
  readonly connectOrder?: number;
  /** Of connections that are accepted, of which there may be many. Default: 4. */
  readonly acceptOrder?: number;
  /** Of sockets for datagrams; from 6 on the largest datagram fits. Default: 6. */
  readonly datagramOrder?: number;
  /** Sockets of a device at a time. Default: 16384. */
  readonly sockets?: number;
  /** Whether to use the extension where it is offered. Default: yes. */
  readonly extension?: boolean;
}

/** Ports taken at a time. */
const PORTS = 1024;
/** Connections that brought not one answer, before a device is given up. */
const FRUITLESS = 3;

export function sockfront(options: SockfrontOptions): FrontendDriver {
  const gntshr = options.platform.openGntshr();
  const evtchn = options.platform.openEvtchn();
  const ports = new Map<number, () => void>();
  const fired = new Uint32Array(PORTS);
  // A port that fires again meanwhile has its turn after the others, and after all else of the program.
  const takeAll = (): void => {
    const count = evtchn.pendingAll(fired);
    for (let i = 0; i < count; i++) {
      evtchn.unmask(fired[i]!);
      ports.get(fired[i]!)?.();
    }
    if (count === PORTS) setImmediate(takeAll);
  };
  evtchn.onReadable(takeAll);
  const open = (link: FrontendLink): FrontendDevice =>
    new SocketDevice({ ...options, gntshr, evtchn, ports, link });
  return { kind: 'pvcalls', published: 3, open };
}

interface DeviceOptions extends SockfrontOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly ports: Map<number, () => void>;
  readonly link: FrontendLink;
}

class SocketDevice implements FrontendDevice {
  readonly #options: DeviceOptions;
  readonly #driver: XenSock;
  #back: PvcallsBackKeys | undefined;
  #commands: Commands | undefined;
  #pool: RingPool | undefined;
  #shown = false;
  #wanted = true;
  #fruitless = 0;

  constructor(options: DeviceOptions) {
    const { link, platform, connectOrder = 6, acceptOrder = 4, datagramOrder = 6, sockets = 16384 } = options;
    this.#options = options;
    this.#driver = new XenSock({
      name: `xensock${link.devid}`,
      clock: platform.clock,
      connectOrder: inRange(connectOrder),
      acceptOrder: inRange(acceptOrder),
      datagramOrder: inRange(datagramOrder),
      sockets,
      onLeave: (how) => {
        this.#wanted = how === 'to come back';
        this.#fruitless = 0;
        if (!this.#wanted) this.#driver.end();
        if (this.#commands !== undefined) link.close();
        else if (this.#wanted) link.open();
      },
    });
  }

  async share(): Promise<Keys> {
    const { link, ports, extension = true } = this.#options;
    this.#back = await link.readBack(readPvcallsBack());
    const common = { ...this.#options, backendDomid: link.backendDomid };
    const commands = new Commands(common);
    this.#commands = commands;
    this.#pool = new RingPool(common);
    ports.set(commands.port, () => {
      const wrong = commands.event();
      if (wrong !== undefined) this.#broken(wrong);
    });
    return {
      version: PVCALLS_VERSION,
      'ring-ref': `${commands.ringRef}`,
      port: `${commands.port}`,
      // Written yes or no: there may be one of a former connection's.
      'feature-xensock': extension && this.#back.extension ? '1' : '0',
    };
  }

  async activate(): Promise<void> {
    const { link, onDriver, extension = true } = this.#options;
    const { maxPageOrder } = this.#back!;
    const extended = extension && this.#back!.extension;
    const commands = this.#commands!;
    commands.activate();
    this.#driver.connected({
      commands,
      pool: this.#pool!,
      maxOrder: maxPageOrder,
      extended,
      // Said or not, whoever offers it does so; Linux's backend does not.
      sendsReleased: this.#back!.extension,
      events: extended ? 'needed' : 'bytes',
      live: true,
    });
    if (!this.#shown) onDriver(link.devid, this.#driver);
    this.#shown = true;
  }

  /** What was sent is in the rings, which the backend empties before it lets go of them; calls under way get no answer. */
  async quiesce(): Promise<void> {
    this.#driver.disconnected();
  }

  async release(): Promise<void> {
    const { link, ports } = this.#options;
    const commands = this.#commands;
    this.#driver.disconnected();
    if (commands !== undefined) {
      ports.delete(commands.port);
      this.#fruitless = commands.answered > 0 ? 0 : this.#fruitless + 1;
      commands.release();
    }
    this.#pool?.release();
    this.#commands = undefined;
    this.#pool = undefined;
    if (await this.#stays()) link.open();
    else this.#driver.end();
  }

  close(): void {
    this.#driver.disconnected();
    this.#driver.end();
  }

  /** The backend has closed, but its device is there to come back to, and it was of use so far. */
  async #stays(): Promise<boolean> {
    if (!this.#wanted || this.#fruitless > FRUITLESS) return false;
    return this.#options.link.readBack(readOnline()).catch(() => false);
  }

  #broken(reason: string): void {
    this.#wanted = false;
    this.#driver.disconnected();
    // Such a backend may never let go, and nobody is to wait for that.
    this.#driver.end();
    this.#options.link.broken(reason);
  }
}

function inRange(order: number): number {
  return Math.max(1, Math.min(MAX_PAGE_ORDER, Math.floor(order)));
}

/** Whether the backend's device stays when its frontend has closed. */
function* readOnline(): KeyReader<boolean> {
  return { ok: true, value: (yield 'online') === '1' };
}
