// Captures on demand: a key in the backend's directory makes a file that tcpdump reads, with what the guest sent and got; removed, there is no more.
// What cannot be captured to is a line, and costs nothing else.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NetHost } from '../../netback/vif/front/host.ts';
import { Pcap } from '../../netback/vif/io/pcap.ts';
import { systemClock } from '../../osdep/os/clock.ts';
import { ProcessHost, Program } from '../blkback/process-kit.ts';
import { attachVif, driveGuest } from './io-host.ts';

const noTcpdump = (() => {
  try {
    execFileSync('tcpdump', ['--version'], { stdio: 'ignore' });
    return '';
  } catch {
    return ' (skipped: needs tcpdump)';
  }
})();

let folder: string;
const stops: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sd0-capture-'));
  stops.push(() => rmSync(folder, { recursive: true }));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

describe.skipIf(noTcpdump !== '')(`what guests send${noTcpdump}`, () => {
  test('captured while the key is there', async () => {
    const host = await ProcessHost.start();
    stops.push(() => host.stop());
    const args = ['--platform', 'sim', '--run', host.directory];
    const program = new Program('netback/vif', args, {}, 'ready for domain');
    stops.push(() => program.end('SIGKILL'));
    await program.ready();
    const hosts: NetHost[] = [];
    const domids: number[] = [];
    for (const index of [1, 2]) {
      const guest = await host.guest();
      const driven = await driveGuest(guest, `10.0.0.${index}`);
      stops.push(() => driven.close());
      await attachVif(host.dom0, guest.domid, `00:16:3e:00:00:0${index}`);
      hosts.push(await driven.host);
      domids.push(guest.domid);
    }
    const ping = (length: number): Promise<unknown> => hosts[0]!.ping('10.0.0.2', new Uint8Array(length));
    const said = (text: string): Promise<void> => expect.poll(() => program.said).toContain(text);
    await ping(1);
    const file = join(host.directory, 'one.pcap');
    const key = `/local/domain/0/backend/vif/${domids[0]}/0/capture`;
    await host.dom0.write(key, file);
    await said(`captured to ${file}`);
    await ping(200);
    const dump = (): string =>
      execFileSync('tcpdump', ['-nr', file, 'icmp'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    await expect.poll(dump).toMatch(/echo reply/);
    expect(dump()).toMatch(/10\.0\.0\.1 > 10\.0\.0\.2: ICMP echo request.* length 208/);
    expect(dump()).toMatch(/10\.0\.0\.2 > 10\.0\.0\.1: ICMP echo reply.* length 208/);
    await host.dom0.rm(key);
    await said('capture has been switched off');
    await ping(300);
    await host.dom0.write(key, file);
    await expect.poll(() => program.said.split(`captured to ${file}`).length).toBe(3);
    await ping(400);
    await expect.poll(dump).toMatch(/echo reply.* length 408/);
    expect(dump()).not.toContain('length 308');
    // A folder that comes later: the key is written once more.
    const late = join(host.directory, 'late/one.pcap');
    await host.dom0.write(key, late);
    await said('no capture: ENOENT');
    mkdirSync(join(host.directory, 'late'));
    await host.dom0.write(key, late);
    await said(`captured to ${late}`);
    await host.dom0.write(key, '/etc/one.pcap');
    await said('"/etc/one.pcap" is no file below');
    await host.dom0.write(key, `${host.directory}/../one.pcap`);
    await said('/../one.pcap" is no file below');
    await ping(1);
    expect(await program.end('SIGTERM')).toBe(0);
  });
});

function open(path: string, limitBytes: number, ends: string[] = []): Pcap {
  const onEnd = (reason: string): void => void ends.push(reason);
  const pcap = new Pcap({ path, snaplen: 64, limitBytes, clock: systemClock, onEnd });
  stops.push(() => pcap.close());
  return pcap;
}

test('a file that is none of ours stays as it is; one that is goes on', async () => {
  const path = join(folder, 'a.pcap');
  writeFileSync(path, 'somebody else has written this, and wants to keep it');
  expect(() => open(path, 1000)).toThrow(/no capture of ours/);
  expect(readFileSync(path, 'utf8')).toMatch(/^somebody/);
  const mine = join(folder, 'b.pcap');
  for (const round of [1, 2]) {
    // Whoever comes next finds its header, however soon that is.
    open(mine, 1000).close();
    expect(statSync(mine).size).toBe(24 + (round - 1) * (16 + 64));
    const pcap = open(mine, 1000);
    pcap.add(new Uint8Array(100), 0, 100);
    pcap.close();
    await expect.poll(() => statSync(mine).size).toBe(24 + round * (16 + 64));
  }
});

test('a file has an end, and more than can be written is counted', async () => {
  const ends: string[] = [];
  const path = join(folder, 'a.pcap');
  const small = open(path, 24 + 80, ends);
  const frame = new Uint8Array(64);
  small.add(frame, 0, 64);
  expect(ends).toEqual([]);
  small.add(frame, 0, 64);
  expect(ends).toEqual(['the file has its 104 bytes']);
  await expect.poll(() => statSync(path).size).toBe(104);
  const fast = open(join(folder, 'b.pcap'), 1 << 30);
  for (let i = 0; i < 10_000; i++) fast.add(frame, 0, 64);
  expect(fast.missed).toBeGreaterThan(0);
  fast.close();
  await expect.poll(() => statSync(join(folder, 'b.pcap')).size).toBe(24 + (10_000 - fast.missed) * 80);
});
