/**
 * Captures on demand: while the key `capture` in an interface's backend directory names a file below the run directory, in a folder that is there, every
 * frame of that interface is in it, both ways, as the guest sends and gets them. `capture-snaplen` (bytes of a frame, default all) and `capture-limit` (MiB of
 * the file, default 64) are read along with it. What goes wrong is a line in the log and costs the capture alone.
 */
import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, normalize, resolve } from 'node:path';
import type { Clock } from '../../../osdep/clock.ts';
import type { BackendLink } from '../../../xenstored/client/backend.ts';
import { Checker, type KeyReader } from '../../../xenstored/xenbus/value.ts';
import { MAX_PACKET_BYTES } from '../core/netif.ts';
import type { PacketPool } from '../core/packets.ts';
import type { Vif } from '../core/vif.ts';
import type { Place, Places } from './lan.ts';
import { Pcap } from './pcap.ts';

const SNAPLEN_MIN = 64;
const LIMIT_MIB = 64;
const LIMIT_MIB_MAX = 1 << 20;
const MIB = 1 << 20;

export interface CaptureOptions {
  /** Files are below it. */
  readonly directory: string;
  readonly clock: Clock;
  readonly pool: PacketPool;
  readonly memory: Uint8Array;
  /** One line. */
  readonly log: (line: string) => void;
}

/** What is ordered; `path` empty: no capture. */
interface CaptureOrder {
  readonly path: string;
  readonly snaplen: number;
  readonly limitMib: number;
}

function* readCapture(): KeyReader<CaptureOrder> {
  const check = new Checker();
  return check.result({
    path: check.text('capture', yield 'capture', 1024, ''),
    snaplen: check.number(
      'capture-snaplen',
      yield 'capture-snaplen',
      SNAPLEN_MIN,
      MAX_PACKET_BYTES,
      MAX_PACKET_BYTES,
    ),
    limitMib: check.number('capture-limit', yield 'capture-limit', 1, LIMIT_MIB_MAX, LIMIT_MIB),
  });
}

/** The same places, whose interfaces can be captured. */
export function capturing(places: Places, options: CaptureOptions): Places {
  return async (link, order) => {
    const place = await places(link, order);
    const capture = new Capture(link, options);
    await capture.look();
    return new CapturedPlace(place, capture);
  };
}

class CapturedPlace implements Place {
  readonly #place: Place;
  readonly #capture: Capture;

  constructor(place: Place, capture: Capture) {
    this.#place = place;
    this.#capture = capture;
  }

  get lan(): Place['lan'] {
    return this.#place.lan;
  }

  connected(...[vif, front]: Parameters<Place['connected']>): void {
    this.#capture.watch(vif);
    this.#place.connected(vif, front);
  }

  disconnected(): void {
    this.#capture.watch(undefined);
    this.#place.disconnected();
  }

  changed(key: string): void {
    if (key.startsWith('capture')) void this.#capture.look();
    this.#place.changed(key);
  }

  close(why: 'gone' | 'stop'): void {
    this.#capture.close();
    this.#place.close(why);
  }
}

class Capture {
  readonly #link: BackendLink;
  readonly #options: CaptureOptions;
  #order: CaptureOrder | undefined;
  #pcap: Pcap | undefined;
  #vif: Vif | undefined;
  #closed = false;

  constructor(link: BackendLink, options: CaptureOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** Reads the order anew, and follows it. Never rejects. */
  async look(): Promise<void> {
    try {
      this.#follow(await this.#link.read(readCapture()));
    } catch (error) {
      // Written once more, it is tried once more.
      this.#order = undefined;
      this.#say(`no capture: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  watch(vif: Vif | undefined): void {
    if (this.#vif !== undefined) this.#vif.watcher = undefined;
    this.#vif = vif;
    const pcap = this.#pcap;
    if (vif === undefined || pcap === undefined) return;
    const { pool, memory } = this.#options;
    vif.watcher = (packet) => pcap.add(memory, pool.position(packet), pool.lengths[packet]!);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #follow(order: CaptureOrder): void {
    const now = this.#order;
    const same = order.path === now?.path && order.snaplen === now.snaplen && order.limitMib === now.limitMib;
    if (same || this.#closed) return;
    this.#stop();
    this.#order = order;
    if (order.path === '') {
      if (now !== undefined && now.path !== '') this.#say('capture has been switched off');
      return;
    }
    const { clock } = this.#options;
    const path = this.#checked(order.path);
    const onEnd = (reason: string): void => {
      this.#order = undefined;
      this.#say(`capture has ended: ${reason}`);
    };
    const limitBytes = order.limitMib * MIB;
    this.#pcap = new Pcap({ path, snaplen: order.snaplen, limitBytes, clock, onEnd });
    this.#say(`captured to ${path}`);
    this.watch(this.#vif);
  }

  /** Wherever its folder really is. */
  #checked(path: string): string {
    const directory = resolve(this.#options.directory);
    const wrong = `capture: ${JSON.stringify(path)} is no file below ${directory}`;
    if (!isAbsolute(path) || normalize(path) !== path || !path.startsWith(join(directory, '/')))
      throw new Error(wrong);
    const [folder, top] = [realpathSync(dirname(path)), realpathSync(directory)];
    if (folder !== top && !folder.startsWith(join(top, '/'))) throw new Error(wrong);
    return path;
  }

  #stop(): void {
    const pcap = this.#pcap;
    this.#pcap = undefined;
    this.watch(this.#vif);
    if (pcap === undefined) return;
    pcap.close();
    if (pcap.missed > 0)
      this.#say(`${pcap.missed} frames are not in the capture: they came faster than they could be written`);
  }

  #say(line: string): void {
    this.#options.log(`${this.#link.path}: ${line}`);
  }
}
