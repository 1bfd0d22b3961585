/**
 * A data ring whose process is dead: nobody knows what became of the bytes under way, so the guest is told that its connection is reset, as by a host
 * that crashed. What it has received already it may still read. Moves nothing, and maps the index page only for as long as that takes.
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Ports } from '../../../osdep/ports.ts';
import { Page } from '../../../osdep/ring/page.ts';
import type { SocketEntry } from '../core/entries.ts';
import { Index } from '../core/pvcalls.ts';

export interface Rings {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly domid: number;
}

/** Tells of a socket that had a ring. What of it is no longer granted, or has no port, hears nothing: its guest has let go of it. */
export function tellLost({ gnttab, ports, domid }: Rings, { ref, evtchn }: SocketEntry): void {
  if (evtchn === 0) return;
  try {
    const mapping = gnttab.mapGrantRef(domid, ref, 'rw');
    const index = new Page(mapping.bytes);
    index.store(Index.IN_ERROR, -Errno.ECONNRESET);
    index.store(Index.OUT_ERROR, -Errno.ECONNRESET);
    mapping.unmap();
    const port = ports.bind(domid, evtchn, () => {});
    ports.notify(port);
    ports.unbind(port);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  }
}
