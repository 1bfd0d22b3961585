/**
 * Handshakes under everything at once, by seed: devices attached, detached and removed by force, closed, opened and forgotten by their guest,
 * while the backend is killed, cut off and started again and the store restarted. When it is over, every device that is left connects and
 * exchanges a byte, and then goes without a trace.
 */
import { expect, it } from 'vitest';
import { SeededRandom } from '../../osdep/sim/random.ts';
import type { DeviceName } from '../../xenstored/xenbus/path.ts';
import { ToyHost } from './xenbus-run-host.ts';
import type { ToyBackend } from './xenbus-run-toy.ts';

const STEPS = 40;
const DEVICES = 4;

class Run {
  readonly #host: ToyHost;
  readonly #random: SeededRandom;
  readonly #there = new Set<DeviceName>();
  readonly #detaching = new Set<Promise<void>>();
  #backend: ToyBackend;

  constructor(host: ToyHost, random: SeededRandom, backend: ToyBackend) {
    this.#host = host;
    this.#random = random;
    this.#backend = backend;
  }

  async step(): Promise<string> {
    const { tools, guest } = this.#host;
    const [...there] = this.#there;
    const device = there[this.#random.below(Math.max(1, there.length))];
    const toy = device && this.#host.front(device);
    const dice = this.#random.below(20);
    if (dice < 6 || device === undefined) {
      if (there.length >= DEVICES) return 'nothing';
      const fresh = this.#host.named();
      await tools.attach(fresh);
      this.#there.add(fresh);
      return `attach ${fresh.devid}`;
    }
    if (dice < 8) {
      this.#there.delete(device);
      const detached = tools.detach(device);
      this.#detaching.add(detached);
      return `detach ${device.devid}`;
    }
    if (dice < 9) {
      this.#there.delete(device);
      await tools.remove(device);
      return `remove ${device.devid}`;
    }
    if (dice < 12) {
      toy?.link.close();
      return `close ${device.devid}`;
    }
    if (dice < 15) {
      toy?.link.open();
      return `open ${device.devid}`;
    }
    if (dice < 16) {
      await guest.forget();
      await guest.drive();
      return 'kexec';
    }
    if (dice < 17) {
      await this.#host.sim.restart();
      return 'store restarted';
    }
    const at = this.#random.below(60);
    const what = dice < 19 ? 'kill' : 'lose';
    this.#backend.kill();
    await this.#backend.stop();
    this.#backend = await this.#host.serve({ at, sent: this.#random.below(2) === 0, what });
    return `backend killed, ${what} at ${at}`;
  }

  /** Some of what is going on goes on. */
  async pause(): Promise<void> {
    for (let turns = this.#random.below(40); turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve));
  }

  async end(): Promise<void> {
    const { tools, guest } = this.#host;
    this.#backend.kill();
    const last = await this.#host.serve();
    await Promise.all(this.#detaching);
    for (const device of this.#there) {
      await expect.poll(() => guest.toys.has(device.devid)).toBe(true);
      this.#host.front(device).link.open();
      await tools.connected(device);
      await this.#host.front(device).exchange();
      await tools.detach(device);
    }
    await expect.poll(() => [last.mapped.size, last.opened, guest.toys.size]).toEqual([0, 0, 0]);
  }
}

const seeds = process.env.SEED === undefined ? [1, 2, 3, 4, 5, 6] : [Number(process.env.SEED)];

it.each(seeds)(
  'seed %i',
  async (seed) => {
    const host = await ToyHost.start();
    const random = new SeededRandom(seed);
    const run = new Run(host, random, await host.serve());
    const story: string[] = [];
    try {
      for (let step = 0; step < STEPS; step++) {
        story.push(await run.step());
        await run.pause();
      }
      await run.end();
    } catch (error) {
      throw new Error(`SEED=${seed}: ${story.join('; ')}`, { cause: error });
    } finally {
      await host.stop();
    }
  },
  20_000,
);
