/**
 * The entries that a guest finds in its grant table when it starts: its console's page and its store's, each for the domain
 * that serves it. The table is reached as a resource of the guest's. Knows entries of version 1.
 * (xen/include/public/grant_table.h)
 */
import type { GrantSeed } from '../ctrl.ts';
import { Errno } from '../errno.ts';
import { type Foreignmemory, Resource } from '../foreignmemory.ts';
import { GrantFlag, GrantStatus, ReservedGrant } from '../gnttab.ts';

const ENTRY_SIZE = 8;

export function seedGrants(open: () => Foreignmemory, domid: number, seed: GrantSeed): void {
  const foreign = open();
  try {
    const frames = { domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 1 };
    const table = foreign.mapResource(frames, 'rw');
    const { bytes } = table;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const write = (ref: number, gfn: number | undefined, peer = 0) => {
      // Nobody grants to himself.
      if (gfn === undefined || peer === domid) {
        return;
      }
      const at = ref * ENTRY_SIZE;
      view.setUint32(at + 4, gfn, true);
      view.setUint16(at + 2, peer, true);
      view.setUint16(at, GrantFlag.PERMIT_ACCESS, true);
    };
    write(ReservedGrant.CONSOLE, seed.consoleGfn, seed.consoleDomid);
    write(ReservedGrant.XENSTORE, seed.xenstoreGfn, seed.xenstoreDomid);
    table.unmap();
  } finally {
    foreign.close();
  }
}

/** The status of a grant operation as an errno. */
export function grantErrno(status: number): number {
  switch (status) {
    case GrantStatus.BAD_DOMAIN:
      return Errno.ESRCH;
    case GrantStatus.PERMISSION_DENIED:
      return Errno.EPERM;
    default:
      return Errno.EINVAL;
  }
}
