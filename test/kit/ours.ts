/**
 * This project's backends and drivers, ready for the kit: for who tests the other end. `host.backend(netback())`, `host.frontend(guest, ({ platform }) =>
 * netfront({ platform, onInterface }))`, `host.backend(blkback(new MemoryDisk(2048)))`, `host.backend(xensock())`.
 */
import type { Medium } from '../../blkback/io/medium.ts';
import { serveDisks } from '../../blkback/io/service.ts';
import { serveVifs } from '../../netback/vif/io/service.ts';
import { compilePolicy, type PolicyText } from '../../netback/xensock/core/policytext.ts';
import { serveSockets } from '../../netback/xensock/io/service.ts';
import type { BackendService } from '../../xenstored/client/backend.ts';
import type { PvcallsFrontKeys } from '../../xenstored/xenbus/pvcalls.ts';
import type { VbdFrontKeys } from '../../xenstored/xenbus/vbd.ts';
import type { VifFrontKeys } from '../../xenstored/xenbus/vif.ts';
import type { MemoryDisk } from './memorydisk.ts';
import type { Made } from './options.ts';
import type { Actor } from './process.ts';

export { blkfront } from '../../blkback/front/driver.ts';
export { netfront } from '../../netback/vif/front/driver.ts';
export { sockfront } from '../../netback/xensock/front/device.ts';
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

/** Our xensock. `policy`: what guests may do; default: what is usual. Sockets that leave the guests' own networks are this machine's, in real time. */
export function xensock({
  policy = {},
}: {
  readonly policy?: PolicyText;
} = {}): (actor: Actor) => Made<BackendService<PvcallsFrontKeys>> {
  const compiled = compilePolicy(policy);
  if (!compiled.ok) throw new Error(`policy: ${compiled.mistakes.join('; ')}`);
  const rulesOf = (domid: number) => compiled.policy.of(domid, undefined);
  return (actor) => {
    const { platform, directory: recordDir } = actor;
    const { clock } = platform;
    const soon = (callback: () => void): void => void clock.after(0, callback);
    return serveSockets({ platform, recordDir, rulesOf, soon, log: (line) => actor.log(line) });
  };
}
