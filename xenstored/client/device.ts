/**
 * The store through the kernel's device, /dev/xen/xenbus: a stream of messages of which each is written whole (the driver gathers one at a
 * time) and answers are read when there are some. The kernel shares its own connection: it keeps watches itself, so that setting one waits
 * in the write for the store's answer, which is the write's result, and knows of no depth; a message is a header's length
 * shorter. Follows linux/drivers/xen/xenbus/xenbus_dev_frontend.c by its behaviour. Loaded only where it is used: it is what
 * needs the C library.
 */
import { Errno, OsError } from '../../osdep/errno.ts';
import { close, errno, open, read, write } from '../../osdep/os/ffi.ts';
import { FAILED, HUNG_UP, Poller, READABLE } from '../../osdep/os/poll.ts';
import { HEADER_BYTES, Op, PAYLOAD_MAX } from '../wire/ops.ts';
import type { Transport, TransportUser } from './transport.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
/** Of the driver: header and payload together. */
const MESSAGE_MAX = 4096;

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
    const refusal = refused(message);
    if (refusal !== undefined) throw refusal;
    if (write(this.#fd, message, message.length) < 0)
      throw new OsError(errno(), 'write to the xenbus device');
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
    if (code === Errno.EAGAIN && (events & (FAILED | HUNG_UP)) === 0) return;
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

/** What the driver would misunderstand. */
function refused(message: Buffer): OsError | undefined {
  if (message.length > MESSAGE_MAX) return new OsError(Errno.E2BIG, 'a message through the xenbus device');
  const type = message.readUInt32LE(0);
  // They would be the kernel's too: those of its own drivers.
  if (type === Op.RESET_WATCHES) return new OsError(Errno.EOPNOTSUPP, 'to reset the watches of the kernel');
  const depth = type === Op.WATCH && message.subarray(HEADER_BYTES).filter((byte) => byte === 0).length > 2;
  return depth ? new OsError(Errno.EINVAL, 'a watch with a depth through the xenbus device') : undefined;
}
