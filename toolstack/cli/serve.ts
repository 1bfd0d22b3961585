/**
 * `stubdom0 serve`: the domain manager of a simulated host, a process of the control domain beside whoever brought the host up. In the foreground until a
 * signal, or until its standard input ends if it was started so; its domains go on without it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { simPlatform } from '../../osdep/sim/client.ts';
import { hypervisorPaths } from '../../osdep/sim/start.ts';
import { connect } from '../../xenstored/client/index.ts';
import { onStop } from '../../xenstored/client/stop.ts';
import { reasonOf } from '../io/fault.ts';
import { claimHost, manage } from '../io/manage.ts';
import { toolstackSocket } from '../io/orders.ts';
import { serveToolstack } from '../io/server.ts';
import { simulation } from './simulation.ts';

export async function serve(run: string): Promise<number> {
  const alone = claimHost(run);
  const ending = new Promise<void>((resolve) => onStop(resolve));
  const platform = simPlatform({ run, token: readFileSync(hypervisorPaths(run).token, 'latin1') });
  const store = await connect({ path: join(run, 'xenstored/socket'), first: 'wait' });
  try {
    const manager = manage({
      run,
      ctrl: platform.openCtrl(),
      store,
      environment: (domid, life) => simulation.environment(platform, run, domid, life),
      print: (text) => console.log(text),
    });
    const server = await serveToolstack(toolstackSocket(run), manager);
    console.log('toolstack is ready');
    await server.serving;
    await ending;
    await server.close();
    await manager.close();
  } catch (error) {
    // Whoever looks after it starts it again; without an end of its own it would go on without orders.
    console.error(`stubdom0: ${reasonOf(error)}`);
    process.exit(1);
  }
  await store.close();
  alone.release();
  process.exit(0);
}
