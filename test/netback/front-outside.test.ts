// A simulated guest's host beside those of others: it gets its address from busybox's udhcpd and answers this machine's ping, by IPv4 and IPv6, through our
// backend and its uplink, in a network namespace of the test's own.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Interface, type NetfrontWishes, netfront } from '../../netback/vif/front/driver.ts';
import { NetHost } from '../../netback/vif/front/host.ts';
import { serveVifs } from '../../netback/vif/io/service.ts';
import { parseAddress } from '../../osdep/os/netdev.ts';
import { serveBackends } from '../../xenstored/client/backend.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { attachVif, PacketHost } from './io-host.ts';
import { NetNamespace, noNamespaces, whyNot } from './netns.ts';
import { TcpEnd } from './tcp.ts';

describe.skipIf(noNamespaces !== undefined)(`a guest's host and this machine${whyNot}`, () => {
  const stops: (() => unknown)[] = [];
  let space: NetNamespace;
  let host: PacketHost;
  beforeEach(async () => {
    space = new NetNamespace('front');
    stops.push(() => space.leave());
    host = await PacketHost.start();
    stops.push(() => host.stop());
    await host.stopBackend();
    const directory = mkdtempSync(join(tmpdir(), 'netback-'));
    stops.push(() => rmSync(directory, { recursive: true }));
    const address = parseAddress('10.53.0.1/24')!;
    const wiring = { mode: 'switch', uplink: { name: 'sd0', address } } as const;
    const vifs = serveVifs({
      platform: host.sim.machine.platformFor(0),
      wiring,
      recordDir: directory,
      log: () => {},
    });
    stops.push(() => vifs.close());
    const served = await serveBackends(vifs.service, { store: host.dom0, domid: 0 });
    stops.push(() => served.close());
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  interface Outside {
    readonly host: NetHost;
    readonly nic: Interface;
    /** An end of TCP in front of the host. */
    listen(port: number): TcpEnd;
  }

  /** A host behind a guest's interface, once it has an address. */
  async function guest(address: string, wishes: Partial<NetfrontWishes> = {}): Promise<Outside> {
    const { domid, platform, store } = await host.bareGuest();
    const { clock, random } = platform;
    const tcp: TcpEnd[] = [];
    return new Promise((resolve) => {
      const driver = netfront({
        platform,
        wishes,
        onInterface: (nic) => {
          const { mac, mtu, send } = nic;
          const listen = (port: number): TcpEnd => {
            const own = made.address!;
            const end = new TcpEnd({ mac, address: own, port, large: nic.offered.gsoTcpv4, send, clock });
            tcp.push(end);
            return end;
          };
          const onAddress = (): void => queueMicrotask(() => resolve({ host: made, nic, listen }));
          const made: NetHost = new NetHost({ mac, mtu, address, send, clock, random, onAddress });
          return (frame, meta) => {
            if (!tcp.some((end) => end.receive(frame, meta))) made.receive(frame, meta);
          };
        },
      });
      void runFrontends(driver, { store }).then((driven) => stops.push(() => driven.close()));
      void attachVif(host.dom0, domid, '00:16:3e:00:00:02');
    });
  }

  async function ping(...args: readonly string[]): Promise<number> {
    const [code] = (await once(spawn('ping', args, { stdio: 'ignore' }), 'close')) as [number];
    return code;
  }

  test('an address by DHCP, and answers at it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'udhcpd-'));
    stops.push(() => rmSync(directory, { recursive: true }));
    const leases = join(directory, 'leases');
    writeFileSync(leases, '');
    const lines = [
      'start 10.53.0.20',
      'end 10.53.0.29',
      'interface sd0',
      `lease_file ${leases}`,
      `pidfile ${join(directory, 'pid')}`,
      'option subnet 255.255.255.0',
      'option router 10.53.0.1',
      'option lease 600',
    ];
    writeFileSync(join(directory, 'conf'), `${lines.join('\n')}\n`);
    const server = spawn('busybox', ['udhcpd', '-f', join(directory, 'conf')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    stops.push(() => server.kill());
    await once(server.stderr, 'data');
    const { address } = (await guest('dhcp')).host;
    expect(address).toMatch(/^10\.53\.0\.2\d$/);
    expect(await ping('-c', '3', '-i', '0.01', '-W', '5', address!)).toBe(0);
  });

  test('ping by IPv4 and IPv6, of any size', async () => {
    const { linkLocalAddress } = (await guest('10.53.0.2/24')).host;
    for (const size of ['0', '1472', '1473', '20000', '65507'])
      expect(await ping('-c', '2', '-i', '0.01', '-W', '5', '-s', size, '10.53.0.2'), size).toBe(0);
    // Its own address is of no use until it has found out that nobody else has it.
    expect(await ping('-6', '-c', '1', '-w', '10', '-i', '0.1', `${linkLocalAddress}%sd0`)).toBe(0);
    expect(space.run('ip', '-6', 'neigh', 'show', 'dev', 'sd0')).toContain('00:16:3e:00:00:02');
  });

  test('UDP from this machine, whose checksums are blank on the way', async () => {
    await guest('10.53.0.2/24');
    const socket = createSocket('udp4');
    stops.push(() => socket.close());
    for (const length of [1, 1400, 5000]) {
      const bytes = Buffer.alloc(length, 'x');
      const answer = once(socket, 'message');
      socket.send(bytes, 7, '10.53.0.2');
      expect((await answer)[0]).toEqual(bytes);
    }
  });

  test.each([
    ['that takes them', true],
    ['that does not', false],
  ])('a file over TCP each way, in large packets for a guest %s', async (_, large) => {
    const accepts = {
      sg: true,
      gsoTcpv4: large,
      gsoTcpv6: large,
      ipv4CsumOffload: large,
      ipv6CsumOffload: large,
    };
    const { listen } = await guest('10.53.0.2/24', { queues: 2, accepts });
    const file = Buffer.from(
      Uint32Array.from({ length: 1 << 19 }, (_, i) => Math.imul(i, 0x9e3779b1)).buffer,
    );
    const md5 = (parts: readonly Uint8Array[]): string => {
      const hash = createHash('md5');
      for (const part of parts) hash.update(part);
      return hash.digest('hex');
    };
    const [into, from] = [listen(5001), listen(5002)];
    const giver = createConnection(5001, '10.53.0.2');
    giver.end(file);
    await into.ended;
    giver.destroy();
    expect(md5(into.received)).toBe(md5([file]));
    expect(into.counts.wrong).toBe(0);
    if (large) expect(into.counts.large).toBeGreaterThan(10);
    else expect(into.counts).toMatchObject({ large: 0, blank: 0 });

    const taker = createConnection(5002, '10.53.0.2');
    const parts: Uint8Array[] = [];
    let there = 0;
    const all = new Promise<void>((resolve) =>
      taker.on('data', (part) => {
        parts.push(part);
        there += part.length;
        if (there >= file.length) resolve();
      }),
    );
    await once(taker, 'connect');
    await from.send(file);
    await all;
    taker.destroy();
    expect(md5(parts)).toBe(md5([file]));
  });
});
