/**
 * libxendevicemodel on Linux: each call is one operation of the same meaning, through privcmd, which a kernel can restrict to one domain. Knows
 * no device. (xen/include/public/hvm/dm_op.h)
 */
import type {
  BufferedIo,
  Devicemodel,
  FrameRun,
  InjectedEvent,
  IoRange,
  IoreqServerInfo,
  PciAddress,
} from '../devicemodel.ts';
import type { HandleRegistry } from '../toolcore.ts';
import { DmOperations, type Fill } from './dmop.ts';
import { Privcmd } from './privcmd.ts';

const RUN_SIZE = 16;

const DmOp = {
  CREATE_IOREQ_SERVER: 1,
  GET_IOREQ_SERVER_INFO: 2,
  MAP_IO_RANGE: 3,
  UNMAP_IO_RANGE: 4,
  SET_IOREQ_SERVER_STATE: 5,
  DESTROY_IOREQ_SERVER: 6,
  TRACK_DIRTY_VRAM: 7,
  SET_PCI_INTX_LEVEL: 8,
  SET_ISA_IRQ_LEVEL: 9,
  SET_PCI_LINK_ROUTE: 10,
  MODIFIED_MEMORY: 11,
  SET_MEM_TYPE: 12,
  INJECT_EVENT: 13,
  INJECT_MSI: 14,
  MAP_MEM_TYPE: 15,
  REMOTE_SHUTDOWN: 16,
  RELOCATE_MEMORY: 17,
  PIN_MEMORY_CACHEATTR: 18,
  SET_IRQ_LEVEL: 19,
  NR_VCPUS: 20,
} as const;

const buffered: Readonly<Record<BufferedIo, number>> = { off: 0, legacy: 1, atomic: 2 };

const NO_GFNS = 1;
const NO_GFN = 0xffff_ffff_ffff_ffffn;

export class XenDevicemodel implements Devicemodel {
  readonly #handles: HandleRegistry;
  readonly #privcmd: Privcmd = new Privcmd();
  readonly #operations: DmOperations = new DmOperations(this.#privcmd);

  constructor(handles: HandleRegistry) {
    this.#handles = handles;
    handles.register(this);
  }

  get fd(): number {
    return this.#privcmd.fd;
  }

  op(domid: number, buffers: readonly Uint8Array[]): void {
    this.#operations.run(domid, buffers);
  }

  createIoreqServer(domid: number, kind: BufferedIo): number {
    const fill: Fill = (argument) => argument.setUint8(0, buffered[kind]);
    return this.#operations.call(domid, DmOp.CREATE_IOREQ_SERVER, fill).getUint16(4, true);
  }

  getIoreqServerInfo(domid: number, id: number, gfns: 'allocate' | 'none'): IoreqServerInfo {
    const answer = this.#operations.call(domid, DmOp.GET_IOREQ_SERVER_INFO, (argument) => {
      argument.setUint16(0, id, true);
      argument.setUint16(2, gfns === 'none' ? NO_GFNS : 0, true);
      argument.setBigUint64(8, NO_GFN, true);
      argument.setBigUint64(16, NO_GFN, true);
    });
    const gfn = (at: number) => {
      const value = answer.getBigUint64(at, true);
      return gfns === 'none' || value === NO_GFN ? undefined : Number(value);
    };
    return { ioreqGfn: gfn(8), bufioreqGfn: gfn(16), bufioreqPort: answer.getUint32(4, true) };
  }

  mapIoRange(domid: number, id: number, range: IoRange): void {
    this.#range(domid, DmOp.MAP_IO_RANGE, id, range);
  }

  unmapIoRange(domid: number, id: number, range: IoRange): void {
    this.#range(domid, DmOp.UNMAP_IO_RANGE, id, range);
  }

  mapMemType(domid: number, id: number, type: number, flags: number): void {
    this.#operations.call(domid, DmOp.MAP_MEM_TYPE, (argument) => {
      argument.setUint16(0, id, true);
      argument.setUint16(2, type, true);
      argument.setUint32(4, flags, true);
    });
  }

  mapPcidev(domid: number, id: number, address: PciAddress): void {
    this.#range(domid, DmOp.MAP_IO_RANGE, id, pciRange(address));
  }

  unmapPcidev(domid: number, id: number, address: PciAddress): void {
    this.#range(domid, DmOp.UNMAP_IO_RANGE, id, pciRange(address));
  }

  destroyIoreqServer(domid: number, id: number): void {
    this.#operations.call(domid, DmOp.DESTROY_IOREQ_SERVER, (argument) => argument.setUint16(0, id, true));
  }

  setIoreqServerState(domid: number, id: number, state: 'enabled' | 'disabled'): void {
    this.#operations.call(domid, DmOp.SET_IOREQ_SERVER_STATE, (argument) => {
      argument.setUint16(0, id, true);
      argument.setUint8(2, state === 'enabled' ? 1 : 0);
    });
  }

  setPciIntxLevel(domid: number, address: PciAddress, intx: number, level: number): void {
    this.#operations.call(domid, DmOp.SET_PCI_INTX_LEVEL, (argument) => {
      argument.setUint16(0, address.segment, true);
      argument.setUint8(2, address.bus);
      argument.setUint8(3, address.device);
      argument.setUint8(4, intx);
      argument.setUint8(5, level);
    });
  }

  setIsaIrqLevel(domid: number, irq: number, level: number): void {
    this.#operations.call(domid, DmOp.SET_ISA_IRQ_LEVEL, (argument) => {
      argument.setUint8(0, irq);
      argument.setUint8(1, level);
    });
  }

  setIrqLevel(domid: number, irq: number, level: number): void {
    this.#operations.call(domid, DmOp.SET_IRQ_LEVEL, (argument) => {
      argument.setUint32(0, irq, true);
      argument.setUint8(4, level);
    });
  }

  setPciLinkRoute(domid: number, link: number, irq: number): void {
    this.#operations.call(domid, DmOp.SET_PCI_LINK_ROUTE, (argument) => {
      argument.setUint8(0, link);
      argument.setUint8(1, irq);
    });
  }

  injectMsi(domid: number, address: number, data: number): void {
    this.#operations.call(domid, DmOp.INJECT_MSI, (argument) => {
      argument.setUint32(0, data, true);
      argument.setBigUint64(8, BigInt(address), true);
    });
  }

  trackDirtyVram(domid: number, firstPfn: number, count: number): Uint8Array {
    const bitmap = new Uint8Array(Math.ceil(count / 8));
    const fill: Fill = (argument) => {
      argument.setUint32(0, count, true);
      argument.setBigUint64(8, BigInt(firstPfn), true);
    };
    this.#operations.call(domid, DmOp.TRACK_DIRTY_VRAM, fill, bitmap);
    return bitmap;
  }

  modifiedMemory(domid: number, firstPfn: number, count: number): void {
    this.modifiedMemoryBulk(domid, [{ firstPfn, count }]);
  }

  modifiedMemoryBulk(domid: number, runs: readonly FrameRun[]): void {
    const list = new DataView(new ArrayBuffer(RUN_SIZE * runs.length));
    for (const [index, { firstPfn, count }] of runs.entries()) {
      list.setUint32(index * RUN_SIZE, count, true);
      list.setBigUint64(index * RUN_SIZE + 8, BigInt(firstPfn), true);
    }
    const fill: Fill = (argument) => argument.setUint32(0, runs.length, true);
    this.#operations.call(domid, DmOp.MODIFIED_MEMORY, fill, new Uint8Array(list.buffer));
  }

  setMemType(domid: number, type: number, firstPfn: number, count: number): void {
    this.#operations.call(domid, DmOp.SET_MEM_TYPE, (argument) => {
      argument.setUint32(0, count, true);
      argument.setUint16(4, type, true);
      argument.setBigUint64(8, BigInt(firstPfn), true);
    });
  }

  injectEvent(domid: number, event: InjectedEvent): void {
    this.#operations.call(domid, DmOp.INJECT_EVENT, (argument) => {
      argument.setUint32(0, event.vcpu, true);
      argument.setUint8(4, event.vector);
      argument.setUint8(5, event.type);
      argument.setUint8(6, event.insnLength);
      argument.setUint32(8, event.errorCode, true);
      argument.setBigUint64(16, BigInt(event.extra), true);
    });
  }

  shutdown(domid: number, reason: number): void {
    this.#operations.call(domid, DmOp.REMOTE_SHUTDOWN, (argument) => argument.setUint32(0, reason, true));
  }

  relocateMemory(domid: number, count: number, sourceGfn: number, destGfn: number): void {
    this.#operations.call(domid, DmOp.RELOCATE_MEMORY, (argument) => {
      argument.setUint32(0, count, true);
      argument.setBigUint64(8, BigInt(sourceGfn), true);
      argument.setBigUint64(16, BigInt(destGfn), true);
    });
  }

  pinMemoryCacheattr(domid: number, start: number, end: number, type: number): void {
    this.#operations.call(domid, DmOp.PIN_MEMORY_CACHEATTR, (argument) => {
      argument.setBigUint64(0, BigInt(start), true);
      argument.setBigUint64(8, BigInt(end), true);
      argument.setUint32(16, type, true);
    });
  }

  nrVcpus(domid: number): number {
    return this.#operations.call(domid, DmOp.NR_VCPUS).getUint32(0, true);
  }

  restrict(domid: number): void {
    this.#privcmd.restrict(domid);
  }

  close(): void {
    this.#handles.deregister(this);
    this.#privcmd.close();
  }

  #range(domid: number, op: number, id: number, range: IoRange | PciRange): void {
    this.#operations.call(domid, op, (argument) => {
      argument.setUint16(0, id, true);
      argument.setUint32(4, rangeType[range.type], true);
      argument.setBigUint64(8, BigInt(range.start), true);
      argument.setBigUint64(16, BigInt(range.end), true);
    });
  }
}

interface PciRange {
  readonly type: 'pci';
  readonly start: number;
  readonly end: number;
}

const rangeType: Readonly<Record<IoRange['type'] | PciRange['type'], number>> = {
  port: 0,
  memory: 1,
  pci: 2,
};

function pciRange({ segment, bus, device, fn }: PciAddress): PciRange {
  const sbdf = segment * 2 ** 16 + (bus << 8) + (device << 3) + fn;
  return { type: 'pci', start: sbdf, end: sbdf };
}
