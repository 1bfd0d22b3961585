/**
 * The trace file: one line per message and per object, in the C daemon's format (tools/xenstored/core.c), so that what reads its traces
 * reads ours. A turn's lines are written in one piece. The pointer that C prints to tell objects apart is the link's number here.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Link } from '../core/link.ts';
import type { Tracer } from '../core/ports.ts';
import { opName } from '../wire/ops.ts';

export interface TraceOptions {
  readonly switches: Map<string, boolean>;
  /** Relative names are below it. */
  readonly directory: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly wallNow: () => number;
  /** Something went wrong with the file: one line. */
  readonly complain: (text: string) => void;
}

/** Lines are kept back until `flush`, at most about this many characters. */
const BUFFERED_CHARS = 65536;

export class TraceFile implements Tracer {
  readonly switches: Map<string, boolean>;
  readonly #options: TraceOptions;
  #file: string | undefined = undefined;
  #fd = -1;
  #lines = '';
  #second = 0;
  #stamp = '';

  constructor(options: TraceOptions) {
    this.#options = options;
    this.switches = options.switches;
  }

  /** Is anything to be traced? */
  get active(): boolean {
    return this.#fd >= 0;
  }

  get file(): string | undefined {
    return this.#file;
  }

  /** Where a name given by an administrator leads. */
  resolve(file: string): string {
    return isAbsolute(file) ? file : join(this.#options.directory, file);
  }

  setFile(file: string): boolean {
    this.#file = this.resolve(file);
    return this.open();
  }

  /** Opens the file anew, as after a rotation. Without a file there is nothing to open. */
  open(): boolean {
    if (this.#file === undefined) return true;
    this.close();
    try {
      this.#fd = openSync(this.#file, 'a', 0o600);
    } catch (error) {
      this.#options.complain(`Could not open tracefile: ${(error as Error).message}`);
      return false;
    }
    this.line('\n***');
    this.flush();
    return true;
  }

  close(): void {
    if (this.#fd < 0) return;
    this.flush();
    closeSync(this.#fd);
    this.#fd = -1;
  }

  io(
    direction: 'IN' | 'OUT',
    link: Link,
    type: number,
    _reqId: number,
    _txId: number,
    payload: string,
  ): void {
    if (this.#fd < 0 || this.switches.get('io') !== true) return;
    const name = opName(type) ?? '**UNKNOWN**';
    const text = payload.includes('\0') ? payload.replaceAll('\0', ' ') : payload;
    this.line(`io: ${direction} ${pointer(link)} (d${link.domid}) ${this.#time()} ${name} (${text})`);
  }

  object(action: 'CREATE' | 'DESTROY', kind: string, link: Link): void {
    if (this.#fd < 0 || this.switches.get('obj') !== true) return;
    this.line(`obj: ${action} ${kind} ${pointer(link)}`);
  }

  /** One line as it is; bytes are characters (latin1). */
  line(text: string): void {
    if (this.#fd < 0) return;
    this.#lines += `${text}\n`;
    if (this.#lines.length > BUFFERED_CHARS) this.flush();
  }

  /** Writes what is kept back: at the end of each turn. A trace that cannot be written is given up, not the daemon. */
  flush(): void {
    if (this.#lines === '') return;
    const bytes = Buffer.from(this.#lines, 'latin1');
    this.#lines = '';
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      this.#options.complain(`Could not write tracefile: ${(error as Error).message}`);
      closeSync(this.#fd);
      this.#fd = -1;
    }
  }

  /** Local time, made once a second. */
  #time(): string {
    const now = this.#options.wallNow();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#stamp = stamp(new Date(now));
    }
    return this.#stamp;
  }
}

function pointer(link: Link): string {
  return `0x${link.id.toString(16).padStart(12, '0')}`;
}

/** `20260131 13:59:59` */
function stamp(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
