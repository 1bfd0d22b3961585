// The toolstack in the handshake's world: hotplug scripts, and devices detached, removed by force, destroyed with their guest, attached
// again, as libxl does it in the store.
import type { BackendOptions } from '../../xenstored/xenbus/backend-events.ts';
import type { Move } from './xenbus-explore.ts';
import type { World } from './xenbus-state.ts';

export function* toolstackMoves<S>(world: World<S>, { hotplug }: BackendOptions): Generator<Move<World<S>>> {
  const { own, dirty, left, toolstack } = world;
  const removed = (from: World<S>): World<S> => ({
    ...from,
    own: 0,
    front: 0,
    keys: 0,
    toolstack: 'removed',
    dirty: { ...from.dirty, own: true, front: true, online: true, guestOwn: true, guestBack: true },
  });
  const detached = (from: World<S>, state: 5 | 6 = 5): World<S> => ({
    ...from,
    online: false,
    own: own === 6 ? 6 : state,
    toolstack: 'detaching',
    dirty: { ...from.dirty, own: true, online: true, guestBack: true },
  });
  if (!world.script && own >= 2)
    yield {
      name: 'hotplug script done',
      next: () => ({ ...world, script: true, dirty: { ...dirty, script: true } }),
    };
  if (toolstack === 'detaching' && own === 6)
    yield { name: 'toolstack removes the device', next: () => removed(world) };
  if (toolstack === 'up' && left.detach > 0)
    yield {
      name: 'toolstack detaches',
      optional: true,
      next: () => detached({ ...world, left: { ...left, detach: left.detach - 1 } }),
    };
  if (toolstack === 'up' && left.closeForIt > 0)
    yield {
      name: 'toolstack writes 6 itself',
      optional: true,
      next: () => detached({ ...world, forced: true, left: { ...left, closeForIt: left.closeForIt - 1 } }, 6),
    };
  if (toolstack !== 'removed' && left.force > 0)
    yield {
      name: 'toolstack removes by force',
      optional: true,
      next: () => removed({ ...world, forced: true, left: { ...left, force: left.force - 1 } }),
    };
  if (toolstack === 'up' && left.death > 0)
    yield {
      name: 'the domain is destroyed',
      optional: true,
      next: () => {
        const dead = {
          ...world,
          guest: undefined,
          guestDead: true,
          granted: 0,
          front: 0 as const,
          keys: 0,
        };
        const marks = { ...dirty, dead: true, front: true, guestOwn: false, guestBack: false };
        return detached({ ...dead, dirty: marks, left: { ...left, death: left.death - 1 } });
      },
    };
  if (toolstack === 'removed' && left.attach > 0 && !world.guestDead)
    yield {
      name: 'toolstack attaches again',
      optional: true,
      next: () => ({
        ...world,
        own: 1,
        front: 1,
        online: true,
        toolstack: 'up',
        script: hotplug === 'self',
        left: { ...left, attach: left.attach - 1 },
        dirty: { ...dirty, own: true, front: true, online: true, guestOwn: true, guestBack: true },
      }),
    };
}
