/** libxengnttab on the simulator, the sharing half, as Linux's gntalloc does it. */
import { Errno, OsError } from '../errno.ts';
import type { Gntshr, PeerAccess, SharedPages } from '../gntshr.ts';
import type { UnmapNotify } from '../gnttab.ts';
import { SimMapping } from './area.ts';
import type { Area, Machine } from './machine.ts';

class SimSharedPages extends SimMapping implements SharedPages {
  readonly refs: readonly number[];

  constructor(machine: Machine, map: number, area: Area, refs: readonly number[]) {
    super(machine, map, area, refs.length, true);
    this.refs = refs;
  }
}

export class SimGntshr implements Gntshr {
  readonly fd = -1;
  readonly #machine: Machine;
  readonly #shared = new WeakSet<SharedPages>();
  #open = true;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  sharePages(domid: number, count: number, peer: PeerAccess): SharedPages {
    return this.#share(domid, count, peer, undefined);
  }

  sharePageNotify(domid: number, peer: PeerAccess, notify: UnmapNotify): SharedPages {
    return this.#share(domid, 1, peer, notify);
  }

  unshare(shared: SharedPages, count: number): void {
    const ours = this.#shared.has(shared) && shared instanceof SimMapping && shared.mapped;
    if (!ours || shared.pages !== count) {
      throw new OsError(Errno.EINVAL, 'unshare pages');
    }
    shared.unmap();
  }

  close(): void {
    this.#open = false;
  }

  #share(domid: number, count: number, peer: PeerAccess, notify: UnmapNotify | undefined): SharedPages {
    if (!this.#open) {
      throw new OsError(Errno.EBADF, 'sharing handle');
    }
    const args = { domid, count, peerWritable: peer === 'rw' };
    const { value, area } = this.#machine.callMapped(
      'gntallocShare',
      notify === undefined ? args : { ...args, notify },
    );
    const shared = new SimSharedPages(this.#machine, value.map, area, value.refs);
    this.#shared.add(shared);
    return shared;
  }
}
