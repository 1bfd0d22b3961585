/**
 * The responses that are about to go into a ring, in memory that survives the process: a file in the run directory, mapped. A response
 * overwrites a request before `rsp_prod` says so; whoever attaches after a kill between the two finds here what was being said. The last word
 * that is written makes a record valid. For backends of any kind; knows no ring.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type MappedArea, mapDescriptor } from '../../osdep/os/mmap.ts';
import { Page } from '../../osdep/ring/page.ts';

/** Of a record: how many responses it holds (0: none), and what `rsp_prod` is with them. Then the responses. */
const COUNT = 0;
const RSP_PROD = 4;
const RESPONSES = 16;
/** Room for a response, the longest of all kinds. */
const RESPONSE_BYTES = 16;
/** As many as the largest ring has slots. */
const MOST = 512;
const RECORD_BYTES = 4096 * 3;

/** One ring's. */
export class RingRecord {
  readonly #page: Page;
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#page = new Page(bytes);
  }

  /** Responses added and not shown. */
  get added(): number {
    return this.#count;
  }

  add(response: Uint8Array): void {
    if (this.#count === MOST) throw new RangeError('more responses than a ring has slots');
    if (this.#count === 0) this.#page.store(COUNT, 0);
    const { bytes } = this.#page;
    const at = RESPONSES + this.#count++ * RESPONSE_BYTES;
    for (let i = 0; i < response.length; i++) bytes[at + i] = response[i]!;
  }

  /** What was added is what will be said, and `rspProd` the index behind it. */
  seal(rspProd: number): void {
    this.#page.store(RSP_PROD, rspProd);
    this.#page.store(COUNT, this.#count);
  }

  /** As many bytes of a response as `into` has. */
  response(index: number, into: Uint8Array): void {
    const { bytes } = this.#page;
    const at = RESPONSES + index * RESPONSE_BYTES;
    for (let i = 0; i < into.length; i++) into[i] = bytes[at + i]!;
  }

  /** It has been said. */
  clear(): void {
    this.#page.store(COUNT, 0);
    this.#count = 0;
  }

  /** How many responses a predecessor was about to show to a guest who sees `rspProd` yet. */
  unsaid(rspProd: number): number {
    const count = this.#page.load(COUNT);
    return count <= MOST && (this.#page.load(RSP_PROD) - rspProd) >>> 0 === count ? count : 0;
  }
}

/** Those of a device's rings, in a file of their own. */
export class RecordFile {
  readonly #area: MappedArea;
  readonly #path: string;

  /** `fresh`: what it says is of no device that there still is. Throws the file's error. */
  constructor(path: string, rings: number, how: 'fresh' | 'attach') {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, how === 'fresh' ? 'w+' : 'a+', 0o600);
    try {
      makeRoom(fd, rings * RECORD_BYTES);
      this.#area = mapDescriptor(fd, 0, rings * RECORD_BYTES, 'rw');
    } finally {
      closeSync(fd);
    }
  }

  record(ring: number): RingRecord {
    return new RingRecord(this.bytes(ring));
  }

  /** The same as mere memory, for whatever else of a device must survive: 12,288 bytes, zeroed at first. */
  bytes(ring: number): Uint8Array {
    const at = ring * RECORD_BYTES;
    return this.#area.bytes.subarray(at, at + RECORD_BYTES);
  }

  /** All has been said: who comes next needs no record. */
  close(): void {
    this.leave();
    forgetRecord(this.#path);
  }

  /** Whoever comes next finds it. */
  leave(): void {
    this.#area.unmap();
  }
}

/** A file of so many bytes, all on the medium: who writes into a mapped one that finds no room there is killed. */
function makeRoom(fd: number, bytes: number): void {
  ftruncateSync(fd, Math.min(bytes, fstatSync(fd).size));
  for (let left = bytes - fstatSync(fd).size; left > 0; ) left -= writeSync(fd, new Uint8Array(left));
}

/** Of a device that there is no more; it may never have had one. */
export function forgetRecord(path: string): void {
  rmSync(path, { force: true });
}

/**
 * Removes the records of devices that went while nobody served them. They are called `<domid>-<devid>`; there may be other files. `isThere`: asked
 * by the record's name.
 */
export async function sweepRecords(dir: string, isThere: (name: string) => Promise<boolean>): Promise<void> {
  const names = existsSync(dir) ? readdirSync(dir) : [];
  for (const name of names)
    if (/^\d+-\d+$/.test(name) && !(await isThere(name))) forgetRecord(join(dir, name));
}
