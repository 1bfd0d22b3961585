/**
 * One domain's console: its ring on one side, a terminal and a log on the other. What the domain says goes into the log first, then to the terminal; what is
 * typed there goes to the domain, as much as it takes. The domain is hostile: indices that cannot be are ignored, and it is heard so often and no more. Follows
 * xen/include/public/io/console.h. Knows no store.
 */
import type { Clock } from '../../osdep/clock.ts';
import { type Gnttab, ReservedGrant } from '../../osdep/gnttab.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { Poller } from '../../osdep/os/poll.ts';
import type { Ports } from '../../osdep/ports.ts';
import { consoleBackend, type RingEnd } from '../../osdep/ring/bytering.ts';
import { EventRate } from '../core/eventrate.ts';
import { PtyEnd } from '../io/ptyend.ts';

export interface ConsoleHost {
  readonly poller: Poller;
  readonly ports: Ports;
  readonly gnttab: Gnttab;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

export interface GuestConsoleOptions extends ConsoleHost {
  readonly domid: number;
  /** Of the terminal: see PtyEnd. */
  readonly mark: number;
  /** Bytes that are kept for one who does not look. */
  readonly limit: number;
  /** undefined: nothing is logged. */
  readonly log: { write(bytes: Uint8Array): void; close(): void } | undefined;
}

/** The larger half of the ring. */
const OUT_BYTES = 2048;

interface Ring {
  readonly page: Mapping;
  readonly end: RingEnd;
  /** Of the domain's. */
  readonly remotePort: number;
  readonly port: number;
}

export class GuestConsole {
  readonly #options: GuestConsoleOptions;
  readonly #terminal: PtyEnd;
  readonly #rate = new EventRate();
  readonly #bytes = Buffer.alloc(OUT_BYTES);
  #ring: Ring | undefined;
  #cancelPause = (): void => {};

  /** With a terminal and no domain yet. Throws OsError. */
  constructor(options: GuestConsoleOptions) {
    this.#options = options;
    this.#terminal = new PtyEnd({ ...options, typed: () => this.#pass() });
  }

  /** The terminal's name. */
  get terminal(): string {
    return this.#terminal.name;
  }

  /** The domain's port that it is bound to. */
  get remotePort(): number | undefined {
    return this.#ring?.remotePort;
  }

  /** Maps the ring and binds the port, in the place of those there were. Throws OsError; then it has none. */
  connect(remotePort: number): void {
    this.disconnect();
    const { gnttab, ports, domid } = this.#options;
    const page = gnttab.mapGrantRef(domid, ReservedGrant.CONSOLE, 'rw');
    try {
      const port = ports.bind(domid, remotePort, () => this.#onEvent());
      this.#ring = { page, end: consoleBackend(page.bytes), remotePort, port };
    } catch (error) {
      page.unmap();
      throw error;
    }
  }

  /** Lets go of the domain, having heard what it said last. Idempotent. */
  disconnect(): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    this.#cancelPause();
    this.#hear();
    this.#ring = undefined;
    this.#options.ports.unbind(ring.port);
    ring.page.unmap();
    this.#terminal.listen('off');
  }

  /** The domain is gone; its terminal is kept for a moment. Idempotent. */
  async end(): Promise<void> {
    this.disconnect();
    this.#options.log?.close();
    await this.#terminal.end();
  }

  /** At once. Idempotent. */
  close(): void {
    this.disconnect();
    this.#options.log?.close();
    this.#terminal.close();
  }

  #onEvent(): void {
    if (this.#ring === undefined) return;
    const pauseMs = this.#rate.take(this.#options.clock.now());
    this.#serve();
    if (pauseMs === 0) this.#open();
    else this.#cancelPause = this.#options.clock.after(pauseMs, () => this.#open());
  }

  /** It may ring again. What it did while it could not is served then: a shut port remembers. */
  #open(): void {
    if (this.#ring !== undefined) this.#options.ports.open(this.#ring.port);
  }

  #serve(): void {
    this.#hear();
    const room = this.#room();
    this.#terminal.listen(room > 0 ? 'on' : 'off');
  }

  /**
   * What the domain has said. Its index moves when the log has it: who is killed between the two logs it again. Both indices are taken from the page each
   * time, as xenconsoled does, since a domain may begin anew; what it gains by lying is to be heard again.
   */
  #hear(): void {
    if (this.#ring === undefined) return;
    const { reader } = this.#ring.end;
    const from = reader.position;
    const there = reader.available(from);
    if (!there.ok || there.bytes === 0) return;
    const bytes = this.#bytes.subarray(0, there.bytes);
    reader.peek(from, bytes);
    this.#options.log?.write(bytes);
    reader.advance(from + bytes.length);
    this.#options.ports.notify(this.#ring.port);
    this.#terminal.say(bytes);
  }

  /** From the terminal to the domain. */
  #pass(): void {
    const room = this.#room();
    const count = room === 0 ? 0 : this.#terminal.take(this.#bytes.subarray(0, room));
    if (count > 0) {
      const { writer } = this.#ring!.end;
      const at = writer.position;
      writer.put(at, this.#bytes.subarray(0, count));
      writer.advance(at + count);
      this.#options.ports.notify(this.#ring!.port);
    }
    // Until it has taken some, and says so.
    if (count === room) this.#terminal.listen('off');
  }

  /** What the domain can hear now, bytes. */
  #room(): number {
    const writer = this.#ring?.end.writer;
    const room = writer?.room(writer.position);
    return room?.ok ? room.bytes : 0;
  }
}
