/**
 * One end of TCP behind a simulated guest's interface, as plain as can be: one connection that the other one opens, large packets out and in, checksums left
 * blank where that was offered. On a path that loses little; for tests of what carries it. (RFC 9293)
 */
import { sum, view } from '../../netback/vif/front/checksum.ts';
import {
  bytesOf,
  EtherType,
  ethernet,
  ipv4,
  openEthernet,
  openIpv4,
} from '../../netback/vif/front/frames.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';
import type { Clock } from '../../osdep/clock.ts';

const TCP = 6;
const HEADER = 20;
const Flag = { FIN: 1, SYN: 2, PSH: 8, ACK: 16 } as const;
const MSS = 1460;
const WINDOW_SHIFT = 7;
const FIRST = 1_000_000;
const FLIGHT_MAX = 1 << 18;
const CHUNK_MAX = 60_000;
const AGAIN_MS = 200;

export interface TcpOptions {
  readonly mac: Uint8Array;
  readonly address: string;
  readonly port: number;
  /** Whether large packets and blank checksums may be sent. */
  readonly large: boolean;
  readonly send: (frame: Uint8Array, meta: FrameMeta) => void;
  readonly clock: Pick<Clock, 'after'>;
}

export class TcpEnd {
  /** What has come in, in order. */
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  /** Of all frames with data: how many were larger than a segment, had a blank checksum, had a wrong one. */
  readonly counts = { large: 0, blank: 0, wrong: 0, again: 0 };
  readonly #options: TcpOptions;
  #peer: { readonly mac: Uint8Array; readonly address: string; readonly port: number } | undefined;
  #next = 0;
  #data: Uint8Array = new Uint8Array(0);
  /** Of our own bytes: how many are acknowledged, and sent. */
  #acked = 0;
  #sent = 0;
  #window = 0;
  #shift = 0;
  #stopTimer: () => void = () => {};
  #whenSent: () => void = () => {};
  #whenEnded: () => void = () => {};

  /** The other one sends no more. */
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#whenEnded = resolve;
  });

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  /** Settles when all of it was acknowledged; once a connection, after it was opened. */
  send(data: Uint8Array): Promise<void> {
    this.#data = data;
    return new Promise((resolve) => {
      this.#whenSent = resolve;
      this.#push();
    });
  }

  /** True: it was for this end. */
  receive(frame: Uint8Array, meta: FrameMeta): boolean {
    const opened = openEthernet(frame);
    if (opened?.type !== EtherType.IPV4) return false;
    const packet = openIpv4(opened.payload);
    if (packet?.protocol !== TCP || packet.to !== this.#options.address) return false;
    const { payload, from } = packet;
    const words = view(payload);
    if (words.getUint16(2) !== this.#options.port) return false;
    const start =
      ~sum(Uint8Array.from([...bytesOf(from), ...bytesOf(packet.to)]), TCP + payload.length) & 0xffff;
    if (meta.csum === 'blank') {
      this.counts.blank++;
      if (words.getUint16(16) !== start) this.counts.wrong++;
    } else if (sum(payload, start) !== 0) this.counts.wrong++;
    const flags = payload[13]!;
    const headers = (payload[12]! >> 4) * 4;
    if ((flags & Flag.SYN) !== 0) this.#opened(frame.slice(6, 12), from, payload.subarray(0, headers));
    else if (this.#peer !== undefined) this.#segment(payload, headers, flags);
    return true;
  }

  #opened(mac: Uint8Array, address: string, header: Uint8Array): void {
    const words = view(header);
    this.#peer = { mac, address, port: words.getUint16(0) };
    this.#next = (words.getUint32(4) + 1) >>> 0;
    for (
      let at = HEADER;
      at < header.length && header[at] !== 0;
      at += header[at] === 1 ? 1 : header[at + 1]!
    )
      if (header[at] === 3) this.#shift = header[at + 2]!;
    const options = Uint8Array.of(2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, WINDOW_SHIFT);
    this.#emit({ flags: Flag.SYN | Flag.ACK, sequence: FIRST, options });
  }

  #segment(payload: Uint8Array, headers: number, flags: number): void {
    const words = view(payload);
    this.#window = words.getUint16(14) << this.#shift;
    const acked = (words.getUint32(8) - FIRST - 1) >>> 0;
    if (acked <= this.#sent && acked > this.#acked) {
      this.#acked = acked;
      if (this.#acked === this.#data.length) this.#whenSent();
    }
    const data = payload.subarray(headers);
    const isFin = (flags & Flag.FIN) !== 0;
    if (words.getUint32(4) === this.#next) {
      if (data.length > MSS) this.counts.large++;
      if (data.length > 0) this.received.push(data.slice());
      this.receivedBytes += data.length;
      this.#next = (this.#next + data.length + (isFin ? 1 : 0)) >>> 0;
    } else if (data.length > 0) this.counts.again++;
    if (data.length > 0 || isFin) this.#emit({ flags: Flag.ACK, sequence: FIRST + 1 + this.#sent });
    if (isFin) this.#whenEnded();
    this.#push();
  }

  #push(): void {
    const limit = Math.min(this.#data.length, this.#acked + Math.min(this.#window, FLIGHT_MAX));
    while (this.#peer !== undefined && this.#sent < limit) {
      const most = this.#options.large ? CHUNK_MAX : MSS;
      const data = this.#data.subarray(this.#sent, Math.min(limit, this.#sent + most));
      this.#emit({ flags: Flag.ACK | Flag.PSH, sequence: FIRST + 1 + this.#sent, data });
      this.#sent += data.length;
    }
    this.#stopTimer();
    if (this.#sent > this.#acked)
      this.#stopTimer = this.#options.clock.after(AGAIN_MS, () => {
        this.#sent = this.#acked;
        this.counts.again++;
        this.#push();
      });
  }

  #emit(segment: {
    readonly flags: number;
    readonly sequence: number;
    readonly options?: Uint8Array;
    readonly data?: Uint8Array;
  }): void {
    const { mac, address: from, port, large, send } = this.#options;
    const { flags, sequence, options = new Uint8Array(0), data = new Uint8Array(0) } = segment;
    const to = this.#peer!;
    const headers = HEADER + options.length;
    const bytes = new Uint8Array(headers + data.length);
    const words = view(bytes);
    words.setUint16(0, port);
    words.setUint16(2, to.port);
    words.setUint32(4, sequence);
    words.setUint32(8, this.#next);
    bytes[12] = (headers / 4) << 4;
    bytes[13] = flags;
    words.setUint16(14, 0xffff);
    bytes.set(options, HEADER);
    bytes.set(data, headers);
    const start =
      ~sum(Uint8Array.from([...bytesOf(from), ...bytesOf(to.address)]), TCP + bytes.length) & 0xffff;
    words.setUint16(16, large ? start : sum(bytes, start));
    const packet = ipv4({ from, to: to.address, protocol: TCP, payload: bytes });
    const gso = data.length > MSS ? { gso: { type: 'tcpv4', size: MSS } as const } : {};
    send(ethernet(to.mac, mac, EtherType.IPV4, packet), large ? { csum: 'blank', ...gso } : {});
  }
}
