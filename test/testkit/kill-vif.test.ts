/**
 * An interface's handshake while an end of it dies at every step that it takes: whoever is left, and whoever comes after, gets to an end of the device's life
 * that leaves nothing behind.
 */
import { expect, it } from 'vitest';
import { netback, netfront } from '../kit/index.ts';
import { backendDies, driverDies, type Ends, guestDies, LIMIT_MS } from './kill-ends.ts';

/** An interface that takes what comes. */
const vif: Ends = {
  kind: 'vif',
  backend: () => netback(),
  driver: (host, guest, options) =>
    host.frontend(guest, ({ platform }) => netfront({ platform, onInterface: () => () => {} }), options),
};

it(
  'netback dies at any step: the next one goes on, and a guest that was connected stays it',
  async () => expect(await backendDies(vif)).toBeGreaterThan(20),
  LIMIT_MS,
);

it(
  'netfront dies at any step: another driver gets the interface',
  async () => expect(await driverDies(vif)).toBeGreaterThan(20),
  LIMIT_MS,
);

it(
  'a guest dies at any step of its driver: netback lets go of it',
  async () => expect(await guestDies(vif)).toBeGreaterThan(15),
  LIMIT_MS,
);
