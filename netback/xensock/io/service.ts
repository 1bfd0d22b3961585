/**
 * Sockets as a service: what the handshake's runner (xenstored/client) wants of a kind of device, all of them on one poller, one hub of guests'
 * networks and one account for each guest. A device that fails costs itself alone. Whose rules are whose, is an argument.
 */
import { Poller } from '../../../osdep/os/poll.ts';
import { raiseOpenFiles } from '../../../osdep/os/sock.ts';
import type { Platform } from '../../../osdep/platform.ts';
import { Ports } from '../../../osdep/ports.ts';
import type { BackendService } from '../../../xenstored/client/backend.ts';
import type { PvcallsFrontKeys } from '../../../xenstored/xenbus/pvcalls.ts';
import { Account } from '../core/account.ts';
import type { GuestRules } from '../core/policy.ts';
import type { Decision } from '../core/sockets.ts';
import { Allowance } from './allowance.ts';
import { Descriptors } from './descriptors.ts';
import { SocketDevice } from './device.ts';
import { Drains } from './drain.ts';
import type { Shared } from './hands.ts';
import { LocalHub } from './localhub.ts';
import { Pauses } from './pauses.ts';

/** Of sockets and all else; where the system allows fewer, there are fewer. */
const OPEN_FILES = 65_536;

export interface SocketsServiceOptions {
  readonly platform: Pick<Platform, 'clock' | 'openEvtchn' | 'openGnttab'>;
  /** Where records are kept; made if need be. It outlives the process, and ends with the machine. */
  readonly recordDir: string;
  /** What a guest may do. */
  readonly rulesOf: (domid: number) => GuestRules | Promise<GuestRules>;
  /** `of`: whose, and by which device. */
  readonly onDecision?: (of: { readonly domid: number; readonly path: string }, decision: Decision) => void;
  /** One line at a time. */
  readonly log: (line: string) => void;
  /** When Node's loop has had its turn, while bytes are moved. Default: setImmediate. */
  readonly soon?: (callback: () => void) => void;
}

export interface SocketsService {
  readonly service: BackendService<PvcallsFrontKeys>;
  /** Those that are there. */
  readonly devices: Iterable<SocketDevice>;
  /** Something else holds now: what it forbids is cut. `of`: who says so, and may know at once. Default: `rulesOf`. */
  rulesChanged(of?: SocketsServiceOptions['rulesOf']): Promise<void>;
  /** After the service is no longer served. */
  close(): void;
}

/** Serves any number of frontends. Throws OsError without a hypervisor. */
export function serveSockets({
  platform,
  recordDir,
  rulesOf,
  onDecision,
  log,
  soon = setImmediate,
}: SocketsServiceOptions): SocketsService {
  const { clock } = platform;
  const gnttab = platform.openGnttab();
  const ports = new Ports(platform.openEvtchn());
  const poller = new Poller();
  const local: Shared['local'] = new LocalHub({ clock, flush: () => ports.flush(), soon });
  const descriptors = new Descriptors(raiseOpenFiles(OPEN_FILES));
  const drains = new Drains({ poller, clock, descriptors });
  const localDatagrams: Shared['udp']['localDatagrams'] = new LocalHub({ clock, flush: () => ports.flush() });
  const common = { poller, clock, turns: local, descriptors };
  const pauses = new Pauses(poller, local);
  local.pauses = pauses;
  const shared: Shared = {
    gnttab,
    ports,
    local,
    tcp: { ...common, drains, pauses },
    udp: { ...common, localDatagrams },
  };
  const devices = new Set<SocketDevice>();
  const accounts = new Map<number, { readonly account: Account; readonly allowance: Allowance }>();
  const accountOf = (domid: number, { limits }: GuestRules): { account: Account; allowance: Allowance } => {
    const found = accounts.get(domid);
    const account = found?.account ?? new Account(limits);
    account.limits = limits;
    const both = found ?? { account, allowance: new Allowance(account, clock) };
    accounts.set(domid, both);
    return both;
  };
  return {
    service: {
      kind: 'pvcalls',
      hotplug: 'self',
      letsGoFirst: true,
      async open(link) {
        const domid = link.device.frontendDomid;
        const rules = await rulesOf(domid);
        const device: SocketDevice = new SocketDevice({
          link,
          clock,
          shared,
          ...accountOf(domid, rules),
          rules,
          recordDir,
          onDecision: (decision) => onDecision?.({ domid, path: link.path }, decision),
          onClosed() {
            devices.delete(device);
            if (![...devices].some((other) => other.domid === domid)) accounts.delete(domid);
          },
          log,
        });
        devices.add(device);
        return device;
      },
      statistics: () => [...devices].flatMap(({ statistics }) => statistics ?? []),
    },
    devices,
    async rulesChanged(of = rulesOf) {
      for (const device of [...devices]) {
        const rules = await of(device.domid);
        if (!devices.has(device)) continue;
        accountOf(device.domid, rules);
        device.rules = rules;
      }
    },
    close() {
      drains.close();
      local.close();
      pauses.close();
      localDatagrams.close();
      poller.close();
      ports.close();
      gnttab.close();
    },
  };
}
