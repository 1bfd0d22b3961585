/**
 * domctl and sysctl: an envelope with the version of the interface, and one structure for each command
 * (xen/include/public/domctl.h, sysctl.h, as of Xen 4.22).
 */
import type { CreateDomain, DomainInfo } from '../../ctrl.ts';
import { Domid } from '../../domid.ts';
import { Errno, OsError } from '../../errno.ts';
import type { Machine } from '../machine.ts';
import { type Buffers, Struct, uuidBytes, uuidText } from './guestmemory.ts';

const DOMCTL_VERSION = 0x18;
const DOMCTL_SIZE = 144;
const SYSCTL_VERSION = 0x16;
const SYSCTL_SIZE = 136;
const GET_DOMAIN_STATE = 90;
const INFO_SIZE = 112;
const NO_CPUPOOL = 0xffff_ffff;

const CREATE_HVM = 1;
const CREATE_HAP = 2;
const CREATE_XENSTORE = 16;

export function domctl(machine: Machine, buffers: Buffers, address: bigint): number {
  const op = Struct.at(buffers, address, DOMCTL_SIZE);
  const cmd = op.u32(0);
  // The one command whose shape is promised never to change has a version of its own.
  if (op.u32(4) !== (cmd === GET_DOMAIN_STATE ? 0 : DOMCTL_VERSION)) {
    throw new OsError(Errno.EACCES, 'domctl version');
  }
  const domid = op.u16(8);
  const arg = op.sub(16, DOMCTL_SIZE - 16);
  switch (cmd) {
    case 1:
      op.set16(8, machine.call('createDomain', createArgs(domid, arg)).domid);
      return 0;
    case 2:
      machine.call('destroyDomain', { domid });
      return 0;
    case 3:
      machine.call('pauseDomain', { domid });
      return 0;
    case 4:
      machine.call('unpauseDomain', { domid });
      return 0;
    case 5:
      writeInfo(arg, machine.call('domainInfo', { domid }));
      return 0;
    case 11:
      machine.call('setMaxMem', { domid, maxKb: arg.u64(0) });
      return 0;
    case 15:
      machine.call('setMaxVcpus', { domid, count: arg.u32(0) });
      return 0;
    case 17:
      machine.call('setHandle', { domid, handle: uuidText(arg.bytes.subarray(0, 16)) });
      return 0;
    case 27:
      machine.call('resumeDomain', { domid });
      return 0;
    case 36:
      arg.set32(0, machine.call('guestWidth', { domid }).bytes * 8);
      return 0;
    case 46:
      machine.call('setTarget', { domid, target: arg.u16(0) });
      return 0;
    case 66:
      machine.call('setVirqHandler', { domid, virq: arg.u32(0) });
      return 0;
    case GET_DOMAIN_STATE:
      getDomainState(machine, op, arg);
      return 0;
    default:
      throw new OsError(Errno.ENOSYS, `domctl ${cmd}`);
  }
}

export function sysctl(machine: Machine, buffers: Buffers, address: bigint): number {
  const op = Struct.at(buffers, address, SYSCTL_SIZE);
  const cmd = op.u32(0);
  if (op.u32(4) !== SYSCTL_VERSION) {
    throw new OsError(Errno.EACCES, 'sysctl version');
  }
  const arg = op.sub(8, SYSCTL_SIZE - 8);
  switch (cmd) {
    case 1: {
      const { text, index } = machine.call('readConsole', { index: arg.u32(4), clear: arg.u8(0) !== 0 });
      const bytes = new TextEncoder().encode(text).subarray(0, arg.u32(16));
      Struct.at(buffers, arg.address(8), arg.u32(16)).bytes.set(bytes);
      arg.set32(4, index);
      arg.set32(16, bytes.length);
      return 0;
    }
    case 3: {
      const info = machine.call('physinfo', {});
      arg.set32(0, info.threadsPerCore);
      arg.set32(4, info.coresPerSocket);
      arg.set32(8, info.nrCpus);
      arg.set32(12, info.maxCpuId);
      arg.set32(16, info.nrNodes);
      arg.set32(20, info.nrNodes - 1);
      arg.set32(24, info.cpuKhz);
      arg.set64(40, info.totalPages);
      arg.set64(48, info.freePages);
      arg.set64(56, info.scrubPages);
      arg.set64(72, info.maxMfn);
      return 0;
    }
    case 6: {
      const max = Math.min(arg.u32(4), Domid.FIRST_RESERVED);
      const { domains } = machine.call('domainInfoList', { firstDomid: arg.u16(0), max });
      for (const [index, info] of domains.entries()) {
        writeInfo(Struct.at(buffers, arg.address(8) + BigInt(index * INFO_SIZE), INFO_SIZE), info);
      }
      arg.set32(16, domains.length);
      return 0;
    }
    default:
      throw new OsError(Errno.ENOSYS, `sysctl ${cmd}`);
  }
}

function createArgs(domid: number, arg: Struct): CreateDomain {
  const flags = arg.u32(20);
  const limit = (name: string, value: number) => (value < 0 ? {} : { [name]: value });
  if ((arg.u32(44) & 0xf) === 0) {
    throw new OsError(Errno.EINVAL, 'create domain without grants');
  }
  return {
    ...(domid === 0 || domid >= Domid.FIRST_RESERVED ? {} : { domid }),
    ssidref: arg.u32(0),
    handle: uuidText(arg.bytes.subarray(4, 20)),
    hvm: (flags & CREATE_HVM) !== 0,
    hap: (flags & CREATE_HAP) !== 0,
    xenstore: (flags & CREATE_XENSTORE) !== 0,
    maxVcpus: arg.u32(28),
    maxEvtchnPort: arg.u32(32),
    ...limit('maxGrantFrames', arg.s32(36)),
    ...limit('maxMaptrackFrames', arg.s32(40)),
  };
}

function getDomainState(machine: Machine, op: Struct, arg: Struct): void {
  if (arg.u32(4) !== 0) {
    throw new OsError(Errno.EINVAL, 'domain state');
  }
  const domid = op.u16(8);
  const info =
    domid === Domid.INVALID ? machine.call('pollChangedDomain', {}) : machine.call('domainState', { domid });
  op.set16(8, info.domid);
  arg.set16(0, info.state);
  arg.set16(2, info.caps);
  arg.set64(8, BigInt(info.uniqueId));
}

function writeInfo(out: Struct, info: DomainInfo): void {
  const bit = (set: boolean, value: number) => (set ? value : 0);
  out.clear(0, INFO_SIZE);
  out.set16(0, info.domid);
  out.set32(
    4,
    bit(info.dying, 1) |
      bit(info.hvm, 2) |
      bit(info.shutdown, 4) |
      bit(info.paused, 8) |
      bit(info.blocked, 16) |
      bit(info.running, 32) |
      bit(info.debugged, 64) |
      bit(info.xenstore, 128) |
      bit(info.hap, 256) |
      ((info.shutdownReason ?? 0) << 16),
  );
  out.set64(8, info.totPages);
  out.set64(16, info.maxPages);
  out.set64(24, info.outstandingPages);
  out.set64(32, info.shrPages);
  out.set64(40, info.pagedPages);
  out.set64(48, info.sharedInfoFrame ?? -1);
  out.set64(56, info.cpuTimeNs);
  out.set32(64, info.nrOnlineVcpus);
  out.set32(68, info.maxVcpuId);
  out.set32(72, info.ssidref);
  out.bytes.set(uuidBytes(info.handle), 76);
  out.set32(92, info.cpupool ?? NO_CPUPOOL);
}
