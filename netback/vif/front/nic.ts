/**
 * A guest's network interface in use: frames out and in, by one or several pairs of rings, with a port for each or one for both. A stream stays in one queue.
 * The backend is not trusted: the first rule that it breaks is the interface's end. Knows no store, and of a frame only which stream it belongs to.
 */
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Gntshr } from '../../../osdep/gntshr.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import type { VifFeatures } from '../../../xenstored/xenbus/vif.ts';
import { Header } from '../core/header.ts';
import { ExtraType, Gso } from '../core/netif.ts';
import { Steering } from '../core/steering.ts';
import { type Control, ControlRing } from './controlring.ts';
import { type FrameCounts, type FrameMeta, NO_META, noFrames } from './meta.ts';
import { Pump, type PumpControl } from './pump.ts';
import { Receive } from './receive.ts';
import { checkLength, Transmit } from './transmit.ts';

/** Frames that wait for room in a ring; what comes after that is lost, as on any wire. */
const WAITING_MAX = 1024;
/** Slots that are taken from a queue before others have their turn. */
const TURN_SLOTS = 1024;

export interface NicOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
  readonly queues: number;
  /** A port for each ring, instead of one for both of a queue. */
  readonly splitPorts: boolean;
  readonly controlRing: boolean;
  /** What the backend takes, and what it was told that we take. */
  readonly offered: VifFeatures;
  readonly accepted: VifFeatures;
  /** Port and what to call when it fires. */
  readonly onPort: (port: number, event: () => void) => void;
  readonly onFrame: (frame: Uint8Array, meta: FrameMeta) => void;
  /** The backend has broken the rules. */
  readonly onBroken: (reason: string) => void;
}

interface Waiting {
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

interface Queue {
  readonly tx: Transmit;
  readonly rx: Receive;
  readonly txPort: number;
  readonly rxPort: number;
  readonly waiting: Waiting[];
  pump: Pump | undefined;
}

export class FrontNic {
  readonly counts: FrameCounts = noFrames();
  readonly ports: number[] = [];
  /** Frames are counted, not handed over. */
  counting = false;
  readonly #options: NicOptions;
  readonly #queues: Queue[] = [];
  readonly #control: ControlRing | undefined;
  #controlPort = 0;
  readonly #header = new Header();
  readonly #steering: Steering;
  #active = false;
  #broken = false;
  #released = false;
  #whenIdle: (() => void) | undefined;

  /** Grants rings and pages, posts all buffers, and allocates ports. Throws OsError, and then has nothing. */
  constructor(options: NicOptions) {
    this.#options = options;
    this.#steering = new Steering(options.queues);
    try {
      for (let index = 0; index < options.queues; index++) this.#queues.push(this.#queue());
      if (options.controlRing) {
        this.#control = new ControlRing({
          ...options,
          notify: () => options.evtchn.notify(this.#controlPort),
        });
        const control = this.#control;
        this.#controlPort = this.#bind(() => this.#check(control.event()));
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** What the backend has to know of rings and ports. */
  get keys(): Keys {
    const keys: Record<string, string> = { 'multi-queue-num-queues': `${this.#queues.length}` };
    for (const [index, { tx, rx, txPort, rxPort }] of this.#queues.entries()) {
      const at = this.#queues.length === 1 ? '' : `queue-${index}/`;
      keys[`${at}tx-ring-ref`] = `${tx.ringRef}`;
      keys[`${at}rx-ring-ref`] = `${rx.ringRef}`;
      if (txPort === rxPort) keys[`${at}event-channel`] = `${txPort}`;
      else {
        keys[`${at}event-channel-tx`] = `${txPort}`;
        keys[`${at}event-channel-rx`] = `${rxPort}`;
      }
    }
    if (this.#control !== undefined) {
      keys['ctrl-ring-ref'] = `${this.#control.ringRef}`;
      keys['event-channel-ctrl'] = `${this.#controlPort}`;
    }
    return keys;
  }

  get queues(): number {
    return this.#queues.length;
  }

  /** Whether the backend has done anything for us. */
  get useful(): boolean {
    return this.counts.rxFrames > 0 || this.#queues.some(({ tx }) => tx.answered > 0);
  }

  get control(): Control | undefined {
    return this.#control;
  }

  /** Frames may flow from now on. */
  activate(): void {
    this.#active = true;
    for (const port of this.ports) this.#options.evtchn.notify(port);
    this.#control?.activate();
    for (const queue of this.#queues) this.#drain(queue);
  }

  /** Sends a frame of 14 to 65535 bytes, or loses it. Throws RangeError for what the backend was not said to take. */
  send(frame: Uint8Array, meta: FrameMeta = NO_META): void {
    this.#checkMeta(frame.length, meta);
    const queue = this.#queueFor(frame);
    if (queue.waiting.length === WAITING_MAX || this.#whenIdle !== undefined || this.#broken)
      this.counts.txLost++;
    else {
      queue.waiting.push({ frame, meta });
      this.#drain(queue);
    }
  }

  /** Lets packets for a group come in, or no longer. False: the backend refuses, or has no time. */
  async amend(type: 'join' | 'leave', group: Uint8Array): Promise<boolean> {
    const queue = this.#queues[0]!;
    if (!this.#active || this.#broken || this.#released) return false;
    const order = type === 'join' ? ExtraType.MCAST_ADD : ExtraType.MCAST_DEL;
    const answer = queue.tx.putOrder(order, group);
    if (queue.tx.publish()) this.#options.evtchn.notify(queue.txPort);
    return (await answer) ?? false;
  }

  pump(index: number, frame: Uint8Array, meta: FrameMeta): PumpControl {
    this.#checkMeta(frame.length, meta);
    if (this.#released) throw new Error('the interface is closed');
    const queue = this.#queues[index];
    if (queue === undefined) throw new RangeError(`there is no queue ${index}`);
    queue.pump?.stop();
    queue.pump = new Pump(queue.tx, frame, meta, () => this.#drain(queue));
    return queue.pump;
  }

  /** Sends nothing any more; settles when all is answered, or never will be. */
  quiesce(gone: AbortSignal): Promise<void> {
    for (const { waiting, pump } of this.#queues) {
      waiting.length = 0;
      pump?.stop();
    }
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      if (gone.aborted || this.#broken) resolve();
      else gone.addEventListener('abort', () => resolve(), { once: true });
      this.#settle();
    });
  }

  /** Ends the grants and closes the ports. */
  release(): void {
    this.#released = true;
    for (const port of this.ports) this.#options.evtchn.unbind(port);
    for (const { tx, rx } of this.#queues) {
      tx.release();
      rx.release();
    }
    this.#control?.release();
  }

  #queue(): Queue {
    const { gntshr, backendDomid, splitPorts, accepted } = this.#options;
    const { counts } = this;
    const tx = new Transmit({ gntshr, backendDomid, counts });
    let rx: Receive;
    try {
      rx = new Receive({
        gntshr,
        backendDomid,
        counts,
        takesGso: (type) =>
          type === Gso.TCPV4 ? accepted.gsoTcpv4 : type === Gso.TCPV6 && accepted.gsoTcpv6,
        takesHash: () => this.#control?.hashes ?? false,
        onPacket: (packet) => {
          if (!this.counting) this.#options.onFrame(packet.bytes(), packet.meta);
        },
      });
    } catch (error) {
      tx.release();
      throw error;
    }
    const queue: { -readonly [K in keyof Queue]: Queue[K] } = {
      tx,
      rx,
      txPort: 0,
      rxPort: 0,
      waiting: [],
      pump: undefined,
    };
    try {
      queue.txPort = this.#bind(() => this.#event(queue, splitPorts ? 'tx' : 'both'));
      queue.rxPort = splitPorts ? this.#bind(() => this.#event(queue, 'rx')) : queue.txPort;
    } catch (error) {
      tx.release();
      rx.release();
      throw error;
    }
    return queue;
  }

  #bind(event: () => void): number {
    const { evtchn, backendDomid, onPort } = this.#options;
    const port = evtchn.bindUnboundPort(backendDomid);
    this.ports.push(port);
    onPort(port, () => {
      if (!this.#broken && !this.#released) event();
    });
    return port;
  }

  #event(queue: Queue, which: 'tx' | 'rx' | 'both'): void {
    if (which !== 'rx' && this.#check(queue.tx.reap())) this.#drain(queue);
    if (which !== 'tx' && !this.#broken) this.#receive(queue);
  }

  #receive(queue: Queue): void {
    const taken = queue.rx.take(TURN_SLOTS);
    if (typeof taken !== 'string') {
      this.#check(taken.broken);
      return;
    }
    if (queue.rx.publish()) this.#options.evtchn.notify(queue.rxPort);
    if (taken === 'done') return;
    // Whoever is flooded does not forget the rest of its work.
    setImmediate(() => {
      if (!this.#broken && !this.#released) this.#receive(queue);
    });
  }

  #drain(queue: Queue): void {
    if (!this.#active || this.#broken || this.#released) return;
    const { tx, waiting, pump } = queue;
    let taken = 0;
    while (taken < waiting.length && tx.put(waiting[taken]!.frame, waiting[taken]!.meta)) taken++;
    if (taken > 0) waiting.splice(0, taken);
    pump?.fill();
    if (tx.publish()) this.#options.evtchn.notify(queue.txPort);
    this.#settle();
  }

  #settle(): void {
    if (this.#queues.every(({ tx }) => tx.idle)) this.#whenIdle?.();
  }

  #queueFor(frame: Uint8Array): Queue {
    if (this.#queues.length === 1) return this.#queues[0]!;
    this.#header.parse(frame, 0, frame.length);
    return this.#queues[this.#steering.steer(this.#header)]!;
  }

  #checkMeta(length: number, { csum, gso }: FrameMeta): void {
    const { offered } = this.#options;
    checkLength(length);
    if (length > 4096 && !offered.sg) throw new RangeError('the backend takes frames of one page only');
    if (csum === 'blank' && !offered.ipv4CsumOffload && !offered.ipv6CsumOffload)
      throw new RangeError('the backend takes no blank checksums');
    if (gso === undefined) return;
    if (!(gso.type === 'tcpv4' ? offered.gsoTcpv4 : offered.gsoTcpv6))
      throw new RangeError(`the backend does not segment ${gso.type}`);
    if (csum !== 'blank') throw new RangeError('a frame to be segmented has a blank checksum');
  }

  /** True: nothing is wrong. */
  #check(broken: string | undefined): boolean {
    if (broken === undefined) return true;
    this.#broken = true;
    this.#options.onBroken(broken);
    return false;
  }
}
