/**
 * What every platform must do, as one suite: a function of a factory, which makes machines, and of what a machine
 * supports. The same tests run within one process, across processes, and on real Xen.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CreateDomain } from '../../osdep/ctrl.ts';
import { OsError } from '../../osdep/errno.ts';
import type { Platform } from '../../osdep/platform.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { callSuite } from './osdep/call.ts';
import { copierSuite } from './osdep/copier.ts';
import { deviceSuite } from './osdep/devices.ts';
import { domainSuite } from './osdep/domains.ts';
import { evtchnSuite } from './osdep/evtchn.ts';
import { foreignSuite } from './osdep/foreign.ts';
import { grantSuite } from './osdep/grants.ts';
import { toolSuite } from './osdep/tools.ts';

export interface TestDomain {
  readonly domid: number;
  readonly platform: Platform;
}

/** A domain that somebody is in, who can be asked to do what no library does. */
export interface TestGuest extends TestDomain {
  readonly platform: SimPlatform;
}

/** A machine under test, with a control domain. */
export interface TestMachine {
  readonly control: TestDomain;
  /** A running domain, and somebody in it. For machines that support guests. */
  newDomain(options?: CreateDomain): Promise<TestGuest>;
  /** Ends what runs the domain, as a crash of its process would. */
  kill(domid: number): Promise<void>;
  /** Lets the machine go on until the condition holds; rejects if that takes absurdly long. */
  until(condition: () => boolean): Promise<void>;
  /** Lets everything arrive that is under way. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

export interface Supports {
  /** Frames from anywhere can be mapped side by side in one view. */
  readonly scatteredViews: boolean;
  /** Event channel handles have a descriptor. */
  readonly descriptors: boolean;
  /** Somebody can be put into other domains. Else the control domain is at both ends, and all others are empty. */
  readonly guests: boolean;
  /** The hypervisor keeps account of domains' states (Xen 4.21). */
  readonly states: boolean;
  /** Versions of the toolstack's interfaces. */
  readonly domctl: number;
  readonly sysctl: number;
}

/** What a simulated machine tells of itself, whichever way it runs. */
export const simulated: Pick<Supports, 'guests' | 'states' | 'domctl' | 'sysctl'> = {
  guests: true,
  states: true,
  domctl: 0x18,
  sysctl: 0x16,
};

/** What a suite gets: the machine of the running test, and short cuts. */
export interface Bench {
  readonly supports: Supports;
  readonly machine: TestMachine;
  readonly control: TestDomain;
  /** Two ends: domains that know nothing of each other, or where there are no guests the control domain twice. */
  pair(): Promise<[TestDomain, TestDomain]>;
  /** Two domains that know nothing of each other, and of which neither is in control. */
  guests(): Promise<[TestGuest, TestGuest]>;
  /**
   * A paused domain that nobody is in, of the kind that has frames of its own and may have a device model, with
   * its vCPUs, and memory at `gfns`.
   */
  empty(options?: CreateDomain, gfns?: readonly number[]): number;
  /** Declares a test that needs guests, where there are any. */
  guestTest(name: string, body: () => void | Promise<void>): void;
}

const MAX_MEM_KB = 1024;

export function osdepConformance(
  name: string,
  factory: () => Promise<TestMachine>,
  supports: Supports,
): void {
  describe(`osdep: ${name}`, () => {
    let machine: TestMachine | undefined;
    const current = (): TestMachine => {
      if (machine === undefined) {
        throw new Error('no machine outside of a test');
      }
      return machine;
    };
    beforeEach(async () => {
      machine = await factory();
    });
    afterEach(async () => {
      await machine?.stop();
      machine = undefined;
    });
    const bench: Bench = {
      supports,
      get machine() {
        return current();
      },
      get control() {
        return current().control;
      },
      guests: async () => [await current().newDomain(), await current().newDomain()],
      pair: () =>
        supports.guests ? bench.guests() : Promise.resolve([current().control, current().control]),
      empty: (options = {}, gfns = []) => {
        const ctrl = current().control.platform.openCtrl();
        const domid = ctrl.createDomain({ hvm: true, hap: true, ...options });
        ctrl.maxVcpus(domid, options.maxVcpus ?? 1);
        ctrl.setMaxMem(domid, MAX_MEM_KB);
        ctrl.populatePhysmap(domid, gfns);
        ctrl.close();
        return domid;
      },
      guestTest: (title, body) => {
        if (supports.guests) {
          test(title, body);
        }
      },
    };
    evtchnSuite(bench);
    grantSuite(bench);
    copierSuite(bench);
    foreignSuite(bench);
    domainSuite(bench);
    deviceSuite(bench);
    callSuite(bench);
    toolSuite(bench);
  });
}

/** Asserts that a call fails with this errno, by name. */
export function refuses(code: string, call: () => unknown): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `expected ${code}`).toBeInstanceOf(OsError);
  expect((thrown as OsError).code).toBe(code);
}
