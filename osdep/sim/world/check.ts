/**
 * The shape of every request, checked before anything looks at it: arguments come from processes that may send
 * whatever they like. Knows shapes, never meanings.
 */
import type { OpName } from './requests.ts';

type Check = (value: unknown) => boolean;

const MAX_ITEMS = 65536;
const MAX_TEXT = 65536;

/** A whole number from 0 on: domids, ports, references, frames, sizes. */
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const flag: Check = (value) => typeof value === 'boolean';
const text: Check = (value) => typeof value === 'string' && value.length <= MAX_TEXT;
const bytes: Check = (value) => value instanceof Uint8Array;

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.length <= MAX_ITEMS && value.every(check);

const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(value as string);

const either =
  (...checks: Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));

function shape(fields: Record<string, Check>): Check {
  const checks = Object.entries(fields);
  return (value) => {
    if (typeof value !== 'object' || value === null) {
      return false;
    }
    for (const [name, check] of checks) {
      if (!check((value as Record<string, unknown>)[name])) {
        return false;
      }
    }
    return true;
  };
}

const counts = listOf(count);
const notify = optional(shape({ clearByte: optional(count), port: optional(count) }));
const copyEnd = either(
  shape({ domid: count, ref: count, offset: count }),
  shape({ gfn: count, offset: count }),
  shape({ local: (value) => value === true }),
);
const copies = shape({
  ops: listOf(shape({ source: copyEnd, dest: copyEnd, length: count, bytes: optional(bytes) })),
});
const ofDomain = shape({ domid: count });
const ofServer = { domid: count, id: count };
const range = shape({ type: oneOf('port', 'memory'), start: count, end: count });
const pci = shape({ segment: count, bus: count, device: count, fn: count });
const ofPort = shape({ handle: count, port: count });
const pages = { firstPfn: count, count };

const shapes: Record<OpName, Check> = {
  evtchnOpen: shape({}),
  evtchnClose: shape({ handle: count }),
  evtchnBindUnbound: shape({ handle: count, domid: count }),
  evtchnBindInterdomain: shape({ handle: count, domid: count, port: count }),
  evtchnBindVirq: shape({ handle: count, virq: count }),
  evtchnBind: ofPort,
  evtchnUnbind: ofPort,
  evtchnNotify: ofPort,
  evtchnUnmask: ofPort,
  evtchnRestrict: shape({ handle: count, domid: count }),
  evtchnAllocUnbound: shape({ domid: count, remoteDomid: count }),
  evtchnInterdomain: shape({ domid: count, port: count }),
  evtchnVirq: shape({ virq: count, vcpu: count }),
  evtchnShut: shape({ port: count }),
  evtchnSend: shape({ port: count }),
  evtchnStatus: shape({ domid: count, port: count }),
  evtchnReset: ofDomain,
  gntdevMap: shape({ refs: listOf(shape({ domid: count, ref: count })), writable: flag, notify }),
  gntdevCopy: copies,
  gntdevCopier: shape({ pages: count }),
  gntallocShare: shape({ domid: count, count, peerWritable: flag, notify }),
  gnttabMap: shape({ ops: listOf(shape({ domid: count, ref: count, flags: count })) }),
  gnttabCopy: copies,
  gnttabUnmap: shape({ handles: counts }),
  gnttabSetup: shape({ frames: count }),
  gnttabQuerySize: ofDomain,
  gnttabGetVersion: ofDomain,
  ownMap: shape({ gfns: counts }),
  foreignMap: shape({ domid: count, gfns: counts, writable: flag, partial: flag }),
  resourceMap: shape({ domid: count, type: count, id: count, frame: count, count, writable: flag }),
  resourceSize: shape({ domid: count, type: count, id: count }),
  unmap: shape({ map: count }),
  populatePhysmap: shape({ domid: count, gfns: counts }),
  decreaseReservation: shape({ domid: count, gfns: counts }),
  maximumGpfn: ofDomain,
  createDomain: shape({
    domid: optional(count),
    handle: optional(text),
    ssidref: optional(count),
    hvm: optional(flag),
    hap: optional(flag),
    xenstore: optional(flag),
    maxVcpus: optional(count),
    maxEvtchnPort: optional(count),
    maxGrantFrames: optional(count),
    maxMaptrackFrames: optional(count),
  }),
  destroyDomain: ofDomain,
  pauseDomain: ofDomain,
  unpauseDomain: ofDomain,
  shutdownDomain: shape({ domid: count, reason: count }),
  resumeDomain: ofDomain,
  setMaxMem: shape({ domid: count, maxKb: count }),
  setMaxVcpus: shape({ domid: count, count }),
  setHandle: shape({ domid: count, handle: text }),
  setTarget: shape({ domid: count, target: count }),
  setVirqHandler: shape({ domid: count, virq: count }),
  domainInfo: ofDomain,
  domainInfoList: shape({ firstDomid: count, max: count }),
  domainState: ofDomain,
  pollChangedDomain: shape({}),
  hvmParamSet: shape({ domid: count, param: count, value: count }),
  hvmParamGet: shape({ domid: count, param: count }),
  gnttabSeed: shape({
    domid: count,
    seed: shape({
      consoleGfn: optional(count),
      consoleDomid: optional(count),
      xenstoreGfn: optional(count),
      xenstoreDomid: optional(count),
    }),
  }),
  guestWidth: ofDomain,
  version: shape({}),
  physinfo: shape({}),
  readConsole: shape({ index: count, clear: flag }),
  writeConsole: shape({ text }),
  dmCreateServer: shape({ domid: count, buffered: oneOf('off', 'legacy', 'atomic') }),
  dmServerInfo: shape(ofServer),
  dmMapRange: shape({ ...ofServer, range }),
  dmUnmapRange: shape({ ...ofServer, range }),
  dmMapPci: shape({ ...ofServer, address: pci }),
  dmUnmapPci: shape({ ...ofServer, address: pci }),
  dmMapMemType: shape({ ...ofServer, type: count, flags: count }),
  dmSetServerState: shape({ ...ofServer, enabled: flag }),
  dmDestroyServer: shape(ofServer),
  dmInterrupt: shape({ domid: count, line: text, level: count }),
  dmInjectEvent: shape({ domid: count, event: shape({ vcpu: count, vector: count, type: count }) }),
  dmTrackDirty: shape({ domid: count, ...pages }),
  dmModified: shape({ domid: count, runs: listOf(shape(pages)) }),
  dmSetMemType: shape({ domid: count, type: count, ...pages }),
  dmRelocate: shape({ domid: count, count, sourceGfn: count, destGfn: count }),
  dmPinCache: shape({ domid: count, start: count, end: count, type: count }),
  dmVcpus: ofDomain,
  guestIo: shape({
    vcpu: count,
    type: oneOf('port', 'memory'),
    direction: oneOf('read', 'write'),
    address: count,
    size: count,
    value: count,
  }),
  guestIoResult: shape({ vcpu: count }),
};

const known = new Map<string, Check>(Object.entries(shapes));

/** Whether such a request exists, and these arguments could be its. */
export function checkRequest(op: string, args: unknown): 'good' | 'unknown' | 'malformed' {
  const check = known.get(op);
  if (check === undefined) {
    return 'unknown';
  }
  return check(args) ? 'good' : 'malformed';
}
