// The devices of a configuration: what is filled in stays the same over its life, and what is attached later gets the next number.
import { expect, test } from 'vitest';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import { parseVif } from '../../toolstack/core/cfgdevices.ts';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import { devicesIn, devidOf, filledIn, withDevice, withoutDevice } from '../../toolstack/core/deviceset.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);

function configOf(text: string): DomainConfig {
  const result = parseCfg(`name="g"\n${text}`);
  if (!result.ok) throw new Error(result.errors[0]!.text);
  return result.config;
}

test("interfaces are counted from the highest number that is given, and have addresses of Xen's own", () => {
  const config = configOf('vif=["","devid=3,mac=1:2:3:4:5:6",""]\npvcalls=["",""]\ndisk=["/a,,xvda"]');
  const made = filledIn(config, bytes);
  expect(made.vifs.map(({ devid, mac }) => [devid, mac])).toEqual([
    [4, '00:16:3e:7f:ff:ff'],
    [3, '01:02:03:04:05:06'],
    [5, '00:16:3e:7f:ff:ff'],
  ]);
  expect(made.sockets.map(({ devid }) => devid)).toEqual([0, 1]);
  expect(devicesIn(made).map(devidOf)).toEqual([51712, 4, 3, 5, 0, 1]);
  expect(filledIn(made, bytes)).toEqual(made);
});

test("an address that is made up is nobody else's on the host, nor another interface's of the same domain", () => {
  let next = 0;
  const counting = (): Uint8Array => new Uint8Array([0, 0, next++]);
  const config = configOf('vif=["","mac=00:16:3e:00:00:01",""]');
  const macs = filledIn(config, counting, ['00:16:3e:00:00:00']).vifs.map(({ mac }) => mac);
  expect(macs).toEqual(['00:16:3e:00:00:02', '00:16:3e:00:00:01', '00:16:3e:00:00:03']);
  const parsed = parseVif([]);
  if (!parsed.ok) throw new Error(parsed.error);
  next = 0;
  const more = withDevice(filledIn(config, counting), parsed.value, () => new Uint8Array([0, 0, next++]), [
    '00:16:3e:00:00:03',
  ]);
  expect(new Set(more.config.vifs.map(({ mac }) => mac)).size).toBe(4);
});

test('a device more, and one less', () => {
  const config = filledIn(configOf('vif=[""]\ndisk=["/a,,xvda"]'), bytes);
  const parsed = parseVif(['bridge=br0']);
  if (!parsed.ok) throw new Error(parsed.error);
  const more = withDevice(config, parsed.value, bytes);
  expect(more.device).toMatchObject({ devid: 1, bridge: 'br0', mac: '00:16:3e:7f:ff:ff' });
  expect(more.config.vifs).toHaveLength(2);
  expect(withoutDevice(more.config, 'vif', 1)).toEqual(config);
  expect(withoutDevice(config, 'vbd', 51712).disks).toEqual([]);
  expect(withoutDevice(config, 'vif', undefined)).toEqual(config);
});
