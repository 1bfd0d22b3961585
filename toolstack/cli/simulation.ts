/**
 * The simulated machine as a host's hypervisor: how its process is started, how one becomes its control domain, and by which token a
 * process becomes any other domain.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RemoteSimPlatform, RUN_VARIABLE, simPlatform, TOKEN_VARIABLE } from '../../osdep/sim/client.ts';
import { hypervisorPaths } from '../../osdep/sim/start.ts';
import type { Hypervisor } from '../io/host.ts';
import { packageRoot } from '../io/hostfile.ts';

const PAGES_PER_MB = 256;
const program = join(packageRoot, 'dist/osdep/sim/hypervisor-main.js');

export const simulation: Hypervisor<RemoteSimPlatform> = {
  command: (run, { memoryMb }) => ({
    file: process.execPath,
    args: [program, '--run', run, '--with-parent', '--pages', `${memoryMb * PAGES_PER_MB}`],
    env: {},
    ready: /^ready$/,
  }),
  open: (run) =>
    simPlatform({
      run,
      token: readFileSync(hypervisorPaths(run).token, 'latin1'),
      // Its loss is told by its process, which is ours.
      onLost: () => {},
    }),
  environment: (platform, run, domid, life) => ({
    [RUN_VARIABLE]: run,
    [TOKEN_VARIABLE]: platform.issueToken({ domid, restartable: life === 'outlives its process' }),
  }),
};
