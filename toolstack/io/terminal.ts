/**
 * A console's terminal as its viewer has it: bytes both ways, and its end. What it does not take is kept, and whoever types is asked to wait. Knows neither
 * domains nor where terminals come from.
 */
import { OsError } from '../../osdep/errno.ts';
import { Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import { openTerminal, setWindow, showAsItIs } from '../../osdep/os/pty.ts';
import { close, read, WOULD_BLOCK, write } from '../../osdep/os/sock.ts';

export interface TerminalEvents {
  bytes(bytes: Uint8Array): void;
  /** What was typed has been taken, and more may be. */
  drained(): void;
  /** Its other end is gone. Once; `close` is for whoever is told. */
  gone(): void;
}

export class JoinedTerminal {
  readonly #fd: number;
  readonly #poller: Poller;
  readonly #events: TerminalEvents;
  readonly #bytes = Buffer.alloc(4096);
  #kept: Uint8Array = new Uint8Array(0);
  #reads = true;
  #closed = false;

  /** Throws OsError: see openTerminal. */
  constructor(name: string, mark: number | undefined, events: TerminalEvents) {
    this.#events = events;
    this.#fd = openTerminal(name, mark);
    // Not before: it would keep the process.
    this.#poller = new Poller();
    this.#poller.add(this.#fd, READABLE, (ready) => this.#onReady(ready));
  }

  /** For programs in the domain that ask. */
  resize(columns: number, rows: number): void {
    setWindow(this.#fd, columns, rows);
  }

  /** False: no more before `drained`. */
  write(bytes: Uint8Array): boolean {
    this.#kept = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    this.#push();
    return this.#kept.length === 0;
  }

  /** Whether it is listened to: not, while who is to see it takes no more. */
  listen(how: 'on' | 'off'): void {
    this.#reads = how === 'on';
    this.#watch();
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.remove(this.#fd);
    this.#poller.close();
    close(this.#fd);
  }

  #push(): void {
    if (this.#closed) return;
    while (this.#kept.length > 0) {
      const count = write(this.#fd, this.#kept);
      if (count <= 0) break;
      this.#kept = this.#kept.subarray(count);
    }
    this.#watch();
  }

  #watch(): void {
    if (this.#closed) return;
    this.#poller.modify(this.#fd, (this.#reads ? READABLE : 0) | (this.#kept.length > 0 ? WRITABLE : 0));
  }

  #onReady(ready: number): void {
    if ((ready & WRITABLE) !== 0 && this.#kept.length > 0) {
      this.#push();
      if (this.#kept.length === 0) this.#events.drained();
    }
    if ((ready & ~WRITABLE) === 0 || this.#closed) return;
    const count = read(this.#fd, this.#bytes);
    if (count > 0) this.#events.bytes(Uint8Array.prototype.slice.call(this.#bytes, 0, count));
    else if (count !== WOULD_BLOCK) {
      this.#poller.remove(this.#fd);
      this.#events.gone();
    }
  }
}

/** undefined: there is none of that name now. `mark`: what its server has marked it with. Throws OsError for one that may not be joined. */
export function joinTerminal(
  name: string,
  mark: number | undefined,
  events: TerminalEvents,
): JoinedTerminal | undefined {
  try {
    return new JoinedTerminal(name, mark, events);
  } catch (error) {
    const passing = ['ENOENT', 'EIO', 'ENXIO'];
    if (error instanceof OsError && passing.includes(error.code)) return undefined;
    throw error;
  }
}

/** The terminal that somebody sits at. Node's raw mode is that of programs that write lines; a guest writes screens. Leaving it, Node restores both. */
export function setRaw(terminal: typeof process.stdin, raw: boolean): void {
  terminal.setRawMode(raw);
  if (raw) showAsItIs(terminal.fd);
}
