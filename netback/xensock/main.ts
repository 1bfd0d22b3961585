#!/usr/bin/env node
/**
 * xensock: picks the machine, and serves the sockets that toolstacks order in its backend directory, until it is told to stop. Whoever starts it
 * again goes on with guests that are connected. Decides nothing else.
 */
import { runBackend } from '../../xenstored/client/program.ts';
import { policyOf, readPolicyFile } from './io/policyfile.ts';
import { serveSockets } from './io/service.ts';

runBackend({
  name: 'xensock',
  linux: { driver: 'pvcalls', module: 'xen-pvcalls-back' },
  about:
    'Serves sockets for guests: every device below /local/domain/<own>/backend/pvcalls, as it comes and goes.',
  platform: async (wanted, run) => {
    const { simIsThere, simPlatform } = await import('../../osdep/sim/client.ts');
    if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) return simPlatform({ run });
    return (await import('../../osdep/xen/platform.ts')).xenPlatform();
  },
  flags: {
    options: { policy: { type: 'string' } },
    help: `  --policy FILE       what guests may do with their sockets, and where their addresses are (README.md)
`,
    check: ({ policy }) => {
      if (typeof policy === 'string') readPolicyFile(policy);
    },
  },
  service: async ({ platform, store, recordDir, log }, { policy: file }) => {
    const { policy } = typeof file === 'string' ? readPolicyFile(file) : policyOf({}, 'the usual policy');
    const nameOf = (domid: number): Promise<string | undefined> =>
      store.readText(`/local/domain/${domid}/name`).catch(() => undefined);
    const rulesOf = async (domid: number) => policy.of(domid, await nameOf(domid));
    return serveSockets({ platform, recordDir, rulesOf, log }).service;
  },
});
