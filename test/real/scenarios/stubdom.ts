/**
 * The store in a domain of its own, started by Xen's launch-xenstore before there is any other: dom0 and guests live on it, its console
 * can be read and typed at, guests' ends reach it, and its process may be killed while they run.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { watched } from '../dom0/watched.ts';
import { stillKernel } from '../guest/still.ts';
import { type } from '../guest/terminal.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const KERNEL = '/app/stubdom/xenstored-stubdom.vmlinux';
const INITRD = '/app/stubdom/xenstored-stubdom.initrd';
const MEMORY_MIB = 192;
const LOG = '/var/log/xen/guest-Xenstore.log';

/** Counts in the store, and says there what comes through a watch. */
const COUNTING = `
xenstore-write data/word none
xenstore-watch data/word | while read -r path; do xenstore-write data/seen "$(xenstore-read data/word)"; done &
dd if=/dev/xvda bs=1M count=16 of=/dev/null 2>&1 | tail -n 1
ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up
for attempt in 1 2 3 4 5; do ping -c 1 -W 2 10.9.0.1 && break; done
echo READY
while :; do count=$((count + 1)); xenstore-write data/count "$count"; sleep 0.2; done`;

/** The store's domain as a person at its console sees it. */
const inside: Pick<Guest, 'name' | 'console'> = {
  name: 'Xenstore',
  console: async () => (existsSync(LOG) ? readFileSync(LOG, 'utf8').replaceAll('\r', '') : ''),
};

export const scenarios: readonly Scenario[] = [
  {
    name: 'xenstored in a domain of its own',
    stores: ['none'],
    alone: true,
    needs: ['stubdom'],
    limitS: 300,
    async run(lab) {
      await start(lab);
      await lab.services();
      const { stdout: list } = await lab.exec('xl', ['list']);
      assert.match(list, /^Xenstore +1 +\d+ +1 /m);
      await lab.until('its console tells of the daemon', async () => /is ready/.test(await inside.console()));

      const guest = await counting(lab, 'running');
      const home = `/local/domain/${await guest.domid()}`;
      lab.figure('xl create s', guest.seconds.toFixed(1));
      await sizes(lab);
      await kill(lab, guest, home);
      await ends(lab);

      await lab.step('xl shutdown', () => lab.exec('xl', ['shutdown', '-w', 'running']));
      await lab.step('until it is gone', () => guest.gone());
      const { stdout: left } = await lab.exec('xenstore-list', ['/local/domain']);
      assert.deepEqual(left.trim().split('\n').sort(), ['0', '1']);
    },
  },
];

async function start(lab: Lab): Promise<void> {
  const mib = (path: string) => (statSync(path).size / 2 ** 20).toFixed(1);
  lab.figure('kernel MiB', mib(KERNEL));
  lab.figure('initrd MiB', mib(INITRD));
  lab.figure('--memory MiB', MEMORY_MIB);
  const begun = performance.now();
  const settings = [
    'XENSTORETYPE=domain',
    `XENSTORE_DOMAIN_KERNEL=${KERNEL}`,
    `XENSTORE_DOMAIN_SIZE=${MEMORY_MIB}`,
    `XENSTORE_DOMAIN_ARGS="--ramdisk ${INITRD} --param loglevel=1"`,
  ];
  writeFileSync('/etc/default/xencommons', `${settings.join('\n')}\n`);
  await lab.step('launch-xenstore', () => lab.exec('/etc/xen/scripts/launch-xenstore', [], { limitS: 90 }));
  const { stdout } = await lab.exec('xenstore-ls', ['/local/domain/1'], { limitS: 30 });
  lab.figure('start to first xenstore-ls s', ((performance.now() - begun) / 1000).toFixed(1));
  assert.match(stdout, /name = "Xenstore"/);
}

async function counting(lab: Lab, name: string): Promise<Guest & { readonly seconds: number }> {
  await lab.bridge();
  const guest = lab.guest({
    name,
    script: COUNTING,
    disks: [`phy:${await lab.ramDisk()},xvda,w`],
    vifs: ['bridge=xenbr0,mac=00:16:3e:01:02:06'],
  });
  const { seconds } = await lab.step('xl create', () => guest.create());
  await lab.step('the guest runs', () => guest.says(/READY/));
  assert.match(await guest.console(), / 0% packet loss/);
  return Object.assign(guest, { seconds });
}

/** The guest neither loses its watch nor stops. */
async function kill(lab: Lab, guest: Guest, home: string): Promise<void> {
  const counted = await count(lab, home);
  await lab.step('kill -9 of the daemon, inside', () =>
    type(lab, inside, '\nkill -9 $(pidof node)', (text) => /ended with status 137.* again/.test(text)),
  );
  await lab.step('the guest goes on', () =>
    lab.until(`the count of ${guest.name}`, async () => (await count(lab, home)) > counted + 1, 30),
  );
  await lab.exec('xenstore-write', [`${home}/data/word`, 'afterwards']);
  await lab.step('its old watch fires', () =>
    lab.until('the event', async () => (await read(lab, `${home}/data/seen`)) === 'afterwards', 20),
  );
}

/** A guest that ends of itself is noticed by nobody but the hypervisor, which tells the store's domain (VIRQ_DOM_EXC). */
async function ends(lab: Lab): Promise<void> {
  writeFileSync('/tmp/still', stillKernel());
  writeFileSync('/tmp/short.cfg', 'name="short"\nkernel="/tmp/still"\nmemory=24\n');
  await lab.exec('xl', ['create', '-p', '/tmp/short.cfg']);
  const domid = (await lab.exec('xl', ['domid', 'short'])).stdout.trim();
  await lab.exec('xenstore-write', ['/tool/left-behind', 'x']);
  await lab.exec('xenstore-chmod', ['/tool/left-behind', `n${domid}`]);
  const told = await watched(lab, '@releaseDomain');
  await lab.exec('xl', ['unpause', 'short']);
  await lab.step('the end of a guest is told to who watches', told);
  await lab.until('it is gone', async () => {
    const { status } = await lab.exec('xl', ['domid', 'short'], { mayFail: true });
    return status !== 0;
  });
  for (const path of [`/local/domain/${domid}`, '/tool/left-behind']) {
    const { status } = await lab.exec('xenstore-exists', [path], { mayFail: true });
    assert.equal(status, 1, `${path} is still there`);
  }
}

/** What the domain's memory holds, asked for at its console. */
async function sizes(lab: Lab): Promise<void> {
  const before = (await inside.console()).length;
  const said = async () => (await inside.console()).slice(before);
  const command =
    "grep -hE '^(MemTotal|MemAvailable|VmRSS|RssAnon)' /proc/meminfo /proc/$(pidof node)/status; echo asked";
  await type(lab, inside, `\n${command}`, (text) => /^asked/m.test(text.slice(before)));
  const kib = (name: string, text: string) =>
    Number(new RegExp(`^${name}: +\\s*(\\d+) kB`, 'm').exec(text)?.[1]);
  const text = (await said()).replaceAll('\t', ' ');
  for (const [name, title] of [
    ['MemTotal', 'memory of the domain'],
    ['MemAvailable', 'free or evictable'],
    ['VmRSS', 'resident in the daemon'],
    ['RssAnon', 'of it not evictable'],
  ] as const)
    lab.figure(`${title}, MiB`, (kib(name, text) / 1024).toFixed(0));
}

async function read(lab: Lab, path: string): Promise<string> {
  return (await lab.exec('xenstore-read', [path], { mayFail: true })).stdout.trim();
}

async function count(lab: Lab, home: string): Promise<number> {
  return Number(await read(lab, `${home}/data/count`));
}
