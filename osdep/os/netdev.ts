/**
 * Network devices of this machine, by name: up and down, address, MTU, bridge. All by ioctl (netdevice(7)); knows no TAP, and of
 * addresses IPv4 alone. Every function throws OsError: ENODEV if there is no such device, EPERM without the right.
 */
import { Errno, OsError } from '../errno.ts';
import * as ffi from './ffi.ts';

/** Bytes of struct ifreq on 64-bit machines. */
export const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

const AF_INET = 2;
const ARPHRD_ETHER = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFNAME = 0x8910;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCGIFINDEX = 0x8933;
const SIOCBRADDIF = 0x89a2;
const IFF_UP = 1;

/** An IPv4 address and how many of its bits are the network's. */
export interface Address {
  readonly bytes: readonly number[];
  readonly prefix: number;
}

/** `10.53.0.1/24`; undefined: it is none. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [prefix, ...bytes] = [match[5], ...match.slice(1, 5)].map(Number);
  return prefix! <= 32 && bytes.every((byte) => byte < 256) ? { bytes, prefix: prefix! } : undefined;
}

/** Whether the kernel would take it: 1 to 15 bytes, no blank, slash or colon. */
export function isDeviceName(name: string): boolean {
  return /^[!-~]{1,15}$/.test(name) && !/[/:%]/.test(name) && name !== '.' && name !== '..';
}

/** Throws OsError EINVAL. */
export function checkName(name: string): void {
  if (!isDeviceName(name))
    throw new OsError(Errno.EINVAL, `${JSON.stringify(name)} as a network device's name`);
}

/** A device's number, which it keeps when it is renamed; undefined: there is none of that name. */
export function indexOf(name: string): number | undefined {
  const request = requestFor(name);
  const errno = control(SIOCGIFINDEX, request);
  if (errno === Errno.ENODEV) return undefined;
  if (errno !== 0) throw new OsError(errno, `number of ${name}`);
  return request.readInt32LE(NAME_BYTES);
}

/** The name of the device with a number; undefined: there is none. */
export function nameOfIndex(index: number): string | undefined {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.writeInt32LE(index, NAME_BYTES);
  return control(SIOCGIFNAME, request) === 0 ? nameOf(request) : undefined;
}

export function setUp(name: string): void {
  const request = requestFor(name);
  change(SIOCGIFFLAGS, request, `flags of ${name}`);
  request.writeUInt16LE(request.readUInt16LE(NAME_BYTES) | IFF_UP, NAME_BYTES);
  change(SIOCSIFFLAGS, request, `${name} up`);
}

export function setMtu(name: string, mtu: number): void {
  const request = requestFor(name);
  request.writeInt32LE(mtu, NAME_BYTES);
  change(SIOCSIFMTU, request, `MTU of ${name}`);
}

/** The device has to be down, on some drivers. */
export function setMac(name: string, mac: readonly number[]): void {
  const request = requestFor(name);
  request.writeUInt16LE(ARPHRD_ETHER, NAME_BYTES);
  request.set(mac, NAME_BYTES + 2);
  change(SIOCSIFHWADDR, request, `address of ${name}`);
}

/** Gives it this IPv4 address, in place of one that it may have. */
export function setAddress(name: string, { bytes, prefix }: Address): void {
  const mask = prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0;
  const maskBytes = [mask >>> 24, (mask >>> 16) & 255, (mask >>> 8) & 255, mask & 255];
  for (const [call, value] of [
    [SIOCSIFADDR, bytes],
    [SIOCSIFNETMASK, maskBytes],
  ] as const) {
    const request = requestFor(name);
    request.writeUInt16LE(AF_INET, NAME_BYTES);
    request.set(value, NAME_BYTES + 4);
    change(call, request, `address of ${name}`);
  }
}

/** Makes it a port of a bridge, if it isn't. EBUSY: it is one of another's. */
export function addToBridge(bridge: string, name: string): void {
  const index = indexOf(name);
  if (index === undefined) throw new OsError(Errno.ENODEV, name);
  const request = requestFor(bridge);
  request.writeInt32LE(index, NAME_BYTES);
  change(SIOCBRADDIF, request, `${name} on bridge ${bridge}`);
}

/** The name at the beginning of a struct ifreq. */
export function nameOf(request: Buffer): string {
  return request.toString('latin1', 0, request.indexOf(0));
}

function requestFor(name: string): Buffer {
  checkName(name);
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, 'latin1');
  return request;
}

function change(call: number, request: Buffer, what: string): void {
  const errno = control(call, request);
  if (errno !== 0) throw new OsError(errno, what);
}

/** 0, or an error number. */
function control(call: number, request: Buffer): number {
  const fd = ffi.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ffi.errno();
  const errno = ffi.ioctl(fd, call, request) < 0 ? ffi.errno() : 0;
  ffi.close(fd);
  return errno;
}
