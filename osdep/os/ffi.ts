/**
 * The C library, as far as this project needs it: the only file that imports koffi. It knows prototypes and
 * nothing of what they are used for. Every function returns what C returns; the reason of a -1 is in `errno()`,
 * to be read before the next call. Prototypes are those of Linux with a 64-bit `long` (x86-64, aarch64); variadic
 * ones (`fcntl`, `open`, `prctl`) are declared with the arguments used here, which those ABIs pass alike.
 */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';

/** What stands for a pointer: bytes of JavaScript (kept alive by the caller), an address, or NULL. */
export type Pointer = ArrayBufferView | ArrayBuffer | bigint | null;

/** An open file of the operating system, or -1. */
export type Descriptor = number;

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

const library = koffi.load(null);

function declare<F extends (...args: never[]) => unknown>(prototype: string): F {
  return library.func(prototype) as unknown as F;
}

/** What a call in the background answers with: as the function does, `errno()` to be read at once in the callback. */
export type Answered = (error: unknown, result: number) => void;

/**
 * Runs on Node's thread pool. Nothing keeps what its pointers point at: the caller does, until the answer. koffi refuses more
 * than a few hundred at a time.
 */
function declareBackground<F extends (...args: never[]) => void>(prototype: string): F {
  return library.func(prototype).async as unknown as F;
}

type WithBytes = (fd: Descriptor, bytes: Pointer, length: number) => number;
type WithAddress = (fd: Descriptor, address: Pointer, length: number) => number;

// Descriptors
export const read: WithBytes = declare('int64_t read(int fd, void *bytes, size_t length)');
export const write: WithBytes = declare('int64_t write(int fd, void *bytes, size_t length)');
/** By addresses as numbers, which cost less on the way than views do; below 2^53 on the machines that we know. What is there is the caller's to keep. */
type Addressed = (fd: Descriptor, address: number, length: number) => number;
export const writeFrom: Addressed = declare('int64_t write(int fd, uintptr_t bytes, size_t length)');
/** `address`: of so many struct iovec. */
export const readvAt: Addressed = declare('int64_t readv(int fd, uintptr_t vectors, int count)');
export const open: (path: string, flags: number, mode: number) => Descriptor = declare(
  'int open(const char *path, int flags, int mode)',
);
export const close: (fd: Descriptor) => number = declare('int close(int fd)');
export const dup2: (from: Descriptor, to: Descriptor) => Descriptor = declare('int dup2(int from, int to)');
export const fcntl: (fd: Descriptor, command: number, argument: number) => number = declare(
  'int fcntl(int fd, int command, long argument)',
);
export const lockf: (fd: Descriptor, command: number, length: number) => number = declare(
  'int lockf(int fd, int command, long length)',
);
/** Of the open file, which also those hold who are at work on it: flock(2). */
export const flock: (fd: Descriptor, operation: number) => number = declare(
  'int flock(int fd, int operation)',
);
export const ftruncate: (fd: Descriptor, length: number) => number = declare(
  'int ftruncate(int fd, long length)',
);
/** `argument`: a structure in bytes of ours, or an address that a device gave out. */
export const ioctl: (fd: Descriptor, request: number, argument: Pointer) => number = declare(
  'int ioctl(int fd, unsigned long request, void *argument)',
);
export const pipe2: (fds: Int32Array, flags: number) => number = declare('int pipe2(void *fds, int flags)');

// Disks
/** `answered` comes from the loop. `vectors`: the address of struct iovec's. */
type Vectored = (fd: Descriptor, vectors: bigint, count: number, offset: number, answered: Answered) => void;
export const preadvLater: Vectored = declareBackground(
  'int64_t preadv(int fd, void *vectors, int count, int64_t offset)',
);
export const pwritevLater: Vectored = declareBackground(
  'int64_t pwritev(int fd, void *vectors, int count, int64_t offset)',
);
export const fdatasyncLater: (fd: Descriptor, answered: Answered) => void =
  declareBackground('int fdatasync(int fd)');
export const fallocate: (fd: Descriptor, mode: number, offset: number, length: number) => number = declare(
  'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
);
export const fallocateLater: (
  fd: Descriptor,
  mode: number,
  offset: number,
  length: number,
  answered: Answered,
) => void = declareBackground('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
export const ioctlLater: (fd: Descriptor, request: number, argument: Pointer, answered: Answered) => void =
  declareBackground('int ioctl(int fd, unsigned long request, void *argument)');
export const pread: (fd: Descriptor, bytes: Pointer, length: number, offset: number) => number = declare(
  'int64_t pread(int fd, void *bytes, size_t length, int64_t offset)',
);
/** `bytes`: struct statx. */
export const statx: (fd: Descriptor, path: string, flags: number, mask: number, bytes: Pointer) => number =
  declare('int statx(int fd, const char *path, int flags, unsigned int mask, void *bytes)');

// System calls that have no function of their own: `syscall` with the arguments that each takes.
export const ioUringSetup: (number: number, entries: number, params: Pointer) => Descriptor = declare(
  'int64_t syscall(long number, unsigned int entries, void *params)',
);
export const ioUringEnter: (
  number: number,
  fd: Descriptor,
  toSubmit: number,
  minComplete: number,
  flags: number,
  signals: null,
  signalsLength: number,
) => number = declare(
  'int64_t syscall(long number, int fd, unsigned int toSubmit, unsigned int minComplete, unsigned int flags, void *signals, size_t length)',
);
export const ioUringRegister: (
  number: number,
  fd: Descriptor,
  operation: number,
  argument: Pointer,
  count: number,
) => number = declare(
  'int64_t syscall(long number, int fd, unsigned int operation, void *argument, unsigned int count)',
);
export const aioSetup: (number: number, events: number, context: BigUint64Array) => number = declare(
  'int64_t syscall(long number, unsigned int events, void *context)',
);
export const aioSubmit: (number: number, context: bigint, count: number, blocks: Pointer) => number = declare(
  'int64_t syscall(long number, void *context, long count, void *blocks)',
);
export const aioGetEvents: (
  number: number,
  context: bigint,
  min: number,
  max: number,
  events: Pointer,
  timeout: Pointer,
) => number = declare(
  'int64_t syscall(long number, void *context, long min, long max, void *events, void *timeout)',
);
export const aioDestroy: (number: number, context: bigint) => number = declare(
  'int64_t syscall(long number, void *context)',
);

// Waiting
export const eventfd: (initial: number, flags: number) => Descriptor = declare(
  'int eventfd(unsigned int initial, int flags)',
);
export const timerfdCreate: (clock: number, flags: number) => Descriptor = declare(
  'int timerfd_create(int clock, int flags)',
);
/** `next`: struct itimerspec. */
export const timerfdSettime: (fd: Descriptor, flags: number, next: Pointer, previous: null) => number =
  declare('int timerfd_settime(int fd, int flags, void *next, void *previous)');
export const epollCreate1: (flags: number) => Descriptor = declare('int epoll_create1(int flags)');
export const epollCtl: (epfd: Descriptor, operation: number, fd: Descriptor, event: Pointer) => number =
  declare('int epoll_ctl(int epfd, int operation, int fd, void *event)');
export const epollWait: (epfd: Descriptor, events: Pointer, max: number, timeoutMs: number) => number =
  declare('int epoll_wait(int epfd, void *events, int max, int timeoutMs)');

// Sockets
export const socket: (family: number, type: number, protocol: number) => Descriptor = declare(
  'int socket(int family, int type, int protocol)',
);
export const socketpair: (family: number, type: number, protocol: number, fds: Int32Array) => number =
  declare('int socketpair(int family, int type, int protocol, void *fds)');
export const bind: WithAddress = declare('int bind(int fd, void *address, uint32_t length)');
export const connect: WithAddress = declare('int connect(int fd, void *address, uint32_t length)');
export const listen: (fd: Descriptor, backlog: number) => number = declare('int listen(int fd, int backlog)');
export const accept4: (fd: Descriptor, address: Pointer, length: Pointer, flags: number) => Descriptor =
  declare('int accept4(int fd, void *address, void *length, int flags)');
type Name = (fd: Descriptor, address: Pointer, length: Pointer) => number;
export const getsockname: Name = declare('int getsockname(int fd, void *address, void *length)');
export const getpeername: Name = declare('int getpeername(int fd, void *address, void *length)');
export const shutdown: (fd: Descriptor, how: number) => number = declare('int shutdown(int fd, int how)');
type Transfer = (fd: Descriptor, bytes: Pointer, length: number, flags: number) => number;
export const recv: Transfer = declare('int64_t recv(int fd, void *bytes, size_t length, int flags)');
export const send: Transfer = declare('int64_t send(int fd, void *bytes, size_t length, int flags)');
/** By address, as `writeFrom`. */
type TransferAt = (fd: Descriptor, address: number, length: number, flags: number) => number;
export const recvAt: TransferAt = declare('int64_t recv(int fd, uintptr_t bytes, size_t length, int flags)');
export const sendAt: TransferAt = declare('int64_t send(int fd, uintptr_t bytes, size_t length, int flags)');
/** `message`: the address of a struct msghdr. */
type MessageAt = (fd: Descriptor, message: number, flags: number) => number;
export const sendmsgAt: MessageAt = declare('int64_t sendmsg(int fd, uintptr_t message, int flags)');
export const recvmsgAt: MessageAt = declare('int64_t recvmsg(int fd, uintptr_t message, int flags)');
type Message = (fd: Descriptor, message: Pointer, flags: number) => number;
export const sendmsg: Message = declare('int64_t sendmsg(int fd, void *message, int flags)');
export const recvmsg: Message = declare('int64_t recvmsg(int fd, void *message, int flags)');
type Option = (fd: Descriptor, level: number, name: number, value: Pointer, length: Pointer) => number;
export const getsockopt: Option = declare(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);
export const setsockopt: (
  fd: Descriptor,
  level: number,
  name: number,
  value: Pointer,
  length: number,
) => number = declare('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');

// Terminals
export const posixOpenpt: (flags: number) => Descriptor = declare('int posix_openpt(int flags)');
export const grantpt: (fd: Descriptor) => number = declare('int grantpt(int fd)');
export const unlockpt: (fd: Descriptor) => number = declare('int unlockpt(int fd)');
/** Answers an error number, and 0. */
export const ptsnameR: WithBytes = declare('int ptsname_r(int fd, void *bytes, size_t length)');
/** `termios`: struct termios. */
export const tcgetattr: (fd: Descriptor, termios: Pointer) => number = declare(
  'int tcgetattr(int fd, void *termios)',
);
export const tcsetattr: (fd: Descriptor, actions: number, termios: Pointer) => number = declare(
  'int tcsetattr(int fd, int actions, void *termios)',
);
export const cfmakeraw: (termios: Pointer) => void = declare('void cfmakeraw(void *termios)');

// Memory
export const mmap: (
  address: bigint | null,
  length: number,
  protection: number,
  flags: number,
  fd: Descriptor,
  offset: number,
) => bigint = declare(
  'void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)',
);
export const munmap: (address: bigint, length: number) => number = declare(
  'int munmap(void *address, size_t length)',
);
export const memfdCreate: (name: string, flags: number) => Descriptor = declare(
  'int memfd_create(const char *name, unsigned int flags)',
);
export const mlock: (address: bigint, length: number) => number = declare(
  'int mlock(void *address, size_t length)',
);
export const mlockall: (flags: number) => number = declare('int mlockall(int flags)');
export const munlockall: () => number = declare('int munlockall()');

// The process
export const prlimit: (pid: number, resource: number, next: Pointer, previous: Pointer) => number = declare(
  'int prlimit(int pid, int resource, void *next, void *previous)',
);
export const prctl: (option: number, argument: number) => number = declare(
  'int prctl(int option, unsigned long argument)',
);
/** Goes to another namespace: of networks, say. This thread alone. */
export const setns: (fd: Descriptor, kind: number) => number = declare('int setns(int fd, int kind)');
export const umask: (mask: number) => number = declare('uint32_t umask(uint32_t mask)');

/** Why the last call failed: a positive error number. Only meaningful right after a failure. */
export function errno(): number {
  return koffi.errno();
}

/** Where the bytes of a Buffer or typed array lie; valid while the caller keeps it. */
export function addressOf(bytes: ArrayBufferView | ArrayBuffer): bigint {
  return koffi.address(bytes);
}

/** Memory as an ArrayBuffer. For `mmap.ts` alone: nothing else can know when the memory goes away. */
export function viewOf(address: bigint, length: number): ArrayBuffer {
  return koffi.view(address, length);
}

/** A readiness watch in Node's own event loop. Whoever starts one keeps it in a field: unreferenced, it stops. */
export interface Watch {
  ref(): void;
  unref(): void;
  /** Ends it; once only (the poller sees to that). */
  close(): void;
}

/** Calls back whenever `fd` is readable. A callback that throws would stop the loop for good: it must not. */
export function watchReadable(fd: Descriptor, callback: () => void): Watch {
  // koffi's own watch makes an object for each call.
  loopCalls ??= isMainThread ? findLoop() : 'none';
  return loopCalls === 'none' ? koffi.node.poll(fd, callback) : watchByLoop(loopCalls, fd, callback);
}

const UV_POLL = 8;
const UV_READABLE = 1;

/** libuv, which Node is made with and whose functions it shows: the main thread's loop is its default one. */
interface LoopCalls {
  readonly loop: bigint;
  readonly handleSize: (type: number) => number;
  readonly init: (loop: bigint, handle: bigint, fd: Descriptor) => number;
  readonly start: (handle: bigint, events: number, callback: unknown) => number;
  readonly stop: (handle: bigint) => number;
  readonly close: (handle: bigint, callback: null) => void;
  readonly ref: (handle: bigint) => void;
  readonly unref: (handle: bigint) => void;
}

let loopCalls: LoopCalls | 'none' | undefined;
// Of the handle nothing is wanted; as a small number it costs nothing.
const onReadable = koffi.pointer(koffi.proto('void onReadable(int8_t handle, int status, int events)'));

/** A Node that hides them does it koffi's way. */
function findLoop(): LoopCalls | 'none' {
  try {
    return {
      loop: declare<() => bigint>('void *uv_default_loop()')(),
      handleSize: declare('size_t uv_handle_size(int type)'),
      init: declare('int uv_poll_init(void *loop, void *handle, int fd)'),
      start: declare('int uv_poll_start(void *handle, int events, onReadable *callback)'),
      stop: declare('int uv_poll_stop(void *handle)'),
      close: declare('void uv_close(void *handle, void *callback)'),
      ref: declare('void uv_ref(void *handle)'),
      unref: declare('void uv_unref(void *handle)'),
    };
  } catch {
    return 'none';
  }
}

/** The handle's memory is never given back: the loop looks at it once more after its end. */
function watchByLoop(calls: LoopCalls, fd: Descriptor, callback: () => void): Watch {
  const { loop, handleSize, init, start, stop, close: end, ref, unref } = calls;
  const handle = mmap(null, handleSize(UV_POLL), PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  const registered = koffi.register(callback, onReadable);
  const failed = init(loop, handle, fd) || start(handle, UV_READABLE, registered);
  if (failed !== 0) {
    koffi.unregister(registered);
    throw new Error(`watching descriptor ${fd}: error ${-failed}`);
  }
  return {
    ref: () => ref(handle),
    unref: () => unref(handle),
    close() {
      stop(handle);
      end(handle, null);
      // It may be what is running.
      setImmediate(() => koffi.unregister(registered)).unref();
    },
  };
}
