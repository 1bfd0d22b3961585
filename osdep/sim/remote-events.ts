/**
 * A domain's end of one event channel file: ports come four bytes each through a pipe that the hypervisor writes. As many are read as are
 * asked for, so that the descriptor stays readable exactly as long as something is pending, as Linux's is.
 */
import type { Descriptor } from '../os/ffi.ts';
import { EDGE, type Poller, READABLE } from '../os/poll.ts';
import { close, read } from '../os/sock.ts';
import type { EventSource } from './machine.ts';

export interface RemoteEventsOptions {
  readonly handle: number;
  readonly fd: Descriptor;
  readonly poller: Poller;
  /** Told when somebody begins, and ends, to wait for events: a process that does so goes on. */
  readonly onWaiting: (waiting: 'begins' | 'ends') => void;
  readonly onClosed: () => void;
}

const bytes = Buffer.alloc(4);

export class RemoteEvents implements EventSource {
  readonly handle: number;
  readonly fd: Descriptor;
  readonly #poller: Poller;
  readonly #onWaiting: RemoteEventsOptions['onWaiting'];
  /** Another one with each change, so that who is called may change it. */
  #callbacks: readonly (() => void)[] = [];
  readonly #onClosed: () => void;
  #open = true;

  constructor(options: RemoteEventsOptions) {
    this.handle = options.handle;
    this.fd = options.fd;
    this.#poller = options.poller;
    this.#onWaiting = options.onWaiting;
    this.#onClosed = options.onClosed;
  }

  take(): number | undefined {
    return this.#open && read(this.fd, bytes) === 4 ? bytes.readUInt32LE(0) : undefined;
  }

  takeAll(ports: Uint32Array): number {
    const length = this.#open ? read(this.fd, ports) : 0;
    return length > 0 ? length >> 2 : 0;
  }

  onReadable(callback: () => void): () => void {
    const own = (): void => callback();
    if (this.#callbacks.length === 0 && this.#open) {
      this.#poller.add(this.fd, (READABLE | EDGE) >>> 0, () => {
        for (const each of this.#callbacks) each();
      });
      this.#onWaiting('begins');
    }
    this.#callbacks = [...this.#callbacks, own];
    return () => {
      if (!this.#callbacks.includes(own)) return;
      this.#callbacks = this.#callbacks.filter((each) => each !== own);
      this.#stopIfUnused();
    };
  }

  close(): void {
    if (!this.#open) return;
    if (this.#callbacks.length > 0) {
      this.#callbacks = [];
      this.#stopIfUnused();
    }
    this.#open = false;
    close(this.fd);
    this.#onClosed();
  }

  #stopIfUnused(): void {
    if (!this.#open || this.#callbacks.length > 0) return;
    this.#poller.remove(this.fd);
    this.#onWaiting('ends');
  }
}
