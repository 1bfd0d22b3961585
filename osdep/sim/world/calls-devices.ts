/** Requests of device models and of guests that they serve, and which piece does them. */
import { Errno } from '../../errno.ts';
import { type Handlers, on, onServer, type Parts } from './calls.ts';
import { done, fail, nothing } from './outcome.ts';
import type { OpName } from './requests.ts';

export function deviceCalls(
  parts: Parts,
): Pick<Handlers, Extract<OpName, `dm${string}` | `guestIo${string}`>> {
  const ioreq = parts.ioreq;
  const emulation = parts.emulation;
  return {
    dmCreateServer: (caller, { domid, buffered }) =>
      on(parts.state, caller, 'model', domid, (domain) => ioreq.create(caller, domain, buffered)),
    dmServerInfo: (caller, { domid, id }) =>
      onServer(parts, caller, domid, id, (server) => done({ bufioreqPort: server.bufioreqPort })),
    dmMapRange: (caller, { domid, id, range }) =>
      onServer(parts, caller, domid, id, (server) => ioreq.mapRange(server, range)),
    dmUnmapRange: (caller, { domid, id, range }) =>
      onServer(parts, caller, domid, id, (server) => ioreq.unmapRange(server, range)),
    dmMapPci: (caller, { domid, id, address }) =>
      onServer(parts, caller, domid, id, (server) => ioreq.mapRange(server, pciRange(address))),
    dmUnmapPci: (caller, { domid, id, address }) =>
      onServer(parts, caller, domid, id, (server) => ioreq.unmapRange(server, pciRange(address))),
    dmMapMemType: (caller, { domid, id, flags }) =>
      onServer(parts, caller, domid, id, () => (flags & ~3 ? fail(Errno.EINVAL) : nothing)),
    dmSetServerState: (caller, { domid, id, enabled }) =>
      onServer(parts, caller, domid, id, (server) => {
        server.enabled = enabled;
        return nothing;
      }),
    dmDestroyServer: (caller, { domid, id }) =>
      onServer(parts, caller, domid, id, (server, domain) => ioreq.destroy(domain, server)),
    dmInterrupt: (caller, { domid, line, level }) =>
      on(parts.state, caller, 'model', domid, (domain) => emulation.interrupt(domain, line, level)),
    dmInjectEvent: (caller, { domid, event }) =>
      on(parts.state, caller, 'model', domid, (domain) => emulation.inject(domain, event)),
    dmTrackDirty: (caller, { domid, firstPfn, count }) =>
      on(parts.state, caller, 'model', domid, (domain) => emulation.trackDirty(domain, firstPfn, count)),
    dmModified: (caller, { domid, runs }) =>
      on(parts.state, caller, 'model', domid, (domain) => emulation.modified(domain, runs)),
    dmSetMemType: (caller, { domid, type, firstPfn, count }) =>
      on(parts.state, caller, 'model', domid, (domain) =>
        emulation.setMemType(domain, type, firstPfn, count),
      ),
    dmRelocate: (caller, { domid, count, sourceGfn, destGfn }) =>
      on(parts.state, caller, 'model', domid, (domain) =>
        emulation.relocate(domain, count, sourceGfn, destGfn),
      ),
    dmPinCache: (caller, { domid, start, end }) =>
      on(parts.state, caller, 'model', domid, () => (start > end ? fail(Errno.EINVAL) : nothing)),
    dmVcpus: (caller, { domid }) =>
      on(parts.state, caller, 'model', domid, (domain) => done({ count: domain.maxVcpus })),
    guestIo: (caller, request) => ioreq.access(caller, request),
    guestIoResult: (caller, { vcpu }) => ioreq.result(caller, vcpu),
  };
}

function pciRange(address: { segment: number; bus: number; device: number; fn: number }): {
  type: 'pci';
  start: number;
  end: number;
} {
  const sbdf = address.segment * 65536 + ((address.bus << 8) | (address.device << 3) | address.fn);
  return { type: 'pci', start: sbdf, end: sbdf };
}
