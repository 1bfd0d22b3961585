/**
 * Who waits for events of devices: one poller for all handles of a platform, made when first needed, that keeps the process alive exactly as
 * long as somebody waits. Knows no device.
 */
import type { Descriptor } from '../os/ffi.ts';
import { Poller, type ReadyCallback } from '../os/poll.ts';

export class Waiting {
  #poller: Poller | undefined;
  readonly #fds = new Set<Descriptor>();

  add(fd: Descriptor, interest: number, callback: ReadyCallback): void {
    this.#poller ??= new Poller();
    this.#poller.add(fd, interest, callback);
    this.#fds.add(fd);
    this.#poller.ref();
  }

  remove(fd: Descriptor): void {
    if (!this.#fds.delete(fd)) return;
    this.#poller?.remove(fd);
    if (this.#fds.size === 0) this.#poller?.unref();
  }

  close(): void {
    this.#poller?.close();
    this.#poller = undefined;
    this.#fds.clear();
  }
}
