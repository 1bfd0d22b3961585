/**
 * The hands of one frontend's machine of sockets: its data rings, and what carries the bytes of each socket, which is the machine's own network, the
 * guests' own, or both for a listening socket with a wildcard address. Decides nothing. What is heard from below is told when nothing else is
 * going on.
 */
import { Errno, OsError } from '../../../osdep/errno.ts';
import type { Gnttab } from '../../../osdep/gnttab.ts';
import type { Ports } from '../../../osdep/ports.ts';
import type { InetAddress } from '../core/address.ts';
import type { Answer, Hands, Heard, Place, Traffic } from '../core/hands.ts';
import { isV6only, type SocketOption } from '../core/options.ts';
import type { Request, Response } from '../core/pvcalls.ts';
import { type DatagramHost, DatagramSocket } from './datagrams.ts';
import { DataRing, type PageBudget } from './dataring.ts';
import { KeptRings } from './keptrings.ts';
import type { LocalHub } from './localhub.ts';
import { LocalStream, type StreamOwner } from './localstream.ts';
import { type TcpHost, TcpStream } from './tcp.ts';

const ENOPROTOOPT = 92;
/** A port that is free on one network may be taken on the other. */
const PORT_TRIES = 16;

/** What all frontends' hands share. */
export interface Shared {
  readonly gnttab: Gnttab;
  readonly ports: Ports;
  readonly tcp: TcpHost;
  readonly udp: DatagramHost;
  readonly local: LocalHub<LocalStream>;
}

export interface HandsOptions extends Shared {
  readonly domid: number;
  readonly commands: {
    respond(response: Response): void;
    drop?(request: Request): void;
    publish(): void;
  };
  /** A mistake of ours, which is to cost this frontend alone. */
  readonly failed: (error: unknown) => void;
  /** For pages that are mapped, and bytes that are kept. */
  readonly budget: PageBudget;
}

type Stream = TcpStream | LocalStream;

interface Slot {
  family: 2 | 10;
  type: 1 | 2;
  ring: DataRing | undefined;
  /** More than one: it listens at several places. */
  streams: Stream[];
  /** Instead of streams. */
  datagrams: DatagramSocket | undefined;
  /** What the guest named it by. */
  named: { readonly ref: number; readonly evtchn: number } | undefined;
  /** Set before there was a stream to set them of. */
  options: SocketOption[];
  /** The guest has rung before there was anybody to tell. */
  rung: boolean;
}

export class SocketHands implements Hands {
  readonly #options: HandsOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #kept = new KeptRings();
  /** What was heard and is not told yet. */
  readonly #news: (() => void)[] = [];
  /** What those moved that are no more. */
  readonly #gone = { inBytes: 0, outBytes: 0 };
  #made = 0;
  #planned = false;
  #closed = false;
  readonly #turn = (): void => this.#tell();
  /** Who is told; before anything else is called. */
  heard: Heard | undefined;

  constructor(options: HandsOptions) {
    this.#options = options;
  }

  respond(response: Response): void {
    if (this.#closed) return;
    this.#options.commands.respond(response);
    this.#plan();
  }

  drop(request: Request): void {
    if (this.#closed) return;
    this.#options.commands.drop?.(request);
    this.#plan();
  }

  create(socket: number, family: 2 | 10, type: 1 | 2): void {
    const slot = this.#slot(socket);
    slot.family = family;
    slot.type = type;
    if (type !== 2) return;
    const maySend = (to: InetAddress): Answer<Place> =>
      this.heard?.maySend(socket, to) ?? { ok: false, errno: Errno.EACCES };
    const { udp, failed, budget } = this.#options;
    slot.datagrams = new DatagramSocket(udp, family, maySend, failed, budget);
  }

  attach(socket: number, ref: number, evtchn: number): number {
    const { gnttab, ports, domid, budget } = this.#options;
    const slot = this.#slot(socket);
    const onEvent = (): void => kick(slot);
    const made = (): DataRing => new DataRing({ gnttab, ports, domid, ref, evtchn, budget, onEvent });
    try {
      slot.ring = this.#kept.take(ref, evtchn, onEvent) ?? this.#orWithoutKept(made);
      slot.named = { ref, evtchn };
      slot.datagrams?.attach(slot.ring);
      return 0;
    } catch (error) {
      if (error instanceof OsError) return error.errno;
      throw error;
    }
  }

  connect(socket: number, to: Place): number {
    const { network, name, address } = to;
    const slot = this.#slot(socket);
    if (slot.datagrams !== undefined) return slot.datagrams.connect(to);
    const stream = this.#only(socket, slot, network);
    carry(slot, stream);
    return stream instanceof TcpStream ? stream.connect(address) : stream.connect(name, address);
  }

  bind(socket: number, places: readonly Place[]): Answer<number> {
    for (let tries = PORT_TRIES; ; tries--) {
      const bound = this.#bind(socket, places);
      const again = places.length > 1 && places[0]!.address.port === 0 && tries > 0;
      if (bound.ok || bound.errno !== Errno.EADDRINUSE || !again) return bound;
    }
  }

  listen(socket: number, backlog: number): number {
    const { streams } = this.#slot(socket);
    if (streams.length === 0) return Errno.EINVAL;
    for (const [at, stream] of streams.entries()) {
      const errno = stream.listen(backlog);
      if (errno === 0) continue;
      // At all places or at none: those before it listen already, and there is no other way back.
      if (at > 0) for (const each of streams) each.reset();
      return errno;
    }
    return 0;
  }

  accept(socket: number, into: number): number {
    const { streams } = this.#slot(socket);
    const slot = this.#slot(into);
    for (const from of streams) {
      const stream = from instanceof TcpStream ? this.#newTcp(into, slot) : this.#newLocal(into);
      const errno = take(from, stream);
      if (errno === Errno.EAGAIN) continue;
      if (errno !== 0) return errno;
      slot.streams = [stream];
      carry(slot, stream);
      // Whoever has had one is asked last the next time.
      if (streams.length > 1) streams.push(...streams.splice(0, streams.indexOf(from) + 1));
      return 0;
    }
    return Errno.EAGAIN;
  }

  waits(socket: number): boolean {
    return this.#slot(socket).streams.some((stream) => stream.ready());
  }

  shutdown(socket: number, how: number): number {
    const { streams, datagrams } = this.#slot(socket);
    return datagrams?.shutdown(how) ?? streams[0]?.shutdown(how) ?? Errno.ENOTCONN;
  }

  name(socket: number, which: 'own' | 'peer'): Answer<InetAddress> {
    const { streams, datagrams } = this.#slot(socket);
    if (datagrams !== undefined) return datagrams.name(which);
    const [stream] = streams;
    if (stream instanceof TcpStream) return stream.name(which);
    const value = stream?.[which];
    return value === undefined ? { ok: false, errno: Errno.ENOTCONN } : { ok: true, value };
  }

  getOption(socket: number, level: number, name: number): Answer<Uint8Array> {
    const slot = this.#slot(socket);
    if (slot.datagrams !== undefined) return slot.datagrams.getOption(level, name);
    if (slot.streams.length === 0) slot.streams.push(this.#newTcp(socket, slot));
    const [stream] = slot.streams;
    if (stream instanceof TcpStream) return stream.getOption(level, name);
    const set = slot.options.find((option) => option.level === level && option.name === name);
    return set === undefined ? { ok: false, errno: ENOPROTOOPT } : { ok: true, value: set.value };
  }

  /** On a network of guests nothing comes of it. */
  setOption(socket: number, level: number, name: number, value: Uint8Array): number {
    const slot = this.#slot(socket);
    const errno = slot.datagrams?.setOption(level, name, value) ?? 0;
    if (errno !== 0) return errno;
    if (slot.datagrams === undefined && slot.streams.length === 0)
      slot.streams.push(this.#newTcp(socket, slot));
    for (const stream of slot.streams) {
      const errno = stream instanceof TcpStream ? stream.setOption(level, name, value) : 0;
      if (errno !== 0) return errno;
    }
    slot.options = slot.options.filter((option) => option.level !== level || option.name !== name);
    slot.options.push({ level, name, value });
    return 0;
  }

  release(socket: number, ring: 'unmap' | 'keep'): void {
    const slot = this.#slots.get(socket);
    if (slot === undefined) return;
    const { inBytes, outBytes } = this.traffic(socket);
    this.#gone.inBytes += inBytes;
    this.#gone.outBytes += outBytes;
    this.#slots.delete(socket);
    for (const stream of slot.streams) stream.release();
    slot.datagrams?.release();
    if (slot.ring === undefined || slot.named === undefined) return;
    if (ring === 'keep') this.#kept.keep(slot.named.ref, slot.named.evtchn, slot.ring);
    else slot.ring.close();
  }

  reset(socket: number): void {
    const slot = this.#slots.get(socket);
    if (slot === undefined) return;
    for (const stream of slot.streams) stream.reset();
    slot.datagrams?.reset();
    slot.ring?.fail('in', Errno.ECONNRESET);
    slot.ring?.fail('out', Errno.ECONNRESET);
    slot.ring?.notify();
  }

  traffic(socket: number): Traffic {
    const slot = this.#slots.get(socket);
    const traffic = { inBytes: 0, outBytes: 0, ...slot?.datagrams?.traffic };
    for (const stream of slot?.streams ?? []) {
      const { inBytes, outBytes } = stream.traffic;
      traffic.inBytes += inBytes;
      traffic.outBytes += outBytes;
    }
    const network = slot?.streams.length === 1 ? networkOf(slot.streams[0]!) : undefined;
    return network === undefined ? traffic : { ...traffic, network };
  }

  /** Since the frontend connected. */
  get statistics(): Readonly<Record<string, number>> {
    let { inBytes, outBytes } = this.#gone;
    for (const socket of this.#slots.keys()) {
      const traffic = this.traffic(socket);
      inBytes += traffic.inBytes;
      outBytes += traffic.outBytes;
    }
    return { sockets: this.#slots.size, made: this.#made, inBytes, outBytes };
  }

  /** Lets go of all of them, as if each were released; nothing is told any more. */
  close(): void {
    this.#closed = true;
    this.#news.length = 0;
    for (const socket of [...this.#slots.keys()]) this.release(socket, 'unmap');
    this.#kept.drop();
  }

  /** Where there are too few pages, those that lie idle go first. */
  #orWithoutKept(make: () => DataRing): DataRing {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof OsError) || error.errno !== Errno.ENOMEM || !this.#kept.drop()) throw error;
      return make();
    }
  }

  #slot(socket: number): Slot {
    let slot = this.#slots.get(socket);
    if (slot === undefined) {
      slot = {
        family: 2,
        type: 1,
        ring: undefined,
        named: undefined,
        streams: [],
        datagrams: undefined,
        options: [],
        rung: false,
      };
      this.#slots.set(socket, slot);
      this.#made += 1;
    }
    return slot;
  }

  /** At all places, or at none. */
  #bind(socket: number, places: readonly Place[]): Answer<number> {
    const slot = this.#slot(socket);
    if (slot.datagrams !== undefined) return slot.datagrams.bind(places, isV6only(slot.options));
    const before = slot.streams;
    slot.streams = [];
    let port = 0;
    for (const { network, name, address } of places) {
      // One port for all, where any would do; others are as they are mapped.
      const to = address.port === 0 ? { ...address, port } : address;
      const stream = network === 'inet' ? this.#newTcp(socket, slot) : this.#newLocal(socket);
      slot.streams.push(stream);
      const bound =
        stream instanceof TcpStream
          ? stream.bind(to)
          : stream.bind(name, to, { only6: isV6only(slot.options) });
      if (!bound.ok) {
        for (const each of slot.streams) each.release();
        slot.streams = before;
        return bound;
      }
      port = bound.value;
    }
    for (const each of before) each.release();
    return { ok: true, value: port };
  }

  /** The stream to connect by; others are let go of. */
  #only(socket: number, slot: Slot, network: Place['network']): Stream {
    const kind = network === 'inet' ? TcpStream : LocalStream;
    const found = slot.streams.find((stream) => stream instanceof kind);
    for (const stream of slot.streams) if (stream !== found) stream.release();
    const stream = found ?? (network === 'inet' ? this.#newTcp(socket, slot) : this.#newLocal(socket));
    slot.streams = [stream];
    return stream;
  }

  #newTcp(socket: number, { family, options }: Slot): TcpStream {
    const stream = new TcpStream(this.#options.tcp, this.#owner(socket), family);
    for (const { level, name, value } of options) stream.setOption(level, name, value);
    return stream;
  }

  #newLocal(socket: number): LocalStream {
    return new LocalStream(this.#options.local, this.#owner(socket));
  }

  #owner(socket: number): StreamOwner {
    return {
      connected: (errno) => this.#hear(socket, () => this.heard?.connected(socket, errno)),
      waiting: () => this.#hear(socket, () => this.heard?.waiting(socket)),
      failed: this.#options.failed,
      budget: this.#options.budget,
    };
  }

  #hear(socket: number, tell: () => void): void {
    this.#news.push(() => {
      if (this.#slots.has(socket)) tell();
    });
    this.#plan();
  }

  #plan(): void {
    if (this.#planned || this.#closed) return;
    this.#planned = true;
    queueMicrotask(this.#turn);
  }

  #tell(): void {
    this.#planned = false;
    try {
      for (let i = 0; i < this.#news.length; i++) this.#news[i]!();
      if (!this.#closed) this.#options.commands.publish();
    } catch (error) {
      this.#options.failed(error);
    }
    this.#news.length = 0;
  }
}

function kick(slot: Slot): void {
  const stream = slot.datagrams ?? slot.streams[0];
  if (stream === undefined) slot.rung = true;
  else stream.kick();
}

function carry(slot: Slot, stream: Stream): void {
  if (slot.ring === undefined) return;
  stream.attach(slot.ring);
  if (slot.rung) stream.kick();
  slot.rung = false;
}

/** undefined: it is in none. */
function networkOf(stream: Stream): string | undefined {
  return stream instanceof TcpStream ? 'inet' : stream.network;
}

/** Both are of a kind. */
function take(from: Stream, into: Stream): number {
  if (from instanceof TcpStream && into instanceof TcpStream) return from.accept(into);
  if (from instanceof LocalStream && into instanceof LocalStream) return from.accept(into);
  return Errno.EINVAL;
}
