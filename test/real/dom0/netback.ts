/**
 * Our netback in dom0, in place of Linux's: started, until it is ready, and killed. Knows no interface.
 */
import type { Lab } from '../lab/scenario.ts';
import { type Backend, backendSaid, startBackend } from './backend.ts';

/** dom0's address on the bridge. */
export const DOM0_ADDRESS = '10.9.0.1';

/** What all of them in this boot have said. */
export function netbackSaid(): string {
  return backendSaid('netback');
}

/** Resolves when it is ready; there is a bridge xenbr0 then, TAP devices can be made, and there is no backend of the kernel's. */
export async function startNetback(lab: Lab, ...flags: readonly string[]): Promise<Backend> {
  await lab.sh(`
for name in llc stp bridge tun; do [ -e /sys/module/$name ] || insmod /lib/modules/$name.ko; done
[ ! -e /sys/module/xen_netback ] || rmmod xen_netback
[ -e /sys/class/net/xenbr0 ] || {
  brctl addbr xenbr0; ip addr add ${DOM0_ADDRESS}/24 dev xenbr0; ip link set xenbr0 up
}`);
  return await startBackend(lab, 'netback', 'netback/vif/main.js', flags);
}
