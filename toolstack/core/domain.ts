/**
 * What the store says of a new domain: the nodes that libxl makes for it, in its two transactions, with their permissions. Follows
 * libxl_create.c and libxl_dom.c of Xen 4.22. Knows no store: it answers lists of nodes to be written in order.
 */
import type { PermEntry } from '../../xenstored/wire/reply.ts';
import type { Step } from './plan.ts';

export interface DomainSpec {
  readonly domid: number;
  /** 36 characters, lower case. */
  readonly uuid: string;
  readonly name: string;
  readonly memoryKb: number;
  readonly vcpus: number;
  /** Configuration for the guest's own use, below `vm-data`. */
  readonly data: Readonly<Record<string, string>>;
}

export interface NodeSpec {
  readonly path: string;
  readonly value: string;
  /** Left out: as its parent's. */
  readonly perms?: readonly PermEntry[];
}

/** Where the domain reaches its store ring. */
export interface StoreRing {
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
  | 'details'
  | 'introduce';

/** From nothing to a domain that the store knows, still paused. Destroying it is what makes the store forget its ring. */
export const domainPlan: readonly Step<DomainAction>[] = [
  { name: 'create the domain', run: 'create', undo: 'destroy' },
  { name: 'give it memory', run: 'populate' },
  { name: 'make its directories in the store', run: 'directories', undo: 'forget' },
  { name: 'make its store ring', run: 'ring' },
  { name: 'write its details into the store', run: 'details' },
  { name: 'introduce it to the store', run: 'introduce' },
];

/** The trees of a domain: removed before it is made, and when it is gone. */
export function domainTrees(domid: number, uuid: string): string[] {
  return [`/local/domain/${domid}`, `/vm/${uuid}`, `/libxl/${domid}`];
}

const guestOwned = [
  'control/shutdown',
  'control/feature-poweroff',
  'control/feature-reboot',
  'control/feature-suspend',
  'control/feature-s3',
  'control/feature-s4',
  'control/sysrq',
  'data',
  'drivers',
  'feature',
  'attr',
  'error',
  'device/suspend/event-channel',
];

/** The first transaction: the domain's directories, each with who may do what. */
export function directories(spec: DomainSpec): NodeSpec[] {
  const { domid, uuid } = spec;
  const none: PermEntry[] = [{ letter: 'n', domid: 0 }];
  const readable: PermEntry[] = [...none, { letter: 'r', domid }];
  const owned: PermEntry[] = [{ letter: 'n', domid }];
  const home = `/local/domain/${domid}`;
  const vm = `/vm/${uuid}`;
  const directory = (perms: PermEntry[]) => (path: string) => ({ path, value: '', perms });
  return [
    ...[home, vm].map(directory(readable)),
    ...[`/libxl/${domid}`, `/libxl/${domid}/device`].map(directory(none)),
    ...['cpu', 'memory', 'device', 'control', 'hvmloader']
      .map((name) => `${home}/${name}`)
      .map(directory(readable)),
    ...guestOwned.map((name) => `${home}/${name}`).map(directory(owned)),
    { path: `${home}/vm`, value: vm },
    { path: `${home}/name`, value: spec.name },
    { path: `${vm}/name`, value: spec.name },
    { path: `${vm}/uuid`, value: uuid },
    { path: `${home}/control/platform-feature-multiprocessor-suspend`, value: '1' },
    { path: `${home}/control/platform-feature-xs_reset_watches`, value: '1' },
    ...Object.entries(spec.data).map(([key, value]) => ({ path: `${home}/vm-data/${key}`, value })),
  ];
}

/** The second transaction: what is known once the domain has its memory and its ring. */
export function details(spec: DomainSpec, ring: StoreRing): NodeSpec[] {
  const home = `/local/domain/${spec.domid}`;
  return [
    { path: `${home}/memory/static-max`, value: `${spec.memoryKb}` },
    { path: `${home}/memory/target`, value: `${spec.memoryKb}` },
    { path: `${home}/memory/videoram`, value: '0' },
    { path: `${home}/domid`, value: `${spec.domid}` },
    { path: `${home}/store/port`, value: `${ring.port}` },
    { path: `${home}/store/ring-ref`, value: `${ring.gfn}` },
    ...Array.from({ length: spec.vcpus }, (_, cpu) => ({
      path: `${home}/cpu/${cpu}/availability`,
      value: 'online',
    })),
  ];
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
