/**
 * The drivers of one guest, by family, and the sockets that are made of them. With one driver of a family a socket is that driver's at once; with
 * several it is nobody's until it is bound or connected, and the route table chooses (`handle.ts`). A driver that comes or goes
 * changes nothing for sockets that there are. (Unikraft's posix-socket registers drivers like this.)
 */
import { Errno } from '../../../osdep/errno.ts';
import type { SocketAddress, SocketDriver, SocketKind } from './driver.ts';
import { SocketHandle } from './handle.ts';
import { RouteTable } from './routes.ts';

export class SocketRegistry {
  readonly routes: RouteTable = new RouteTable();
  readonly #drivers: SocketDriver<unknown, SocketAddress>[] = [];

  /** Answers what takes the driver out again; its sockets live on. Throws when there is one of that name for the family. */
  register<S extends object, A extends SocketAddress>(driver: SocketDriver<S, A>): () => void {
    const twin = this.#drivers.find(
      ({ name, families }) =>
        name === driver.name && families.some((family) => driver.families.includes(family)),
    );
    if (twin !== undefined) throw new Error(`there is a socket driver ${driver.name} already`);
    const joining: SocketDriver<unknown, SocketAddress> = driver;
    this.#drivers.push(joining);
    return () => {
      const at = this.#drivers.indexOf(joining);
      if (at >= 0) this.#drivers.splice(at, 1);
    };
  }

  /** Names, those that registered first in front. */
  get drivers(): readonly string[] {
    return this.#drivers.map(({ name }) => name);
  }

  /** socket(2). A number: minus an error number; -EAFNOSUPPORT: no driver of the family. `onReady`: see SocketDriver.create. */
  socket(kind: SocketKind, onReady: (bits: number) => void): SocketHandle | number {
    const candidates = this.#of(kind.family);
    const [only] = candidates;
    if (only === undefined) return -Errno.EAFNOSUPPORT;
    if (candidates.length > 1)
      return new SocketHandle(kind, onReady, (address) => this.#choose(kind.family, address));
    const state = only.create(kind, onReady);
    return typeof state === 'number' ? state : SocketHandle.of(kind, only, state);
  }

  #choose(family: number, address: SocketAddress): SocketDriver<unknown, SocketAddress> | undefined {
    const candidates = this.#of(family);
    for (const name of this.routes.find(address)) {
      const routed = candidates.find((driver) => driver.name === name);
      if (routed !== undefined) return routed;
    }
    return candidates[0];
  }

  #of(family: number): readonly SocketDriver<unknown, SocketAddress>[] {
    return this.#drivers.filter(({ families }) => families.includes(family));
  }
}
