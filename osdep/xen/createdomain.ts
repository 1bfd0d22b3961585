/**
 * What a new domain is to be (struct xen_domctl_createdomain), with what a toolstack has to choose and this project's interface
 * does not ask for: emulated devices and the version of grant entries. Knows bytes alone, of each version of Xen.
 * (xen/include/public/domctl.h, arch-x86/xen.h, arch-arm.h)
 */
import type { CreateDomain } from '../ctrl.ts';
import { Errno, OsError } from '../errno.ts';
import type { Interface } from './versions.ts';

const CDF_HVM = 1;
const CDF_HAP = 2;
const CDF_XENSTORE = 16;
/** As Xen takes it: "no limit". */
const MOST_PORTS = 0x7fff_ffff;
/** "The hypervisor's default." */
const DEFAULT_FRAMES = -1;
/** Entries of version 1, which every guest can use and this project's front ends do. */
const GRANT_VERSION = 1;
/** All that Xen emulates itself for a domain with a device model; neither more nor less is allowed. */
const EMULATED = 0x3ff;

export function writeCreateDomain(view: DataView, options: CreateDomain, layout: Interface): void {
  const { hvm = false, hap = false, xenstore = false } = options;
  const bit = (set: boolean, value: number) => (set ? value : 0);
  view.setUint32(0, options.ssidref ?? 0, true);
  writeHandle(view, 4, options.handle);
  view.setUint32(20, bit(hvm, CDF_HVM) | bit(hap, CDF_HAP) | bit(xenstore, CDF_XENSTORE), true);
  view.setUint32(28, options.maxVcpus ?? 1, true);
  view.setUint32(32, options.maxEvtchnPort ?? MOST_PORTS, true);
  view.setInt32(36, options.maxGrantFrames ?? DEFAULT_FRAMES, true);
  view.setInt32(40, options.maxMaptrackFrames ?? DEFAULT_FRAMES, true);
  view.setUint32(44, GRANT_VERSION, true);
  // On Arm what is zero there means: the machine's own interrupt controller, no trusted environment.
  if (layout.arch === 'x64') {
    view.setUint32(layout.createArchAt, hvm ? EMULATED : 0, true);
  }
}

/** Sixteen bytes of a uuid in text; all zero if there is none. */
export function writeHandle(view: DataView, at: number, handle: string | undefined): void {
  if (handle === undefined) {
    return;
  }
  const hex = handle.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(hex)) {
    throw new OsError(Errno.EINVAL, `domain handle ${handle}`);
  }
  for (let index = 0; index < 16; index += 1) {
    view.setUint8(at + index, Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16));
  }
}
