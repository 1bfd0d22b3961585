/**
 * The registry of open handles that could reach more than one domain, and restricting them all at once
 * (libxentoolcore). Knows of a handle only that it can be restricted. (xen/tools/include/xentoolcore.h)
 */
export interface RestrictableHandle {
  /** Must bear being asked again with the same domid, and being asked before its descriptor is open. Throws OsError. */
  restrict(domid: number): void;
}

export class HandleRegistry {
  readonly #active = new Set<RestrictableHandle>();

  /** Before the descriptor is opened, so that a restriction can never miss it. */
  register(handle: RestrictableHandle): void {
    this.#active.add(handle);
  }

  /** Before the descriptor is closed. */
  deregister(handle: RestrictableHandle): void {
    this.#active.delete(handle);
  }

  /** How many handles are open. */
  get size(): number {
    return this.#active.size;
  }

  /**
   * Restricts every open handle to one domain. The first that cannot be ends it with that handle's error; how far
   * it came is then undefined, and the process should end.
   */
  restrictAll(domid: number): void {
    for (const handle of [...this.#active]) {
      handle.restrict(domid);
    }
  }
}
