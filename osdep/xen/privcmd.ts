/**
 * A handle of /dev/xen/privcmd, through which a privileged domain speaks to the hypervisor: opening it, its ioctls, and
 * both ways to restrict it. Knows nothing of what is said. (linux/include/uapi/xen/privcmd.h)
 */
import { Errno, OsError } from '../errno.ts';
import { close, type Descriptor, dup2, errno, open } from '../os/ffi.ts';
import { closeDevice, control, devices, ioc, openDevice, orUnsupported } from './device.ts';

const RESTRICT: number = ioc('P', 6, 2);
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

export class Privcmd {
  #fd: Descriptor;

  constructor() {
    this.#fd = openDevice(devices.privcmd);
  }

  /** -1 once closed. */
  get fd(): Descriptor {
    return this.#fd;
  }

  /** The result, 0 or more. Throws OsError. */
  control(request: number, argument: Uint8Array | null, what: string): number {
    if (this.#fd < 0) {
      throw new OsError(Errno.EBADF, what);
    }
    return control(this.#fd, request, argument, what);
  }

  /** From now on the kernel lets through what acts on this domain alone, and no plain hypercall. */
  restrict(domid: number): void {
    const what = `restrict to domain ${domid}`;
    try {
      this.control(RESTRICT, new Uint8Array(Uint16Array.of(domid).buffer), what);
    } catch (error) {
      // Kernels before 4.11.
      throw orUnsupported(error, what);
    }
  }

  /** From now on nothing passes: every ioctl is ENOTTY, and the descriptor's number stays taken. */
  blind(): void {
    if (this.#fd < 0) {
      return;
    }
    const nothing = open('/dev/null', O_RDWR | O_CLOEXEC, 0);
    if (nothing < 0 || dup2(nothing, this.#fd) < 0) {
      const error = errno();
      close(nothing);
      throw new OsError(error, 'put /dev/null in the place of privcmd');
    }
    close(nothing);
  }

  close(): void {
    if (this.#fd >= 0) {
      closeDevice(this.#fd);
      this.#fd = -1;
    }
  }
}
