/**
 * What a toolstack does, whoever does it: the service of a simulated host, reached over its socket, or this process on a real one, through
 * xl. The commands, at a shell and over SSH, know a toolstack by this alone. Whatever a user can mend is thrown as a Fault; one of kind
 * `no domain` or `no device` (io/fault.ts) where what an order names is not there.
 */
import type { DeviceConfig, DomainConfig } from './config.ts';

/** A domain as its user names it: its name, or its number; `0` is the control domain. */
export type DomainRef = string;

export interface DomainEntry {
  readonly domid: number;
  readonly name: string;
  /** 36 characters, lower case. */
  readonly uuid: string;
  /** MiB. */
  readonly memoryMb: number;
  readonly maxmemMb: number;
  readonly vcpus: number;
  readonly running: boolean;
  readonly blocked: boolean;
  readonly paused: boolean;
  readonly dying: boolean;
  /** A ShutdownReason (osdep/ctrl.ts); undefined: it has not shut down. */
  readonly shutdownReason: number | undefined;
  readonly cpuTimeNs: number;
  /** service: a stub domain of the host itself. */
  readonly role: 'control' | 'service' | 'guest';
  /** What it was made of, where this toolstack knows. */
  readonly config: DomainConfig | undefined;
}

export interface DeviceEntry {
  readonly kind: 'vbd' | 'vif' | 'pvcalls';
  readonly devid: number;
  /** `xvda`, `vif0`, `sockets0`. */
  readonly name: string;
  readonly domid: number;
  readonly backendDomid: number;
  /** Paths in the store. */
  readonly frontendPath: string;
  readonly backendPath: string;
  /** XenbusState; 0: it has none. */
  readonly frontendState: number;
  readonly backendState: number;
  /** -1: none yet. */
  readonly evtchn: number;
  /** The first, if there are several; vif: tx. -1: none yet. */
  readonly ringRef: number;
  /** vif: rx. -1: none yet, or it has none. */
  readonly rxRingRef: number;
  /** vif. */
  readonly mac: string | undefined;
  /** vbd: what it is kept in. */
  readonly target: string | undefined;
  /** What an end says against it, with that end: `domain 2 says: ...`; left out: nothing. */
  readonly error?: string;
}

/** A step of a plan as a person would say it: "create the domain". */
export interface PlannedStep {
  readonly step: string;
  /** How it would be taken back; undefined: there is nothing to take back. */
  readonly undo: string | undefined;
}

export interface Progress {
  readonly step: string;
  readonly how: 'begun' | 'done' | 'failed' | 'undone';
}

export interface CreateOrder {
  readonly config: DomainConfig;
  readonly start: 'running' | 'paused';
  /** What `config` was read from, for a toolstack that has it read by xl as well. */
  readonly cfg?: CfgText;
}

/** A cfg file as its user wrote it. */
export interface CfgText {
  readonly text: string;
  /** Absolute; the paths in it are from here. */
  readonly directory: string;
}

export interface HostInfo {
  readonly host: string;
  /** Lines of `info`, in xl's order and with its names (`nr_cpus`, `total_memory`, `free_memory`, `xen_version` ...). */
  readonly fields: readonly (readonly [string, string])[];
}

export interface Swept {
  /** Lines for people: what had been left behind by whom, and is gone now. */
  readonly removed: readonly string[];
  /** What could not be removed, and why. */
  readonly left: readonly string[];
}

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
