/**
 * Interfaces on switches of ours: those that name the same bridge, or none, reach each other without leaving the process. The network of those
 * that name none, or toolstacks' usual one, may have a way out, a TAP device of this process that goes with it. Knows no device of this machine else.
 */
import { createHash } from 'node:crypto';
import { OsError } from '../../../osdep/errno.ts';
import { type Address, addToBridge, setAddress, setMac, setUp } from '../../../osdep/os/netdev.ts';
import type { Exchange } from './exchange.ts';
import type { Lan, Places } from './lan.ts';
import type { Outlet, Outlets } from './outlet.ts';

/** What toolstacks write where their user names no bridge. */
const USUAL_BRIDGE = 'xenbr0';

export interface UplinkOrder {
  /** The TAP device's name. */
  readonly name: string;
  readonly address?: Address;
  /** A bridge of this machine that it becomes a port of. */
  readonly bridge?: string;
}

export interface SwitchedOptions {
  readonly exchange: Exchange;
  readonly outlets: Outlets;
  readonly uplink: UplinkOrder | undefined;
  /** One line. */
  readonly log: (line: string) => void;
}

/** The address of a bridge's port is never anybody's source: Linux's own choice for vifs. */
export const PORT_MAC: readonly number[] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

interface Used {
  readonly lan: Lan;
  users: number;
}

export interface Switched {
  readonly places: Places;
  close(): void;
}

/** Without its way out, where that cannot be had, guests still reach each other. */
export function switched({ exchange, outlets, uplink, log }: SwitchedOptions): Switched {
  const lans = new Map<string, Used>();
  const enter = (bridge: string): Used => {
    const used = lans.get(bridge) ?? { lan: exchange.openLan(), users: 0 };
    lans.set(bridge, used);
    used.users++;
    return used;
  };
  const leave = (bridge: string, used: Used): void => {
    used.users--;
    if (used.users > 0) return;
    lans.delete(bridge);
    exchange.closeLan(used.lan);
  };
  // Its network stays, with nobody on it.
  const outlet = uplink && openUplink(enter('').lan, uplink, outlets, log);
  return {
    async places(_, order) {
      const bridge = order.bridge === USUAL_BRIDGE ? '' : order.bridge;
      const used = enter(bridge);
      return {
        lan: used.lan,
        connected() {},
        disconnected() {},
        changed() {},
        close: () => leave(bridge, used),
      };
    },
    close: () => outlet?.close(),
  };
}

function openUplink(
  lan: Lan,
  order: UplinkOrder,
  outlets: Outlets,
  log: (line: string) => void,
): Outlet | undefined {
  const { name, address, bridge } = order;
  let outlet: Outlet | undefined;
  try {
    const onGone = (): void => log(`${name} has been removed: guests reach each other only`);
    // What waits for guests is dropped by each for itself; here one cannot hold the others up.
    const own = bridge === undefined ? Uint8Array.from(macFor(name)) : undefined;
    outlet = outlets.open({ lan, name, which: 'new', full: () => false, onGone, mac: own });
    outlet.tap.setOffload({ csum: true, tso4: true, tso6: true });
    // The same each time, so that guests find it again after a restart.
    setMac(name, own === undefined ? PORT_MAC : [...own]);
    if (address !== undefined) setAddress(name, address);
    if (bridge !== undefined) addToBridge(bridge, name);
    setUp(name);
    outlet.tap.setCarrier(true);
    return outlet;
  } catch (error) {
    outlet?.close();
    if (!(error instanceof OsError)) throw error;
    log(`no uplink: ${reasonOf(error)}; guests reach each other only`);
    return undefined;
  }
}

/** A locally administered one. */
function macFor(name: string): readonly number[] {
  const hash = createHash('sha256').update(`stubdom0 uplink ${name}`).digest();
  return [0x02, ...hash.subarray(0, 5)];
}

/** What to do about it, where that is plain. */
export function reasonOf(error: OsError): string {
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      return `${error.message} (it takes root, or CAP_NET_ADMIN)`;
    case 'ENOENT':
    case 'ENODEV':
      return `${error.message} (is the module tun loaded, and is there such a bridge?)`;
    case 'EBADFD':
      return `${error.message} (the network device has been removed)`;
    case 'EBUSY':
      return `${error.message} (there is a device of that name, or it is another bridge's)`;
    default:
      return error.message;
  }
}
