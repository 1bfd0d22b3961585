/**
 * The test kit, `stubdom0/testkit`: a host that fits into a test, for whoever writes Xen frontends, backends or handshakes; README.md beside it shows it in
 * use. Needs no test runner, and no Xen.
 */
import { SimHost } from './host.ts';
import type { HostOptions } from './options.ts';

export type { FaultOdds } from '../../osdep/sim/faults.ts';
export type { BackendDevice, BackendLink, BackendService } from '../../xenstored/client/backend.ts';
export type { FrontendDevice, FrontendDriver, FrontendLink } from '../../xenstored/client/frontend.ts';
export { stateName, XenbusState } from '../../xenstored/xenbus/state.ts';
export type { Device, DeviceOrder } from './devices.ts';
export type { SimHost } from './host.ts';
export type { GrantInForce, PortInUse } from './hypervisor.ts';
export type { ActorOptions, Guest, HostOptions, Made, Maker } from './options.ts';
export * from './ours.ts';
export type { Actor, StepTime } from './process.ts';

const MOST_STEPS = 2_000;

/** A host, to be closed: `await using host = await simHost()`. */
export function simHost(options?: HostOptions): Promise<SimHost>;
/** A host for as long as a test's body runs. Whatever the body throws is told with the seed and the end of the timeline. */
export function simHost<T>(options: HostOptions, body: (host: SimHost) => Promise<T>): Promise<T>;
export async function simHost<T>(
  options: HostOptions = {},
  body?: (host: SimHost) => Promise<T>,
): Promise<SimHost | T> {
  const host = await SimHost.start(options);
  if (body === undefined) return host;
  try {
    return await body(host);
  } catch (error) {
    throw host.explain(error);
  } finally {
    await host.close();
  }
}

/**
 * Tells a story once for each step that an actor takes in it, each time on a new host of the same seed. The story hands `step` to the actor as its `killAt`,
 * or to `killAt`, and answers the actor, or whether that died of it. Ends when it lived to see the end. Answers how many steps there were.
 */
export async function killEachStep(
  options: HostOptions,
  story: (host: SimHost, step: number) => Promise<{ readonly dead: boolean }>,
): Promise<number> {
  for (let step = 0; ; step += 1) {
    const reached = await simHost(options, async (host) => {
      host.note(`to be killed at step ${step}`);
      return (await story(host, step)).dead;
    });
    if (!reached) return step;
    if (step > MOST_STEPS)
      throw new Error(`the story's actor is dead in the end, even if it is spared for ${step} steps`);
  }
}
