#!/usr/bin/env node
/**
 * The bare ends of a TAP device, for the network bench: `write` and `read` are what netback does of it and nothing else, on a device of their own; `send`
 * is a source of frames on the machine's side. All in the network namespace that they are started in. Spawned by nettap.ts.
 */
import * as ffi from '../../osdep/os/ffi.ts';
import { indexOf, parseAddress, setAddress, setMac, setUp } from '../../osdep/os/netdev.ts';
import { Poller, READABLE } from '../../osdep/os/poll.ts';
import { Tap, VNET_HEADER_BYTES } from '../../osdep/os/tap.ts';

/** What the loops measured: in so much of this process's CPU time, so many frames. */
export interface BareWord {
  readonly frames: number;
  readonly cpuSeconds: number;
}

const [what, name = '', text = '', seconds = '1'] = process.argv.slice(2);
const frame = Buffer.from(text, 'base64');
const SOURCE_AT = 6;
const AT_ONCE = 256;
const WARM_MS = 500;

/** Runs what does some frames and says how many, so long, and tells. Without end: no `seconds`. */
function loop(some: () => number): BareWord {
  const until = (end: number): number => {
    let frames = 0;
    while (performance.now() < end) frames += some();
    return frames;
  };
  until(performance.now() + WARM_MS);
  const before = process.cpuUsage();
  const frames = until(performance.now() + Number(seconds) * 1000);
  const { user, system } = process.cpuUsage(before);
  return { frames, cpuSeconds: (user + system) / 1e6 };
}

/** Its address is at that place in the frame: the machine takes frames for its own, and looks at them as far as it does with netback's. */
function openTap(at: number): Tap {
  const tap = new Tap({ name, which: 'new', memory: new Uint8Array(1) });
  tap.setOffload({ csum: true, tso4: true, tso6: true });
  tap.setCarrier(true);
  setMac(name, [...frame.subarray(at, at + 6)]);
  setAddress(name, parseAddress('10.98.0.254/24')!);
  setUp(name);
  return tap;
}

function writing(): void {
  const { fd } = openTap(VNET_HEADER_BYTES);
  const some = (): number => {
    for (let i = 0; i < AT_ONCE; i++) {
      if (ffi.write(fd, frame, frame.length) < 0) throw new Error(`write: errno ${ffi.errno()}`);
    }
    return AT_ONCE;
  };
  process.send?.(loop(some));
  process.disconnect?.();
}

function reading(): void {
  const { fd } = openTap(SOURCE_AT);
  const bytes = Buffer.alloc(70_000);
  const poller = new Poller();
  let frames = 0;
  poller.add(fd, READABLE, () => {
    let count = 0;
    while (count < AT_ONCE && ffi.read(fd, bytes, bytes.length) > 0) count++;
    frames += count;
  });
  process.send?.('ready');
  setTimeout(() => {
    const before = process.cpuUsage();
    const from = frames;
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before);
      process.send?.({ frames: frames - from, cpuSeconds: (user + system) / 1e6 } satisfies BareWord);
      poller.close();
      process.disconnect?.();
    }, Number(seconds) * 1000);
  }, 2 * WARM_MS);
}

/** Until it is killed. struct sockaddr_ll: u16 family, u16 protocol, i32 interface, then what is the kernel's. */
function sending(): void {
  const [AF_PACKET, SOCK_RAW] = [17, 3];
  const fd = ffi.socket(AF_PACKET, SOCK_RAW, 0);
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(indexOf(name)!, 4);
  if (fd < 0 || ffi.bind(fd, address, address.length) < 0) throw new Error(`errno ${ffi.errno()}`);
  // A full queue loses frames, which is what is wanted.
  for (;;) ffi.send(fd, frame, frame.length, 0);
}

if (what === 'write') writing();
else if (what === 'read') reading();
else sending();
