/** All commands that drive a toolstack, at a shell and over SSH. */
import type { Verb } from '../verb.ts';
import { console } from './console.ts';
import { create } from './create.ts';
import { deviceVerbs } from './devices.ts';
import { infoVerbs } from './info.ts';
import { careVerbs, lifeVerbs } from './life.ts';
import { listVerbs } from './list.ts';

export const verbGroups: readonly (readonly [string, readonly Verb[]])[] = [
  ['Domains', [create, ...lifeVerbs, console]],
  ['Looking', [...listVerbs, ...infoVerbs]],
  ['Devices', deviceVerbs],
  ['Keeping house', careVerbs],
];

export const verbs: ReadonlyMap<string, Verb> = new Map(
  verbGroups.flatMap(([, group]) => group.map((verb) => [verb.name, verb] as const)),
);

/** Xl's, that have no meaning here, or none yet: an answer of their own, so that nobody looks for a slip of the pen. */
export const notHere: ReadonlySet<string> = new Set(
  (
    'config-update pci-attach pci-detach pci-list pci-assignable-add pci-assignable-remove pci-assignable-list vncviewer save migrate ' +
    'restore migrate-receive suspend resume dump-core cd-insert cd-eject mem-max mem-set button-press vcpu-pin vcpu-set sharing sched-credit ' +
    'sched-credit2 sched-rtds trigger debug-keys set-parameters top channel-list vtpm-attach vtpm-list vtpm-detach vkb-attach vkb-list ' +
    'vkb-detach vdispl-attach vdispl-list vdispl-detach vsnd-attach vsnd-list vsnd-detach claims cpupool-create cpupool-list ' +
    'cpupool-destroy cpupool-rename cpupool-cpu-add cpupool-cpu-remove cpupool-numa-split getenforce setenforce loadpolicy remus devd ' +
    'psr-hwinfo psr-cmt-attach psr-cmt-detach psr-cmt-show psr-cat-set psr-cat-show psr-mba-set psr-mba-show usbctrl-attach ' +
    'usbctrl-detach usb-list usbdev-attach usbdev-detach qemu-monitor-command fork-vm dt-overlay'
  ).split(' '),
);
