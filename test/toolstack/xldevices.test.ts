// Who attaches and detaches a device on real Xen: xl where a script has to run here, this project where another domain serves it, and libxl is told.
import { beforeEach, describe, expect, test } from 'vitest';
import { parseSockets, parseVif } from '../../toolstack/core/cfgdevices.ts';
import { parseDisk } from '../../toolstack/core/cfgdisk.ts';
import type { DeviceConfig } from '../../toolstack/core/config.ts';
import type { DeviceEntry } from '../../toolstack/core/toolstack.ts';
import type { Hotplug } from '../../toolstack/io/hotplug.ts';
import type { LibxlFiles } from '../../toolstack/io/libxlfile.ts';
import { XlDevices } from '../../toolstack/io/xldevices.ts';

const guest = { domid: 5, uuid: '11111111-2222-3333-4444-555555555555', type: 'pv' } as const;

function device(kind: DeviceConfig['kind'], spec: string): DeviceConfig {
  const parsed =
    kind === 'vbd' ? parseDisk([spec]) : kind === 'vif' ? parseVif([spec]) : parseSockets([spec]);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** Each line is a thing that was done. */
let done: string[];
let there: Partial<DeviceEntry>[];
let devices: XlDevices;
beforeEach(() => {
  done = [];
  there = [];
  devices = new XlDevices({
    own: 0,
    domidOf: async (ref) => ({ driver: 3, 'Domain-0': 0, '0': 0 })[ref],
    xl: {
      run: async (words) => {
        done.push(`xl ${words.join(' ')}`);
        return '';
      },
    },
    hotplug: {
      list: async () => there,
      find: async () => there[0],
      place: async (domid: number, _: string, config: DeviceConfig) => {
        const script = config.kind === 'pvcalls' ? '' : ` ${config.script}`;
        done.push(`place ${config.kind} for ${domid}${script}`);
        return { config };
      },
      attach: async ({ config }: { config: DeviceConfig }) => {
        done.push(`attach ${config.kind} ${'devid' in config ? config.devid : config.vdev}`);
        return {};
      },
      detach: async (name: object, how: string) => void done.push(`detach ${JSON.stringify(name)} ${how}`),
    } as unknown as Hotplug,
    files: {
      add: async (_: object, { kind }: DeviceConfig) => void done.push(`libxl is told of a ${kind}`),
      remove: async (_: object, kind: string, which: string) =>
        void done.push(`libxl forgets ${kind} ${which}`),
    } as unknown as LibxlFiles,
  });
});

describe('attached', () => {
  test.each([
    ['/dev/ram1,raw,xvdb,w', 'xl block-attach 5 format=raw,vdev=xvdb,access=rw,target=/dev/ram1'],
    ['a.img,raw,xvdb,r,backend=0', 'xl block-attach 5 format=raw,vdev=xvdb,access=ro,backend=0,target=a.img'],
    ['a.qcow2,qcow2,xvdb,r,backend=driver', /^xl block-attach 5 format=qcow2,/],
  ])('by xl: disk %s', async (spec, words) => {
    await devices.attach(guest, device('vbd', spec));
    expect(done).toEqual([expect.stringMatching(words)]);
  });

  test('by xl: an interface, whose mac is found again', async () => {
    await devices.attach(guest, device('vif', 'bridge=xenbr0,backend=Domain-0'));
    expect(done).toEqual([
      expect.stringMatching(
        /^xl network-attach 5 mac=00:16:3e:[\da-f:]{8} bridge=xenbr0 devid=0 backend=Domain-0$/,
      ),
    ]);
  });

  test('by us: what another domain serves, with the script that it is to run', async () => {
    there = [{ devid: 4 }];
    await devices.attach(guest, device('vbd', '/a.raw,raw,xvdb,w,backend=driver'));
    await devices.attach(guest, device('vif', 'backend=driver,script=vif-route'));
    await devices.attach(guest, device('pvcalls', ''));
    expect(done).toEqual([
      'place vbd for 5 /etc/xen/scripts/block',
      'attach vbd xvdb',
      'libxl is told of a vbd',
      'place vif for 5 /etc/xen/scripts/vif-route',
      'attach vif 5',
      'libxl is told of a vif',
      'place pvcalls for 5',
      'attach pvcalls 5',
      'libxl is told of a pvcalls',
    ]);
  });
});

describe('detached', () => {
  const entry = (backend: number, kind: string): void => {
    there = [
      {
        devid: 51728,
        name: 'xvdb',
        backendDomid: backend,
        backendPath: `/local/domain/${backend}/backend/${kind}/5/51728`,
      },
    ];
  };

  test('by xl what this domain serves', async () => {
    entry(0, 'vbd');
    await devices.detach(guest, 'vbd', 'xvdb', 'orderly');
    await devices.detach(guest, 'vbd', 'xvdb', 'force');
    await devices.detach(guest, 'vif', '0', 'force');
    expect(done).toEqual([
      'xl block-detach 5 51728',
      'xl block-detach --force 5 51728',
      'xl network-detach 5 51728',
    ]);
  });

  test('by us what another domain serves, whatever it calls it', async () => {
    entry(3, 'qdisk');
    await devices.detach(guest, 'vbd', 'xvdb', 'force');
    expect(done).toEqual([
      'detach {"backendDomid":3,"kind":"qdisk","frontendDomid":5,"devid":51728} force',
      'libxl forgets vbd xvdb',
    ]);
  });
});
