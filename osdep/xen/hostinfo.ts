/**
 * What the hypervisor tells of itself and of the machine: its version, processors and memory, its console. Knows no domain.
 * (xen/include/public/version.h, sysctl.h)
 */
import type { Physinfo, XenVersion } from '../ctrl.ts';
import type { Operations } from './operations.ts';

const Sysctl = { READ_CONSOLE: 1, PHYSINFO: 3 } as const;
const VersionText = { EXTRA: 1, CAPABILITIES: 3, CHANGESET: 4, COMMANDLINE: 9 } as const;
const CONSOLE_BYTES = 64 * 1024;

export function xenVersion(operations: Operations): XenVersion {
  const version = operations.version();
  return {
    major: version >>> 16,
    minor: version & 0xffff,
    extra: operations.versionText(VersionText.EXTRA, 16),
    changeset: operations.versionText(VersionText.CHANGESET, 64),
    capabilities: operations.versionText(VersionText.CAPABILITIES, 1024),
    commandline: operations.versionText(VersionText.COMMANDLINE, 1024),
  };
}

export function physinfo(operations: Operations): Physinfo {
  const answer = operations.sysctl(Sysctl.PHYSINFO);
  const pagesAt = operations.interface.physinfoPagesAt;
  const u32 = (at: number) => answer.getUint32(at, true);
  const pages = (index: number) => Number(answer.getBigUint64(pagesAt + index * 8, true));
  return {
    threadsPerCore: u32(0),
    coresPerSocket: u32(4),
    nrCpus: u32(8),
    maxCpuId: u32(12),
    nrNodes: u32(16),
    cpuKhz: u32(24),
    totalPages: pages(0),
    freePages: pages(1),
    scrubPages: pages(2),
    maxMfn: pages(4),
  };
}

/** From `index` on, and where to go on from. */
export function readConsole(
  operations: Operations,
  index: number,
  clear: 'clear' | 'keep',
): { readonly text: string; readonly index: number } {
  const { call } = operations;
  const buffer = call.allocBuffer(CONSOLE_BYTES);
  try {
    const answer = operations.sysctl(Sysctl.READ_CONSOLE, (argument) => {
      argument.setUint8(0, clear === 'clear' ? 1 : 0);
      argument.setUint8(1, 1);
      argument.setUint32(4, index, true);
      argument.setBigUint64(8, buffer.address, true);
      argument.setUint32(16, CONSOLE_BYTES, true);
    });
    const text = new TextDecoder().decode(buffer.bytes.slice(0, answer.getUint32(16, true)));
    return { text, index: answer.getUint32(4, true) };
  } finally {
    call.freeBuffer(buffer);
  }
}
