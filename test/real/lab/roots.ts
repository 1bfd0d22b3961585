/**
 * What stands in the two first roots: dom0's, with Xen's tools and node, and the guests', with busybox and the store's clients. Scripts here
 * do what has to be done before node can run; everything else is dom0/main.ts.
 */
import { existsSync } from 'node:fs';
import type { Kernel } from '../../../xenstored/stubdom/kernel.ts';
import { XEN } from './packages.ts';
import { Tree } from './tree.ts';

const BIN = `/usr/lib/xen-${XEN}/bin`;

/** In the order in which they can be loaded. */
const SHARES = ['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'];
const PLAN9 = ['netfs', 'fscache', '9pnet', '9pnet_virtio', '9p'];
const DEVICES = ['xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'xen-privcmd', 'xenfs'];
/** Loaded when a scenario wants them. */
const DRIVERS = ['xen-blkback', 'xen-netback', 'llc', 'stp', 'bridge', 'brd', 'tun', 'loop', 'veth'];
const FRONTS = ['xen-blkfront', 'xen-netfront'];
/** For a guest that wants to mount its disk. */
const EXT4 = ['crc32c_generic', 'crc16', 'mbcache', 'jbd2', 'ext4'];

const TOOLS = [
  'xl',
  'xenstored',
  'oxenstored',
  'xenconsoled',
  'xenconsole',
  'xen-init-dom0',
  'init-xenstore-domain',
  'libxl-save-helper',
  'xenstore-control',
  'lsevtchn',
  'xenctx',
  'xen-diag',
  'test-xenstore',
];
const CLIENTS = [
  'xenstore',
  ...['read', 'write', 'list', 'ls', 'rm', 'exists', 'chmod', 'watch'].map((verb) => `xenstore-${verb}`),
];
/** Not in busybox, or not good enough for Xen's scripts there. */
const PROGRAMS = ['/usr/bin/flock', '/usr/bin/prlimit', '/usr/bin/setsid', '/usr/bin/script', '/sbin/mke2fs'];
/** Where this machine has them. */
export const EXTRAS: readonly string[] = ['/usr/bin/strace', '/usr/bin/ssh'];

const MOUNTS = `/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /run; mount -t tmpfs tmp /tmp
# without them, Xen's hotplug scripts wait in their lock for ever
ln -s /proc/self/fd /dev/fd; ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
mkdir -p /dev/shm /dev/pts; mount -t devpts pts /dev/pts
ip link set lo up`;

function insmod(modules: readonly string[], options = ''): string {
  return modules.map((name) => `insmod /lib/modules/${name}.ko${options}`).join('\n');
}

/** Four shared folders, all but `out` to read only. */
const DOM0_INIT = `#!/bin/busybox sh
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin:${BIN} HOME=/tmp LANG=C.UTF-8
${MOUNTS}
mkdir -p /run/xenstored /run/xen /run/xen-hotplug /run/lock
${insmod([...SHARES, ...PLAN9])}
share() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,$3 $1 $2; }
share boot /boot ro,cache=loose
share app /app ro,cache=loose
share packages /app/node_modules ro,cache=loose
share out /out rw
${insmod(DEVICES)}
mount -t xenfs xenfs /proc/xen
node /app/dist/test/real/dom0/main.js
if [ -e /run/shell ]; then cd /tmp; setsid -c bash --rcfile /etc/bashrc -i </dev/hvc0 >/dev/hvc0 2>&1; fi
dmesg >/out/dmesg
sync
poweroff -f
`;

const BASHRC = `. /run/shell
PS1='dom0:\\w# '
alias ll='ls -la'
`;

/** A guest says when it is up, does what it is asked to, and goes; or gives whoever opens its console a shell. */
const GUEST_INIT = `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin HOME=/
${MOUNTS}
${insmod([...DEVICES, ...FRONTS]).replace('privcmd.ko', '$& unrestricted=1')}
mount -t xenfs xenfs /proc/xen
echo "GUEST-UP $(cut -d' ' -f1 /proc/uptime)"
if [ -e /guest.sh ]; then
  sh /guest.sh
  echo GUEST-DONE
  poweroff -f
fi
while :; do setsid cttyhack sh; done
`;

export function dom0Root(kernel: Kernel): Tree {
  const tree = new Tree();
  tree.folder('/dev', '/proc', '/sys', '/run', '/tmp', '/boot', '/app', '/out', '/sbin', '/usr/sbin');
  tree.folder('/var/log/xen', '/var/lock', '/var/lib/xen/dump', '/var/lib/xenstored', '/etc/default');
  tree.link('/var/run', '/run');
  tree.file('/bin/busybox');
  tree.program('/bin/bash');
  tree.program('/usr/bin/node', process.execPath);
  for (const tool of TOOLS) tree.program(`${BIN}/${tool}`);
  for (const client of CLIENTS) tree.program(`/usr/bin/${client}`);
  for (const program of PROGRAMS) tree.program(program);
  for (const program of EXTRAS) if (existsSync(program)) tree.program(program);
  tree.copy('/etc/xen');
  tree.text('/etc/bashrc', BASHRC);
  tree.text('/etc/passwd', 'root:x:0:0:root:/tmp:/bin/bash\n');
  tree.text('/etc/group', 'root:x:0:\n');
  tree.text('/etc/hosts', '127.0.0.1 localhost\n');
  modules(tree, kernel, [...SHARES, ...PLAN9, ...DEVICES, ...DRIVERS]);
  for (const [name, path] of [
    ['xenstored', 'xenstored/main.js'],
    ['xenstore', 'xenstored/cli/main.js'],
    ['stubdom0', 'toolstack/main.js'],
  ] as const)
    tree.text(`/usr/local/bin/${name}`, `#!/bin/sh\nexec node /app/dist/${path} "$@"\n`);
  tree.text('/init', DOM0_INIT);
  return tree;
}

export function guestRoot(kernel: Kernel): Tree {
  const tree = new Tree();
  tree.folder('/dev', '/proc', '/sys', '/run', '/tmp');
  tree.file('/bin/busybox');
  for (const client of CLIENTS) tree.program(`/usr/bin/${client}`);
  modules(tree, kernel, [...DEVICES, ...FRONTS, ...EXT4]);
  // What the kernel starts when the toolstack asks for it.
  tree.text(
    '/sbin/poweroff',
    '#!/bin/sh\necho GUEST-POWEROFF >/dev/console\nexec /bin/busybox poweroff -f\n',
  );
  tree.text('/sbin/reboot', '#!/bin/sh\necho GUEST-REBOOT >/dev/console\nexec /bin/busybox reboot -f\n');
  tree.text('/init', GUEST_INIT);
  return tree;
}

/** Those that the kernel has as modules. */
function modules(tree: Tree, kernel: Kernel, names: readonly string[]): void {
  for (const name of names) {
    const file = kernel.module(name);
    if (file === undefined) throw new Error(`the kernel ${kernel.release} has no module ${name}`);
    tree.file(`/lib/modules/${name}.ko`, file);
  }
}
