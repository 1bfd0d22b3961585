/**
 * An ioreq server: takes a guest's accesses to a range of ports from the page in which the hypervisor puts them, has them done, and answers. One that died is
 * taken up again by whoever runs in its domain next, with the access that was under way. Follows xen/include/public/hvm/{ioreq,dm_op}.h. Knows no device.
 */
import { type Devicemodel, type IoRange, IoreqState, IoreqType } from '../../osdep/devicemodel.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { type Foreignmemory, Resource } from '../../osdep/foreignmemory.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';

/** A device behind ports, one byte wide. */
export interface PortDevice {
  /** `at`: from the first of its ports. */
  read(at: number): number;
  write(at: number, value: number): void;
  /** An access is over. */
  settled(): void;
}

export interface IoreqServerOptions {
  readonly platform: Platform;
  /** Whose accesses they are. */
  readonly domid: number;
  /** Both ends are part of it. */
  readonly ports: { readonly first: number; readonly last: number };
  readonly device: PortDevice;
}

/** Of the hypervisor's (MAX_NR_IOREQ_SERVERS). */
const SERVERS = 8;
/** Of the resource: the first is for buffered accesses. */
const IOREQ_FRAME = 1;

const SLOT_BYTES = 32;
const ADDR = 0;
const DATA = 8;
const SIZE = 20;
const PORT = 24;
/** The word in which state, direction and type are. */
const STATE = 28;
const STATE_SHIFT = 16;
const TYPE_SHIFT = 24;
const STATE_MASK = 0xf << STATE_SHIFT;
const IS_POINTER = 0x10 << STATE_SHIFT;
const IS_READ = 0x20 << STATE_SHIFT;

export class IoreqServer {
  readonly #options: IoreqServerOptions;
  readonly #devicemodel: Devicemodel;
  readonly #foreign: Foreignmemory;
  readonly #ports: Ports;
  readonly #mapping: Mapping;
  readonly #page: Page;

  /** Serves as soon as it returns. Throws OsError: EPERM for a domain that we are no model of. */
  constructor(options: IoreqServerOptions) {
    const { platform, domid, ports } = options;
    this.#options = options;
    this.#devicemodel = platform.openDevicemodel();
    this.#foreign = platform.openForeignmemory();
    // Whatever becomes of us, nobody else's business is ours.
    this.#devicemodel.restrict(domid);
    this.#foreign.restrict(domid);
    const found = this.#find();
    const id = found ?? this.#devicemodel.createIoreqServer(domid, 'off');
    this.#mapping = this.#foreign.mapResource(
      { domid, type: Resource.IOREQ_SERVER, id, frame: IOREQ_FRAME, count: 1 },
      'rw',
    );
    this.#page = new Page(this.#mapping.bytes);
    this.#ports = new Ports(platform.openEvtchn());
    for (let vcpu = 0; vcpu < this.#devicemodel.nrVcpus(domid); vcpu++) this.#listen(vcpu);
    this.#claim(id, { type: 'port', start: ports.first, end: ports.last });
    this.#devicemodel.setIoreqServerState(domid, id, 'enabled');
  }

  /** Of the guest's interrupt controller. For a guest that is gone it is nothing: its end is told to others. */
  setIrq(irq: number, level: 0 | 1): void {
    try {
      this.#devicemodel.setIsaIrqLevel(this.#options.domid, irq, level);
    } catch (error) {
      const gone: readonly number[] = [Errno.ESRCH, Errno.EPERM];
      if (!(error instanceof OsError && gone.includes(error.errno))) throw error;
    }
  }

  /** The server stays, for a successor; a guest's access waits for him. */
  close(): void {
    this.#ports.close();
    this.#mapping.unmap();
    this.#foreign.close();
    this.#devicemodel.close();
  }

  /** What a predecessor left. */
  #find(): number | undefined {
    const { domid } = this.#options;
    for (let id = 0; id < SERVERS; id++) {
      try {
        this.#devicemodel.getIoreqServerInfo(domid, id, 'none');
        return id;
      } catch (error) {
        // There is none, or it is another emulator's.
        const passing: readonly number[] = [Errno.ENOENT, Errno.EPERM];
        if (!(error instanceof OsError && passing.includes(error.errno))) throw error;
      }
    }
    return undefined;
  }

  #claim(id: number, range: IoRange): void {
    try {
      this.#devicemodel.mapIoRange(this.#options.domid, id, range);
    } catch (error) {
      if (!(error instanceof OsError && error.errno === Errno.EEXIST)) throw error;
    }
  }

  /** The hypervisor has a port for each processor, which it says in its slot. */
  #listen(vcpu: number): void {
    const remote = this.#page.load(vcpu * SLOT_BYTES + PORT);
    const port = this.#ports.bind(this.#options.domid, remote, () => {
      this.#ports.open(port);
      this.#serve(vcpu, port);
    });
  }

  #serve(vcpu: number, port: number): void {
    const at = vcpu * SLOT_BYTES;
    const word = this.#page.load(at + STATE);
    const state = (word & STATE_MASK) >>> STATE_SHIFT;
    // In process: by somebody who did not live to answer.
    if (state !== IoreqState.READY && state !== IoreqState.INPROCESS) return;
    const rest = word & ~STATE_MASK;
    this.#page.store(at + STATE, rest | (IoreqState.INPROCESS << STATE_SHIFT));
    const { first, last } = this.#options.ports;
    const address = this.#page.load(at + ADDR) - first;
    const size = this.#page.load(at + SIZE);
    // What no driver of such a device does: strings of accesses, and other kinds.
    const plain = word >>> TYPE_SHIFT === IoreqType.PIO && (word & IS_POINTER) === 0 && size <= 4;
    const bytes = plain ? Array.from({ length: size }, (_, index) => address + index) : [];
    const { device } = this.#options;
    if ((word & IS_READ) !== 0) {
      const read = (port: number): number => (port >= 0 && port <= last - first ? device.read(port) : 0xff);
      const value = bytes.reduce((sum, port, index) => sum | (read(port) << (8 * index)), 0);
      this.#page.store(at + DATA, plain ? value : -1);
      this.#page.store(at + DATA + 4, 0);
    } else {
      const value = this.#page.load(at + DATA);
      for (const [index, port] of bytes.entries())
        if (port >= 0 && port <= last - first) device.write(port, (value >>> (8 * index)) & 0xff);
    }
    device.settled();
    this.#page.store(at + STATE, rest | (IoreqState.RESP_READY << STATE_SHIFT));
    this.#ports.notify(port);
  }
}
