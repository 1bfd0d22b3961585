// Disks that a script finds, run as libxl runs it, with Xen's own clients: nobody is served before it has spoken; what it names is the disk,
// and another name is another medium; its failure is told, and costs nobody else.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachDisk, DiskHost, until } from './io-host.ts';

let host: DiskHost;
beforeEach(async () => {
  host = await DiskHost.start();
});
afterEach(() => host.stop());

const back = (domid: number): string => `/local/domain/0/backend/vbd/${domid}/51712`;
const front = (domid: number): string => `/local/domain/${domid}/device/vbd/51712`;

/** Whether it was content. */
async function runScript(text: string, domid: number): Promise<boolean> {
  const script = join(host.directory, 'block');
  writeFileSync(script, `#!/bin/sh -e\n${text}\n`, { mode: 0o755 });
  const env = {
    PATH: process.env.PATH,
    XENSTORED_PATH: host.sim.socketPath,
    script,
    XENBUS_TYPE: 'vbd',
    XENBUS_PATH: `backend/vbd/${domid}/51712`,
    XENBUS_BASE_PATH: 'backend',
  };
  return promisify(execFile)(script, ['add'], { env }).then(
    () => true,
    () => false,
  );
}

test('a script finds the disk that its parameters mean', async () => {
  const path = host.file('a.img', 64);
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: 'sparrow', script: '/etc/xen/scripts/block' });
  // libxl waits for this before it runs the script, and the guest goes as far as it can.
  await until(host.dom0, `${back(guest.domid)}/state`, (state) => state === '2');
  await until(host.dom0, `${front(guest.domid)}/state`, (state) => state === '3');
  expect(await host.dom0.findText(`${back(guest.domid)}/state`)).toBe('2');
  const found = `
[ "$1 $(xenstore-read $XENBUS_PATH/params)" = "add sparrow" ]
xenstore-write "$XENBUS_PATH/physical-device-path" ${path}
xenstore-write "$XENBUS_PATH/hotplug-status" connected`;
  expect(await runScript(found, guest.domid)).toBe(true);
  const disk = await guest.disk(51712);
  await disk.write(0, new Uint8Array(512).fill(5));
  expect(host.content('a.img')[511]).toBe(5);
});

test('a script that fails: a line says so, and a second try may do better', async () => {
  const path = host.file('a.img', 64);
  const guest = await host.guest();
  await attachDisk(host.dom0, guest.domid, 51712, { params: path, script: '/etc/xen/scripts/block' });
  await until(host.dom0, `${front(guest.domid)}/state`, (state) => state === '3');
  const failed = `
xenstore-write "$XENBUS_PATH/hotplug-error" "no such bird" "$XENBUS_PATH/hotplug-status" error
exit 1`;
  expect(await runScript(failed, guest.domid)).toBe(false);
  const error = `/local/domain/0/error/backend/vbd/${guest.domid}/51712/error`;
  expect(await until(host.dom0, error, (text) => text !== undefined)).toContain('hotplug-error');
  expect(await host.dom0.findText(`${back(guest.domid)}/state`)).toBe('2');
  await runScript('xenstore-write "$XENBUS_PATH/hotplug-status" connected', guest.domid);
  expect((await guest.disk(51712)).properties?.sectors).toBe(64);
});

test('another device for a drive is another medium; for a disk it is none', async () => {
  const [a, b] = [host.file('a.iso', 64), host.file('b.iso', 32)];
  for (const [removable, sectors] of [
    ['1', 32],
    ['0', 64],
  ] as const) {
    const guest = await host.guest();
    const keys = { params: 'bird', mode: 'r', removable, script: '/etc/xen/scripts/block' };
    await attachDisk(host.dom0, guest.domid, 51712, keys);
    const found = (path: string): string =>
      `xenstore-write "$XENBUS_PATH/physical-device-path" ${path} "$XENBUS_PATH/hotplug-status" connected`;
    await runScript(found(a), guest.domid);
    const disk = await guest.disk(51712);
    expect(disk.properties?.sectors).toBe(64);
    const changed = new Promise<void>((resolve) => {
      disk.onChange = () => resolve();
    });
    await runScript(found(b), guest.domid);
    if (removable === '1') await changed;
    expect((await disk.read(0, 1)).length).toBe(512);
    expect(disk.properties?.sectors).toBe(sectors);
  }
});
