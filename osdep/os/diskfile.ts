/**
 * A file or block device that serves as a disk: opened, measured, closed when nothing is in flight on it. Knows what it can do
 * and how requests have to lie; carries none out (that is file.ts). See open(2) on O_DIRECT, statx(2), linux/fs.h.
 */
import { constants, fstatSync, readFileSync, type Stats, statSync } from 'node:fs';
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';

export interface DiskOptions {
  readonly readOnly?: boolean;
  /** `try`, the default: past the page cache where file and file system take it in sectors. */
  readonly direct?: 'try' | 'no';
}

export interface DiscardSupport {
  readonly granularityBytes: number;
  /** Where the first granule starts. */
  readonly alignmentBytes: number;
  /** Whether what is discarded can be made unreadable for good. */
  readonly secure: boolean;
}

const BLKDISCARD = 0x1277;
const BLKSECDISCARD = 0x127d;
const BLKSSZGET = 0x1268;
const BLKPBSZGET = 0x127b;
const BLKGETSIZE64 = 0x8008_1272;

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;

const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;

const [LOCK_SH, LOCK_EX, LOCK_NB] = [1, 2, 4];

const SECTOR = 512;

export class DiskFile {
  readonly path: string;
  readonly kind: 'file' | 'block';
  readonly readOnly: boolean;
  /** Whether requests bypass the page cache; if not although asked for, why. */
  readonly direct: boolean;
  readonly directRefused: string | undefined;
  /** Offsets and lengths of requests are multiples of this; 512 for files. */
  readonly sectorBytes: number;
  /** What the medium writes at once. */
  readonly physicalSectorBytes: number;
  /** What addresses in memory are best multiples of; others are copied on the way. */
  readonly memoryAlignBytes: number;
  readonly discard: DiscardSupport | undefined;
  #fd: ffi.Descriptor;
  #sizeBytes = 0;
  #inFlight = 0;
  #closing = false;
  #whenClosed: (() => void) | undefined;

  /** Opens it. Throws OsError, the path in its message; EINVAL: neither file nor block device. */
  constructor(path: string, { readOnly = false, direct = 'try' }: DiskOptions = {}) {
    this.path = path;
    this.readOnly = readOnly;
    this.#fd = openDisk(path, readOnly);
    try {
      const stat = fstatSync(this.#fd);
      this.kind = stat.isBlockDevice() ? 'block' : 'file';
      if (this.kind === 'block') {
        this.sectorBytes = this.#word(BLKSSZGET);
        this.physicalSectorBytes = this.#word(BLKPBSZGET);
      } else {
        this.sectorBytes = SECTOR;
        this.physicalSectorBytes = Math.max(stat.blksize, SECTOR);
      }
      this.refresh();
      const alignment = direct === 'try' ? this.#goDirect() : undefined;
      this.direct = typeof alignment === 'number';
      this.directRefused = typeof alignment === 'string' ? alignment : undefined;
      this.memoryAlignBytes = typeof alignment === 'number' ? alignment : 1;
      this.discard = readOnly ? undefined : this.kind === 'file' ? this.#fileDiscard() : this.#blockDiscard();
    } catch (error) {
      ffi.close(this.#fd);
      throw error;
    }
  }

  /** For requests and ioctls; -1 once closed. */
  get fd(): ffi.Descriptor {
    return this.#fd;
  }

  /** As it was when last looked. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True from `close` on. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Looks at the size again: true, it has changed. */
  refresh(): boolean {
    const before = this.#sizeBytes;
    if (this.kind === 'block') {
      const bytes = new BigUint64Array(1);
      if (ffi.ioctl(this.#fd, BLKGETSIZE64, bytes) < 0)
        throw new OsError(ffi.errno(), `size of ${this.path}`);
      this.#sizeBytes = Number(bytes[0]);
    } else this.#sizeBytes = fstatSync(this.#fd).size;
    return this.#sizeBytes !== before;
  }

  /**
   * Locks it against others who do: false, somebody has it. The lock belongs to the open file, so it outlives a process that was killed by as
   * long as requests of his are in flight. Ends with `close`.
   */
  lock(kind: 'shared' | 'exclusive'): boolean {
    if (ffi.flock(this.#fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
    const errno = ffi.errno();
    if (errno === Errno.EAGAIN) return false;
    throw new OsError(errno, `lock ${this.path}`);
  }

  /** How many requests are begun and not answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** For the queue: a request has begun. */
  retain(): void {
    this.#inFlight += 1;
  }

  release(): void {
    this.#inFlight -= 1;
    this.#leaveIfIdle();
  }

  /**
   * New requests are refused with EBADF; the descriptor is closed when those in flight are answered, which resolves. Flushes
   * nothing. Idempotent.
   */
  close(): Promise<void> {
    if (this.#closing && this.#fd < 0) return Promise.resolve();
    this.#closing = true;
    return new Promise((resolve) => {
      const before = this.#whenClosed;
      this.#whenClosed = () => {
        before?.();
        resolve();
      };
      this.#leaveIfIdle();
    });
  }

  #leaveIfIdle(): void {
    if (!this.#closing || this.#inFlight > 0 || this.#fd < 0) return;
    ffi.close(this.#fd);
    this.#fd = -1;
    this.#whenClosed?.();
  }

  #word(request: number): number {
    const word = new Uint32Array(1);
    if (ffi.ioctl(this.#fd, request, word) < 0) throw new OsError(ffi.errno(), `sector size of ${this.path}`);
    return word[0]!;
  }

  /** The alignment of memory that is asked for, or why it does not go. */
  #goDirect(): number | string {
    // Of the flags that can be set here only O_DIRECT was, or is to be, set.
    if (ffi.fcntl(this.#fd, F_SETFL, constants.O_DIRECT) < 0) return 'the file system has no direct I/O';
    const alignment = this.#alignment();
    if (alignment !== undefined && alignment.offset <= this.sectorBytes) return alignment.memory;
    ffi.fcntl(this.#fd, F_SETFL, 0);
    return `direct I/O not in units of ${this.sectorBytes} bytes`;
  }

  /** As Linux tells since 6.1; before, as a read shows. */
  #alignment(): { readonly memory: number; readonly offset: number } | undefined {
    const statx = new Uint32Array(64);
    const told = ffi.statx(this.#fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, statx) === 0;
    if (told && (statx[0]! & STATX_DIOALIGN) !== 0 && statx[39] !== 0) {
      return { memory: statx[38]!, offset: statx[39]! };
    }
    const size = this.sectorBytes;
    const buffer = Buffer.alloc(size * 2);
    const address = ffi.addressOf(buffer);
    const aligned = address + ((BigInt(size) - (address % BigInt(size))) % BigInt(size));
    const count = ffi.pread(this.#fd, aligned, size, 0);
    return count < size ? undefined : { memory: size, offset: size };
  }

  #fileDiscard(): DiscardSupport | undefined {
    // Beyond the end there is nothing to lose.
    const offset = Math.ceil((this.#sizeBytes + 1) / this.physicalSectorBytes) * this.physicalSectorBytes;
    const mode = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE;
    if (ffi.fallocate(this.#fd, mode, offset, this.physicalSectorBytes) < 0) return undefined;
    return { granularityBytes: this.physicalSectorBytes, alignmentBytes: 0, secure: false };
  }

  /** A range that starts off a sector is EINVAL where the device can discard, EOPNOTSUPP where not: asked, nothing done. */
  #blockDiscard(): DiscardSupport | undefined {
    const range = BigUint64Array.of(1n, 1n);
    const can = (request: number): boolean =>
      ffi.ioctl(this.#fd, request, range) < 0 && ffi.errno() === Errno.EINVAL;
    if (!can(BLKDISCARD)) return undefined;
    return {
      granularityBytes: Math.max(queueValue(this.#fd, 'queue/discard_granularity'), this.sectorBytes),
      alignmentBytes: queueValue(this.#fd, 'discard_alignment'),
      secure: can(BLKSECDISCARD),
    };
  }
}

/** The ioctl that discards on a block device. */
export function discardRequest(secure: boolean): number {
  return secure ? BLKSECDISCARD : BLKDISCARD;
}

function openDisk(path: string, readOnly: boolean): ffi.Descriptor {
  // Looked at first: opening a terminal or a tape does something. Why a path leads nowhere, open says.
  const kind = lookAt(path);
  if (kind !== undefined && !kind.isFile() && !kind.isBlockDevice()) {
    throw new OsError(Errno.EINVAL, `${path} is neither a file nor a block device`);
  }
  const fd = ffi.open(path, (readOnly ? constants.O_RDONLY : constants.O_RDWR) | O_CLOEXEC, 0);
  if (fd < 0) throw new OsError(ffi.errno(), `open ${path}`);
  return fd;
}

function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** What sysfs says of a block device; a partition's queue is its disk's. 0: nothing. */
function queueValue(fd: ffi.Descriptor, name: string): number {
  const { rdev } = fstatSync(fd, { bigint: true });
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  for (const parent of ['', '../']) {
    try {
      return Number(readFileSync(`/sys/dev/block/${major}:${minor & 0xffffffffn}/${parent}${name}`, 'utf8'));
    } catch {}
  }
  return 0;
}
