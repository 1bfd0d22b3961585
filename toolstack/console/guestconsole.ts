/**
 * One domain's console: its ring on one side, a terminal and a log on the other. What the domain says goes into the log first, then to whoever has the
 * terminal open, and is kept for him, up to a limit, if nobody has; what he types goes to the domain, as much as it takes. The domain is hostile: indices
 * that cannot be are ignored, and it is heard so often and no more. Follows xen/include/public/io/console.h. Knows no store.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Gnttab } from '../../osdep/gnttab.ts';
import { ReservedGrant } from '../../osdep/gnttab.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import { type Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import { closePty, openPty, type Pty, waiting } from '../../osdep/os/pty.ts';
import { read, write } from '../../osdep/os/sock.ts';
import type { Ports } from '../../osdep/ports.ts';
import { consoleBackend, type RingEnd } from '../../osdep/ring/bytering.ts';
import { ConsoleBuffer } from '../core/consolebuffer.ts';
import { EventRate } from '../core/eventrate.ts';

export interface ConsoleHost {
  readonly poller: Poller;
  readonly ports: Ports;
  readonly gnttab: Gnttab;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

export interface GuestConsoleOptions extends ConsoleHost {
  readonly domid: number;
  /** Bytes that are kept for one who does not look. */
  readonly limit: number;
  /** undefined: nothing is logged. */
  readonly log: { write(bytes: Uint8Array): void; close(): void } | undefined;
}

/** The `out` half of the ring: what is there at a time. */
const OUT_BYTES = 2048;
const IN_BYTES = 1024;
/**
 * For how long a terminal is kept after its domain: always, since what was just written is not seen to be waiting at its other end yet, and for one who has not
 * read it all.
 */
const LEAST_MS = 500;
const MOST_MS = 2000;
const LOOK_MS = 50;

interface Ring {
  readonly page: Mapping;
  readonly end: RingEnd;
  /** Of the domain's. */
  readonly remotePort: number;
  readonly port: number;
}

export class GuestConsole {
  readonly #options: GuestConsoleOptions;
  readonly #pty: Pty;
  readonly #buffer: ConsoleBuffer;
  readonly #rate = new EventRate();
  readonly #bytes = Buffer.alloc(OUT_BYTES);
  #ring: Ring | undefined;
  #cancelPause = (): void => {};
  #interest = 0;
  #closed = false;

  /** With a terminal and no domain yet. Throws OsError. */
  constructor(options: GuestConsoleOptions) {
    this.#options = options;
    this.#buffer = new ConsoleBuffer(options.limit);
    this.#pty = openPty();
    try {
      options.poller.add(this.#pty.master, 0, (events) => this.#onTerminal(events));
    } catch (error) {
      closePty(this.#pty);
      throw error;
    }
  }

  /** The terminal's name. */
  get terminal(): string {
    return this.#pty.name;
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
    this.#watch();
  }

  /** The domain is gone: whoever still reads what it said may do so to the end, for a while. Idempotent. */
  async end(): Promise<void> {
    this.disconnect();
    const { clock } = this.#options;
    const since = clock.now();
    const isRead = (): boolean => this.#buffer.empty && waiting(this.#pty.slave) === 0;
    for (let passed = 0; !this.#closed && (passed < LEAST_MS || !isRead()); passed = clock.now() - since) {
      if (passed > MOST_MS) break;
      await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
    }
    this.close();
  }

  /** At once. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.disconnect();
    this.#options.poller.remove(this.#pty.master);
    closePty(this.#pty);
    this.#options.log?.close();
  }

  #onEvent(): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    const { clock, ports } = this.#options;
    this.#hear();
    this.#watch();
    const pauseMs = this.#rate.take(clock.now());
    if (pauseMs === 0) {
      ports.open(ring.port);
      return;
    }
    this.#cancelPause = clock.after(pauseMs, () => {
      this.#hear();
      this.#watch();
      ports.open(ring.port);
    });
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
    this.#buffer.append(bytes);
    this.#flush();
  }

  /** As much as the terminal takes. */
  #flush(): void {
    while (!this.#buffer.empty) {
      const count = write(this.#pty.master, this.#buffer.first());
      if (count <= 0) return;
      this.#buffer.take(count);
    }
  }

  #onTerminal(events: number): void {
    if ((events & WRITABLE) !== 0) this.#flush();
    if ((events & READABLE) !== 0) this.#pass();
    this.#watch();
  }

  /** From the terminal to the domain. */
  #pass(): void {
    if (this.#ring === undefined) return;
    const { writer } = this.#ring.end;
    const at = writer.position;
    const room = writer.room(at);
    if (!room.ok || room.bytes === 0) return;
    const count = read(this.#pty.master, this.#bytes, Math.min(room.bytes, IN_BYTES));
    if (count <= 0) return;
    writer.put(at, this.#bytes.subarray(0, count));
    writer.advance(at + count);
    this.#options.ports.notify(this.#ring.port);
  }

  /** Looks at the terminal for what can be done now. */
  #watch(): void {
    if (this.#closed) return;
    const writer = this.#ring?.end.writer;
    const room = writer?.room(writer.position);
    const hears = room?.ok === true && room.bytes > 0;
    const interest = (hears ? READABLE : 0) | (this.#buffer.empty ? 0 : WRITABLE);
    if (interest === this.#interest) return;
    this.#interest = interest;
    this.#options.poller.modify(this.#pty.master, interest);
  }
}
