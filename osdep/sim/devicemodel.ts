/** libxendevicemodel on the simulator. A restricted handle acts on its one domain only. */
import type {
  BufferedIo,
  Devicemodel,
  FrameRun,
  InjectedEvent,
  IoRange,
  IoreqServerInfo,
  PciAddress,
} from '../devicemodel.ts';
import { Errno, OsError } from '../errno.ts';
import type { HandleRegistry } from '../toolcore.ts';
import { dmOp } from './dmop.ts';
import type { Machine } from './machine.ts';
import { Restriction } from './restriction.ts';
import type { Args, OpName, Value } from './world/requests.ts';

type DomainOp = { [K in OpName]: Args<K> extends { domid: number } ? K : never }[OpName];

export class SimDevicemodel implements Devicemodel {
  readonly fd = -1;
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #restriction = new Restriction();

  constructor(machine: Machine, handles: HandleRegistry) {
    this.#machine = machine;
    this.#handles = handles;
    handles.register(this);
  }

  op(domid: number, buffers: readonly Uint8Array[]): void {
    this.#restriction.check(domid);
    dmOp(this.#machine, domid, buffers);
  }

  createIoreqServer(domid: number, buffered: BufferedIo): number {
    return this.#call('dmCreateServer', { domid, buffered }).id;
  }

  /** Frames of the guest are never used here: the pages are resources. */
  getIoreqServerInfo(domid: number, id: number): IoreqServerInfo {
    const { bufioreqPort } = this.#call('dmServerInfo', { domid, id });
    return { ioreqGfn: undefined, bufioreqGfn: undefined, bufioreqPort };
  }

  mapIoRange(domid: number, id: number, range: IoRange): void {
    this.#call('dmMapRange', { domid, id, range });
  }

  unmapIoRange(domid: number, id: number, range: IoRange): void {
    this.#call('dmUnmapRange', { domid, id, range });
  }

  mapMemType(domid: number, id: number, type: number, flags: number): void {
    this.#call('dmMapMemType', { domid, id, type, flags });
  }

  mapPcidev(domid: number, id: number, address: PciAddress): void {
    this.#call('dmMapPci', { domid, id, address });
  }

  unmapPcidev(domid: number, id: number, address: PciAddress): void {
    this.#call('dmUnmapPci', { domid, id, address });
  }

  destroyIoreqServer(domid: number, id: number): void {
    this.#call('dmDestroyServer', { domid, id });
  }

  setIoreqServerState(domid: number, id: number, state: 'enabled' | 'disabled'): void {
    this.#call('dmSetServerState', { domid, id, enabled: state === 'enabled' });
  }

  setPciIntxLevel(domid: number, address: PciAddress, intx: number, level: number): void {
    const { segment, bus, device } = address;
    this.#call('dmInterrupt', { domid, line: `pci ${segment}:${bus}:${device} int ${intx}`, level });
  }

  setIsaIrqLevel(domid: number, irq: number, level: number): void {
    this.#call('dmInterrupt', { domid, line: `isa ${irq}`, level });
  }

  /** Arm alone has lines like that. */
  setIrqLevel(_domid: number, irq: number, _level: number): void {
    throw new OsError(Errno.EOPNOTSUPP, `level of interrupt ${irq}`);
  }

  setPciLinkRoute(domid: number, link: number, irq: number): void {
    this.#call('dmInterrupt', { domid, line: `link ${link}`, level: irq });
  }

  injectMsi(domid: number, address: number, data: number): void {
    this.#call('dmInterrupt', { domid, line: `msi ${address.toString(16)}`, level: data });
  }

  trackDirtyVram(domid: number, firstPfn: number, count: number): Uint8Array {
    return this.#call('dmTrackDirty', { domid, firstPfn, count }).bitmap;
  }

  modifiedMemory(domid: number, firstPfn: number, count: number): void {
    this.modifiedMemoryBulk(domid, [{ firstPfn, count }]);
  }

  modifiedMemoryBulk(domid: number, runs: readonly FrameRun[]): void {
    this.#call('dmModified', { domid, runs });
  }

  setMemType(domid: number, type: number, firstPfn: number, count: number): void {
    this.#call('dmSetMemType', { domid, type, firstPfn, count });
  }

  injectEvent(domid: number, event: InjectedEvent): void {
    this.#call('dmInjectEvent', { domid, event });
  }

  shutdown(domid: number, reason: number): void {
    this.#call('shutdownDomain', { domid, reason });
  }

  relocateMemory(domid: number, count: number, sourceGfn: number, destGfn: number): void {
    this.#call('dmRelocate', { domid, count, sourceGfn, destGfn });
  }

  pinMemoryCacheattr(domid: number, start: number, end: number, type: number): void {
    this.#call('dmPinCache', { domid, start, end, type });
  }

  nrVcpus(domid: number): number {
    return this.#call('dmVcpus', { domid }).count;
  }

  restrict(domid: number): void {
    this.#restriction.restrict(domid);
  }

  close(): void {
    this.#handles.deregister(this);
    this.#restriction.close();
  }

  #call<K extends DomainOp>(op: K, args: Args<K> & { domid: number }): Value<K> {
    this.#restriction.check(args.domid);
    return this.#machine.call(op, args);
  }
}
