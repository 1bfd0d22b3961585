// The built program and this machine, in a network namespace of the test's own: guests answer ping through an uplink of a switch of ours, and through
// a device each, with a bridge; after a kill, too. What was made is removed, and flags that make no sense are told in a line.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { indexOf } from '../../osdep/os/netdev.ts';
import { Tap } from '../../osdep/os/tap.ts';
import type { Client, PermText } from '../../xenstored/client/index.ts';
import { deviceNodes } from '../../xenstored/xenbus/attach.ts';
import { until } from '../blkback/io-host.ts';
import { ProcessHost, Program } from '../blkback/process-kit.ts';
import { driveGuest } from './io-host.ts';
import { NetNamespace, noNamespaces, whyNot } from './netns.ts';

const READY = 'ready for domain';

async function attach(dom0: Client, domid: number, keys: Readonly<Record<string, string>>): Promise<void> {
  const { mac = '00:16:3e:00:00:02' } = keys;
  const nodes = deviceNodes({
    device: { backendDomid: 0, kind: 'vif', frontendDomid: domid, devid: 0 },
    backend: { handle: '0', type: 'vif', mac, ...keys },
    frontend: { handle: '0' },
    frontendReadOnly: { mac },
  });
  await dom0.transaction(async (tx) => {
    for (const { path, value, perms } of nodes) {
      await tx.write(path, value);
      await tx.setPerms(path, perms as readonly PermText[]);
    }
  });
}

describe.skipIf(noNamespaces !== undefined)(`a way out${whyNot}`, () => {
  const stops: (() => unknown)[] = [];
  let space: NetNamespace;
  let host: ProcessHost;
  beforeEach(async () => {
    space = new NetNamespace('out');
    stops.push(() => space.leave());
    host = await ProcessHost.start();
    stops.push(() => host.stop());
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const start = async (...flags: readonly string[]): Promise<Program> => {
    const args = ['--platform', 'sim', '--run', host.directory, ...flags];
    const program = new Program('netback/vif', args, {}, READY);
    stops.push(() => program.end('SIGKILL'));
    await program.ready();
    return program;
  };
  const guest = async (address: string, keys: Readonly<Record<string, string>> = {}): Promise<number> => {
    const booted = await host.guest();
    const driven = await driveGuest(booted, address);
    stops.push(() => driven.close());
    await attach(host.dom0, booted.domid, keys);
    await driven.host;
    return booted.domid;
  };
  const ping = async (...args: readonly string[]): Promise<number> => {
    const [code] = (await once(spawn('ping', args, { stdio: 'ignore' }), 'close')) as [number];
    return code;
  };
  const devices = (): readonly string[] =>
    [...space.run('ip', '-o', 'link').matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name!);
  const backDirectory = (domid: number): string => `/local/domain/0/backend/vif/${domid}/0`;
  const detach = async (domid: number): Promise<void> => {
    await host.dom0.write(`${backDirectory(domid)}/online`, '0');
    await host.dom0.write(`${backDirectory(domid)}/state`, '5');
    await until(host.dom0, `${backDirectory(domid)}/state`, (state) => state === '6');
    await host.dom0.rm(backDirectory(domid));
  };

  test('the machine pings a guest through the uplink, and again after a kill; the uplink goes with us', async () => {
    const flags = ['--uplink', 'sd0', '--uplink-address', '10.53.0.1/24'];
    const first = await start(...flags);
    await guest('10.53.0.2');
    expect(await ping('-c', '3', '-i', '0.01', '-s', '1400', '10.53.0.2')).toBe(0);
    // What libxl writes for an interface that names no bridge.
    await guest('10.53.0.3', { bridge: 'xenbr0', mac: '00:16:3e:00:00:03' });
    expect(await ping('-c', '1', '-w', '10', '-i', '0.1', '10.53.0.3')).toBe(0);
    await first.end('SIGKILL');
    expect(devices()).not.toContain('sd0');
    const second = await start(...flags);
    expect(await ping('-c', '1', '-w', '10', '-i', '0.1', '10.53.0.2')).toBe(0);
    expect(await ping('-c', '300', '-A', '-W', '5', '10.53.0.2')).toBe(0);
    expect(await second.end('SIGTERM')).toBe(0);
    expect(devices()).not.toContain('sd0');
  });

  test('an uplink that cannot be had is a line, and guests are served', async () => {
    space.run('ip', 'link', 'add', 'sd0', 'type', 'bridge');
    const program = await start('--uplink', 'sd0');
    expect(program.said).toMatch(/no uplink: network device sd0: E\w+.*guests reach each other only/);
    await guest('10.53.0.2');
  });

  test('a device for each interface: named, on its bridge, there after a kill, gone after detach', async () => {
    space.run('ip', 'link', 'add', 'xenbr0', 'type', 'bridge');
    space.run('ip', 'addr', 'add', '10.53.0.1/24', 'dev', 'xenbr0');
    space.run('ip', 'link', 'set', 'xenbr0', 'up');
    const flags = ['--mode', 'tap', '--scripts', 'no'];
    const first = await start(...flags);
    const domid = await guest('10.53.0.2', { bridge: 'xenbr0', vifname: 'web0', mtu: '1400' });
    expect(space.run('ip', 'link', 'show', 'web0')).toMatch(/LOWER_UP.*mtu 1400.*master xenbr0/);
    expect(await ping('-c', '3', '-i', '0.01', '10.53.0.2')).toBe(0);
    await first.end('SIGKILL');
    expect(space.run('ip', 'link', 'show', 'web0')).toMatch(/NO-CARRIER.*master xenbr0/);
    const second = await start(...flags);
    expect(await ping('-c', '1', '-w', '10', '-i', '0.1', '10.53.0.2')).toBe(0);
    await detach(domid);
    await expect.poll(devices).not.toContain('web0');
    expect(await ping('-c', '1', '-W', '1', '10.53.0.2')).toBe(1);
    expect(await second.end('SIGTERM')).toBe(0);
  });

  test('a device that somebody has removed costs its interface alone, and that can be attached again', async () => {
    const program = await start('--mode', 'tap', '--scripts', 'no');
    const domid = await guest('10.53.0.2');
    const name = `vif${domid}.0`;
    space.run('ip', 'link', 'del', name);
    await expect.poll(() => program.said).toContain('its network device has been removed');
    await detach(domid);
    // Nothing was left half done.
    expect(program.said).not.toMatch(/disconnect:|close:/);
    await attach(host.dom0, domid, {});
    await until(host.dom0, `${backDirectory(domid)}/state`, (state) => state === '4');
    expect(space.run('ip', 'link', 'show', name)).toMatch(/LOWER_UP/);
    expect(await program.end('SIGTERM')).toBe(0);
  });

  test('what was left and cannot be removed is a line, and guests are served', async () => {
    const name = 'vif1.0';
    const memory = new Uint8Array(1);
    const tap = new Tap({ name, which: 'new', memory });
    stops.push(() => tap.close());
    const directory = join(host.directory, 'netback/0');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'taps'), `${indexOf(name)} ${name} ${backDirectory(1)}\n`);
    const program = await start('--mode', 'tap');
    expect(program.said).toMatch(/vif1\.0 cannot be removed: network device vif1\.0: EBUSY/);
  });

  test('a script is waited for; what a dead predecessor left is removed when nobody orders it any more', async () => {
    const first = await start('--mode', 'tap');
    const booted = await host.guest();
    const driven = await driveGuest(booted, '10.53.0.2');
    stops.push(() => driven.close());
    const { domid } = booted;
    await attach(host.dom0, domid, { script: '/etc/xen/scripts/vif-bridge', vifname: 'web0' });
    const state = `${backDirectory(domid)}/state`;
    // The frontend has answered.
    const frontState = `/local/domain/${domid}/device/vif/0/state`;
    await until(host.dom0, frontState, (found) => found === '4');
    expect(await host.dom0.findText(state)).toBe('2');
    const name = `vif${domid}.0`;
    expect(space.run('ip', 'link', 'show', name)).not.toMatch(/[<,]UP/);
    // As Xen's scripts do.
    space.run('ip', 'link', 'set', name, 'name', 'web0');
    space.run('ip', 'addr', 'add', '10.53.0.1/24', 'dev', 'web0');
    space.run('ip', 'link', 'set', 'web0', 'up');
    await host.dom0.write(`${backDirectory(domid)}/hotplug-status`, 'connected');
    await driven.host;
    expect(await ping('-c', '1', '-w', '10', '-i', '0.1', '10.53.0.2')).toBe(0);
    await first.end('SIGKILL');
    const record = join(host.directory, 'netback/0/taps');
    expect(readFileSync(record, 'utf8')).toContain(backDirectory(domid));
    const second = await start('--mode', 'tap');
    expect(await ping('-c', '1', '-w', '10', '-i', '0.1', '10.53.0.2')).toBe(0);
    await second.end('SIGKILL');
    await host.dom0.rm(backDirectory(domid));
    expect(devices()).toContain('web0');
    const third = await start('--mode', 'tap');
    expect(third.said).toContain('removed, nobody orders it any more');
    expect(devices()).not.toContain('web0');
    expect(existsSync(record)).toBe(false);
  });
});

test.each([
  [['--mode', 'hub'], '--mode hub: neither switch nor tap'],
  [['--mode', 'tap', '--uplink', 'x'], '--uplink: only with --mode switch'],
  [['--uplink', 'much-too-long-a-name'], '--uplink much-too-long-a-name: no name for a network device'],
  [
    ['--uplink', 'x', '--uplink-address', '10.0.0.1'],
    '--uplink-address 10.0.0.1: not an IPv4 address and prefix',
  ],
  [['--uplink-bridge', 'br0'], '--uplink-bridge: only with --uplink'],
  [['--mode', 'switch', '--scripts', 'no'], '--scripts: only with --mode tap'],
] as const)('flags that make no sense: %s', async (flags, line) => {
  const program = new Program('netback/vif', flags, {}, READY);
  await expect(program.ready()).rejects.toThrow();
  expect(await program.ended).toBe(1);
  expect(program.said).toBe(`netback: ${line}\n`);
});
