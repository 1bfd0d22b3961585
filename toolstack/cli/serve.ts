/**
 * `stubdom0 serve`: the domain manager of a simulated host, a process of the control domain beside whoever brought the host up. In the foreground until a
 * signal, or until its standard input ends if it was started so; its domains go on without it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { simPlatform } from '../../osdep/sim/client.ts';
import { hypervisorPaths } from '../../osdep/sim/start.ts';
import { connect } from '../../xenstored/client/index.ts';
import { manage } from '../io/manage.ts';
import { toolstackSocket } from '../io/orders.ts';
import { serveToolstack } from '../io/server.ts';
import { simulation } from './simulation.ts';

export async function serve(run: string): Promise<number> {
  const ending = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
    if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.once('end', () => resolve()).resume();
  });
  const platform = simPlatform({ run, token: readFileSync(hypervisorPaths(run).token, 'latin1') });
  const store = await connect({ path: join(run, 'xenstored/socket'), first: 'wait' });
  const manager = manage({
    run,
    ctrl: platform.openCtrl(),
    store,
    environment: (domid, life) => simulation.environment(platform, run, domid, life),
    print: (text) => console.log(text),
  });
  const server = await serveToolstack(toolstackSocket(run), manager);
  console.log('toolstack is ready');
  await ending;
  await server.close();
  await manager.close();
  await store.close();
  process.exit(0);
}
