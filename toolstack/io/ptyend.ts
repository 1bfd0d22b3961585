/**
 * A terminal that is served: what somebody says to it is kept, up to a limit, for whoever has it open or will; what he types is taken when it is asked for.
 * Knows neither who speaks nor who listens.
 */
import type { Clock } from '../../osdep/clock.ts';
import { type Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import { closePty, openPty, type Pty, setMark, waiting } from '../../osdep/os/pty.ts';
import { read, write } from '../../osdep/os/sock.ts';
import type { Client } from '../../xenstored/client/index.ts';
import { markNode } from '../core/console.ts';
import { ConsoleBuffer } from '../core/consolebuffer.ts';

export interface PtyEndOptions {
  readonly poller: Poller;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Bytes that are kept for one who does not look. */
  readonly limit: number;
  /** By which its viewers know it from others of its name: 32 bits. */
  readonly mark: number;
  /** Something has been typed: `take` it, or stop listening. */
  readonly typed: () => void;
}

/**
 * For how long a terminal is kept after whoever spoke: always, since what was just written is not seen to be waiting at its other end yet, and for one who has
 * not read it all.
 */
const LEAST_MS = 500;
const MOST_MS = 2000;
const LOOK_MS = 50;

export class PtyEnd {
  readonly #options: PtyEndOptions;
  readonly #pty: Pty;
  readonly #kept: ConsoleBuffer;
  #listens = false;
  #interest = 0;
  #closed = false;

  /** Throws OsError. */
  constructor(options: PtyEndOptions) {
    this.#options = options;
    this.#kept = new ConsoleBuffer(options.limit);
    this.#pty = openPty();
    try {
      setMark(this.#pty, options.mark);
      options.poller.add(this.#pty.master, 0, (events) => this.#onReady(events));
    } catch (error) {
      closePty(this.#pty);
      throw error;
    }
  }

  /** `/dev/pts/7` */
  get name(): string {
    return this.#pty.name;
  }

  /** The bytes are copied. */
  say(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#kept.append(bytes);
    this.#flush();
    this.#watch();
  }

  /** Whether what is typed is wanted. */
  listen(how: 'on' | 'off'): void {
    this.#listens = how === 'on';
    this.#watch();
  }

  /** What was typed, at most as much as there is room for: how many bytes. */
  take(into: Uint8Array): number {
    return this.#closed ? 0 : Math.max(0, read(this.#pty.master, into));
  }

  /** Nobody speaks any more: whoever still reads what was said may do so to the end, for a while. Idempotent. */
  async end(): Promise<void> {
    this.listen('off');
    const { clock } = this.#options;
    const since = clock.now();
    const isRead = (): boolean => this.#kept.empty && waiting(this.#pty.slave) === 0;
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
    this.#options.poller.remove(this.#pty.master);
    closePty(this.#pty);
  }

  #onReady(events: number): void {
    if ((events & WRITABLE) !== 0) this.#flush();
    if ((events & READABLE) !== 0 && this.#listens) this.#options.typed();
    this.#watch();
  }

  /** As much as the terminal takes. */
  #flush(): void {
    while (!this.#kept.empty) {
      const count = write(this.#pty.master, this.#kept.first());
      if (count <= 0) return;
      this.#kept.take(count);
    }
  }

  #watch(): void {
    if (this.#closed) return;
    const interest = (this.#listens ? READABLE : 0) | (this.#kept.empty ? 0 : WRITABLE);
    if (interest === this.#interest) return;
    this.#interest = interest;
    this.#options.poller.modify(this.#pty.master, interest);
  }
}

/** Names a terminal in the node where its viewers look, and its mark beside it. */
export async function tellTerminal(store: Client, node: string, name: string, mark: number): Promise<void> {
  await store.transaction(async (tx) => {
    await tx.write(markNode(node), `${mark}`);
    await tx.write(node, name);
  });
}
