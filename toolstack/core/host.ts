/**
 * A host as its file describes it, and the ordered steps that bring it up. The file's shape is that of host.schema.json, beside the
 * shipped hosts. Knows the order, and what each step takes back; not how any of it is done.
 */
import { type Device, type DeviceFiles, deviceMistakes } from './devices.ts';
import type { Step } from './plan.ts';
import { type Policy, policyMistakes } from './policy.ts';
import { type ProgramFiles, programMistakes } from './programs.ts';
import type { Uplink } from './uplink.ts';

export interface HostFile {
  readonly name: string;
  /** The simulated one. */
  readonly machine: {
    /** MiB. */
    readonly memoryMb: number;
  };
  readonly xenstored: {
    /** MiB. */
    readonly memoryMb: number;
    /** A directory's name within the run directory, or `memory`. */
    readonly database: string;
    /** Further flags of the daemon. */
    readonly args: readonly string[];
  };
  /** Left out: none is started. */
  readonly admin?: {
    /** 0: any that is free. */
    readonly port: number;
  };
  /** Left out: no disks. */
  readonly blkback?: ServiceFile;
  /** Left out: no network. */
  readonly netback?: ServiceFile & {
    /** The machine's way in; left out: guests reach each other only. */
    readonly uplink?: Uplink;
  };
  /** Left out: no sockets. */
  readonly xensock?: ServiceFile & {
    /** Who may connect and bind to what: the file that its --policy names, with guests by their names. */
    readonly policy?: Policy;
  };
  /** Left out: domains have no consoles. */
  readonly console?: ServiceFile;
  /** Left out: the toolstack is not to be reached by SSH. */
  readonly ssh?: {
    /** 0: any that is free. */
    readonly port: number;
    /** Further flags, as `stubdom0 sshd --help` lists them. */
    readonly args: readonly string[];
  };
  readonly guests: readonly GuestFile[];
  /** Further guests, by their cfg files or directories of them. */
  readonly autostart: readonly string[];
}

/** A backend in a domain of its own. */
export interface ServiceFile {
  /** MiB. */
  readonly memoryMb: number;
  /** Further flags of the program. */
  readonly args: readonly string[];
}

/** Stub domains that serve others, by their program's name. */
export const services = ['blkback', 'netback', 'xensock', 'console'] as const;

export type ServiceName = (typeof services)[number];

/** Who serves a kind of device. */
export const serviceOf: Readonly<Record<Device['kind'], ServiceName>> = {
  vbd: 'blkback',
  vif: 'netback',
  pvcalls: 'xensock',
};

export interface GuestFile extends DeviceFiles, ProgramFiles {
  readonly name: string;
  /** MiB. */
  readonly memoryMb: number;
  readonly vcpus: number;
  /** Names of the guests that it greets. */
  readonly greets: readonly string[];
}

export type HostAction =
  | { readonly kind: 'start' | 'stop'; readonly process: 'hypervisor' | 'xenstored' }
  | {
      readonly kind:
        | 'openControl'
        | 'closeControl'
        | 'createStoreDomain'
        | 'destroyStoreDomain'
        | 'connectStore'
        | 'disconnectStore'
        | 'startAll'
        | 'stopAll'
        | 'awaitAll';
    }
  | { readonly kind: 'createService' | 'destroyService'; readonly service: ServiceName }
  | { readonly kind: 'createGuest'; readonly guest: GuestFile; readonly place: number }
  | { readonly kind: 'acquaint' | 'letRun' | 'autostart' };

/** What a host file cannot say by its shape alone; an empty list: it is sound. */
export function mistakes(host: HostFile): string[] {
  const names = host.guests.map(({ name }) => name);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  const unknown = host.guests.flatMap(({ name, greets }) =>
    greets
      .filter((other) => other === name || !names.includes(other))
      .map((other) => `guest ${name} greets ${other}, which is no other guest`),
  );
  const own = services.filter((service) => names.includes(service) && host[service] !== undefined);
  return [
    ...twice.map((name) => `there are two guests called ${name}`),
    ...own.map((name) => `a guest is called ${name}, as a service of the host is`),
    ...unknown,
    ...deviceMistakes(host.guests, {
      blkback: host.blkback !== undefined,
      netback: host.netback !== undefined,
      xensock: host.xensock !== undefined,
      uplink: host.netback?.uplink?.address,
    }),
    ...host.guests.flatMap(programMistakes),
    ...policyMistakes(host.xensock?.policy ?? {}, {
      names,
      admin: host.admin !== undefined,
      others: host.autostart.length > 0,
    }),
  ];
}

export function hostPlan(host: HostFile): Step<HostAction>[] {
  const { guests } = host;
  return [
    {
      name: 'start the hypervisor',
      run: { kind: 'start', process: 'hypervisor' },
      undo: { kind: 'stop', process: 'hypervisor' },
    },
    { name: 'become the control domain', run: { kind: 'openControl' }, undo: { kind: 'closeControl' } },
    {
      name: 'create the domain of the store',
      run: { kind: 'createStoreDomain' },
      undo: { kind: 'destroyStoreDomain' },
    },
    {
      name: 'start xenstored',
      run: { kind: 'start', process: 'xenstored' },
      undo: { kind: 'stop', process: 'xenstored' },
    },
    { name: 'connect to the store', run: { kind: 'connectStore' }, undo: { kind: 'disconnectStore' } },
    ...services.filter((service) => host[service] !== undefined).map(serviceStep),
    // Guests end with whoever made them.
    { name: 'start the services', run: { kind: 'startAll' }, undo: { kind: 'stopAll' } },
    ...guests.map(
      (guest, place): Step<HostAction> => ({
        name: `create guest ${guest.name}`,
        run: { kind: 'createGuest', guest, place },
      }),
    ),
    // What no guest needs to be made has had the time.
    { name: 'wait for the services', run: { kind: 'awaitAll' } },
    // Only now are all their ids known.
    ...(guests.length === 0
      ? []
      : ([
          { name: 'tell the guests of each other', run: { kind: 'acquaint' } },
          { name: 'let the guests run', run: { kind: 'letRun' } },
        ] satisfies Step<HostAction>[])),
    ...(host.autostart.length === 0
      ? []
      : ([{ name: 'start further guests', run: { kind: 'autostart' } }] satisfies Step<HostAction>[])),
  ];
}

function serviceStep(service: ServiceName): Step<HostAction> {
  return {
    name: `create the domain of ${service}`,
    run: { kind: 'createService', service },
    undo: { kind: 'destroyService', service },
  };
}
