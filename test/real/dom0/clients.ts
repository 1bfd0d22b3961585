#!/usr/bin/env node
/**
 * The client's conformance suite through dom0's kernel, whichever daemon serves the store: a program for dom0, where `testkit.ts` stands for
 * vitest. The argument is the kind of daemon. Prints a line for each test and how many failed, which is also its exit status.
 */
import { at } from '../../../xenstored/client/address.ts';
import { run } from './testkit.ts';
import { vitestIs } from './vitesthook.ts';

vitestIs(new URL('./testkit.js', import.meta.url).href);
const { clientSuite } = await import('../../conformance/client.ts');

const kind = process.argv[2];
clientSuite('/dev/xen/xenbus', async () => ({ connector: at('/dev/xen/xenbus'), stop: async () => {} }), {
  privileged: true,
  wide: kind !== 'ox',
  today: kind === 'ours',
  conflicts: kind !== 'ox',
  device: true,
});
process.exit(await run(/^/, console.log));
