/**
 * A domain as the hypervisor describes it (struct xen_domctl_getdomaininfo): the same bytes from domctl and from sysctl, the
 * same in every version known here but for its length. Knows bytes alone. (xen/include/public/domctl.h)
 */
import type { DomainInfo } from '../ctrl.ts';

const flag = {
  dying: 1,
  hvm: 2,
  shutdown: 4,
  paused: 8,
  blocked: 16,
  running: 32,
  debugged: 64,
  xenstore: 128,
  hap: 256,
} as const;
const SHUTDOWN_SHIFT = 16;
const SHUTDOWN_MASK = 0xff;
const HANDLE_AT = 76;
const NO_CPUPOOL = 0xffff_ffff;

/** The entry that starts at `at`. */
export function domainInfo(view: DataView, at = 0): DomainInfo {
  const u32 = (offset: number) => view.getUint32(at + offset, true);
  const u64 = (offset: number) => Number(view.getBigUint64(at + offset, true));
  const flags = u32(4);
  const has = (name: keyof typeof flag) => (flags & flag[name]) !== 0;
  const sharedInfoFrame = u64(48);
  const cpupool = u32(92);
  return {
    domid: view.getUint16(at, true),
    dying: has('dying'),
    hvm: has('hvm'),
    shutdown: has('shutdown'),
    shutdownReason: has('shutdown') ? (flags >>> SHUTDOWN_SHIFT) & SHUTDOWN_MASK : undefined,
    paused: has('paused'),
    blocked: has('blocked'),
    running: has('running'),
    debugged: has('debugged'),
    xenstore: has('xenstore'),
    hap: has('hap'),
    totPages: u64(8),
    maxPages: u64(16),
    outstandingPages: u64(24),
    shrPages: u64(32),
    pagedPages: u64(40),
    // All ones: none.
    sharedInfoFrame: Number.isSafeInteger(sharedInfoFrame) ? sharedInfoFrame : undefined,
    cpuTimeNs: u64(56),
    nrOnlineVcpus: u32(64),
    maxVcpuId: u32(68),
    ssidref: u32(72),
    handle: uuidText(new Uint8Array(view.buffer, view.byteOffset + at + HANDLE_AT, 16)),
    cpupool: cpupool === NO_CPUPOOL ? undefined : cpupool,
  };
}

/** 16 bytes as text of 36 characters. */
function uuidText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
