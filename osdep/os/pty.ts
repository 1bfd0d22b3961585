/**
 * Terminals: a new pair whose one end is ours and whose other has a name that anybody may open, and the opening of such a name. Both ends are plain
 * non-blocking descriptors, to be watched by a `Poller`, read and written by `read` and `write` of sock.ts. Knows nothing of what goes through them. See
 * pty(7), termios(3), ioctl_tty(2).
 */
import { Errno, OsError } from '../errno.ts';
import type { Descriptor } from './ffi.ts';
import * as ffi from './ffi.ts';

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const FLAGS = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;

const TCSANOW = 0;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const FIONREAD = 0x541b;
/** More than any struct termios that we know. */
const TERMIOS_BYTES = 128;
/** Of its beginning: input, output, control and local modes. */
const MODES_BYTES = 16;
const NAME_BYTES = 256;
/** The second of them, and a bit of it. */
const OUTPUT = 1;
const OPOST = 1;
/** In struct winsize. */
const MARK = 2;
/** LOCK_EX | LOCK_NB */
const LOCK_EX_NB = 6;

export interface Pty {
  /** Ours. */
  readonly master: Descriptor;
  /** The other end, kept open: while nobody has it open, ours reads as broken. */
  readonly slave: Descriptor;
  /** `/dev/pts/7` */
  readonly name: string;
}

/** What may be opened by a name that somebody else has written down: for some devices and pipes, to be opened is much. */
const TERMINAL = /^\/dev\/pts\/\d{1,10}$/;

/** A new pair that passes bytes on as they are. Throws OsError: ENOSPC and ENODEV where there are no more or none. */
export function openPty(): Pty {
  const master = ffi.posixOpenpt(FLAGS);
  if (master < 0) throw new OsError(ffi.errno(), 'posix_openpt');
  try {
    if (ffi.grantpt(master) < 0) throw new OsError(ffi.errno(), 'grantpt');
    if (ffi.unlockpt(master) < 0) throw new OsError(ffi.errno(), 'unlockpt');
    const bytes = Buffer.alloc(NAME_BYTES);
    const failed = ffi.ptsnameR(master, bytes, bytes.length);
    if (failed !== 0) throw new OsError(failed, 'ptsname_r');
    const name = bytes.toString('latin1', 0, bytes.indexOf(0));
    return { master, slave: openSlave(name, makeRaw), name };
  } catch (error) {
    ffi.close(master);
    throw error;
  }
}

/** Whoever watches it stops first. */
export function closePty({ master, slave }: Pty): void {
  ffi.close(slave);
  ffi.close(master);
}

/**
 * A terminal by its name, as its user: one that passes bytes on as they are, and has this mark if one is given, since any other is somebody's who knows nothing
 * of us: names are given away again. Nobody else joins it until it is closed. Throws OsError: ENOENT, EIO when its other end is gone, EPERM for another
 * terminal than that and for what is none, EBUSY if somebody has joined it.
 */
export function openTerminal(path: string, mark?: number): Descriptor {
  if (!TERMINAL.test(path)) throw new OsError(Errno.EPERM, `${path} is no terminal's name`);
  return openSlave(path, (fd) => {
    if (!isRaw(fd) || (mark !== undefined && sizeOf(fd)[MARK]! + sizeOf(fd)[MARK + 1]! * 0x1_0000 !== mark))
      throw new OsError(Errno.EPERM, `${path} is somebody else's terminal`);
    if (ffi.flock(fd, LOCK_EX_NB) < 0) throw new OsError(Errno.EBUSY, `${path} is joined by somebody else`);
  });
}

/** Columns and rows, for whoever asks at the other end. */
export function setWindow(fd: Descriptor, columns: number, rows: number): void {
  const size = sizeOf(fd);
  size.set([rows, columns]);
  ffi.ioctl(fd, TIOCSWINSZ, size);
}

/** 32 bits by which a terminal is known from others of its name. They are kept where its size in pixels would be, which nobody asks for. */
export function setMark({ master }: Pty, mark: number): void {
  const size = sizeOf(master);
  size.set([mark & 0xffff, mark >>> 16], MARK);
  ffi.ioctl(master, TIOCSWINSZ, size);
}

export function windowOf(fd: Descriptor): { readonly columns: number; readonly rows: number } {
  const [rows, columns] = sizeOf(fd);
  return { columns: columns!, rows: rows! };
}

/** What is written to this terminal is shown as it is, as full-screen programs want it: a line feed begins no new line. */
export function showAsItIs(fd: Descriptor): void {
  const termios = termiosOf(fd);
  const modes = new Uint32Array(termios.buffer);
  modes[OUTPUT] = modes[OUTPUT]! & ~OPOST;
  setTermios(fd, termios);
}

/** Bytes that wait to be read at this end. */
export function waiting(fd: Descriptor): number {
  const count = new Int32Array(1);
  return ffi.ioctl(fd, FIONREAD, count) < 0 ? 0 : count[0]!;
}

function openSlave(path: string, prepare: (fd: Descriptor) => void): Descriptor {
  const fd = ffi.open(path, FLAGS, 0);
  if (fd < 0) throw new OsError(ffi.errno(), `opening ${path}`);
  try {
    prepare(fd);
  } catch (error) {
    ffi.close(fd);
    throw error;
  }
  return fd;
}

/** struct winsize: rows, columns, and its size in pixels. */
function sizeOf(fd: Descriptor): Uint16Array {
  const size = new Uint16Array(4);
  if (ffi.ioctl(fd, TIOCGWINSZ, size) < 0) throw new OsError(ffi.errno(), 'TIOCGWINSZ');
  return size;
}

function termiosOf(fd: Descriptor): Uint8Array {
  const termios = new Uint8Array(TERMIOS_BYTES);
  if (ffi.tcgetattr(fd, termios) < 0) throw new OsError(ffi.errno(), 'tcgetattr');
  return termios;
}

function makeRaw(fd: Descriptor): void {
  const termios = termiosOf(fd);
  ffi.cfmakeraw(termios);
  setTermios(fd, termios);
}

function setTermios(fd: Descriptor, termios: Uint8Array): void {
  if (ffi.tcsetattr(fd, TCSANOW, termios) < 0) throw new OsError(ffi.errno(), 'tcsetattr');
}

function isRaw(fd: Descriptor): boolean {
  const [before, after] = [termiosOf(fd), termiosOf(fd)];
  ffi.cfmakeraw(after);
  return before.subarray(0, MODES_BYTES).every((byte, index) => byte === after[index]);
}
