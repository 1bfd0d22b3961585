/**
 * Frontends as others write them, each with its own habits (their sources' behaviour, on the raw store and platform), against our blkback,
 * netback and xensock: Linux's, one that finds its predecessor's device after a kexec, Windows' that closes before it connects, one that jumps to Closed.
 */
import { expect, it } from 'vitest';
import {
  type Actor,
  blkback,
  type Device,
  MemoryDisk,
  netback,
  type SimHost,
  simHost,
  xensock,
} from '../kit/index.ts';

const kinds = ['vbd', 'vif', 'pvcalls'];

/** A driver's grip on its device. */
class Stranger {
  readonly #actor: Actor;
  readonly #path: string;
  readonly #kind: string;

  constructor(actor: Actor, { name }: Device) {
    this.#actor = actor;
    this.#path = `device/${name.kind}/${name.devid}`;
    this.#kind = name.kind;
  }

  async write(state: number): Promise<void> {
    await this.#actor.store.write(`${this.#path}/state`, `${state}`);
  }

  /** Waits until the backend is in one of these. */
  async back(...states: readonly string[]): Promise<void> {
    const { store } = this.#actor;
    const back = await store.readText(`${this.#path}/backend`);
    const watch = store.watch(`${back}/state`);
    for await (const _ of watch) if (states.includes((await store.findText(`${back}/state`)) ?? '')) break;
  }

  /** Shares rings and says so; an interface is Connected then, others Initialised. */
  async publish(): Promise<void> {
    const { platform, store } = this.#actor;
    const share = (): string => `${platform.openGntshr().sharePages(0, 1, 'rw').refs[0]}`;
    const port = `${platform.openEvtchn().bindUnboundPort(0)}`;
    const published: Readonly<Record<string, () => Readonly<Record<string, string>>>> = {
      vbd: () => ({ 'ring-ref': share(), 'event-channel': port, state: '3' }),
      vif: () => ({
        'tx-ring-ref': share(),
        'rx-ring-ref': share(),
        'event-channel': port,
        'request-rx-copy': '1',
        state: '4',
      }),
      pvcalls: () => ({ version: '1', 'ring-ref': share(), port, state: '3' }),
    };
    const keys = published[this.#kind]!();
    await store.transaction(async (tx) => {
      for (const [key, value] of Object.entries(keys)) await tx.write(`${this.#path}/${key}`, value);
    });
  }

  async connect(): Promise<void> {
    await this.back('2');
    await this.publish();
    await this.back('4');
    await this.write(4);
  }

  /** When the backend wants to go it follows, and its grants end with its process. */
  async followToEnd(): Promise<void> {
    await this.back('5', '6');
    await this.write(6);
  }
}

async function served(
  host: SimHost,
  kind: string,
): Promise<{ readonly device: Device; readonly driver: () => Promise<Actor> }> {
  const guest = await host.guest();
  if (kind === 'vbd') await host.backend(blkback(new MemoryDisk(64)));
  else if (kind === 'vif') await host.backend(netback());
  else await host.backend(xensock());
  const device = host.attach({ kind, guest });
  return { device, driver: () => host.process({ in: guest, name: 'a strange driver' }) };
}

/** The toolstack takes the device, the guest's process ends. */
async function detached(host: SimHost, device: Device, actor: Actor): Promise<void> {
  const stranger = new Stranger(actor, device).followToEnd();
  await host.detach(device);
  await host.done(stranger);
  host.kill(actor);
  await host.settle();
  expect(host.leftovers()).toEqual([]);
}

it.each(kinds)('%s: one that connects and goes', (kind) =>
  simHost({}, async (host) => {
    const { device, driver } = await served(host, kind);
    const actor = await driver();
    await host.done(new Stranger(actor, device).connect());
    await host.connected(device);
    await detached(host, device, actor);
  }),
);

it.each(kinds)('%s: after a kexec the next one closes what it finds connected, and begins anew', (kind) =>
  simHost({}, async (host) => {
    const { device, driver } = await served(host, kind);
    const before = await driver();
    await host.done(new Stranger(before, device).connect());
    await host.connected(device);
    host.kill(before);
    const actor = await driver();
    const next = new Stranger(actor, device);
    const begun = async (): Promise<void> => {
      await next.write(5);
      await next.back('5', '6');
      await next.write(6);
      await next.back('6');
      await next.write(1);
      await next.connect();
    };
    await host.done(begun());
    await host.connected(device);
    await detached(host, device, actor);
  }),
);

it.each(kinds)('%s: one that closes before it connects, as on Windows', (kind) =>
  simHost({}, async (host) => {
    const { device, driver } = await served(host, kind);
    const actor = await driver();
    const windows = new Stranger(actor, device);
    const begun = async (): Promise<void> => {
      await windows.write(5);
      await windows.back('5', '6');
      await windows.write(6);
      await windows.back('6');
      await windows.write(1);
      await windows.connect();
    };
    await host.done(begun());
    await host.connected(device);
    await detached(host, device, actor);
  }),
);

it.each(kinds)('%s: one that jumps to Closed is let go of, and may come back', (kind) =>
  simHost({}, async (host) => {
    const { device, driver } = await served(host, kind);
    const actor = await driver();
    const jumper = new Stranger(actor, device);
    await host.done(jumper.connect());
    await host.connected(device);
    await host.done(jumper.write(6));
    await host.until(() => host.state(device.back) === 6);
    expect(host.grants(device.name.frontendDomid).every(({ mapped }) => mapped === 'no')).toBe(true);
    await host.done(jumper.write(1));
    await host.done(jumper.connect());
    await host.connected(device);
    await detached(host, device, actor);
  }),
);

it.each(kinds)('%s: its nodes are removed by force while it is connected', (kind) =>
  simHost({}, async (host) => {
    const { device, driver } = await served(host, kind);
    const actor = await driver();
    await host.done(new Stranger(actor, device).connect());
    await host.connected(device);
    host.remove(device);
    await host.settle();
    host.kill(actor);
    await host.settle();
    expect(host.leftovers()).toEqual([]);
  }),
);
