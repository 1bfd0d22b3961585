/**
 * A datagram socket of a guest: records come out of its ring and go, each to where the policy says that its address is, to the machine's network or the
 * guests' own; what comes from either becomes records. Datagrams are whole or not at all, and what finds no room with a peer is lost, as with
 * UDP; what finds none in the guest's ring waits with the kernel. The guest is hostile: a record that cannot be ends the socket's service.
 * (netback/xensock/EXTENSION.md, "Datagrams")
 */
import type { Clock } from '../../../osdep/clock.ts';
import { Errno } from '../../../osdep/errno.ts';
import * as inet from '../../../osdep/os/inet.ts';
import { ADDRESS_BYTES, decodeAddress, encodeAddress, type InetAddress, plain } from '../core/address.ts';
import type { Answer, Place, Traffic } from '../core/hands.ts';
import type { SocketOption } from '../core/options.ts';
import { Datagram } from '../core/pvcalls.ts';
import type { DataRing } from './dataring.ts';
import { type DatagramOwner, LocalDatagram } from './localdatagram.ts';
import type { LocalHub, Mover } from './localhub.ts';
import { familyFor, type UdpHost, UdpPort } from './udp.ts';

export interface DatagramHost extends UdpHost {
  readonly clock: Pick<Clock, 'now'>;
  readonly turns: { stir(mover: Mover): void };
  readonly localDatagrams: LocalHub<LocalDatagram>;
}

/** Datagrams moved between two looks at others, in each direction. */
const TURN = 64;
/** When a socket is released. */
const LAST_TURNS = 16;
/** The longest that IP has, and its header. */
const LONGEST = 65_536 + Datagram.HEADER_BYTES;
/** How long what the policy said of an address is good for, and of how many. */
const GOOD_MS = 1000;
const MOST_ADDRESSES = 256;

const header = new Uint8Array(Datagram.HEADER_BYTES);
const fields = new DataView(header.buffer);
const addressField = header.subarray(Datagram.ADDRESS, Datagram.ADDRESS + ADDRESS_BYTES);

export class DatagramSocket implements Mover, DatagramOwner {
  readonly #host: DatagramHost;
  readonly #maySend: (to: InetAddress) => Answer<Place>;
  readonly failed: (error: unknown) => void;
  readonly payer: object | undefined;
  readonly #family: 2 | 10;
  #ring: DataRing | undefined;
  #ports: UdpPort[] = [];
  /** As they were set: each port has them, whenever it is made. */
  #options: readonly SocketOption[] = [];
  #local: LocalDatagram | undefined;
  /** Where what has no address goes. */
  #peer: Place | undefined;
  /** Addresses as guests write them, and where they are. */
  readonly #places = new Map<string, Answer<Place>>();
  #placesUntil = 0;
  /** Addresses that stand for others, by those others: who answers is who the guest has written to. */
  readonly #names = new Map<string, InetAddress>();
  #broken = false;
  #rung = false;
  readonly #shut = { read: false, write: false };
  #inBytes = 0;
  #outBytes = 0;

  /** `failed`: told of a mistake of ours. `payer`: who has one share of all turns with all of his sockets. */
  constructor(
    host: DatagramHost,
    family: 2 | 10,
    maySend: (to: InetAddress) => Answer<Place>,
    failed: (error: unknown) => void,
    payer?: object,
  ) {
    this.#host = host;
    this.failed = failed;
    this.payer = payer;
    this.#family = family;
    this.#maySend = maySend;
  }

  get ring(): DataRing | undefined {
    return this.#shut.read || this.#broken ? undefined : this.#ring;
  }

  attach(ring: DataRing): void {
    this.#ring = ring;
    this.#stir();
  }

  /** At all places, or at none. Answers the port. */
  bind(places: readonly Place[], only6: boolean): Answer<number> {
    const before = this.#ports;
    this.#ports = [];
    let port = 0;
    for (const { network, name, address } of places) {
      const to = address.port === 0 ? { ...address, port } : address;
      const bound =
        network === 'inet' ? this.#newPort(to).bind(to) : this.#theLocal().bind(name, to, { only6 });
      if (!bound.ok) {
        this.#letGo();
        this.#ports = before;
        return bound;
      }
      port = bound.value;
    }
    for (const each of before) each.close();
    return { ok: true, value: port };
  }

  connect(to: Place): number {
    const { network, name, address } = to;
    const errno =
      network === 'local' ? this.#theLocal().connect(name, address) : this.#portFor(address).connect(address);
    if (errno === 0) this.#peer = to;
    // It may be another one's turn to be asked.
    this.#stir();
    return errno;
  }

  shutdown(how: number): number {
    if (how !== 1) this.#shut.read = true;
    if (how !== 0) this.#shut.write = true;
    if (this.#shut.read) this.#ring?.fail('in', Errno.ENOTCONN);
    if (this.#shut.write) this.#ring?.fail('out', Errno.EPIPE);
    this.#ring?.notify();
    return 0;
  }

  name(which: 'own' | 'peer'): Answer<InetAddress> {
    const port = this.#ports[0];
    if (port !== undefined) return port.name(which);
    const name = this.#local?.[which];
    return name === undefined ? { ok: false, errno: Errno.ENOTCONN } : { ok: true, value: name };
  }

  getOption(level: number, name: number): Answer<Uint8Array> {
    return (this.#ports[0] ?? this.#newPort()).getOption(level, name);
  }

  setOption(level: number, name: number, value: Uint8Array): number {
    if (this.#ports.length === 0) this.#newPort();
    for (const port of this.#ports) {
      const errno = port.setOption(level, name, value);
      if (errno !== 0) return errno;
    }
    const others = this.#options.filter((set) => set.level !== level || set.name !== name);
    this.#options = [...others, { level, name, value }];
    return 0;
  }

  get traffic(): Traffic {
    return { inBytes: this.#inBytes, outBytes: this.#outBytes };
  }

  /** The guest has rung; his port is shut until all is done that can be done now. */
  kick(): void {
    this.#rung = true;
    this.#stir();
  }

  /** What is in the ring is sent as far as it goes now; the ring is closed by whoever opened it. */
  release(): void {
    const ring = this.#ring;
    // Nobody else has a turn meanwhile, and a ring may have tens of thousands of them: what is left then is lost.
    for (let turns = LAST_TURNS; ring !== undefined && turns > 0 && this.#sendSome(ring); turns--) {}
    this.#ring = undefined;
    this.#letGo();
  }

  reset(): void {
    this.#break(Errno.ECONNRESET);
  }

  /** From another guest. */
  received(bytes: number): void {
    this.#inBytes += bytes;
    this.#ring?.notify();
  }

  move(): boolean {
    const ring = this.#ring;
    if (ring === undefined) return false;
    let more = false;
    if (!this.#broken) {
      const scarce = ring.size - ring.outReady() < LONGEST;
      more = this.#sendSome(ring);
      for (const port of this.#ports) more = this.#receiveSome(ring, port) || more;
      // Who waits for room waits for as much as his datagram takes.
      if (scarce) ring.ring();
      else ring.notify();
    }
    if (!more && this.#rung) {
      this.#rung = false;
      ring.listen();
    }
    return more;
  }

  /** True: there is more that can be sent now. */
  #sendSome(ring: DataRing): boolean {
    for (let left = TURN; left > 0; left--) {
      const ready = this.#shut.write || this.#broken ? 0 : ring.outReady();
      if (ready < 0) return this.#break(Errno.EINVAL);
      if (ready < Datagram.HEADER_BYTES || ring.may('out', ready) === 0) return false;
      copyHeader(ring);
      const length = fields.getUint32(Datagram.LENGTH, true);
      const addressLength = fields.getUint32(Datagram.ADDRESS_LENGTH, true);
      const whole = Datagram.HEADER_BYTES + padded(length);
      if (length > ring.size || whole > ring.size || addressLength > ADDRESS_BYTES)
        return this.#break(Errno.EINVAL);
      if (whole > ready) return false;
      const place = addressLength === 0 ? this.#peer : this.#placeOf(addressLength);
      const errno = place === undefined ? 0 : this.#send(ring, place, addressLength, length);
      if (errno === Errno.EAGAIN) return false;
      ring.took(whole);
      this.#outBytes += length;
    }
    return true;
  }

  #send(ring: DataRing, { network, name, address }: Place, addressLength: number, length: number): number {
    const to = addressLength === 0 ? undefined : address;
    if (network === 'local') {
      this.#theLocal().send(name, to, ring, Datagram.HEADER_BYTES, length);
      return 0;
    }
    const port = this.#portFor(address);
    if (!port.writable) return Errno.EAGAIN;
    const start = (ring.outOffset() + Datagram.HEADER_BYTES) & (ring.size - 1);
    const first = Math.min(length, ring.size - start);
    inet.aim(ring.address + ring.size + start, first, ring.address + ring.size, length - first);
    return port.send(to) === Errno.EAGAIN ? Errno.EAGAIN : 0;
  }

  /** True: there is more that can be received now. */
  #receiveSome(ring: DataRing, port: UdpPort): boolean {
    for (let left = TURN; left > 0; left--) {
      if (this.#shut.read || this.#broken) return false;
      const length = port.next();
      if (length < 0 || ring.may('in', 1) === 0) return false;
      const room = ring.inRoom();
      if (room < 0) return this.#break(Errno.EINVAL);
      const most = Math.min(length, ring.size - Datagram.HEADER_BYTES);
      if (Datagram.HEADER_BYTES + padded(most) > room) return false;
      this.#receive(ring, port, most);
    }
    return true;
  }

  #receive(ring: DataRing, port: UdpPort, most: number): void {
    const start = (ring.inOffset() + Datagram.HEADER_BYTES) & (ring.size - 1);
    const first = Math.min(most, ring.size - start);
    inet.aim(ring.address + start, first, ring.address, most - first);
    const got = port.receive();
    if (got < 0) return;
    const { addressLength, truncated } = inet.received();
    const from = this.#nameOf(decodeAddress(inet.peer, addressLength));
    header.fill(0);
    fields.setUint32(Datagram.LENGTH, got, true);
    if (from !== undefined)
      fields.setUint32(Datagram.ADDRESS_LENGTH, encodeAddress(from, addressField), true);
    fields.setUint32(Datagram.FLAGS, truncated ? 1 : 0, true);
    const { memory } = ring;
    const at = ring.inOffset();
    for (let i = 0; i < Datagram.HEADER_BYTES; i++) memory[(at + i) & (ring.size - 1)] = header[i]!;
    ring.gave(Datagram.HEADER_BYTES + padded(got));
    this.#inBytes += got;
  }

  /** Where the address of the header is; undefined: nowhere that it may go. */
  #placeOf(addressLength: number): Place | undefined {
    const now = this.#host.clock.now();
    if (now > this.#placesUntil || this.#places.size > MOST_ADDRESSES) {
      this.#places.clear();
      this.#placesUntil = now + GOOD_MS;
    }
    const key = String.fromCharCode(addressLength, ...addressField);
    let place = this.#places.get(key);
    if (place === undefined) {
      const address = decodeAddress(addressField, addressLength);
      place = address === undefined ? { ok: false, errno: Errno.EINVAL } : this.#maySend(address);
      this.#places.set(key, place);
      if (address !== undefined && place.ok) this.#rename(place.value, address);
    }
    return place.ok ? place.value : undefined;
  }

  #rename({ network, address }: Place, asNamed: InetAddress): void {
    if (network === 'local') return;
    if (this.#names.size > MOST_ADDRESSES) this.#names.clear();
    const [key, named] = [keyOf(address), keyOf(asNamed)];
    if (key !== named) this.#names.set(key, asNamed);
  }

  #nameOf(from: InetAddress | undefined): InetAddress | undefined {
    if (from === undefined || this.#names.size === 0) return from;
    return this.#names.get(keyOf(plain(from))) ?? from;
  }

  /** The socket to send from. */
  #portFor(address: InetAddress): UdpPort {
    return (
      this.#ports.find(({ family }) => family === address.family) ?? this.#ports[0] ?? this.#newPort(address)
    );
  }

  #newPort(address?: InetAddress): UdpPort {
    const family = address === undefined ? this.#family : familyFor(address, this.#family);
    const port = new UdpPort(this.#host, family, () => this.#stir());
    for (const { level, name, value } of this.#options) port.setOption(level, name, value);
    this.#ports.push(port);
    return port;
  }

  #theLocal(): LocalDatagram {
    this.#local ??= new LocalDatagram(this.#host.localDatagrams, this);
    return this.#local;
  }

  #break(errno: number): false {
    this.#broken = true;
    this.#letGo();
    this.#ring?.fail('in', errno);
    this.#ring?.fail('out', errno);
    this.#ring?.notify();
    return false;
  }

  #letGo(): void {
    for (const port of this.#ports) port.close();
    this.#ports = [];
    this.#local?.release();
    this.#local = undefined;
  }

  #stir(): void {
    this.#host.turns.stir(this);
  }
}

/** A private copy of the next record's header: the guest may change his. */
function copyHeader(ring: DataRing): void {
  const { memory, size } = ring;
  const at = ring.outOffset();
  for (let i = 0; i < Datagram.HEADER_BYTES; i++) header[i] = memory[size + ((at + i) & (size - 1))]!;
}

function keyOf({ ip, port }: InetAddress): string {
  return `${ip.join('.')}:${port}`;
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}
