/**
 * Emulated devices: ioreq servers, the page of requests that a server shares with its emulator, and a guest's access
 * to a port or an address on its way there and back (xen/common/ioreq.c, xen/include/public/hvm/ioreq.h). The
 * emulator is not trusted: the guest's vCPU waits for the one state that means an answer.
 */
import type { BufferedIo } from '../../devicemodel.ts';
import { IoreqState, IoreqType } from '../../devicemodel.ts';
import { Errno } from '../../errno.ts';
import { Virq } from '../../evtchn.ts';
import type { Events } from './events.ts';
import type { Frames } from './frames.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { IoRequest } from './requests.ts';
import type { Domain, Frame, IoreqServer, PendingIo, Port, State } from './state.ts';

type Empty = Record<never, never>;
type Range = IoreqServer['ranges'][number];

const MAX_SERVERS = 8;
const MAX_RANGES = 256;
const SLOT_SIZE = 32;
const STATE_BYTE = 30;
const DIRECTION_READ = 0x20;

export class Ioreq {
  readonly #state: State;
  readonly #frames: Frames;
  readonly #events: Events;
  readonly #crash: (domain: Domain) => void;

  constructor(state: State, frames: Frames, events: Events, crash: (domain: Domain) => void) {
    this.#state = state;
    this.#frames = frames;
    this.#events = events;
    this.#crash = crash;
  }

  create(emulator: Domain, domain: Domain, buffered: BufferedIo): Outcome<{ id: number }> {
    if (!domain.hvm || domain.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    let id = 0;
    while (domain.servers.has(id)) {
      id += 1;
    }
    if (id >= MAX_SERVERS) {
      return fail(Errno.ENOSPC);
    }
    const pages = this.#frames.allocate(domain, buffered === 'off' ? 1 : 2, 'kept');
    const ioreqPage = pages?.[0];
    if (ioreqPage === undefined) {
      return fail(Errno.ENOMEM);
    }
    const ports: number[] = [];
    for (let vcpu = 0; vcpu < domain.maxVcpus; vcpu += 1) {
      const port = this.#events.allocUnbound(domain, emulator.domid);
      if (!port.ok) {
        break;
      }
      port.value.consumer = () => this.#answered(domain, vcpu);
      ports.push(port.value.number);
      this.#writeSlot(ioreqPage, vcpu, 24, port.value.number);
    }
    const buffer = buffered === 'off' ? undefined : this.#events.allocUnbound(domain, emulator.domid);
    const complete = ports.length === domain.maxVcpus && buffer?.ok !== false;
    if (buffer?.ok) {
      buffer.value.consumer = () => {};
    }
    const server: IoreqServer = {
      id,
      emulator,
      ioreqPage,
      bufioreqPage: pages?.[1],
      bufioreqPort: buffer?.ok ? buffer.value.number : 0,
      ports,
      ranges: [],
      enabled: false,
    };
    domain.servers.set(id, server);
    if (!complete) {
      this.#end(domain, server);
      return fail(Errno.ENOSPC);
    }
    return done({ id });
  }

  /** The emulator's own server: ENOENT, EPERM for another's. */
  find(emulator: Domain, domain: Domain, id: number): Outcome<IoreqServer> {
    const server = domain.servers.get(id);
    if (server === undefined) {
      return fail(Errno.ENOENT);
    }
    return server.emulator === emulator ? done(server) : fail(Errno.EPERM);
  }

  mapRange(server: IoreqServer, range: Range): Outcome<Empty> {
    if (!(range.start >= 0 && range.start <= range.end)) {
      return fail(Errno.EINVAL);
    }
    if (server.ranges.some((r) => r.type === range.type && r.start <= range.end && range.start <= r.end)) {
      return fail(Errno.EEXIST);
    }
    if (server.ranges.length >= MAX_RANGES) {
      return fail(Errno.ENOSPC);
    }
    const touches = (r: Range) =>
      r.type === range.type && (r.end + 1 === range.start || range.end + 1 === r.start);
    const parts = [range, ...server.ranges.filter(touches)];
    const start = Math.min(...parts.map((r) => r.start));
    const end = Math.max(...parts.map((r) => r.end));
    server.ranges = [...server.ranges.filter((r) => !touches(r)), { ...range, start, end }];
    return nothing;
  }

  /** Also part of what was mapped, or parts that lie side by side. */
  unmapRange(server: IoreqServer, range: Range): Outcome<Empty> {
    if (!(range.start <= range.end)) {
      return fail(Errno.EINVAL);
    }
    const around = server.ranges.find(
      (r) => r.type === range.type && r.start <= range.start && range.end <= r.end,
    );
    if (around === undefined) {
      return fail(Errno.ENOENT);
    }
    const rest = [
      { ...around, end: range.start - 1 },
      { ...around, start: range.end + 1 },
    ].filter((r) => r.start <= r.end);
    server.ranges = [...server.ranges.filter((r) => r !== around), ...rest];
    return nothing;
  }

  destroy(domain: Domain, server: IoreqServer): Outcome<Empty> {
    if (server.enabled) {
      server.enabled = false;
    }
    this.#end(domain, server);
    return nothing;
  }

  /** Servers for the domain, and those that it keeps for others. */
  domainEnds(domain: Domain): void {
    for (const other of this.#state.domains.values()) {
      for (const server of [...other.servers.values()]) {
        if (other === domain || server.emulator === domain) {
          this.#end(other, server);
        }
      }
    }
  }

  /** A guest's access. Where nobody emulates the device, reads find all ones and writes go nowhere. */
  access(domain: Domain, request: IoRequest): Outcome<{ done: boolean; value: number }> {
    const { vcpu, type, direction, address, size, value } = request;
    if (!(vcpu >= 0 && vcpu < domain.maxVcpus) || ![1, 2, 4].includes(size) || !(address >= 0)) {
      return fail(Errno.EINVAL);
    }
    if (domain.io.has(vcpu)) {
      return fail(Errno.EBUSY);
    }
    const server = this.#serverFor(domain, type, address, size);
    const port = domain.ports.get(server?.ports[vcpu] ?? 0);
    if (server === undefined || port === undefined) {
      return done({ done: true, value: allOnes(size) });
    }
    domain.io.set(vcpu, { server, size, direction, value: 0 });
    const slot = new DataView(new ArrayBuffer(SLOT_SIZE));
    slot.setBigUint64(0, BigInt(address), true);
    slot.setBigUint64(8, BigInt(direction === 'write' ? value >>> 0 : 0), true);
    slot.setUint32(16, 1, true);
    slot.setUint32(20, size, true);
    slot.setUint32(24, port.number, true);
    slot.setUint8(STATE_BYTE, IoreqState.READY | (direction === 'read' ? DIRECTION_READ : 0));
    slot.setUint8(31, type === 'port' ? IoreqType.PIO : IoreqType.COPY);
    this.#frames.write(server.ioreqPage, vcpu * SLOT_SIZE, new Uint8Array(slot.buffer));
    this.#events.ring(port);
    return done({ done: false, value: 0 });
  }

  result(domain: Domain, vcpu: number): Outcome<{ value: number }> {
    const io = domain.io.get(vcpu);
    if (io === undefined) {
      return fail(Errno.ENOENT);
    }
    if (io.server !== undefined) {
      return fail(Errno.EAGAIN);
    }
    domain.io.delete(vcpu);
    return done({ value: io.value });
  }

  /** The emulator rang: perhaps there is an answer. */
  #answered(domain: Domain, vcpu: number): void {
    const io = domain.io.get(vcpu);
    if (io?.server === undefined) {
      return;
    }
    const slot = new DataView(this.#frames.read(io.server.ioreqPage, vcpu * SLOT_SIZE, SLOT_SIZE).buffer);
    switch (slot.getUint8(STATE_BYTE) & 0x0f) {
      case IoreqState.READY:
      case IoreqState.INPROCESS:
        return;
      case IoreqState.NONE:
        this.#complete(domain, io, allOnes(io.size));
        return;
      case IoreqState.RESP_READY: {
        this.#frames.write(io.server.ioreqPage, vcpu * SLOT_SIZE + STATE_BYTE, new Uint8Array(1));
        const data = slot.getUint32(8, true);
        this.#complete(domain, io, io.direction === 'read' ? (data & allOnes(io.size)) >>> 0 : 0);
        return;
      }
      default:
        this.#crash(domain);
    }
  }

  #complete(domain: Domain, io: PendingIo, value: number): void {
    io.server = undefined;
    io.value = value;
    this.#events.raiseVirq(domain, Virq.ARCH_0);
  }

  #serverFor(
    domain: Domain,
    type: 'port' | 'memory',
    address: number,
    size: number,
  ): IoreqServer | undefined {
    const last = address + size - 1;
    for (const server of domain.servers.values()) {
      const covers = (r: Range) => r.type === type && r.start <= address && last <= r.end;
      if (server.enabled && server.ranges.some(covers)) {
        return server;
      }
    }
    return undefined;
  }

  /** Whoever waits for this server is answered as if nobody were there. */
  #end(domain: Domain, server: IoreqServer): void {
    domain.servers.delete(server.id);
    for (const io of domain.io.values()) {
      if (io.server === server) {
        this.#complete(domain, io, allOnes(io.size));
      }
    }
    for (const number of [...server.ports, server.bufioreqPort]) {
      const port: Port | undefined = domain.ports.get(number);
      if (port !== undefined) {
        this.#events.shut(domain, port);
      }
    }
    this.#frames.drop(server.ioreqPage);
    if (server.bufioreqPage !== undefined) {
      this.#frames.drop(server.bufioreqPage);
    }
  }

  #writeSlot(page: Frame, vcpu: number, offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.#frames.write(page, vcpu * SLOT_SIZE + offset, bytes);
  }
}

function allOnes(size: number): number {
  return size === 4 ? 0xffff_ffff : 2 ** (size * 8) - 1;
}
