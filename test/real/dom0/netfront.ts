/**
 * An interface of dom0's own, whose frontend is ours and whose backend is Linux's netback in the same dom0: made as libxl makes one, with a
 * host behind it. What the kernel has of it is a network device of its own.
 */
import { type Interface, type NetfrontWishes, netfront } from '../../../netback/vif/front/driver.ts';
import { NetHost } from '../../../netback/vif/front/host.ts';
import type { FrameMeta } from '../../../netback/vif/front/meta.ts';
import { xenPlatform } from '../../../osdep/xen/platform.ts';
import { runFrontends } from '../../../xenstored/client/frontend.ts';
import { connect, type PermText } from '../../../xenstored/client/index.ts';
import { deviceNodes } from '../../../xenstored/xenbus/attach.ts';
import { TcpEnd } from '../../netback/tcp.ts';
import type { Lab } from '../lab/scenario.ts';

const DEVID = 7;
const MAC = '00:16:3e:09:00:07';
const FRONT = `/local/domain/0/device/vif/${DEVID}`;
const BACK = `/local/domain/0/backend/vif/0/${DEVID}`;

/** The kernel's end of it. */
export const KERNEL_DEVICE: string = `vif0.${DEVID}`;

export interface Received {
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

export interface OwnInterface {
  /** As it is connected now. */
  readonly nic: Interface;
  readonly host: NetHost;
  readonly received: Received[];
  /** How often it was connected. */
  readonly connections: number;
  readonly said: readonly string[];
  listen(port: number): TcpEnd;
  /** Detaches it in good order, and removes its nodes. */
  remove(): Promise<void>;
}

/** Resolves when it is connected. `addresses`: of the host, and of the kernel's end. */
export async function ownInterface(
  lab: Lab,
  addresses: { readonly host: string; readonly kernel: string },
  wishes: Partial<NetfrontWishes>,
): Promise<OwnInterface> {
  // Pages that programs may grant; each queue wants some five hundred.
  await lab.sh(`
echo 8192 >/sys/module/xen_gntalloc/parameters/limit
[ -e /sys/module/xen_netback ] || insmod /lib/modules/xen-netback.ko max_queues=4`);
  const store = await connect();
  const platform = xenPlatform();
  const { clock, random } = platform;
  const received: Received[] = [];
  const said: string[] = [];
  const tcp: TcpEnd[] = [];
  let nic: Interface | undefined;
  let host: NetHost | undefined;
  let connections = 0;
  const onInterface = (connected: Interface) => {
    const { mac, mtu, send } = connected;
    nic = connected;
    host = new NetHost({ mac, mtu, address: addresses.host, send, clock, random });
    connections++;
    return (frame: Uint8Array, meta: FrameMeta) => {
      received.push({ frame, meta });
      if (!tcp.some((end) => end.receive(frame, meta))) host?.receive(frame, meta);
    };
  };
  const log = (line: string): void => void said.push(line);
  const driven = await runFrontends(netfront({ platform, wishes, onInterface }), { store, log });
  const nodes = deviceNodes({
    device: { backendDomid: 0, kind: 'vif', frontendDomid: 0, devid: DEVID },
    backend: {
      handle: `${DEVID}`,
      type: 'vif',
      mac: MAC,
      script: '/bin/true',
      // There is no udev here to run it.
      'hotplug-status': 'connected',
    },
    frontend: { handle: `${DEVID}` },
    frontendReadOnly: { mac: MAC },
  });
  await store.transaction(async (tx) => {
    for (const { path, value, perms } of nodes) {
      await tx.write(path, value);
      await tx.setPerms(path, perms as readonly PermText[]);
    }
  });
  const connected = async (): Promise<boolean> =>
    nic !== undefined && (await store.findText(`${BACK}/state`)) === '4';
  await lab.until('it is connected', connected, 20).catch((error: Error) => {
    throw new Error(`${error.message}: ${said.join('; ')}`);
  });
  await lab.sh(`ip addr add ${addresses.kernel} dev ${KERNEL_DEVICE}; ip link set ${KERNEL_DEVICE} up`);
  return {
    get nic() {
      return nic!;
    },
    get host() {
      return host!;
    },
    received,
    get connections() {
      return connections;
    },
    said,
    listen(port) {
      const { mac, offered } = nic!;
      const send = (frame: Uint8Array, meta: FrameMeta): void => nic!.send(frame, meta);
      const end = new TcpEnd({ mac, address: host!.address!, port, large: offered.gsoTcpv4, send, clock });
      tcp.push(end);
      return end;
    },
    async remove() {
      await store.transaction(async (tx) => {
        await tx.write(`${BACK}/online`, '0');
        await tx.write(`${BACK}/state`, '5');
      });
      await lab.until('it is closed', async () => (await store.findText(`${FRONT}/state`)) === '6', 20);
      await driven.close();
      await store.rm(FRONT);
      await store.rm(BACK);
      await store.close();
    },
  };
}
