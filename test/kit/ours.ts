/**
 * This project's backends and drivers, ready for the kit: for who tests the other end. `host.backend(netback())`, `host.frontend(guest, ({ platform }) =>
 * netfront({ platform, onInterface }))`, `host.backend(blkback(new MemoryDisk(2048)))`.
 */
import type { Medium } from '../../blkback/io/medium.ts';
import { serveDisks } from '../../blkback/io/service.ts';
import { serveVifs } from '../../netback/vif/io/service.ts';
import type { BackendService } from '../../xenstored/client/backend.ts';
import type { VbdFrontKeys } from '../../xenstored/xenbus/vbd.ts';
import type { VifFrontKeys } from '../../xenstored/xenbus/vif.ts';
import type { MemoryDisk } from './memorydisk.ts';
import type { Made } from './options.ts';
import type { Actor } from './process.ts';

export { blkfront } from '../../blkback/front/driver.ts';
export { netfront } from '../../netback/vif/front/driver.ts';
export { MemoryDisk } from './memorydisk.ts';

/** Our blkback: whatever disk is attached is this one. */
export function blkback(disk: MemoryDisk): (actor: Actor) => Made<BackendService<VbdFrontKeys>> {
  return (actor) => {
    const { platform, directory: recordDir } = actor;
    const openMedium = (): Medium => disk.open(actor);
    return serveDisks({ platform, recordDir, openMedium, log: (line) => actor.log(line) });
  };
}

/** Our netback: all interfaces on one switch. */
export function netback(): (actor: Actor) => Made<BackendService<VifFrontKeys>> {
  return (actor) => {
    const { platform, directory: recordDir } = actor;
    return serveVifs({ platform, recordDir, log: (line) => actor.log(line) });
  };
}
