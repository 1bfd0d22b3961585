/**
 * A network device of this machine for each interface, by the names that Xen's hotplug scripts and their users know: bridges, routes, filters and
 * tcpdump find what they would find with a backend in the kernel. The device outlives this process, so that a successor finds it where the
 * scripts have put it, and goes with the interface. Knows nothing of what is behind it.
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import {
  addToBridge,
  indexOf,
  isDeviceName,
  nameOfIndex,
  setMac,
  setMtu,
  setUp,
} from '../../../osdep/os/netdev.ts';
import { removeTap } from '../../../osdep/os/tap.ts';
import type { BackendLink } from '../../../xenstored/client/backend.ts';
import type { KeyReader } from '../../../xenstored/xenbus/value.ts';
import type { VifOrder } from '../../../xenstored/xenbus/vif.ts';
import type { Vif } from '../core/vif.ts';
import type { Exchange } from './exchange.ts';
import type { Places } from './lan.ts';
import type { Outlet, Outlets } from './outlet.ts';
import { PORT_MAC, reasonOf } from './switched.ts';
import { TapRecord } from './taprecord.ts';

/** Packets waiting in a queue of the guest's above which others are left in the device. */
const ENOUGH_PACKETS = 8;

export interface TappedOptions {
  readonly exchange: Exchange;
  readonly outlets: Outlets;
  /** Where the record of devices is. */
  readonly recordFile: string;
  /** False: whatever script is ordered, nobody runs one. */
  readonly scripts: boolean;
  /** One line. */
  readonly log: (line: string) => void;
}

export interface Tapped {
  readonly places: Places;
  /** Removes what a predecessor has left and nobody orders any more. */
  sweep(isOrdered: (path: string) => Promise<boolean>): Promise<void>;
}

export function tapped({ exchange, outlets, recordFile, scripts, log }: TappedOptions): Tapped {
  const record = new TapRecord(recordFile);
  const places: Places = async (link, order) => {
    const scripted = scripts && (await link.read(readScript())) !== '';
    const lan = exchange.openLan();
    let vif: Vif | undefined;
    const full = (): boolean => vif?.rx.some((queue) => queue.count > ENOUGH_PACKETS) ?? false;
    const onGone = (): void => log(`${link.path}: its network device has been removed`);
    const open = (name: string, which: 'new' | 'any'): Outlet =>
      outlets.open({ lan, name, which, full, onGone });
    let outlet: Outlet;
    try {
      outlet = plugIn(record, open, link, order, scripted);
    } catch (error) {
      exchange.closeLan(lan);
      throw explained(error);
    }
    const { tap } = outlet;
    return {
      lan,
      connected(connected, { features, gsoTcpv4Prefix, gsoTcpv6Prefix }) {
        vif = connected;
        // What the guest would have to be spared costs least where it is not made.
        const { sg } = features;
        try {
          tap.setOffload({
            csum: features.ipv4CsumOffload && features.ipv6CsumOffload,
            tso4: sg && (features.gsoTcpv4 || gsoTcpv4Prefix),
            tso6: sg && (features.gsoTcpv6 || gsoTcpv6Prefix),
          });
          tap.setCarrier(true);
        } catch (error) {
          throw explained(error);
        }
      },
      disconnected() {
        vif = undefined;
        ifThere(() => tap.setCarrier(false));
      },
      changed() {},
      close(why) {
        try {
          if (why === 'stop') return;
          record.remove(link.path);
          ifThere(() => tap.setPersistent(false));
        } finally {
          outlet.close();
          exchange.closeLan(lan);
        }
      },
    };
  };
  return {
    places,
    async sweep(isOrdered) {
      for (const { path, index, name } of record.entries) {
        if (await isOrdered(path)) continue;
        const there = nameOfIndex(index);
        try {
          if (there !== undefined && removeTap(there))
            log(`${path}: ${name} removed, nobody orders it any more`);
          record.remove(path);
        } catch (error) {
          // Somebody else has it open: the next one will try again.
          log(
            `${path}: ${name} cannot be removed: ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
    },
  };
}

/** The device that a predecessor left, or a new one. */
function plugIn(
  record: TapRecord,
  open: (name: string, which: 'new' | 'any') => Outlet,
  link: BackendLink,
  order: VifOrder,
  scripted: boolean,
): Outlet {
  const { path, device } = link;
  const plain = `vif${device.frontendDomid}.${device.devid}`;
  // Scripts expect the plain name, and rename it themselves.
  const name = scripted || order.vifname === '' ? plain : order.vifname;
  if (!isDeviceName(name))
    throw new Error(`vifname: ${JSON.stringify(name)} is no name for a network device`);
  const left = record.find(path);
  const there = left && nameOfIndex(left.index);
  if (there !== undefined && (there === left?.name || there === order.vifname)) return open(there, 'any');
  const outlet = open(name, 'new');
  try {
    setMac(name, PORT_MAC);
    if (!scripted) {
      setMtu(name, order.mtu);
      if (order.bridge !== '') addToBridge(order.bridge, name);
      setUp(name);
    }
    record.add({ path, name, index: indexOf(name)! });
    outlet.tap.setPersistent(true);
    return outlet;
  } catch (error) {
    outlet.close();
    throw error;
  }
}

function explained(error: unknown): unknown {
  return error instanceof OsError ? new Error(reasonOf(error)) : error;
}

/** What nobody needs to do to a device that somebody has removed. */
function ifThere(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof OsError && error.errno === Errno.EBADFD)) throw error;
  }
}

/** The hotplug script that is ordered; empty: none. */
function* readScript(): KeyReader<string> {
  return { ok: true, value: (yield 'script') ?? '' };
}
