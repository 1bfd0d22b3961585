/**
 * Handshakes under everything at once, by seed: devices attached, detached and removed by force, closed, opened and forgotten by their guest, while the backend
 * is killed, cut off and started again and the store ends and begins again. When it is over, every device that is left connects and exchanges a byte, and then
 * goes without a trace.
 */
import { expect, it } from 'vitest';
import { SeededRandom } from '../../osdep/sim/random.ts';
import { type Device, type SimHost, simHost } from '../kit/index.ts';
import { ToyBackend, ToyGuest } from './xenbus-run-toy.ts';

const faults = { lateEvent: 0.2, overtakingEvent: 0.1, maxDelayMs: 30 };
const STEPS = 40;
const DEVICES = 4;

class Run {
  readonly #host: SimHost;
  readonly #random: SeededRandom;
  readonly #guest: ToyGuest;
  readonly #there = new Set<Device>();
  readonly #detaching = new Set<Device>();
  #backend: ToyBackend;

  constructor(host: SimHost, random: SeededRandom, guest: ToyGuest, backend: ToyBackend) {
    this.#host = host;
    this.#random = random;
    this.#guest = guest;
    this.#backend = backend;
  }

  async step(): Promise<string> {
    const host = this.#host;
    this.#removeClosed();
    const [...there] = this.#there;
    const device = there[this.#random.below(Math.max(1, there.length))];
    const toy = device && this.#guest.front(device);
    const dice = this.#random.below(20);
    if (dice < 6 || device === undefined) {
      if (there.length >= DEVICES) return 'nothing';
      const fresh = this.#guest.attach();
      this.#there.add(fresh);
      return `attached ${fresh.back}`;
    }
    if (dice < 8) {
      this.#there.delete(device);
      this.#detaching.add(device);
      host.write(`${device.back}/online`, '0');
      host.write(`${device.back}/state`, '5');
      return `to be detached: ${device.back}`;
    }
    if (dice < 9) {
      this.#there.delete(device);
      host.remove(device);
      return `removed ${device.back}`;
    }
    if (dice < 12) {
      toy?.link.close();
      return `to be closed: ${device.front}`;
    }
    if (dice < 15) {
      toy?.link.open();
      return `to be opened: ${device.front}`;
    }
    if (dice < 16) {
      await this.#guest.forget();
      await this.#guest.drive();
      return 'kexec';
    }
    if (dice < 17) {
      await host.stopStore();
      await this.pause();
      await host.startStore();
      return 'the store is there again';
    }
    const fate = { [dice < 19 ? 'killAt' : 'cutAt']: this.#random.below(60) };
    host.kill(this.#backend.actor);
    const when = this.#random.below(2) === 0 ? 'before' : 'after';
    this.#backend = await ToyBackend.serve(host, { ...fate, when });
    return `another backend ${JSON.stringify({ ...fate, when })}`;
  }

  /** Some of what is going on goes on. */
  async pause(): Promise<void> {
    await this.#host.tasks(this.#random.below(60));
    if (this.#random.below(4) === 0) await this.#host.run(this.#random.below(50));
  }

  async end(): Promise<void> {
    const host = this.#host;
    host.kill(this.#backend.actor);
    const last = await ToyBackend.serve(host);
    for (const device of this.#detaching) await host.detach(device);
    // States that a driver has left are no connection of the one after it.
    await host.settle();
    for (const device of this.#there) {
      await host.until(() => this.#guest.toys.has(device.name.devid));
      this.#guest.front(device).link.open();
      await host.connected(device);
      await this.#guest.exchange(device);
      await host.detach(device);
    }
    await host.settle();
    expect([last.mapped.size, last.links.size, this.#guest.toys.size]).toEqual([0, 0, 0]);
    // What a driver forgot its guest still grants and offers.
    const forgotten = /grants gref .* \(not mapped\)$| offers port /;
    expect(host.leftovers().filter((line) => !forgotten.test(line))).toEqual([]);
  }

  /** What a toolstack does with those that it detaches. */
  #removeClosed(): void {
    for (const device of this.#detaching) {
      if (![0, 6].includes(device.states.back)) continue;
      this.#host.remove(device);
      this.#detaching.delete(device);
    }
  }
}

async function story(seed: number): Promise<string> {
  return await simHost({ seed, faults }, async (host) => {
    const guest = await ToyGuest.boot(host);
    const run = new Run(host, new SeededRandom(seed), guest, await ToyBackend.serve(host));
    for (let step = 0; step < STEPS; step++) {
      host.note(await run.step());
      await run.pause();
    }
    await run.end();
    return host.timeline();
  });
}

it.each(Array.from({ length: 20 }, (_, seed) => seed + 1))('seed %i', async (seed) => {
  await story(seed);
});

it('the same seed is the same story, byte for byte', async () => {
  expect(await story(21)).toBe(await story(21));
});
