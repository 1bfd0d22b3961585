/**
 * libxenevtchn over /dev/xen/evtchn: a read gives a port that fired, writing it back lets it fire again, all else is an ioctl. Reads never
 * wait, and readiness comes through the platform's poller, so that no thread is parked and nothing keeps a process from ending.
 * (linux/include/uapi/xen/evtchn.h)
 */
import { Errno, OsError } from '../errno.ts';
import type { Evtchn, EvtchnOptions } from '../evtchn.ts';
import { type Descriptor, errno, read, write } from '../os/ffi.ts';
import { EDGE, READABLE } from '../os/poll.ts';
import type { HandleRegistry, RestrictableHandle } from '../toolcore.ts';
import {
  closeDevice,
  control,
  devices,
  ioc,
  keepOverExec,
  openDevice,
  orUnsupported,
  setNonBlocking,
} from './device.ts';
import type { Waiting } from './waiting.ts';

const BIND_VIRQ = ioc('E', 0, 4);
const BIND_INTERDOMAIN = ioc('E', 1, 8);
const BIND_UNBOUND_PORT = ioc('E', 2, 4);
const UNBIND = ioc('E', 3, 4);
const NOTIFY = ioc('E', 4, 4);
const RESET = ioc('E', 5, 0);
const RESTRICT_DOMID = ioc('E', 6, 2);
const BIND_STATIC = ioc('E', 7, 4);

export class XenEvtchn implements Evtchn {
  readonly #handles: HandleRegistry;
  readonly #waiting: Waiting;
  #fd: Descriptor = -1;
  /** Ports bound here: one that is unbound may still lie in the kernel's queue. `undefined`: inherited, so not known. */
  readonly #ports: Set<number> | undefined;
  /** Ports that may have fired in what the kernel has lost. */
  #doubtful: number[] = [];
  /** Another one with each change, so that who is called may change it. */
  #callbacks: readonly (() => void)[] = [];
  /** Arguments and answers of a call. */
  readonly #words = new Uint32Array(2);
  readonly #bytes: Uint8Array = new Uint8Array(this.#words.buffer);
  #restrictedTo: number | undefined;
  /** The device refuses a second restriction even to the same domain, which the registry has to bear. */
  readonly #entry: RestrictableHandle = {
    restrict: (domid) => {
      if (this.#fd >= 0 && this.#restrictedTo !== domid) this.restrict(domid);
    },
  };

  constructor(handles: HandleRegistry, waiting: Waiting, { adoptFd, keepOverExec: keep }: EvtchnOptions) {
    this.#handles = handles;
    this.#waiting = waiting;
    this.#ports = adoptFd === undefined ? new Set() : undefined;
    handles.register(this.#entry);
    try {
      this.#fd = adoptFd ?? openDevice(devices.evtchn, { keepOverExec: keep === true, nonBlocking: true });
      if (adoptFd !== undefined) {
        setNonBlocking(adoptFd);
        keepOverExec(adoptFd, keep === true);
      }
    } catch (error) {
      handles.deregister(this.#entry);
      throw error;
    }
  }

  get fd(): Descriptor {
    return this.#fd;
  }

  onReadable(callback: () => void): () => void {
    const fd = this.#open();
    const own = (): void => callback();
    if (this.#callbacks.length === 0) {
      // Whoever drains until there is nothing more wants to hear of new arrivals alone.
      this.#waiting.add(fd, (READABLE | EDGE) >>> 0, () => {
        for (const each of this.#callbacks) each();
      });
    }
    this.#callbacks = [...this.#callbacks, own];
    return () => {
      if (!this.#callbacks.includes(own)) return;
      this.#callbacks = this.#callbacks.filter((each) => each !== own);
      if (this.#callbacks.length === 0 && this.#fd >= 0) this.#waiting.remove(fd);
    };
  }

  /**
   * One at a time, so that the descriptor stays readable exactly as long as something is pending. The kernel's queue has room for the ports
   * there are, and those unbound meanwhile may still lie in it: where it has run over, every port counts as fired.
   */
  pending(): number | undefined {
    while (this.#fd >= 0) {
      const doubtful = this.#doubtful.pop();
      if (doubtful !== undefined) {
        if (this.#ports?.has(doubtful)) return doubtful;
        continue;
      }
      const length = read(this.#fd, this.#bytes, 4);
      if (length === 4) {
        const port = this.#words[0]!;
        if (this.#ports?.has(port) ?? true) return port;
      } else if (length < 0 && errno() === Errno.EFBIG) {
        this.#call(RESET, 'empty the queue of events', 0);
        this.#doubtful = [...(this.#ports ?? [])];
      } else {
        return undefined;
      }
    }
    return undefined;
  }

  pendingAll(ports: Uint32Array): number {
    let count = 0;
    if (this.#fd >= 0 && this.#doubtful.length === 0) {
      const length = read(this.#fd, ports, ports.byteLength);
      if (length < 0 && errno() === Errno.EAGAIN) return 0;
      if (length >= 0) count = this.#ownAmong(ports, length / 4);
    }
    // The kernel may have more, or has lost some: one by one. It has, too, when it gave fewer than there was room for: what fires while it hands
    // them out wakes nobody, since it wakes only who found nothing (linux/drivers/xen/evtchn.c).
    for (let port = this.#more(ports, count); port !== undefined; port = this.#more(ports, count)) {
      ports[count++] = port;
    }
    return count;
  }

  unmask(port: number): void {
    this.#words[0] = port;
    write(this.#open(), this.#bytes, 4);
  }

  bindUnboundPort(domid: number): number {
    return this.#bound(this.#call(BIND_UNBOUND_PORT, 'a port for another domain', domid));
  }

  bindInterdomain(domid: number, remotePort: number): number {
    return this.#bound(this.#call(BIND_INTERDOMAIN, "bind to another domain's port", domid, remotePort));
  }

  bindVirq(virq: number): number {
    return this.#bound(this.#call(BIND_VIRQ, 'bind a virtual interrupt', virq));
  }

  bind(port: number): void {
    try {
      this.#call(BIND_STATIC, 'bind a port of our own', port);
      this.#bound(port);
    } catch (error) {
      throw orUnsupported(error, 'bind a port of our own: the kernel has no way to (Linux 6.6 has)');
    }
  }

  unbind(port: number): void {
    this.#call(UNBIND, 'unbind a port', port);
    this.#ports?.delete(port);
  }

  notify(port: number): void {
    this.#call(NOTIFY, 'notify a port', port);
  }

  /** Each leaves at once. */
  flush(): void {}

  restrict(domid: number): void {
    const what = 'restrict event channels';
    try {
      this.#call(RESTRICT_DOMID, what, domid);
    } catch (error) {
      throw orUnsupported(error, what);
    }
    this.#restrictedTo = domid;
  }

  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#handles.deregister(this.#entry);
    if (this.#callbacks.length > 0) this.#waiting.remove(fd);
    this.#callbacks = [];
    this.#fd = -1;
    closeDevice(fd);
  }

  /** Takes out those that were unbound while they lay in the kernel's queue. */
  #ownAmong(ports: Uint32Array, count: number): number {
    if (this.#ports === undefined) return count;
    let own = 0;
    for (let i = 0; i < count; i++) {
      if (this.#ports.has(ports[i]!)) ports[own++] = ports[i]!;
    }
    return own;
  }

  #more(ports: Uint32Array, count: number): number | undefined {
    return count < ports.length ? this.pending() : undefined;
  }

  #bound(port: number): number {
    this.#ports?.add(port);
    return port;
  }

  #call(request: number, what: string, first: number, second = 0): number {
    this.#words[0] = first;
    this.#words[1] = second;
    return control(this.#open(), request, this.#bytes, what);
  }

  #open(): Descriptor {
    if (this.#fd < 0) throw new OsError(Errno.EBADF, 'event channel handle');
    return this.#fd;
  }
}
