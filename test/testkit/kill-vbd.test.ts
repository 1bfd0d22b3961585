/**
 * A disk's handshake and its data while an end of it dies at every step that it takes: whoever is left, and whoever comes after, gets to an end of the device's
 * life that leaves nothing behind, and nothing that was written is lost.
 */
import { expect, it } from 'vitest';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import {
  type Actor,
  blkback,
  blkfront,
  type Guest,
  killEachStep,
  MemoryDisk,
  type SimHost,
} from '../kit/index.ts';
import { driverDies, LIMIT_MS } from './kill-ends.ts';

const SECTORS = 256;

/** A guest's driver; its disk, once connected. */
async function driver(
  host: SimHost,
  guest: Guest,
  options: Parameters<SimHost['frontend']>[2] = {},
): Promise<{ readonly actor: Actor; readonly disk: () => FrontDisk | undefined }> {
  let found: FrontDisk | undefined;
  const onDisk = (_: number, disk: FrontDisk): void => {
    found = disk;
  };
  const actor = await host.frontend(
    guest,
    ({ platform }) => blkfront({ platform, onDisk, dataPages: 16, requests: 8 }),
    options,
  );
  return { actor, disk: () => found };
}

it(
  'blkback dies at any step: the next one goes on, and data is what was written',
  async () => {
    const steps = await killEachStep({ seed: 1 }, async (host, killAt) => {
      const medium = new MemoryDisk(SECTORS);
      const guest = await host.guest();
      const first = await host.backend(blkback(medium), { killAt });
      let next: Promise<unknown> | undefined;
      void first.ended.then(() => {
        next = host.backend(blkback(medium));
      });
      const { disk } = await driver(host, guest);
      const vbd = host.attach({ kind: 'vbd', guest });
      await host.connected(vbd);
      const alive = !first.dead;
      await host.until(() => disk() !== undefined);
      const written = new Uint8Array(3 * 4096).map((_, at) => at % 251);
      await host.done(disk()!.write(8, written), 'a write is answered');
      await host.done(disk()!.flush(), 'a flush is answered');
      expect(Buffer.from(medium.bytes.subarray(8 * 512, 8 * 512 + written.length)).equals(written)).toBe(
        true,
      );
      const read = await host.done(disk()!.read(8, written.length / 512), 'a read is answered');
      expect(Buffer.from(read).equals(written)).toBe(true);
      // Whoever was connected does not notice that its backend is another one.
      if (alive) expect(host.timeline()).not.toMatch(/state = "[56]"/);
      await host.detach(vbd);
      await host.settle();
      await next;
      expect(host.leftovers()).toEqual([]);
      return first;
    });
    expect(steps).toBeGreaterThan(40);
  },
  LIMIT_MS,
);

it(
  'blkfront dies at any step: another driver gets the disk',
  async () => {
    const steps = await driverDies({
      kind: 'vbd',
      backend: () => blkback(new MemoryDisk(SECTORS)),
      driver: async (...args) => (await driver(...args)).actor,
    });
    expect(steps).toBeGreaterThan(20);
  },
  LIMIT_MS,
);

it(
  'a guest dies at any step of its driver: blkback lets go of it',
  async () => {
    const steps = await killEachStep({ seed: 3 }, async (host, killAt) => {
      const guest = await host.guest();
      await host.backend(blkback(new MemoryDisk(SECTORS)));
      const { actor, disk } = await driver(host, guest, { killAt, killed: 'with its domain' });
      const vbd = host.attach({ kind: 'vbd', guest });
      await host.until(() => actor.dead || disk() !== undefined);
      if (!actor.dead)
        disk()!
          .write(0, new Uint8Array(4096))
          .catch(() => {});
      await host.settle();
      const { dead } = actor;
      await host.destroy(guest);
      expect(vbd.states).toEqual({ back: 0, front: 0 });
      expect(host.leftovers()).toEqual([]);
      return { dead };
    });
    expect(steps).toBeGreaterThan(15);
  },
  LIMIT_MS,
);
