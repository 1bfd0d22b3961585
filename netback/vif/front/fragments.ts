/**
 * IPv4 packets in pieces: cut where a link takes no larger ones, and put together again. Few packets at a time, each for half a minute; one whose
 * pieces overlap is nothing, since nobody honest sends such. (RFC 791, 815, 5722's reason)
 */
import type { Clock } from '../../../osdep/clock.ts';
import type { Ipv4 } from './frames.ts';

const HEADER = 20;
const PACKETS_MAX = 16;
const PIECES_MAX = 128;
const WAIT_MS = 30_000;
const LENGTH_MAX = 0xffff - HEADER;

/** A packet as pieces of at most `mtu` bytes with their headers. */
export function fragmentsOf(packet: Ipv4, mtu: number, id: number): readonly Ipv4[] {
  const { payload } = packet;
  if (HEADER + payload.length <= mtu) return [packet];
  const size = (mtu - HEADER) & ~7;
  return Array.from({ length: Math.ceil(payload.length / size) }, (_, index) => {
    const offset = index * size;
    const more = offset + size < payload.length;
    return { ...packet, payload: payload.subarray(offset, offset + size), fragment: { id, offset, more } };
  });
}

interface Pieces {
  readonly until: number;
  readonly parts: { readonly offset: number; readonly bytes: Uint8Array }[];
  /** Of the whole; undefined: the last piece is missing. */
  length: number | undefined;
}

export class Reassembly {
  readonly #clock: Pick<Clock, 'now'>;
  /** The oldest first. */
  readonly #packets = new Map<string, Pieces>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Packets of which there is a part. */
  get size(): number {
    return this.#packets.size;
  }

  /** A packet has come, or a piece: the whole, if that was all that was missing. */
  take(packet: Ipv4): Ipv4 | undefined {
    const { from, to, protocol, payload, fragment } = packet;
    if (fragment === undefined) return packet;
    this.#expire();
    const key = `${from} ${to} ${protocol} ${fragment.id}`;
    const pieces = this.#packets.get(key) ?? this.#begin(key);
    const { offset, more } = fragment;
    if (!fits(pieces, { offset, bytes: payload, more })) {
      this.#packets.delete(key);
      return undefined;
    }
    if (!more) pieces.length = offset + payload.length;
    // What it lies in belongs to whoever hands it in.
    pieces.parts.push({ offset, bytes: payload.slice() });
    const whole = joined(pieces);
    if (whole === undefined) return undefined;
    this.#packets.delete(key);
    return { from, to, protocol, payload: whole };
  }

  #begin(key: string): Pieces {
    const [oldest] = this.#packets.keys();
    if (this.#packets.size === PACKETS_MAX && oldest !== undefined) this.#packets.delete(oldest);
    const pieces = { until: this.#clock.now() + WAIT_MS, parts: [], length: undefined };
    this.#packets.set(key, pieces);
    return pieces;
  }

  #expire(): void {
    const now = this.#clock.now();
    for (const [key, { until }] of this.#packets) {
      if (now < until) return;
      this.#packets.delete(key);
    }
  }
}

function fits(
  { parts, length }: Pieces,
  { offset, bytes, more }: { readonly offset: number; readonly bytes: Uint8Array; readonly more: boolean },
): boolean {
  const end = offset + bytes.length;
  if (bytes.length === 0 || end > LENGTH_MAX || parts.length === PIECES_MAX) return false;
  if (more ? bytes.length % 8 !== 0 || end > (length ?? LENGTH_MAX) : length !== undefined) return false;
  if (!more && parts.some((part) => part.offset + part.bytes.length > end)) return false;
  return parts.every((part) => end <= part.offset || part.offset + part.bytes.length <= offset);
}

function joined({ parts, length }: Pieces): Uint8Array | undefined {
  const there = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (length === undefined || there !== length) return undefined;
  const whole = new Uint8Array(length);
  for (const { offset, bytes } of parts) whole.set(bytes, offset);
  return whole;
}
