/**
 * This project's backends and drivers, ready for the kit: for who tests the other end. `host.backend(netback())`, `host.frontend(guest, ({ platform }) =>
 * netfront({ platform, onInterface }))`.
 */
import { serveVifs } from '../../netback/vif/io/service.ts';
import type { BackendService } from '../../xenstored/client/backend.ts';
import type { VifFrontKeys } from '../../xenstored/xenbus/vif.ts';
import type { Made } from './host.ts';
import type { Actor } from './process.ts';

export { blkfront } from '../../blkback/front/driver.ts';
export { netfront } from '../../netback/vif/front/driver.ts';

/** Our netback: all interfaces on one switch. */
export function netback(): (actor: Actor) => Made<BackendService<VifFrontKeys>> {
  return (actor) => {
    const { platform, directory: recordDir } = actor;
    return serveVifs({ platform, recordDir, log: (line) => actor.log(line) });
  };
}
