/**
 * What a toolstack or its script writes into a backend's directory is heard, in whichever step of the backend's it is written: while the device is still
 * being found, while it is opened, while its frontend's keys are read.
 */
import { expect, it } from 'vitest';
import { type Actor, type BackendService, type SimHost, simHost } from '../kit/index.ts';
import { toyBackend, toyDriver } from './toy.ts';

const LIMIT_MS = 180_000;

/** What a device has read of its medium when it was opened, and which keys it was told of later. */
interface Known {
  medium?: string | undefined;
  readonly heard: string[];
}

/** Waits for a hotplug script, and reads a key of its own. */
function scriptedToy(known: Known): (actor: Actor) => BackendService<unknown> {
  return (actor) => {
    const toy = toyBackend(actor);
    return {
      ...toy,
      hotplug: 'script',
      open: async (link) => {
        known.medium = await actor.store.findText(`${link.path}/medium`);
        await actor.store.findText(`${link.path}/something-else`);
        return { ...(await toy.open(link)), changed: (key) => void known.heard.push(key) };
      },
    } as BackendService<unknown>;
  };
}

/** The same story with something done at each of the backend's steps, until there are no more. */
async function atEachStep(
  story: (host: SimHost, step: number, backend: (known: Known) => Promise<Actor>) => Promise<Actor>,
) {
  for (let step = 0; ; step += 1) {
    const taken = await simHost({ seed: 7 }, async (host) => {
      const actor = await story(host, step, (known) => host.backend(scriptedToy(known)));
      return host.steps(actor);
    });
    if (step >= taken) return step;
  }
}

it(
  'a script is done at any step: the device is connected',
  async () => {
    const steps = await atEachStep(async (host, step, start) => {
      const guest = await host.guest();
      const backend = await start({ heard: [] });
      await host.frontend(guest, toyDriver);
      const before = host.steps(backend);
      const toy = host.attach({ kind: 'toy', guest });
      let done = false;
      const script = (): void => {
        done = true;
        host.write(`${toy.back}/hotplug-status`, 'connected');
      };
      host.atStep(backend, before + step, script);
      await host.settle();
      if (!done) script();
      await host.connected(toy);
      return backend;
    });
    expect(steps).toBeGreaterThan(10);
  },
  LIMIT_MS,
);

it(
  "a device's own key is written at any step: it has read it, or hears of it",
  async () => {
    await atEachStep(async (host, step, start) => {
      const guest = await host.guest();
      const known: Known = { heard: [] };
      const backend = await start(known);
      await host.frontend(guest, toyDriver);
      const before = host.steps(backend);
      const toy = host.attach({ kind: 'toy', guest });
      host.write(`${toy.back}/hotplug-status`, 'connected');
      host.atStep(backend, before + step, () => host.write(`${toy.back}/medium`, 'another'));
      await host.connected(toy);
      await host.settle();
      if (known.medium === undefined && host.read(`${toy.back}/medium`) === 'another')
        expect(known.heard, `written at step ${step}`).toContain('medium');
      return backend;
    });
  },
  LIMIT_MS,
);
