// libxl's own list of a domain's devices: one more and one less, everything else in it as it was, nobody disturbed who holds libxl's lock.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseVif } from '../../toolstack/core/cfgdevices.ts';
import { parseDisk } from '../../toolstack/core/cfgdisk.ts';
import type { DeviceConfig } from '../../toolstack/core/config.ts';
import { LibxlFiles } from '../../toolstack/io/libxlfile.ts';

const domain = { domid: 3, uuid: '11111111-2222-3333-4444-555555555555' };
const NAME = `userdata-d.3.${domain.uuid}.libxl-json`;
const LOCK = `userdata-l.3.${domain.uuid}.domain-userdata-lock`;
const TEXT = `{
    "c_info": { "name": "g \\"18446744073709551615\\"" },
    "b_info": { "shadow_memkb": 18446744073709551615, "numbers": [ 1, 9007199254740993 ] },
    "disks": [ { "vdev": "xvda", "pdev_path": "/dev/ram0", "readwrite": 1 } ]
}
`;

let folder: string;
let files: LibxlFiles;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libxl-'));
  files = new LibxlFiles(folder);
  writeFileSync(join(folder, NAME), `${TEXT}\0`);
});
afterEach(() => rmSync(folder, { recursive: true }));

function disk(spec: string): DeviceConfig {
  const parsed = parseDisk([spec]);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function vif(spec: string): DeviceConfig {
  const parsed = parseVif([spec]);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** Without its end, which is that of a string of C. */
function text(): string {
  const whole = readFileSync(join(folder, NAME), 'utf8');
  expect(whole.endsWith('}\n\0')).toBe(true);
  return whole.slice(0, -1);
}
const plain = (json: string): string => json.replace(/\s/g, '');

test('a device more and the same one less is what was there before', async () => {
  await files.add(domain, disk('format=raw,vdev=xvdb,access=rw,backend=driver,target=/there.raw'));
  await files.add(domain, vif('mac=00:16:3e:00:00:01,devid=2,backend=driver'));
  expect(plain(text())).toContain('"shadow_memkb":18446744073709551615,"numbers":[1,9007199254740993]');
  expect(JSON.parse(text())).toMatchObject({
    disks: [
      { vdev: 'xvda' },
      { vdev: 'xvdb', backend_domname: 'driver', pdev_path: '/there.raw', format: 'raw', readwrite: 1 },
    ],
    nics: [{ devid: 2, mac: '00:16:3e:00:00:01', backend_domname: 'driver' }],
  });
  await files.remove(domain, 'vbd', 'xvdb');
  await files.remove(domain, 'vif', 2);
  expect(plain(text())).toBe(plain(TEXT));
  expect(readdirSync(folder)).toEqual([NAME]);
});

test('of a disk that takes the place of another there is one', async () => {
  await files.add(domain, disk('/other.raw,raw,xvda,r'));
  expect(JSON.parse(text())).toMatchObject({ disks: [{ vdev: 'xvda', pdev_path: '/other.raw' }] });
});

test('one that cannot be read is left as it is, and told', async () => {
  writeFileSync(join(folder, NAME), '{"disks": [');
  await expect(files.add(domain, disk('/b.raw,raw,xvdb,r'))).rejects.toThrow(/libxl-json.* cannot be read: /);
  expect(readdirSync(folder)).toEqual([NAME]);
});

test('a domain that libxl does not know is left alone', async () => {
  await files.add({ ...domain, domid: 4 }, disk('/other.raw,raw,xvda,r'));
  expect(readdirSync(folder)).toEqual([NAME]);
});

test('whoever holds the lock is waited for', async () => {
  const holder = spawn('flock', [join(folder, LOCK), 'sh', '-c', 'echo held; read go'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  let done = false;
  const adding = files.add(domain, disk('/b.raw,raw,xvdb,r')).then(() => {
    done = true;
  });
  await files.add({ ...domain, domid: 4 }, disk('/b.raw,raw,xvdb,r'));
  expect(done).toBe(false);
  expect(text()).toBe(TEXT);
  holder.stdin.end('go\n');
  await adding;
  expect(JSON.parse(text())).toMatchObject({ disks: [{ vdev: 'xvda' }, { vdev: 'xvdb' }] });
});
