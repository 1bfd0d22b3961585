// Event channels of many devices through one handle: guests who ring all of theirs without end keep nobody else from his turn, and nothing is lost.
import { setImmediate as soon } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Evtchn } from '../../osdep/evtchn.ts';
import { Ports } from '../../osdep/ports.ts';

test('ports that fire again as soon as they are open leave the rest of the process its turns', async () => {
  const PORTS = 300;
  const pending = new Set<number>();
  let wake = (): void => {};
  let stopped = false;
  let bound = 0;
  const evtchn: Partial<Evtchn> = {
    bindInterdomain: () => bound++,
    onReadable: (callback) => {
      wake = callback;
      return () => {};
    },
    pendingAll: (ports) => {
      const taken = [...pending].slice(0, ports.length);
      for (const port of taken) pending.delete(port);
      ports.set(taken);
      return taken.length;
    },
    unmask: (port) => {
      if (!stopped) pending.add(port);
    },
  };
  const ports = new Ports(evtchn as Evtchn);
  let events = 0;
  for (let i = 0; i < PORTS; i++) {
    const port = ports.bind(1, i, () => {
      // Rather than for ever.
      if (++events > 1_000_000) stopped = true;
      ports.open(port);
    });
    pending.add(port);
  }
  wake();
  expect(stopped).toBe(false);
  const before = events;
  await soon();
  await soon();
  // Nobody rings for what is pending already.
  expect(events).toBeGreaterThan(before);
  stopped = true;
  for (let i = 0; i < 3; i++) await soon();
  expect(pending.size).toBe(0);
});
