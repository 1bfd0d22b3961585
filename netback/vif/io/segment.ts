/**
 * Cuts a large TCP packet into segments, as a network card would (what Linux calls TSO): each with the headers of the whole one, its own part of the
 * data, and checksums that are right (RFC 791, 793, 1071, 8200). The packet may lie anywhere; its headers are the sender's and are
 * believed only as far as they add up. Knows no guest and takes no memory.
 */
import { Header } from '../core/header.ts';
import { foldedSum, sumOf, word } from './checksum.ts';

const TCP = 6;
const TCP_HEADER_BYTES = 20;
const TcpField = { SEQUENCE: 4, DATA_OFFSET: 12, FLAGS: 13, CHECKSUM: 16 } as const;
const FIN = 0x01;
const PUSH = 0x08;
/** Congestion window reduced: told once, in the first. */
const CWR = 0x80;

const Ip4Field = { LENGTH: 2, ID: 4, CHECKSUM: 10 } as const;
const IP6_HEADER_BYTES = 40;
const IP6_LENGTH = 4;

/** One packet at a time. */
export class Segmenter {
  readonly #header: Header = new Header();
  #memory: Uint8Array = new Uint8Array(0);
  #start = 0;
  /** Where IP's and TCP's headers begin and the data does, counted from the packet's start; how much data there is. */
  #ip = 0;
  #tcp = 0;
  #data = 0;
  #dataBytes = 0;
  #segmentBytes = 0;
  /** How many segments it makes. */
  count = 0;

  /**
   * Takes a packet, `length` bytes from `start` on.
   * @param mss bytes of data in a segment
   * @param most bytes of the largest frame that may come out, headers included
   * @returns false: it is no TCP that could be cut so
   */
  begin(memory: Uint8Array, start: number, length: number, mss: number, most: number): boolean {
    const header = this.#header;
    this.count = 0;
    if (!header.parse(memory, start, length) || !header.isTcp || header.ports === 0) return false;
    const four = header.ipVersion === 4;
    const ip = header.addresses - (four ? 12 : 8);
    const tcp = header.ports;
    const size = four ? word(memory, ip + Ip4Field.LENGTH) : IP6_HEADER_BYTES + word(memory, ip + IP6_LENGTH);
    // What comes after the packet's end by its own account is padding.
    const end = Math.min(start + length, ip + size);
    if (tcp + TCP_HEADER_BYTES > end) return false;
    const data = tcp + (memory[tcp + TcpField.DATA_OFFSET]! >> 4) * 4;
    if (data < tcp + TCP_HEADER_BYTES || data > end) return false;
    this.#memory = memory;
    this.#start = start;
    this.#ip = ip - start;
    this.#tcp = tcp - start;
    this.#data = data - start;
    this.#dataBytes = end - data;
    this.#segmentBytes = Math.min(mss, most - this.#data);
    if (this.#segmentBytes <= 0) return false;
    this.count = Math.max(1, Math.ceil(this.#dataBytes / this.#segmentBytes));
    return true;
  }

  /** Bytes of a segment's frame. */
  lengthOf(segment: number): number {
    const before = segment * this.#segmentBytes;
    return this.#data + Math.min(this.#segmentBytes, this.#dataBytes - before);
  }

  /** Writes a segment to a place in the same memory that the packet does not lie in. */
  write(segment: number, to: number): void {
    const memory = this.#memory;
    const length = this.lengthOf(segment);
    const before = segment * this.#segmentBytes;
    memory.copyWithin(to, this.#start, this.#start + this.#data);
    const from = this.#start + this.#data + before;
    memory.copyWithin(to + this.#data, from, from + length - this.#data);
    if (this.#header.ipVersion === 4) this.#ip4(segment, to + this.#ip, length - this.#ip);
    else putWord(memory, to + this.#ip + IP6_LENGTH, length - this.#ip - IP6_HEADER_BYTES);
    this.#tcpHeader(segment, to + this.#tcp, before);
    this.#checksum(to, to + length);
  }

  #ip4(segment: number, ip: number, length: number): void {
    const memory = this.#memory;
    putWord(memory, ip + Ip4Field.LENGTH, length);
    putWord(memory, ip + Ip4Field.ID, word(memory, ip + Ip4Field.ID) + segment);
    putWord(memory, ip + Ip4Field.CHECKSUM, 0);
    const sum = sumOf(memory, ip, ip + (memory[ip]! & 0xf) * 4);
    putWord(memory, ip + Ip4Field.CHECKSUM, ~foldedSum(sum));
  }

  #tcpHeader(segment: number, tcp: number, before: number): void {
    const memory = this.#memory;
    const at = tcp + TcpField.SEQUENCE;
    const sequence = (word(memory, at) * 0x10000 + word(memory, at + 2) + before) >>> 0;
    putWord(memory, at, sequence >>> 16);
    putWord(memory, at + 2, sequence);
    let flags = memory[tcp + TcpField.FLAGS]!;
    if (segment < this.count - 1) flags &= ~(FIN | PUSH);
    if (segment > 0) flags &= ~CWR;
    memory[tcp + TcpField.FLAGS] = flags;
    putWord(memory, tcp + TcpField.CHECKSUM, 0);
  }

  /** Of the addresses, the protocol's number, the length and everything from TCP's header on. */
  #checksum(to: number, end: number): void {
    const memory = this.#memory;
    const header = this.#header;
    const addresses = to + (header.addresses - this.#start);
    const tcp = to + this.#tcp;
    const pseudo = sumOf(memory, addresses, addresses + header.addressesLength) + TCP + (end - tcp);
    putWord(memory, tcp + TcpField.CHECKSUM, ~foldedSum(pseudo + sumOf(memory, tcp, end)));
  }
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}
