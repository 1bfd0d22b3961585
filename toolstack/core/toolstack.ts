/**
 * What is told to a toolstack and by it (io/toolstack.ts), as plain data: a domain, a device, the steps of a plan and how far it has come, the host.
 */
import type { DomainConfig } from './config.ts';

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
