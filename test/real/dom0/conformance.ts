#!/usr/bin/env node
/**
 * The conformance suite of osdep on real Xen: a program for dom0, where there is no vitest, so that what the suites import by that name is
 * `testkit.ts`. Prints a line for each test and how many failed, which is also its exit status. An argument is a pattern: only tests whose name
 * matches it. Nothing else may hold VIRQ_DOM_EXC (a store's daemon would), and no other domain may come or go meanwhile.
 */
import { Hypercall } from '../../../osdep/call.ts';
import { xenPlatform } from '../../../osdep/xen/platform.ts';
import { interfaceOf } from '../../../osdep/xen/versions.ts';
import { run } from './testkit.ts';
import { vitestIs } from './vitesthook.ts';
import { xenMachine } from './xenmachine.ts';

vitestIs(new URL('./testkit.js', import.meta.url).href);
const { osdepConformance } = await import('../../conformance/osdep.ts');

const call = xenPlatform().openCall();
const version = call.hypercall(Hypercall.XEN_VERSION, [0, 0]);
call.close();
const minor = version & 0xffff;
const { domctl, sysctl } = interfaceOf(version, process.arch);
osdepConformance(`Xen ${version >>> 16}.${minor}`, async () => xenMachine(), {
  scatteredViews: true,
  descriptors: true,
  guests: false,
  states: minor >= 21,
  domctl,
  sysctl,
});
const failed = await run(new RegExp(process.argv[2] ?? ''), console.log);
process.exit(Math.min(failed, 100));
