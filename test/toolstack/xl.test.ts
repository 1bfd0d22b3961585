// The toolstack of real Xen without one: what xl is given to read, what is made of its words, and a creation by an xl that succeeds, fails, is interrupted,
// and whose maker is killed. Real xl and real Xen: test/real/scenarios/toolstack*.ts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Ctrl, DomainInfo } from '../../osdep/ctrl.ts';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import { parseVif } from '../../toolstack/core/cfgdevices.ts';
import { parseDisk } from '../../toolstack/core/cfgdisk.ts';
import { readSettings } from '../../toolstack/core/cfgsettings.ts';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import { diskWord, vifWords, xlText } from '../../toolstack/core/xlcfg.ts';
import { Fault } from '../../toolstack/io/fault.ts';
import { identify, type ProcessId } from '../../toolstack/io/identity.ts';
import { createByXl, recover, type XlParts } from '../../toolstack/io/xlcreation.ts';
import { complaint, xlProgram } from '../../toolstack/io/xlprogram.ts';
import { XlRecords } from '../../toolstack/io/xlrecords.ts';
import type { Client, Transaction } from '../../xenstored/client/index.ts';
import { appears } from './appears.ts';

const UUID = '11111111-2222-3333-4444-555555555555';

function configOf(text: string): DomainConfig {
  const parsed = parseCfg(text, 'xl');
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

describe('what xl reads', () => {
  const given = (text: string): ReadonlyMap<string, unknown> => {
    const whole = xlText(text, configOf(text), {
      uuid: UUID,
      resolve: (path) => resolve('/srv/guests', path),
    });
    expect(whole.startsWith(text)).toBe(true);
    const { settings, errors } = readSettings(whole);
    expect(errors).toEqual([]);
    return new Map(
      [...settings].map(([name, { value }]) => [
        name,
        value.kind === 'atom'
          ? value.text
          : value.items.map((item) => (item.kind === 'atom' ? item.text : '?')),
      ]),
    );
  };

  test("is the user's text, with keys of xl alone, and paths that hold anywhere", () => {
    const settings = given(
      'name="g"\nkernel="vmlinuz"\nramdisk="/boot/initrd"\nbios="seabios" # xl knows\nserial=["pty","/dev/ttyS0"]',
    );
    expect(settings.get('uuid')).toBe(UUID);
    expect(settings.get('kernel')).toBe('/srv/guests/vmlinuz');
    expect(settings.get('ramdisk')).toBe('/boot/initrd');
    expect(settings.get('bios')).toBe('seabios');
    expect(settings.get('disk')).toBeUndefined();
  });

  test.each([
    ['a.img,raw,xvda,w', '/srv/guests/a.img,raw,xvda,w'],
    ['phy:/dev/vg/g,xvda,w', 'phy:/dev/vg/g,xvda,w'],
    ['file:a.img,xvda,w', 'file:/srv/guests/a.img,xvda,w'],
    [
      'format=raw, vdev=xvda, access=rw, target=a, b=c.img',
      'format=raw, vdev=xvda, access=rw, target=/srv/guests/a, b=c.img',
    ],
    ['vdev=hdc,devtype=cdrom,format=empty', 'vdev=hdc,devtype=cdrom,format=empty'],
    ['script=block-iscsi,vdev=xvda,target=iqn=x', 'script=block-iscsi,vdev=xvda,target=iqn=x'],
    ['backend=store,vdev=xvda,target=there.img', 'backend=store,vdev=xvda,target=there.img'],
    ['r\\"aw.img,raw,xvda,r', '/srv/guests/r"aw.img,raw,xvda,r'],
  ])('disk %s', (spec, resolved) => {
    const disks = given(`name="g"\ndisk=["${spec}", "x.img,raw,xvdz,r"]`).get('disk');
    expect(disks).toEqual([resolved, '/srv/guests/x.img,raw,xvdz,r']);
  });

  test('our name for sockets is theirs', () => {
    expect(given('name="g"\nxensock=["", "backend=net"]\npvcalls=["backend=0"]').get('pvcalls')).toEqual([
      'backend=0',
      '',
      'backend=net',
    ]);
  });

  test('what is not for real Xen is told with its line', () => {
    expect(parseCfg('name="g"\ndevice_model="serial"', 'xl')).toMatchObject({
      ok: false,
      errors: [{ line: 2 }],
    });
    expect(parseCfg('name="g"\nbios="seabios"\nmemorry=3', 'xl').warnings).toMatchObject([{ line: 3 }]);
  });
});

describe("words of xl's commands say again what was said", () => {
  test.each([
    'a.img,qcow2,xvda,w',
    '/dev/vg/g,raw,hdc:cdrom,r',
    'format=raw,vdev=sda1,access=ro,backend=d,backendtype=phy,script=s,no-discard,direct-io-safe,untrusted,target=/a,b',
  ])('%s', (spec) => {
    const disk = parseDisk([spec]);
    if (!disk.ok) throw new Error(disk.error);
    expect(parseDisk([diskWord(disk.value)])).toEqual(disk);
  });

  test.each([
    [''],
    [
      'mac=00:16:3e:00:00:01,bridge=br0,ip=10.0.0.1,mtu=9000,rate=10MB/s@20ms,vifname=v,script=s,devid=3,backend=d',
    ],
    ['type=ioemu,model=e1000,gatewaydev=eth1,vlan=10p/20,untrusted'],
  ])('%s', (spec) => {
    const vif = parseVif([spec]);
    if (!vif.ok) throw new Error(vif.error);
    expect(parseVif(vifWords(vif.value))).toEqual(vif);
  });
});

test.each([
  [
    'Parsing config from /x\nlibxl: error: libxl_device.c:1109:device_callback: Domain 3:unable to add\nlibxl: error: libxl_create.c:1862:f: more',
    'Domain 3:unable to add',
  ],
  ['nobody is an invalid domain identifier (rc=-6)\n', 'nobody is an invalid domain identifier (rc=-6)'],
  ['libxl: notice: nothing\nfailed to free memory for the domain\n', 'failed to free memory for the domain'],
  [
    'xc: error: panic: xg_dom_core.c:371: xc_dom_alloc: out of memory: Internal error\nlibxl: error: libxl_dom.c:1:f: no build',
    'xc_dom_alloc: out of memory',
  ],
  ['', undefined],
])('of %j what is told is %j', (said, told) => expect(complaint(said)).toBe(told));

describe('xl itself', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'xl-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const xl = (script: string): ReturnType<typeof xlProgram> => {
    writeFileSync(join(folder, 'xl'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'xl'), 0o755);
    return xlProgram({ PATH: folder });
  };

  test('what it says, and what it complains of', async () => {
    expect(await xl('echo "$@"').run(['list', '-v'])).toBe('list -v\n');
    await expect(xl('echo "no such thing" >&2; exit 1').run(['destroy', '4'])).rejects.toThrow(
      new Fault('xl destroy: no such thing'),
    );
    await expect(xl('exit 3').run(['create'])).rejects.toThrow('xl create: exit code 3');
  });

  test('broken off, it is gone with all that it began', async () => {
    const stop = new AbortController();
    const pid = join(folder, 'pid');
    const running = xl(`sh -c 'echo $$ > ${pid}.new; mv ${pid}.new ${pid}; exec /bin/sleep 60'`).run(
      ['create'],
      {
        signal: stop.signal,
      },
    );
    await appears(pid);
    const child = Number(readFileSync(pid, 'utf8'));
    stop.abort();
    await expect(running).rejects.toThrow(/abort/i);
    expect(identify(child)).toBeUndefined();
  });
});

/** A hypervisor with domains of nothing but uuids, and an xl that makes and destroys them. */
class FakeXen {
  readonly run: string = mkdtempSync(join(tmpdir(), 'xl-'));
  readonly records: XlRecords = new XlRecords(this.run);
  readonly domains: { domid: number; handle: string; paused: boolean; hvm: boolean; dying: boolean }[] = [];
  readonly written: string[] = [];
  readonly said: string[] = [];
  /** What its `create` does once the domain is there. */
  afterwards: (signal: AbortSignal | undefined) => Promise<void> = async () => {};

  readonly parts: XlParts = {
    records: this.records,
    xl: {
      run: async ([verb, ...words], options) => {
        this.said.push([verb, ...words].join(' ').replace(this.run, 'RUN'));
        if (verb === 'create') {
          const handle = readSettings(readFileSync(words.at(-1)!, 'utf8')).settings.get('uuid')!.value;
          if (handle.kind !== 'atom') throw new Error('no uuid');
          this.domains.push({ domid: 7, handle: handle.text, paused: true, hvm: false, dying: false });
          await this.afterwards(options?.signal);
        } else if (verb === 'destroy') this.domains.splice(0);
        return '';
      },
    },
    ctrl: {
      getDomainInfoList: (first: number) =>
        this.domains.filter(({ domid }) => domid >= first) as unknown as DomainInfo[],
      unpause: () => {
        for (const domain of this.domains) domain.paused = false;
      },
    } as Partial<Ctrl> as Ctrl,
    store: {
      transaction: async (body: (tx: Transaction) => Promise<unknown>) =>
        await body({
          write: async (path: string, value: string) => void this.written.push(`${path}=${value}`),
        } as unknown as Transaction),
    } as unknown as Client,
  };

  create(signal: AbortSignal = new AbortController().signal): Promise<number> {
    const text = 'name="g"\nvm_data=["a/b=c"]\n';
    const order = {
      uuid: UUID,
      config: configOf(text),
      cfg: { text, directory: '/' },
      start: 'running',
    } as const;
    return createByXl(this.parts, order, () => {}, signal);
  }

  get notes(): string[] {
    return existsSync(join(this.run, 'xl')) ? readdirSync(join(this.run, 'xl')) : [];
  }
}

/** A process that was. */
async function ended(): Promise<ProcessId> {
  const child = spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const id = identify(child.pid!)!;
  const end = once(child, 'exit');
  child.stdin.end();
  await end;
  return id;
}

describe('a creation by xl', () => {
  let xen: FakeXen;
  beforeEach(() => {
    xen = new FakeXen();
  });
  afterEach(() => rmSync(xen.run, { recursive: true }));

  test('ends with a domain that runs, and no note of it', async () => {
    expect(await xen.create()).toBe(7);
    expect(xen.domains).toMatchObject([{ handle: UUID, paused: false }]);
    expect(xen.written).toEqual(['/local/domain/7/vm-data/a/b=c']);
    expect(xen.said).toEqual([`create -p -q RUN/xl/${UUID}.cfg`]);
    expect(xen.notes).toEqual([]);
  });

  test('that fails in the middle leaves nothing, and one line', async () => {
    xen.afterwards = async () => {
      throw new Fault('xl create: no memory');
    };
    await expect(xen.create()).rejects.toThrow(
      'could not build the domain, paused: xl create -p: xl create: no memory',
    );
    expect(xen.domains).toEqual([]);
    expect(xen.notes).toEqual([]);
  });

  test('that is interrupted leaves nothing', async () => {
    const stop = new AbortController();
    xen.afterwards = async (signal) => {
      stop.abort();
      signal?.throwIfAborted();
    };
    await expect(xen.create(stop.signal)).rejects.toThrow(/abort/i);
    expect(xen.domains).toEqual([]);
    expect(xen.notes).toEqual([]);
  });

  test('whose maker was killed is taken back by the next one, with the xl that it left; those of others are not', async () => {
    const record = { version: 1, uuid: UUID, name: 'g' } as const;
    const dead = await ended();
    xen.domains.push({ domid: 7, handle: UUID, paused: true, hvm: false, dying: false });
    xen.records.save({ ...record, maker: identify(process.pid)! }, '');
    expect(await recover(xen.parts)).toEqual([]);
    expect(xen.domains).toHaveLength(1);

    xen.records.save({ ...record, maker: dead }, '');
    const left = spawn('/bin/sh', ['-c', 'read forever', xen.records.cfgPath(UUID)], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const end = once(left, 'exit');
    expect(await recover(xen.parts)).toEqual(['domain g, which was left half made: domain 7']);
    expect(await end).toEqual([null, 'SIGKILL']);
    expect(xen.domains).toEqual([]);
    expect(xen.notes).toEqual([]);
  });

  test('whose maker was killed when all was done stays', async () => {
    const maker = await ended();
    xen.domains.push({ domid: 7, handle: UUID, paused: false, hvm: false, dying: false });
    xen.records.save({ version: 1, uuid: UUID, name: 'g', maker }, '');
    expect(await recover(xen.parts)).toEqual(['note of domain g, which is whole']);
    expect(xen.domains).toHaveLength(1);
    expect(xen.notes).toEqual([]);
  });
});
