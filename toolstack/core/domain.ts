/**
 * What the store says of a new domain: the nodes that libxl makes for it, in its two transactions, with their permissions; and the steps from nothing to
 * a domain that the store knows. Follows libxl_create.c and libxl_dom.c of Xen 4.22. Knows no store: it answers lists of nodes to be written in order.
 */
import type { PermEntry } from '../../xenstored/wire/reply.ts';
import type { DomainType } from './config.ts';
import type { Step } from './plan.ts';

export interface DomainSpec {
  readonly domid: number;
  /** 36 characters, lower case. */
  readonly uuid: string;
  readonly name: string;
  readonly type: DomainType;
  readonly memoryKb: number;
  /** At least memoryKb. */
  readonly maxmemKb: number;
  /** That it starts with, and that it may have. */
  readonly vcpus: number;
  readonly maxvcpus: number;
  /** It serves devices of other domains. */
  readonly driverDomain: boolean;
  /** Of its table of what it has mapped of others; undefined: as the hypervisor likes. */
  readonly maxMaptrackFrames?: number;
  /** What is started in it, as far as libxl tells of it. */
  readonly kernel: string;
  readonly cmdline: string;
  /** Seconds since the epoch, with two decimals. */
  readonly startTime: string;
  /** Configuration for the guest's own use, below `vm-data`. */
  readonly data: Readonly<Record<string, string>>;
}

export interface NodeSpec {
  readonly path: string;
  readonly value: string;
  /** Left out: as its parent's. */
  readonly perms?: readonly PermEntry[];
}

/** Where a domain reaches a ring of its own: its store's, its console's. */
export interface OwnRing {
  readonly port: number;
  readonly gfn: number;
}

export type DomainAction =
  | 'create'
  | 'destroy'
  | 'populate'
  | 'directories'
  | 'forget'
  | 'ring'
  | 'console'
  | 'forgetConsole'
  | 'details'
  | 'introduce';

/** From nothing to a domain that the store knows, still paused. Destroying it is what makes the store forget its ring. */
export function domainSteps(has: { readonly console: boolean }): Step<DomainAction>[] {
  return [
    { name: 'create the domain', run: 'create', undo: 'destroy' },
    { name: 'give it memory', run: 'populate' },
    { name: 'make its directories in the store', run: 'directories', undo: 'forget' },
    { name: 'make its store ring', run: 'ring' },
    { name: 'write its details into the store', run: 'details' },
    { name: 'introduce it to the store', run: 'introduce' },
    ...(has.console ? [consoleStep] : []),
  ];
}

const consoleStep: Step<DomainAction> = {
  name: 'make its console',
  run: 'console',
  undo: 'forgetConsole',
};

/** The trees of a domain: removed before it is made, and when it is gone. */
export function domainTrees(domid: number, uuid: string): string[] {
  return [`/local/domain/${domid}`, `/vm/${uuid}`, `/libxl/${domid}`];
}

/** Below its home, and its own. */
function guestOwned({ type, driverDomain }: DomainSpec): string[] {
  return [
    'device/suspend/event-channel',
    'control/shutdown',
    'control/feature-poweroff',
    'control/feature-reboot',
    'control/feature-suspend',
    ...(type === 'hvm' ? ['control/feature-s3', 'control/feature-s4'] : []),
    'control/sysrq',
    'data',
    'drivers',
    'feature',
    'attr',
    'error',
    ...(driverDomain ? ['libxl', 'device-model'] : []),
  ];
}

/** The first transaction: the domain's directories, each with who may do what. */
export function directories(spec: DomainSpec): NodeSpec[] {
  const { domid, uuid, type } = spec;
  const none: PermEntry[] = [{ letter: 'n', domid: 0 }];
  const readable: PermEntry[] = [...none, { letter: 'r', domid }];
  const owned: PermEntry[] = [{ letter: 'n', domid }];
  const home = `/local/domain/${domid}`;
  const vm = `/vm/${uuid}`;
  const libxl = `/libxl/${domid}`;
  const directory = (perms: PermEntry[]) => (path: string) => ({ path, value: '', perms });
  return [
    ...[home, vm].map(directory(readable)),
    ...[libxl, `${libxl}/device`].map(directory(none)),
    { path: `${home}/vm`, value: vm },
    { path: `${home}/name`, value: spec.name },
    ...['cpu', 'memory', 'device', 'control', ...(type === 'hvm' ? ['hvmloader'] : [])]
      .map((name) => `${home}/${name}`)
      .map(directory(readable)),
    ...guestOwned(spec)
      .map((name) => `${home}/${name}`)
      .map(directory(owned)),
    { path: `${vm}/uuid`, value: uuid },
    { path: `${vm}/name`, value: spec.name },
    ...Object.entries(spec.data).map(([key, value]) => ({ path: `${home}/vm-data/${key}`, value })),
    { path: `${home}/control/platform-feature-multiprocessor-suspend`, value: '1' },
    { path: `${home}/control/platform-feature-xs_reset_watches`, value: '1' },
    { path: `${libxl}/type`, value: type },
  ];
}

/** The second transaction: what is known once the domain has its memory and its ring. */
export function details(spec: DomainSpec, ring: OwnRing): NodeSpec[] {
  const home = `/local/domain/${spec.domid}`;
  const vm = `/vm/${spec.uuid}`;
  return [
    { path: `${home}/memory/static-max`, value: `${spec.maxmemKb}` },
    { path: `${home}/memory/target`, value: `${spec.memoryKb}` },
    { path: `${home}/memory/videoram`, value: '0' },
    { path: `${home}/domid`, value: `${spec.domid}` },
    { path: `${home}/store/port`, value: `${ring.port}` },
    { path: `${home}/store/ring-ref`, value: `${ring.gfn}` },
    ...Array.from({ length: spec.maxvcpus }, (_, cpu) => ({
      path: `${home}/cpu/${cpu}/availability`,
      value: cpu < spec.vcpus ? 'online' : 'offline',
    })),
    ...image(spec).map(([key, value]) => ({ path: `${vm}/${key}`, value })),
  ];
}

/** Below /vm: as much as libxl says of what is started, by the domain's type. */
function image({ type, kernel, cmdline, startTime }: DomainSpec): (readonly [string, string])[] {
  const start = ['start_time', startTime] as const;
  switch (type) {
    case 'pv':
      return [
        ['image/ostype', 'linux'],
        ['image/kernel', kernel],
        start,
        ...(cmdline === '' ? [] : [['image/cmdline', cmdline] as const]),
      ];
    case 'pvh':
      return [start];
    case 'hvm':
      return [['rtc/timeoffset', ''], ['image/ostype', 'hvm'], start];
  }
}

/** What a toolstack writes once the store serves: the control domain itself, and which domain the store is in. */
export function controlDomain(storeDomid: number | undefined): NodeSpec[] {
  return [
    ...(storeDomid === undefined ? [] : [{ path: '/tool/xenstored/domid', value: `${storeDomid}` }]),
    { path: '/local/domain/0/domid', value: '0' },
    { path: '/local/domain/0/name', value: 'Domain-0' },
    { path: '/local/pool/0/name', value: 'Pool-0' },
  ];
}
