/**
 * A file of frames, as tcpdump and Wireshark read it (the pcap format of libpcap's pcap-savefile(5), with nanoseconds). Whoever hands a frame in
 * never waits: frames are gathered in memory and written in the background, and those for which there is no room are left out and counted. Knows
 * no interface.
 */
import { closeSync, constants, fstatSync, openSync, readSync, write, writeSync } from 'node:fs';
import type { Clock } from '../../../osdep/clock.ts';

const MAGIC = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** Gathered at most, twice: one part is written while the other is filled. */
const BUFFER_BYTES = 1 << 18;
/** What was gathered is in the file after that long. */
const FLUSH_MS = 200;

export interface PcapOptions {
  /** Made if it is not there; a capture that is there is gone on with. */
  readonly path: string;
  /** Bytes of a frame that are kept. */
  readonly snaplen: number;
  /** How large the file may become, in bytes. */
  readonly limitBytes: number;
  readonly clock: Clock;
  /** It has ended by itself: why, in one line. Nothing is taken any more. */
  readonly onEnd: (reason: string) => void;
}

export class Pcap {
  /** Frames left out because writing was slower than they came. */
  missed = 0;
  readonly #options: PcapOptions;
  readonly #fd: number;
  readonly #wallStart: number;
  readonly #stopFlushing: () => void;
  #filling: Buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #filled = 0;
  #spare: Buffer | undefined = Buffer.allocUnsafe(BUFFER_BYTES);
  #bytes: number;
  #ended = false;

  /** Throws an Error of one line. */
  constructor(options: PcapOptions) {
    const { path, clock } = options;
    this.#options = options;
    this.#wallStart = clock.wallNow() - clock.now();
    const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
    this.#fd = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      this.#bytes = this.#begin();
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    this.#stopFlushing = this.#flushLater();
  }

  /** A frame, as it is now; nothing of it is kept by reference. */
  add(memory: Uint8Array, start: number, length: number): void {
    if (this.#ended) return;
    const { snaplen, limitBytes, clock } = this.#options;
    const kept = Math.min(length, snaplen);
    const size = RECORD_HEADER_BYTES + kept;
    if (this.#bytes + size > limitBytes) {
      this.#end(`the file has its ${limitBytes} bytes`);
      return;
    }
    if (this.#filled + size > BUFFER_BYTES) this.#flush();
    if (this.#filled + size > BUFFER_BYTES) {
      this.missed++;
      return;
    }
    const wall = this.#wallStart + clock.now();
    const seconds = Math.floor(wall / 1000);
    const buffer = this.#filling;
    const at = this.#filled;
    buffer.writeUInt32LE(seconds, at);
    buffer.writeUInt32LE(Math.floor((wall - seconds * 1000) * 1e6), at + 4);
    buffer.writeUInt32LE(kept, at + 8);
    buffer.writeUInt32LE(length, at + 12);
    buffer.set(memory.subarray(start, start + kept), at + RECORD_HEADER_BYTES);
    this.#filled += size;
    this.#bytes += size;
  }

  /** What was gathered is still written, in the background. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopFlushing();
    this.#flush();
  }

  /** Writes or checks the header: how long the file is. */
  #begin(): number {
    const { path, snaplen } = this.#options;
    const stat = fstatSync(this.#fd);
    if (!stat.isFile()) throw new Error(`${path} is no file`);
    const header = Buffer.alloc(FILE_HEADER_BYTES);
    if (stat.size > 0) {
      const read = readSync(this.#fd, header, 0, FILE_HEADER_BYTES, 0);
      if (read < FILE_HEADER_BYTES || header.readUInt32LE(0) !== MAGIC)
        throw new Error(`${path} is there, and no capture of ours`);
      return stat.size;
    }
    header.writeUInt32LE(MAGIC, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeUInt32LE(snaplen, 16);
    header.writeUInt32LE(LINKTYPE_ETHERNET, 20);
    // At once: whoever opens the file next is not to write another one.
    writeSync(this.#fd, header);
    return FILE_HEADER_BYTES;
  }

  #flushLater(): () => void {
    let stop = (): void => {};
    const again = (): void => {
      this.#flush();
      stop = this.#options.clock.after(FLUSH_MS, again);
    };
    stop = this.#options.clock.after(FLUSH_MS, again);
    return () => stop();
  }

  /** Begins to write what was gathered, unless some is being written. */
  #flush(): void {
    const next = this.#spare;
    if (next === undefined) return;
    if (this.#filled === 0) {
      if (this.#ended) closeSync(this.#fd);
      return;
    }
    const [bytes, length] = [this.#filling, this.#filled];
    this.#spare = undefined;
    this.#filling = next;
    this.#filled = 0;
    this.#write(bytes, 0, length);
  }

  #write(bytes: Buffer, from: number, end: number): void {
    write(this.#fd, bytes, from, end - from, null, (error, count) => {
      if (error === null && from + count < end) {
        this.#write(bytes, from + count, end);
        return;
      }
      this.#spare = bytes;
      if (error !== null) this.#filled = 0;
      if (this.#ended) this.#flush();
      else if (error !== null) this.#end(error.message);
    });
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.close();
    this.#options.onEnd(reason);
  }
}
