/** What Linux's privcmd remembers of an open file: whom it may still act on, and whether it is open at all. */
import { Errno, OsError } from '../errno.ts';

export class Restriction {
  #domid: number | undefined;
  #open = true;

  /** Once; again only for the same domain. */
  restrict(domid: number): void {
    if (this.#domid !== undefined && this.#domid !== domid) {
      throw new OsError(Errno.EINVAL, `restrict to domain ${domid}`);
    }
    this.#domid = domid;
  }

  /** Throws EPERM unless this domain may be acted on. */
  check(domid: number): void {
    if (!this.#open) {
      throw new OsError(Errno.EBADF, 'handle');
    }
    if (this.#domid !== undefined && this.#domid !== domid) {
      throw new OsError(Errno.EPERM, `act on domain ${domid}`);
    }
  }

  /** For calls that could act on any domain: after a restriction the descriptor is /dev/null's. */
  checkUnrestricted(): void {
    if (!this.#open) {
      throw new OsError(Errno.EBADF, 'handle');
    }
    if (this.#domid !== undefined) {
      throw new OsError(Errno.ENOTTY, 'hypercall on a restricted handle');
    }
  }

  close(): void {
    this.#open = false;
  }
}
