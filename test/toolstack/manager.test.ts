// The domain manager as its users see it: domains made whole or not at all, however it is killed; their lives and ends by their configuration. Real processes,
// on the simulated machine.
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import { guestConfig } from '../../toolstack/core/guestconfig.ts';
import type { Progress } from '../../toolstack/core/toolstack.ts';
import { readRecords } from '../../toolstack/io/records.ts';
import { readServices, writeServices } from '../../toolstack/io/servicesfile.ts';
import { guestNamed, ServiceHost } from './servicehost.ts';
import { type Ended, stubdom0 } from './uphost.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let host: ServiceHost;
let before: string[];
beforeAll(async () => {
  host = await ServiceHost.start(['blkback', 'netback', 'console']);
  await host.manage();
  // Backends' directories are there from the first device on.
  await make(whole('first'));
  await host.toolstack.destroy('first');
  // Who had its pages mapped lets go of them when he hears of its end.
  await vi.waitUntil(() => host.ctrl.getDomainInfoList(0, 10).every(({ dying }) => !dying));
  before = await host.holds();
});
afterAll(() => host?.end());

const never = new AbortController().signal;

function make(config: DomainConfig, progress: (made: Progress) => void = () => {}): Promise<number> {
  return host.toolstack.create({ config, start: 'running' }, progress, never);
}

/** With everything that a guest can have. */
function whole(name: string, more: Partial<DomainConfig> = {}): DomainConfig {
  // One guest at a time may write to a disk.
  const file = join(host.run, `${name}.img`);
  writeFileSync(file, '');
  truncateSync(file, 1 << 20);
  const devices = { disks: [{ sizeMb: 1, mode: 'w', file }], vifs: [{ address: '10.53.0.2/24' }] } as const;
  const guest = { name, memoryMb: 1, vcpus: 1, greets: [], fetches: [], sockets: [], ...devices };
  return {
    ...guestConfig(guest, 0, (path) => path),
    type: 'hvm',
    deviceModel: 'serial',
    kernel: 'serial',
    ...more,
  };
}

function nothingIsLeft(): Promise<void> {
  return expect.poll(() => host.holds(), { timeout: 15_000 }).toEqual(before);
}

async function names(): Promise<string[]> {
  return (await host.toolstack.list()).filter(({ role }) => role === 'guest').map(({ name }) => name);
}

/** A program of a user's that says nothing and knows nothing of domains. */
function program(text: string): string {
  const file = join(host.run, `program-${text.length}.mjs`);
  writeFileSync(file, text);
  return file;
}
const idle = (): string => program('setInterval(() => {}, 1000);');

describe('a manager that is killed', () => {
  test('at whatever step: the next one takes back what was done, to the last node', async () => {
    const steps = (await host.toolstack.plan({ config: whole('killed'), start: 'running' })).map(
      ({ step }) => step,
    );
    expect(steps.length).toBeGreaterThan(10);
    for (const step of steps) {
      const made = make(whole('killed'), (progress) => {
        if (progress.step === step && progress.how === 'begun') host.manager!.kill('SIGKILL');
      });
      // The last one may be done before the word of it has come.
      await made.catch((error: unknown) => expect(String(error)).toContain('the toolstack ended'));
      await host.killManager();
      await host.manage();
      await host.toolstack.gc();
      if ((await names()).length > 0) await host.toolstack.destroy('killed');
      await expect.poll(() => host.holds(), { message: step, timeout: 15_000 }).toEqual(before);
    }
  });

  test('costs no guest; what ended meanwhile is seen to, and its name is free', async () => {
    await make(guestNamed('stays', { kernel: idle() }));
    await make(guestNamed('ends', { kernel: idle() }));
    const record = readRecords(host.run).find(({ config }) => config.name === 'ends')!;
    await host.killManager();
    process.kill(record.process!.pid, 'SIGKILL');
    await host.manage();
    await host.line(/^guest ends \(domain \d+\) is gone/);
    expect(await names()).toEqual(['stays']);
    await host.toolstack.destroy('stays');
    await nothingIsLeft();
  });
});

test('a second manager beside the first is refused, and takes up nothing', async () => {
  const stays = guestNamed('half', { kernel: idle() });
  let second: Promise<Ended> | undefined;
  const made = make(stays, () => {
    second ??= stubdom0('serve', '--run', host.run);
  });
  await made;
  expect(await second).toMatchObject({
    code: 1,
    stderr: `stubdom0: a toolstack serves ${host.run} already\n`,
  });
  expect(await names()).toEqual(['half']);
  await host.toolstack.destroy('half');
  await nothingIsLeft();
});

test('a manager that finds no store on its host ends with a line', async () => {
  await host.killManager();
  const services = readServices(host.run);
  writeServices(host.run, []);
  const { code, stderr } = await stubdom0('serve', '--run', host.run);
  writeServices(host.run, services);
  await host.manage();
  expect({ code, stderr }).toEqual({ code: 1, stderr: `stubdom0: the host in ${host.run} has no store\n` });
});

test('a manager that is killed while it makes a domain anew has it made by the next', async () => {
  const from = host.lines.length;
  const domid = await make(whole('comes-back'));
  await host.toolstack.shutdown('comes-back', 'reboot', 'return');
  await host.line(/^guest comes-back \(domain \d+\) is made anew/, from);
  await host.killManager();
  await host.manage();
  const now = async (): Promise<number> =>
    (await host.toolstack.list()).find(
      ({ name, shutdownReason }) => name === 'comes-back' && shutdownReason === undefined,
    )?.domid ?? 0;
  await expect.poll(now, { timeout: 30_000 }).toBeGreaterThan(domid);
  // Orders wait for what is under way.
  await host.toolstack.rename('comes-back', 'is-back');
  expect((await host.toolstack.devices('is-back', 'vif')).map(({ name }) => name)).toEqual(['vif0']);
  await host.toolstack.destroy('is-back');
  await nothingIsLeft();
});

test('guests of which there are many share a process, and live without the manager that made them', async () => {
  const names = ['bulk1', 'bulk2', 'bulk3'];
  for (const name of names) {
    const { disks, vifs } = whole(name);
    await make(guestNamed(name, { kernel: 'bulk', disks, vifs }));
  }
  expect(new Set(readRecords(host.run).map(({ process }) => process?.pid)).size).toBe(1);
  await host.toolstack.destroy('bulk1');
  await host.killManager();
  await host.manage();
  for (const name of names.slice(1)) {
    const connected = async (): Promise<number> =>
      (await host.toolstack.devices(name, 'vbd'))[0]!.backendState;
    await expect.poll(connected, { timeout: 15_000 }).toBe(4);
    await host.toolstack.destroy(name);
  }
  await nothingIsLeft();
});

describe('a domain', () => {
  let from: number;
  beforeEach(() => {
    from = host.lines.length;
  });

  test('that cannot be finished leaves nothing, and the reason is one line', async () => {
    const nowhere = whole('broken', { disks: [{ ...whole('x').disks[0]!, target: '/nowhere/disk.img' }] });
    await expect(make(nowhere)).rejects.toThrow(/^could not attach xvda: xvda: blkback .*says: .*nowhere/);
    await expect(make(guestNamed('broken', { kernel: '/nowhere/guest.js' }))).rejects.toThrow(/no such file/);
    await expect(make(guestNamed('broken', { memoryMb: 65_536, maxmemMb: 65_536 }))).rejects.toThrow(
      /^could not give it memory/,
    );
    await nothingIsLeft();
  });

  test('whose user goes away while it is made is taken back', async () => {
    const gone = new AbortController();
    const making = host.toolstack.create(
      { config: whole('left'), start: 'running' },
      () => gone.abort(),
      gone.signal,
    );
    await expect(making).rejects.toThrow();
    await nothingIsLeft();
    expect(host.logs().filter((name) => name.includes('left'))).toEqual([]);
  });

  test('has a name and a uuid of its own, from the moment it is asked for', async () => {
    const uuid = '6d0c9e0f-23c5-4a53-8f3c-5f1f6b1c2d3e';
    const [one, other, same] = await Promise.allSettled([
      make(guestNamed('twin', { kernel: idle(), uuid })),
      make(guestNamed('twin', { kernel: idle() })),
      make(guestNamed('other', { kernel: idle(), uuid })),
    ]);
    expect(one.status).toBe('fulfilled');
    expect(other).toMatchObject({ reason: { message: 'a domain named twin is there already' } });
    expect(same).toMatchObject({ reason: { message: `a domain with uuid ${uuid} is there already` } });
    await host.toolstack.rename('twin', 'renamed');
    expect(await names()).toEqual(['renamed']);
    await expect(host.toolstack.destroy('twin')).rejects.toMatchObject({ kind: 'no domain' });
    await host.toolstack.destroy('renamed');
    await nothingIsLeft();
  });

  test('that is destroyed while it is made is gone', async () => {
    let destroyed: Promise<void> | undefined;
    const made = make(whole('early'), () => {
      destroyed ??= host.toolstack.destroy('early');
    });
    await expect(made).rejects.toThrow('the creation of early was broken off');
    await destroyed;
    await nothingIsLeft();
  });

  test('that shuts down is gone; one that reboots is made anew, with its devices', async () => {
    const domid = await make(whole('reboots'));
    await host.toolstack.shutdown('reboots', 'reboot', 'wait');
    await host.line(/^guest reboots is domain \d+ now$/, from);
    const [entry] = (await host.toolstack.list()).filter(({ name }) => name === 'reboots');
    expect(entry!.domid).toBeGreaterThan(domid);
    expect((await host.toolstack.devices('reboots', 'vbd')).map(({ name }) => name)).toEqual(['xvda']);
    await host.toolstack.shutdown('reboots', 'poweroff', 'wait');
    await host.line(/^guest reboots \(domain \d+\) is gone: it shut down$/, from);
    await nothingIsLeft();
  });

  test('whose process ends, whether it knew of its domain or not, crashed: its policy says what then', async () => {
    await make(guestNamed('dies', { kernel: program('process.exit(3);') }));
    await host.line(/^guest dies \(domain \d+\) is gone: exit code 3$/, from);
    await make(guestNamed('kept', { kernel: program('process.exit(4) ;'), onCrash: 'preserve' }));
    await host.line(/^guest kept \(domain \d+\) is kept: exit code 4$/, from);
    expect((await host.toolstack.list()).find(({ name }) => name === 'kept')).toMatchObject({
      shutdownReason: 3,
    });
    await host.toolstack.destroy('kept');
    await nothingIsLeft();
  });

  test('that does nothing but crash is not made anew for ever', async () => {
    await make(guestNamed('loops', { kernel: program('process.exit(5)  ;'), onCrash: 'restart' }));
    await host.line(/^guest loops \(domain \d+\) is gone: .*it has ended 5 times in a row/, from);
    await nothingIsLeft();
  });

  test('gets devices while it lives, and keeps them over a reboot', async () => {
    await make(guestNamed('grows', { type: 'pvh' }));
    const [disk] = whole('x').disks;
    expect(await host.toolstack.attach('grows', disk!)).toMatchObject({ name: 'xvda' });
    await host.toolstack.shutdown('grows', 'reboot', 'wait');
    await host.line(/^guest grows is domain \d+ now$/, from);
    expect(await host.toolstack.devices('grows', 'vbd')).toHaveLength(1);
    await host.toolstack.detach('grows', 'vbd', 'xvda', 'orderly');
    expect(await host.toolstack.devices('grows', 'vbd')).toEqual([]);
    await host.toolstack.destroy('grows');
    await nothingIsLeft();
  });
});

test('a wrong order costs itself, in a line', async () => {
  const config = { ...guestNamed('bad'), memory: 5 } as unknown as DomainConfig;
  await expect(make(config)).rejects.toThrow(/must NOT have additional properties/);
  await expect(make(guestNamed('a/b'))).rejects.toThrow(/name must match pattern/);
  await expect(make(guestNamed('12'))).rejects.toThrow('"12" is no name of a domain');
});

describe('a driver domain', () => {
  test('is a guest of a cfg file that serves others their disks; it ends, and they lose theirs', async () => {
    const driver = guestNamed('store2', { kernel: 'blkback', driverDomain: true, memoryMb: 8, maxmemMb: 8 });
    const driverDomid = await make(driver);
    const [disk] = whole('x').disks;
    await make(guestNamed('served', { disks: [{ ...disk!, backend: 'store2' }] }));
    const [entry] = await host.toolstack.devices('served', 'vbd');
    expect(entry!.backendDomid).toBe(driverDomid);
    await expect
      .poll(async () => (await host.toolstack.devices('served', 'vbd'))[0]!.frontendState, {
        timeout: 15_000,
      })
      .toBe(4);
    await host.toolstack.destroy('served');
    await host.toolstack.destroy('store2');
    await nothingIsLeft();
  });
});

test('what is left of a crashed domain is kept under another name, and a new one takes its place', async () => {
  const from = host.lines.length;
  const config = guestNamed('again', { kernel: idle(), onCrash: 'rename-restart' });
  await make(config);
  const record = readRecords(host.run).find((one) => one.config.name === 'again')!;
  process.kill(record.process!.pid, 'SIGKILL');
  await host.line(/^guest again is domain \d+ now$/, from);
  const kept = (await names()).find((name) => name.startsWith('again-'))!;
  expect(kept).toMatch(/^again-\d{8}T\d{4}Z$/);
  await host.toolstack.destroy(kept);
  expect(await names()).toEqual(['again']);
  await host.toolstack.destroy('again');
  await nothingIsLeft();
});
