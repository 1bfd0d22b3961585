/**
 * What the hypervisor says of the machine and of itself: the lines of `info`, with xl's names and in xl's order as far as they mean something here; and
 * its console. Knows no domain.
 */
import { arch, hostname, release, version } from 'node:os';
import type { Ctrl } from '../../osdep/ctrl.ts';
import type { HostInfo } from '../core/toolstack.ts';

const PAGES_PER_MB = 256;
const PAGE_BYTES = 4096;

export function hostInfo(ctrl: Ctrl): HostInfo {
  const physical = ctrl.physinfo();
  const xen = ctrl.version();
  const host = hostname();
  const fields: [string, string | number][] = [
    ['host', host],
    ['release', release()],
    ['version', version()],
    ['machine', arch() === 'x64' ? 'x86_64' : arch()],
    ['nr_cpus', physical.nrCpus],
    ['max_cpu_id', physical.maxCpuId],
    ['nr_nodes', physical.nrNodes],
    ['cores_per_socket', physical.coresPerSocket],
    ['threads_per_core', physical.threadsPerCore],
    ['cpu_mhz', (physical.cpuKhz / 1000).toFixed(3)],
    ['total_memory', Math.floor(physical.totalPages / PAGES_PER_MB)],
    ['free_memory', Math.floor(physical.freePages / PAGES_PER_MB)],
    ['xen_major', xen.major],
    ['xen_minor', xen.minor],
    ['xen_extra', xen.extra],
    ['xen_version', `${xen.major}.${xen.minor}${xen.extra}`],
    ['xen_caps', xen.capabilities],
    ['xen_pagesize', PAGE_BYTES],
    ['xen_changeset', xen.changeset],
    ['xen_commandline', xen.commandline],
  ];
  return { host, fields: fields.map(([name, value]) => [name, `${value}`]) };
}

/** All that is in the hypervisor's console. */
export function hypervisorLog(ctrl: Ctrl, clear: 'clear' | 'keep'): string {
  let text = '';
  for (let index = 0; ; ) {
    const piece = ctrl.readconsolering(index, 'keep');
    text += piece.text;
    if (piece.text === '' || piece.index === index) break;
    index = piece.index;
  }
  if (clear === 'clear') ctrl.readconsolering(0, 'clear');
  return text;
}
