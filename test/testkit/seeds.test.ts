/**
 * Disks and interfaces of two guests, events late and out of order, and programs killed by chance: by seed. When it is over all devices connect, and go without
 * a trace; a disk holds what was written to it.
 */
import { expect, it } from 'vitest';
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { SeededRandom } from '../../osdep/sim/random.ts';
import {
  type Actor,
  blkback,
  blkfront,
  type Guest,
  MemoryDisk,
  netback,
  netfront,
  type SimHost,
  simHost,
} from '../kit/index.ts';

const LIMIT_MS = 180_000;
const SEEDS = 8;
const faults = { lateEvent: 0.2, overtakingEvent: 0.1, maxDelayMs: 30 };
const data = new Uint8Array(2 * 4096).map((_, at) => (at * 7) % 253);

/** Keeps a program running, however often it is killed, until nobody kills any more. */
class Service {
  actor!: Actor;
  readonly #host: SimHost;
  readonly #random: SeededRandom;
  readonly #start: (killAt: { readonly killAt?: number }) => Promise<Actor>;
  #kills = 3;
  #diesAt = 0;

  constructor(host: SimHost, random: SeededRandom, start: Service['start']) {
    this.#host = host;
    this.#random = random;
    this.#start = start;
  }

  async start(_: { readonly killAt?: number } = {}): Promise<Actor> {
    const mortal = this.#kills > 0;
    this.#kills -= 1;
    this.#diesAt = this.#random.below(120);
    this.actor = await this.#start(mortal ? { killAt: this.#diesAt } : {});
    void this.actor.ended.then(() => this.start());
    return this.actor;
  }

  /** From now on it lives. */
  async spare(): Promise<void> {
    this.#kills = 0;
    await this.#host.until(() => !this.actor.dead);
    this.#host.atStep(this.actor, this.#diesAt, () => {});
  }
}

async function story(host: SimHost, seed: number): Promise<string> {
  const random = new SeededRandom(seed);
  const disks = [new MemoryDisk(64), new MemoryDisk(64)];
  const services: Service[] = [];
  const run = async (start: (options: { readonly killAt?: number }) => Promise<Actor>): Promise<void> => {
    const service = new Service(host, random, start);
    services.push(service);
    await service.start();
  };
  const found = new Map<Guest, FrontDisk>();
  const guests = [await host.guest(), await host.guest()];
  const medium = disks[0]!;
  await run((options) => host.backend(blkback(medium), { ...options, name: 'blkback' }));
  await run((options) => host.backend(netback(), { ...options, name: 'netback' }));
  const devices = [host.attach({ kind: 'vbd', guest: guests[0]! })];
  for (const guest of guests) {
    devices.push(host.attach({ kind: 'vif', guest }));
    await run((options) =>
      host.frontend(
        guest,
        ({ platform }) => {
          const onDisk = (_: number, disk: FrontDisk): void => void found.set(guest, disk);
          return blkfront({ platform, onDisk, dataPages: 16, requests: 8 });
        },
        options,
      ),
    );
    await run((options) =>
      host.frontend(guest, ({ platform }) => netfront({ platform, onInterface: () => () => {} }), options),
    );
  }
  await host.run(200);
  for (const service of services) await service.spare();
  for (const device of devices) await host.connected(device);
  await host.until(() => found.get(guests[0]!) !== undefined);
  const disk = found.get(guests[0]!)!;
  await host.done(disk.write(4, data), 'a write is answered');
  await host.done(disk.flush(), 'a flush is answered');
  expect(Buffer.from(medium.bytes.subarray(4 * 512, 4 * 512 + data.length)).equals(data)).toBe(true);
  for (const device of devices) await host.detach(device);
  await host.settle();
  expect(host.leftovers()).toEqual([]);
  return host.timeline();
}

it(
  'the same seed is the same story, byte for byte',
  async () => {
    const tell = (): Promise<string> => simHost({ seed: 9, faults }, (host) => story(host, 9));
    expect(await tell()).toBe(await tell());
  },
  LIMIT_MS,
);

it.each(Array.from({ length: SEEDS }, (_, seed) => seed + 1))(
  'seed %i',
  async (seed) => {
    await simHost({ seed, faults }, (host) => story(host, seed));
  },
  LIMIT_MS,
);
