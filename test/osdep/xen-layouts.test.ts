// The toolstack's structures of Xen 4.16 to 4.22, on x86-64 and on arm64, byte for byte. xen-structures.json holds what C programs laid out that
// were compiled against each release's public headers (xen/include/public/domctl.h and sysctl.h at the tag that stands there), with the
// values that are named below; those for arm64 with the 64-bit Arm headers.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Call, type CallBuffer, Hypercall } from '../../osdep/call.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { XenCtrl } from '../../osdep/xen/ctrl.ts';
import { XenManage } from '../../osdep/xen/manage.ts';
import { refuses } from '../conformance/osdep.ts';

interface Structures {
  readonly release: string;
  readonly arch: string;
  readonly domctl: number;
  readonly sysctl: number;
  readonly domainInfo: string;
  readonly createDomain: string;
  readonly physinfo: string;
  readonly maxMem: string;
  readonly domainInfoList: string;
  /** From 4.21 on. */
  readonly domainState?: string;
}

const { structures } = JSON.parse(
  readFileSync(new URL('./xen-structures.json', import.meta.url), 'utf8'),
) as { readonly structures: readonly Structures[] };

const HANDLE = 'a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf';
const CREATE_AT = 16;

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A hypervisor that answers its version, shows what it was told, and lets a test write the answer. */
class Told implements Call {
  readonly fd = -1;
  readonly buffersNeverFault = true;
  readonly #version: number;
  readonly #buffers = new Map<bigint, Uint8Array>();
  #last = new Uint8Array(0);
  answer: (argument: Uint8Array) => void = () => {};

  constructor(release: string) {
    this.#version = (4 << 16) | Number(/4\.(\d+)/.exec(release)?.[1]);
  }

  /** What was told last, as it was. */
  last(length: number): Uint8Array {
    return this.#last.slice(0, length);
  }

  at(address: bigint): Uint8Array {
    return this.#buffers.get(address) ?? new Uint8Array(0);
  }

  hypercall(op: number, [argument]: readonly (number | bigint | CallBuffer)[]): number {
    if (op === Hypercall.XEN_VERSION) {
      return this.#version;
    }
    const { bytes } = argument as CallBuffer;
    this.#last = bytes.slice();
    this.answer(bytes);
    return 0;
  }

  allocBuffer(sizeBytes: number): CallBuffer {
    const buffer = { bytes: new Uint8Array(sizeBytes), address: BigInt(this.#buffers.size + 1) * 4096n };
    this.#buffers.set(buffer.address, buffer.bytes);
    return buffer;
  }

  allocBufferPages(pages: number): CallBuffer {
    return this.allocBuffer(pages * 4096);
  }

  freeBuffer(): void {}
  freeBufferPages(): void {}
  close(): void {}
}

const info = {
  domid: 0x1234,
  dying: false,
  hvm: true,
  shutdown: true,
  shutdownReason: 3,
  paused: false,
  blocked: true,
  running: false,
  debugged: false,
  xenstore: true,
  hap: false,
  totPages: 101,
  maxPages: 102,
  outstandingPages: 103,
  shrPages: 104,
  pagedPages: 105,
  sharedInfoFrame: 0x12_3456_789a,
  cpuTimeNs: 2 ** 50,
  nrOnlineVcpus: 2,
  maxVcpuId: 3,
  ssidref: 4,
  handle: HANDLE,
  cpupool: 5,
};

describe.each(structures)('$release on $arch', (row) => {
  const told = () => {
    const call = new Told(row.release);
    const ctrl = new XenCtrl(
      call,
      () => {
        throw new Error('no memory is mapped here');
      },
      row.arch,
    );
    return { call, ctrl };
  };

  test('a domain is created', () => {
    const { call, ctrl } = told();
    call.answer = (argument) => new DataView(argument.buffer).setUint16(8, 77, true);
    const domid = ctrl.createDomain({
      ssidref: 6,
      handle: HANDLE,
      hvm: true,
      hap: true,
      xenstore: true,
      maxVcpus: 7,
      maxEvtchnPort: 1023,
      maxGrantFrames: 8,
    });
    expect(domid).toBe(77);
    const size = row.createDomain.length / 2;
    expect(hexOf(call.last(CREATE_AT + size).slice(CREATE_AT))).toBe(row.createDomain);
  });

  test('an operation bears the version of the interface', () => {
    const { call, ctrl } = told();
    ctrl.setMaxMem(0x1234, 0x1_2345_6789);
    expect(hexOf(call.last(row.maxMem.length / 2))).toBe(row.maxMem);
  });

  test('a domain is described', () => {
    const { call, ctrl } = told();
    call.answer = (argument) => argument.set(bytesOf(row.domainInfo), 16);
    expect(ctrl.getDomainInfo(0x1234)).toEqual(info);
    expect(ctrl.getDomainInfo(0x1233), 'about the next one').toBeUndefined();
  });

  test('domains are listed', () => {
    const { call, ctrl } = told();
    call.answer = (argument) => {
      const view = new DataView(argument.buffer);
      const list = call.at(view.getBigUint64(16, true));
      list.set(bytesOf(row.domainInfo));
      list.set(bytesOf(row.domainInfo), row.domainInfo.length / 2);
      view.setUint32(24, 2, true);
    };
    expect(ctrl.getDomainInfoList(0x1234, 9)).toEqual([info, info]);
    const asked = call.last(row.domainInfoList.length / 2);
    // The address of the list is not the headers' to know.
    asked.fill(0, 16, 24);
    expect(hexOf(asked)).toBe(row.domainInfoList);
  });

  test('the machine is described', () => {
    const { call, ctrl } = told();
    call.answer = (argument) => argument.set(bytesOf(row.physinfo), 8);
    expect(ctrl.physinfo()).toEqual({
      threadsPerCore: 1,
      coresPerSocket: 2,
      nrCpus: 3,
      maxCpuId: 4,
      nrNodes: 5,
      cpuKhz: 7,
      totalPages: 1001,
      freePages: 1002,
      scrubPages: 1003,
      maxMfn: 1005,
    });
  });
});

const telling = structures.filter(({ domainState }) => domainState !== undefined);
test.each(telling)("$release on $arch: a domain's state is told without a version", (row) => {
  const call = new Told(row.release);
  call.answer = (argument) => argument.set(bytesOf(row.domainState ?? ''));
  expect(new XenManage(call).getDomainInfo(0x1234)).toEqual({
    domid: 0x1234,
    state: 1 | 8,
    caps: 4,
    uniqueId: 0x1122_3344_5566_7788n,
  });
  expect(hexOf(call.last(8))).toBe(row.domainState?.slice(0, 16));
});

test('a hypervisor older or newer than those is refused by its name', () => {
  const ctrl = (release: string) => new XenCtrl(new Told(release), () => expect.unreachable());
  refuses('EACCES', () => ctrl('4.15').getDomainInfo(0));
  refuses('EACCES', () => ctrl('4.23').getDomainInfoList(0, 1));
  expect(() => ctrl('4.15').physinfo()).toThrow(
    'this hypervisor is Xen 4.15: its toolstack interface is known for 4.16 to 4.22',
  );
});

test('a kernel that makes no hypercalls is told from a hypervisor that refuses one', () => {
  const call = new Told('4.17');
  call.hypercall = () => {
    throw new OsError(Errno.EPERM, 'hypercall');
  };
  const ctrl = new XenCtrl(call, () => expect.unreachable());
  expect(() => ctrl.getDomainInfo(3)).toThrow(/insmod xen-privcmd.ko unrestricted=1.*EPERM$/);
});
