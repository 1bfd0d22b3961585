/**
 * A capture of the wire as a pcap file: one packet per message, with the link type USER0 (147) and a header of ours in front that
 * `xenstore.lua` beside this file explains to Wireshark. A message is captured when the daemon takes it up or queues it, so the order is
 * that of the daemon's decisions. (pcap: IETF draft-ietf-opsawg-pcap)
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Link } from '../core/link.ts';
import type { Tracer } from '../core/ports.ts';
import { writeHeader } from '../wire/frame.ts';
import { writeLatin1 } from '../wire/latin1.ts';
import { HEADER_BYTES, PAYLOAD_MAX } from '../wire/ops.ts';

/**
 * In front of each message, little-endian: u8 version (1), u8 direction (0 to the daemon, 1 from it), u8 transport (0 socket, 1 ring), u8 zero,
 * u16 domid, u16 zero, u32 link number.
 */
const PSEUDO_BYTES = 12;
const PSEUDO_VERSION = 1;

const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINKTYPE_USER0 = 147;
const SNAP_BYTES = 65535;

const PACKET_MAX = PACKET_HEADER_BYTES + PSEUDO_BYTES + HEADER_BYTES + PAYLOAD_MAX;
const BUFFER_BYTES = 16 * PACKET_MAX;

export interface PcapOptions {
  /** Replaced if it exists. Mode 0600: messages may carry secrets. */
  readonly file: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly wallNow: () => number;
  /** Something went wrong with the file: one line. */
  readonly complain: (text: string) => void;
}

export class PcapFile implements Tracer {
  readonly #options: PcapOptions;
  readonly #buffer: Buffer = Buffer.alloc(BUFFER_BYTES);
  #fd: number;
  #used = 0;

  /** Throws where the file cannot be made. */
  constructor(options: PcapOptions) {
    this.#options = options;
    this.#fd = openSync(options.file, 'w', 0o600);
    this.#used = writeFileHeader(this.#buffer);
    this.flush();
  }

  io(direction: 'IN' | 'OUT', link: Link, type: number, reqId: number, txId: number, payload: string): void {
    if (this.#fd < 0) return;
    // Longer than any message can be only where a client was refused for it; the capture then holds its beginning.
    const captured = payload.length > PAYLOAD_MAX ? payload.slice(0, PAYLOAD_MAX) : payload;
    const message = PSEUDO_BYTES + HEADER_BYTES + captured.length;
    if (this.#used + PACKET_HEADER_BYTES + message > BUFFER_BYTES) this.flush();
    const buffer = this.#buffer;
    let at = this.#used;
    const now = this.#options.wallNow();
    buffer.writeUInt32LE(Math.floor(now / 1000) >>> 0, at);
    buffer.writeUInt32LE(Math.floor((now % 1000) * 1000), at + 4);
    buffer.writeUInt32LE(message, at + 8);
    buffer.writeUInt32LE(message + payload.length - captured.length, at + 12);
    at += PACKET_HEADER_BYTES;
    buffer.writeUInt8(PSEUDO_VERSION, at);
    buffer.writeUInt8(direction === 'IN' ? 0 : 1, at + 1);
    buffer.writeUInt8(link.kind === 'socket' ? 0 : 1, at + 2);
    buffer.writeUInt8(0, at + 3);
    buffer.writeUInt16LE(link.domid, at + 4);
    buffer.writeUInt16LE(0, at + 6);
    buffer.writeUInt32LE(link.id >>> 0, at + 8);
    at += PSEUDO_BYTES;
    writeHeader(buffer, at, type, reqId, txId, payload.length);
    writeLatin1(buffer, captured, at + HEADER_BYTES);
    this.#used = at + HEADER_BYTES + captured.length;
  }

  object(): void {}

  /** Writes what has gathered: at the end of each turn. A capture that cannot be written is given up, not the daemon. */
  flush(): void {
    const used = this.#used;
    this.#used = 0;
    try {
      for (let at = 0; at < used; ) at += writeSync(this.#fd, this.#buffer, at, used - at);
    } catch (error) {
      this.#options.complain(`Could not write capture: ${(error as Error).message}`);
      this.close();
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    if (this.#used > 0) this.flush();
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

function writeFileHeader(target: Buffer): number {
  target.writeUInt32LE(MAGIC_MICROSECONDS, 0);
  target.writeUInt16LE(2, 4);
  target.writeUInt16LE(4, 6);
  target.writeUInt32LE(0, 8);
  target.writeUInt32LE(0, 12);
  target.writeUInt32LE(SNAP_BYTES, 16);
  target.writeUInt32LE(LINKTYPE_USER0, 20);
  return FILE_HEADER_BYTES;
}
