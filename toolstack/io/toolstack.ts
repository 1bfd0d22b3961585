/**
 * What a toolstack does, whoever does it: the service of a simulated host, reached over its socket, or this process on a real one, through
 * xl. The commands, at a shell and over SSH, know a toolstack by this alone. Whatever a user can mend is thrown as a Fault; one of kind
 * `no domain` or `no device` (fault.ts) where what an order names is not there.
 */
import type { DeviceConfig } from '../core/config.ts';
import type {
  CreateOrder,
  DeviceEntry,
  DomainEntry,
  DomainRef,
  HostInfo,
  PlannedStep,
  Progress,
  Swept,
} from '../core/toolstack.ts';

export interface Toolstack {
  /** xl reads a cfg file as well, and acts upon what is not acted upon here; undefined: nobody does. */
  readonly reader?: 'xl';
  /** In order of their ids. */
  list(): Promise<DomainEntry[]>;
  info(): Promise<HostInfo>;
  /** The steps that `create` would take; nothing is done. */
  plan(order: CreateOrder): Promise<PlannedStep[]>;
  /** Rolled back whole if a step fails or the signal comes; the id of a domain that is there. */
  create(order: CreateOrder, progress: (made: Progress) => void, signal: AbortSignal): Promise<number>;
  destroy(domain: DomainRef): Promise<void>;
  /** Asks the guest; `wait`: until it has. */
  shutdown(
    domain: DomainRef,
    how: 'poweroff' | 'reboot' | 'halt',
    wait: 'wait' | 'return',
    signal?: AbortSignal,
  ): Promise<void>;
  pause(domain: DomainRef): Promise<void>;
  unpause(domain: DomainRef): Promise<void>;
  rename(domain: DomainRef, name: string): Promise<void>;
  sysrq(domain: DomainRef, letter: string): Promise<void>;
  devices(domain: DomainRef, kind: DeviceConfig['kind']): Promise<DeviceEntry[]>;
  /** Until its backend has taken it on. */
  attach(domain: DomainRef, device: DeviceConfig): Promise<DeviceEntry>;
  /** `device`: its id, its name (`xvda`), or a vif's mac. `force`: without waiting for who uses it. */
  detach(
    domain: DomainRef,
    kind: DeviceConfig['kind'],
    device: string,
    how: 'orderly' | 'force',
  ): Promise<void>;
  /** Path in the store of the node that names the terminal of a console. */
  consoleNode(domain: DomainRef, type: 'pv' | 'serial', number: number): Promise<string>;
  /** What is written there now; undefined: no such node. */
  readNode(path: string): Promise<string | undefined>;
  /** The hypervisor's console. */
  dmesg(clear: 'clear' | 'keep'): Promise<string>;
  /** Undoes what toolstacks that died left half done. */
  gc(): Promise<Swept>;
  close(): Promise<void>;
}
