// Real Xen's handles over a kernel that is played here: its devices open, their ioctls are answered by a test. What is held open, for how long, and
// what is given back when something fails on the way.
import { closeSync, fstatSync, openSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import type * as Ffi from '../../osdep/os/ffi.ts';
import { viewOf } from '../../osdep/os/ffi.ts';
import type { Platform } from '../../osdep/platform.ts';
import { xenPlatform } from '../../osdep/xen/platform.ts';

const kernel = vi.hoisted(() => ({
  /** Devices that are open, by descriptor. */
  open: new Map<number, string>(),
  /** The result, or a negative error number. */
  ioctl: (_request: number, _argument: Uint8Array): number => 0,
  /** Mapping a device fails. */
  refusesMaps: false,
  error: 0,
  /** What a read of the event channels gives, as many as fit: ports, or a negative error number. */
  events: [] as number[],
  /** Those that fire while a read is under way, which gives them to the next one and wakes nobody. */
  late: [] as number[],
}));

const BYTES = 1 << 20;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
/** Of gntdev. */
const UNMAP_GRANT_REF = 0x00104701;
const SET_UNMAP_NOTIFY = 0x00104707;
/** Of evtchn. */
const BIND_UNBOUND_PORT = 0x00044502;
const EMPTY_QUEUE = 0x00004505;

vi.mock('../../osdep/os/ffi.ts', async (original) => {
  const ffi = await original<typeof Ffi>();
  return {
    ...ffi,
    open: (path: string, flags: number, mode: number): number => {
      if (!path.startsWith('/dev/xen/')) return ffi.open(path, flags, mode);
      const fd = ffi.memfdCreate(path, 0);
      ffi.ftruncate(fd, BYTES);
      kernel.open.set(fd, path);
      return fd;
    },
    close: (fd: number): number => {
      kernel.open.delete(fd);
      return ffi.close(fd);
    },
    ioctl: (_fd, request, argument): number => {
      const result = kernel.ioctl(request, argument as Uint8Array);
      kernel.error = result < 0 ? -result : 0;
      return result < 0 ? -1 : result;
    },
    mmap: (address, length, protection, flags, fd, offset): bigint => {
      if (!kernel.refusesMaps || fd < 0) return ffi.mmap(address, length, protection, flags, fd, offset);
      kernel.error = Errno.EINVAL;
      return MAP_FAILED;
    },
    read: (fd, bytes, length): number => {
      if (kernel.open.get(fd) !== '/dev/xen/evtchn') return ffi.read(fd, bytes, length);
      const event = kernel.events[0] ?? -Errno.EAGAIN;
      kernel.error = event < 0 ? -event : 0;
      if (event < 0) return -1;
      const ports = new Uint32Array((bytes as Uint8Array).buffer);
      let read = 0;
      while (read * 4 < length && (kernel.events[0] ?? -1) >= 0) ports[read++] = kernel.events.shift()!;
      kernel.events.push(...kernel.late.splice(0));
      return read * 4;
    },
    errno: () => kernel.error || ffi.errno(),
  } satisfies typeof Ffi;
});

let platform: Platform;

beforeEach(() => {
  platform = xenPlatform();
  kernel.ioctl = () => 0;
  kernel.refusesMaps = false;
  kernel.error = 0;
  kernel.events = [];
});

afterEach(() => {
  for (const fd of kernel.open.keys()) closeSync(fd);
  kernel.open.clear();
});

test.each([
  ['hypercalls', () => platform.openCall()],
  ['the toolstack', () => platform.openCtrl()],
  ['states', () => platform.openManage()],
  ['event channels', () => platform.openEvtchn()],
  ['grants', () => platform.openGnttab()],
  ['shared pages', () => platform.openGntshr()],
  ['foreign memory', () => platform.openForeignmemory()],
  ['device models', () => platform.openDevicemodel()],
])('a handle of %s that is closed twice closes nothing of anybody else', (_, openHandle) => {
  const handle = openHandle();
  expect(kernel.open.size).toBeGreaterThan(0);
  const count = kernel.open.size;
  handle.close();
  expect(kernel.open.size).toBe(0);
  expect(platform.handles.size).toBe(0);
  const others = Array.from({ length: count }, () => openSync('/dev/null', 'r'));
  handle.close();
  for (const fd of others) {
    expect(() => fstatSync(fd)).not.toThrow();
    closeSync(fd);
  }
});

test('a handle that is closed reaches nothing any more', () => {
  const call = platform.openCall();
  const ctrl = platform.openCtrl();
  const evtchn = platform.openEvtchn();
  const gnttab = platform.openGnttab();
  const gntshr = platform.openGntshr();
  const foreign = platform.openForeignmemory();
  const devicemodel = platform.openDevicemodel();
  for (const handle of [call, ctrl, evtchn, gnttab, gntshr, foreign, devicemodel]) handle.close();
  kernel.ioctl = () => expect.unreachable();
  for (const use of [
    () => call.hypercall(17, [0, 0]),
    () => ctrl.getDomainInfo(0),
    () => evtchn.notify(1),
    () => gnttab.mapGrantRef(1, 1, 'rw'),
    () => gntshr.sharePages(1, 1, 'rw'),
    () => foreign.map(1, 'rw', [1]),
    () => devicemodel.nrVcpus(1),
  ]) {
    expect(use, String(use)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  }
  expect(evtchn.pending()).toBeUndefined();
});

describe('mapped grants', () => {
  const given: string[] = [];

  beforeEach(() => {
    given.length = 0;
    kernel.ioctl = (request, argument) => {
      if (request === UNMAP_GRANT_REF) given.push(Buffer.from(argument).toString('hex'));
      else if (request !== SET_UNMAP_NOTIFY) new DataView(argument.buffer).setBigUint64(8, 0x2000n, true);
      return 0;
    };
  });

  const back = ['00200000000000000200000000000000'];

  test('are given back once, when they have left the address space', () => {
    const gnttab = platform.openGnttab();
    const mapping = gnttab.mapDomainGrantRefs(3, [8, 9], 'rw');
    expect(given).toEqual([]);
    gnttab.unmap(mapping, 2);
    expect(() => gnttab.unmap(mapping, 2)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(given).toEqual(back);
  });

  test('are given back where they cannot be mapped', () => {
    const gnttab = platform.openGnttab();
    kernel.refusesMaps = true;
    expect(() => gnttab.mapDomainGrantRefs(3, [8, 9], 'rw')).toThrow('map grants of domain 3: EINVAL');
    expect(given).toEqual(back);
  });

  test('are given back where nobody can be told of their end', () => {
    const gnttab = platform.openGnttab();
    const answer = kernel.ioctl;
    kernel.ioctl = (request, argument) =>
      request === SET_UNMAP_NOTIFY ? -Errno.EINVAL : answer(request, argument);
    expect(() => gnttab.mapGrantRefNotify(3, 8, 'rw', { port: 5 })).toThrow('unmap notification: EINVAL');
    expect(given).toHaveLength(1);
  });
});

describe('foreign frames', () => {
  /** Frame 7 comes back after `after` questions, frame 9 is none. */
  const frames = (after: number) => {
    const asked: number[][] = [];
    let questions = 0;
    kernel.ioctl = (_request, argument) => {
      const request = new DataView(argument.buffer);
      const count = request.getUint32(0, true);
      const gfns = new BigUint64Array(viewOf(request.getBigUint64(16, true), count * 8));
      const errors = new Int32Array(viewOf(request.getBigUint64(24, true), count * 4));
      asked.push(Array.from(gfns, Number));
      questions += 1;
      for (const [i, gfn] of gfns.entries()) {
        errors[i] = gfn === 9n ? -Errno.EINVAL : gfn === 7n && questions <= after ? -Errno.ENOENT : 0;
      }
      return errors.includes(-Errno.ENOENT) ? -Errno.ENOENT : 0;
    };
    return asked;
  };

  test('that are paged out are asked for again, alone, until they are there', () => {
    const asked = frames(3);
    const mapping = platform.openForeignmemory().map(3, 'rw', [6, 7, 8]);
    expect(mapping.pages).toBe(3);
    expect(asked).toEqual([[6, 7, 8], [7], [7], [7]]);
  });

  test('that never come back are an error in the end', () => {
    frames(Number.POSITIVE_INFINITY);
    expect(() => platform.openForeignmemory().map(3, 'rw', [6, 7])).toThrow('map frames of domain 3: ENOENT');
  });

  test('come all or not at all, or each with its error', () => {
    frames(0);
    const foreign = platform.openForeignmemory();
    expect(() => foreign.map(3, 'r', [6, 9])).toThrow('map frames of domain 3: EINVAL');
    expect(foreign.mapPartial(3, 'r', [6, 9, 7]).errors).toEqual([0, Errno.EINVAL, 0]);
  });
});

test.each([
  ['restricting hypercalls', () => platform.openForeignmemory().restrict(3)],
  ['restricting event channels', () => platform.openEvtchn().restrict(3)],
  ['resources', () => platform.openForeignmemory().resourceSize(3, 1, 0)],
  ['ports of our own', () => platform.openEvtchn().bind(3)],
  ['buffers of devices', () => platform.openGnttab().dmabufExpFromRefs(3, 0, [1])],
])('a kernel that does not know a request supports it not: %s', (_, ask) => {
  for (const unknown of [Errno.ENOTTY, Errno.ENOSYS]) {
    kernel.ioctl = () => -unknown;
    expect(ask).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  }
  kernel.ioctl = () => -Errno.EINVAL;
  expect(ask).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

test('a toolstack that has no memory for hypercalls leaves nothing open', () => {
  kernel.refusesMaps = true;
  expect(() => platform.openCtrl()).toThrow();
  expect(() => platform.openManage()).toThrow();
  expect(kernel.open.size).toBe(0);
  expect(platform.handles.size).toBe(0);
});

describe('event channels', () => {
  const bind = (...ports: readonly number[]) => {
    const evtchn = platform.openEvtchn();
    const left = [...ports];
    kernel.ioctl = (request) => {
      if (request === EMPTY_QUEUE) kernel.events.length = 0;
      return request === BIND_UNBOUND_PORT ? left.shift()! : 0;
    };
    for (const _ of ports) evtchn.bindUnboundPort(3);
    return evtchn;
  };

  test('are told one by one; what was queued for a port that is unbound now is not', () => {
    const evtchn = bind(5, 6, 7);
    kernel.events = [7, 5, 6];
    expect(evtchn.pending()).toBe(7);
    evtchn.unbind(5);
    expect(evtchn.pending()).toBe(6);
    expect(evtchn.pending()).toBeUndefined();
  });

  test('of which the kernel has lost some all count as fired', () => {
    const evtchn = bind(5, 6, 7);
    kernel.events = [-Errno.EFBIG];
    const told = [evtchn.pending(), evtchn.pending()];
    evtchn.unbind([5, 6, 7].find((port) => !told.includes(port))!);
    expect(evtchn.pending()).toBeUndefined();
    expect(new Set(told).size).toBe(2);
    kernel.events = [told[0]!];
    expect(evtchn.pending()).toBe(told[0]);
  });

  test('are taken all at once, but for those that are unbound now and with those that were lost', () => {
    const evtchn = bind(5, 6, 7);
    evtchn.unbind(5);
    const ports = new Uint32Array(2);
    kernel.events = [5, 7, 6];
    expect([evtchn.pendingAll(ports), ...ports]).toEqual([2, 7, 6]);
    expect(evtchn.pendingAll(ports)).toBe(0);
    kernel.events = [-Errno.EFBIG];
    expect(evtchn.pendingAll(ports)).toBe(2);
    expect(new Set(ports)).toEqual(new Set([6, 7]));
  });

  test('that fire while others are taken are taken, too, since nothing tells of them later', () => {
    const evtchn = bind(5, 6, 7);
    const ports = new Uint32Array(8);
    kernel.events = [5];
    kernel.late = [7, 6];
    expect([evtchn.pendingAll(ports), ...ports.subarray(0, 3)]).toEqual([3, 5, 7, 6]);
    expect(kernel.events).toEqual([]);
  });
});

test('what the kernel is given the address of lives until it has been read, however hot the call', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const devicemodel = platform.openDevicemodel();
  const seen = new Set<string>();
  let calls = 0;
  kernel.ioctl = (_request, argument) => {
    calls += 1;
    if (calls < 20_000 || calls % 100 !== 0) return 0;
    collect();
    // Whoever comes first takes what was let go of.
    for (let i = 0; i < 1000; i++) new Uint8Array(512).fill(0xee);
    const list = new DataView(viewOf(new DataView(argument.buffer).getBigUint64(8, true), 32));
    const runs = list.getBigUint64(24, true) === 240n && viewOf(list.getBigUint64(16, true), 240);
    seen.add(runs ? Buffer.from(runs, 0, 16).toString('hex') : 'no list');
    return 0;
  };
  const runs = Array.from({ length: 15 }, () => ({ firstPfn: 9, count: 7 }));
  for (let i = 0; i < 23_000; i++) devicemodel.modifiedMemoryBulk(3, runs);
  expect([...seen]).toEqual(['07000000000000000900000000000000']);
});
