/**
 * The store through the kernel's device, /dev/xen/xenbus, as a transport. The kernel shares its own connection with us, and its driver is
 * particular: it keeps one message, which the next write would overwrite before it is sent, so that one request is under way at a time;
 * header and payload together are 4096 bytes; it keeps watches itself, waits for the store's answer in the write, whose
 * result it is if it is a refusal, and knows of no depth; and to reset watches would take the kernel's own drivers theirs. What it
 * cannot do is answered here, as the store would. Follows linux/drivers/xen/xenbus/xenbus_dev_frontend.c by its behaviour. Loaded
 * only where it is used: it is what needs the C library.
 */
import { Errno, type ErrnoName, errnoName, OsError } from '../../osdep/errno.ts';
import { close, errno, open, read, write } from '../../osdep/os/ffi.ts';
import { FAILED, HUNG_UP, Poller, READABLE } from '../../osdep/os/poll.ts';
import { encodeMessage } from '../wire/frame.ts';
import { HEADER_BYTES, Op, PAYLOAD_MAX } from '../wire/ops.ts';
import type { Transport, TransportUser } from './transport.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
/** Of the driver. */
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
  /** Requests that wait for the answer to the one before them. */
  readonly #queue: Buffer[] = [];
  #busy = false;
  /** The beginning of a message whose rest has not been read. */
  #partial: Buffer = Buffer.alloc(0);
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
    const refusal = misunderstood(message);
    if (refusal !== undefined) {
      this.#refuse(message, refusal);
    } else {
      this.#queue.push(message);
      this.#next();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poller.remove(this.#fd);
    this.#poller.close();
    close(this.#fd);
  }

  #next(): void {
    while (this.#open && !this.#busy) {
      const message = this.#queue.shift();
      if (message === undefined) return;
      if (write(this.#fd, message, message.length) < 0) this.#refuse(message, errnoName(errno()));
      else this.#busy = true;
    }
  }

  /** Answers in the store's place, later: nobody expects it in his own call. */
  #refuse(message: Buffer, code: string): void {
    const answer = encodeMessage(Op.ERROR, message.readUInt32LE(4), message.readUInt32LE(8), `${code}\0`);
    queueMicrotask(() => {
      if (this.#open) this.#user.receive(answer);
    });
  }

  /** Level-triggered: one read a wake-up, the rest comes with the next. */
  #ready(events: number): void {
    const count = read(this.#fd, this.#buffer, this.#buffer.length);
    if (count > 0) {
      this.#received(Buffer.concat([this.#partial, this.#buffer.subarray(0, count)]));
      return;
    }
    const code = count < 0 ? errno() : 0;
    if (code === Errno.EAGAIN && (events & (FAILED | HUNG_UP)) === 0) return;
    this.#fail(
      code === 0 ? new Error('the xenbus device ended') : new OsError(code, 'read of the xenbus device'),
    );
  }

  /** Passes on whole messages, so that an answer of ours never lands in the middle of one. */
  #received(bytes: Buffer): void {
    let end = 0;
    while (bytes.length - end >= HEADER_BYTES) {
      const length = HEADER_BYTES + bytes.readUInt32LE(end + 12);
      if (bytes.length - end < length && length <= this.#buffer.length) break;
      if (bytes.readUInt32LE(end) !== Op.WATCH_EVENT) this.#busy = false;
      end += length;
    }
    this.#partial = bytes.subarray(end);
    if (end > 0) this.#user.receive(bytes.subarray(0, end));
    this.#next();
  }

  #fail(reason: Error): void {
    if (!this.#open) return;
    this.close();
    queueMicrotask(() => this.#user.closed(reason));
  }
}

/** The error for what the driver would take for something else. */
function misunderstood(message: Buffer): ErrnoName | undefined {
  if (message.length > MESSAGE_MAX) return 'E2BIG';
  const type = message.readUInt32LE(0);
  if (type === Op.RESET_WATCHES) return 'ENOSYS';
  const words = message.subarray(HEADER_BYTES).filter((byte) => byte === 0).length;
  return type === Op.WATCH && words > 2 ? 'EINVAL' : undefined;
}
