/**
 * What every platform must do, as one suite: a function of a factory, which makes machines, and of what a machine
 * supports. The same tests run within one process, across processes, and on real Xen.
 */
import { afterEach, beforeEach, describe, expect } from 'vitest';
import type { CreateDomain } from '../../osdep/ctrl.ts';
import { OsError } from '../../osdep/errno.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { callSuite } from './osdep/call.ts';
import { deviceSuite } from './osdep/devices.ts';
import { domainSuite } from './osdep/domains.ts';
import { evtchnSuite } from './osdep/evtchn.ts';
import { foreignSuite } from './osdep/foreign.ts';
import { grantSuite } from './osdep/grants.ts';
import { toolSuite } from './osdep/tools.ts';

export interface TestDomain {
  readonly domid: number;
  readonly platform: SimPlatform;
}

/** A machine under test, with a control domain. */
export interface TestMachine {
  readonly control: TestDomain;
  /** A running domain, and somebody in it. */
  newDomain(options?: CreateDomain): Promise<TestDomain>;
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
}

/** What a suite gets: the machine of the running test, and short cuts. */
export interface Bench {
  readonly supports: Supports;
  readonly machine: TestMachine;
  readonly control: TestDomain;
  /** Two domains that know nothing of each other. */
  pair(): Promise<[TestDomain, TestDomain]>;
}

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
      pair: async () => [await current().newDomain(), await current().newDomain()],
    };
    evtchnSuite(bench);
    grantSuite(bench);
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
