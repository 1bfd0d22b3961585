/**
 * The store through the kernel's device, /dev/xen/xenbus: a stream of messages of which each is written whole (the driver gathers one at a
 * time) and answers are read when there are some. Follows linux/drivers/xen/xenbus/xenbus_dev_frontend.c by its behaviour.
 * Loaded only where it is used: it is what needs the C library.
 */
import { OsError } from '../../osdep/errno.ts';
import { close, errno, open, read, write } from '../../osdep/os/ffi.ts';
import { FAILED, HUNG_UP, Poller, READABLE } from '../../osdep/os/poll.ts';
import { HEADER_BYTES, PAYLOAD_MAX } from '../wire/ops.ts';
import type { Transport, TransportUser } from './transport.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const EAGAIN = 11;

export async function openDevice(path: string, user: TransportUser): Promise<Transport> {
  const fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw new OsError(errno(), `open ${path}`);
  return new DeviceTransport(fd, user);
}

/** Exported for any descriptor that behaves alike. It is closed with the transport. */
export class DeviceTransport implements Transport {
  readonly #fd: number;
  readonly #user: TransportUser;
  readonly #poller = new Poller();
  readonly #buffer: Buffer = Buffer.allocUnsafe(4 * (HEADER_BYTES + PAYLOAD_MAX));
  #open = true;

  constructor(fd: number, user: TransportUser) {
    this.#fd = fd;
    this.#user = user;
    try {
      this.#poller.add(fd, READABLE, (events) => this.#ready(events));
    } catch (error) {
      // A plain file cannot be waited for: it is no device.
      this.close();
      throw error;
    }
  }

  send(message: Buffer): void {
    if (!this.#open) return;
    for (let rest = message; rest.length > 0; ) {
      const count = write(this.#fd, rest, rest.length);
      if (count <= 0) {
        this.#fail(new OsError(errno(), 'write to the xenbus device'));
        return;
      }
      rest = rest.subarray(count);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poller.remove(this.#fd);
    this.#poller.close();
    close(this.#fd);
  }

  /** Level-triggered: one read a wake-up, the rest comes with the next. */
  #ready(events: number): void {
    const count = read(this.#fd, this.#buffer, this.#buffer.length);
    if (count > 0) {
      this.#user.receive(this.#buffer.subarray(0, count));
      return;
    }
    const code = count < 0 ? errno() : 0;
    if (code === EAGAIN && (events & (FAILED | HUNG_UP)) === 0) return;
    this.#fail(
      code === 0 ? new Error('the xenbus device ended') : new OsError(code, 'read of the xenbus device'),
    );
  }

  #fail(reason: Error): void {
    if (!this.#open) return;
    this.close();
    queueMicrotask(() => this.#user.closed(reason));
  }
}
