// Datagrams from one guest's ring into another's: whole, with the sender's name, over the wrap of either ring; lost where there is no room or nobody.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { decodeAddress, formatAddress, parseIp } from '../../netback/xensock/core/address.ts';
import { Datagram, Index } from '../../netback/xensock/core/pvcalls.ts';
import { DataRing } from '../../netback/xensock/io/dataring.ts';
import { LocalDatagram } from '../../netback/xensock/io/localdatagram.ts';
import { LocalHub } from '../../netback/xensock/io/localhub.ts';
import { Errno } from '../../osdep/errno.ts';
import { Ports } from '../../osdep/ports.ts';
import { Page } from '../../osdep/ring/page.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';

const SIZE = 4096;

let host: LocalHost<SteppedScheduler>;
let ports: Ports;
let hub: LocalHub<LocalDatagram>;
let domid: number;

beforeEach(() => {
  host = steppedHost({ seed: 1 });
  ports = new Ports(host.platformFor(0).openEvtchn());
  hub = new LocalHub({ clock: host.platformFor(0).clock, flush: () => {} });
  const ctrl = host.platformFor(0).openCtrl();
  domid = ctrl.createDomain({});
  ctrl.unpause(domid);
});

afterEach(() => ports.close());

/** A socket with a ring of the smallest order, whose indices have been so far already. */
function guest(start = 0) {
  const platform = host.platformFor(domid);
  const pages = platform.openGntshr().sharePages(0, 3, 'rw');
  const index = new Page(pages.page(0));
  index.store(Index.RING_ORDER, 1);
  for (const page of [0, 1]) index.store(Index.REFS + 4 * page, pages.refs[page + 1]!);
  for (const word of [Index.IN_CONS, Index.IN_PROD, Index.OUT_CONS, Index.OUT_PROD]) index.store(word, start);
  const data = pages.bytes.subarray(4096);
  const evtchn = platform.openEvtchn().bindUnboundPort(0);
  const gnttab = host.platformFor(0).openGnttab();
  const ring = new DataRing({ gnttab, ports, domid, ref: pages.refs[0]!, evtchn, onEvent: () => {} });
  let received = 0;
  const add = (bytes: number): void => {
    received += bytes;
  };
  const socket = new LocalDatagram(hub, { ring, received: add });
  let taken = start;
  return {
    socket,
    ring,
    get received() {
      return received;
    },
    /** Into the out half, as the guest does it. */
    put(bytes: Uint8Array, skip: number): void {
      for (let i = 0; i < bytes.length; i++) data[SIZE + ((start + skip + i) % SIZE)] = bytes[i]!;
      index.store(Index.OUT_PROD, start + skip + bytes.length);
    },
    /** The next datagram: from whom, and what. */
    next(): string {
      const at = (skip: number): number => data[(taken + skip) % SIZE]!;
      const bytes = (skip: number, count: number) =>
        Uint8Array.from({ length: count }, (_, i) => at(skip + i));
      const header = new DataView(bytes(0, Datagram.HEADER_BYTES).buffer);
      const length = header.getUint32(Datagram.LENGTH, true);
      const from = decodeAddress(
        bytes(Datagram.ADDRESS, 28),
        header.getUint32(Datagram.ADDRESS_LENGTH, true),
      );
      const text = Buffer.from(bytes(Datagram.HEADER_BYTES, length)).toString();
      taken += Datagram.HEADER_BYTES + ((length + 7) & ~7);
      index.store(Index.IN_CONS, taken);
      return `${formatAddress(from!)} ${text}`;
    },
  };
}

const at = (port: number) => parseIp('127.0.0.1', port)!;

test.each([0, 4090, 4050, 4000])('one arrives whole, from rings at %i', (start) => {
  const [one, other] = [guest(start), guest(4096 - start)];
  expect(one.socket.bind('host', at(1000))).toEqual({ ok: true, value: 1000 });
  other.socket.bind('host', parseIp('0.0.0.0', 53)!);
  one.put(Buffer.from('hello, you'), 40);
  expect(one.socket.send('host', at(53), one.ring, 40, 10)).toBe(0);
  expect(one.socket.send('host', at(53), one.ring, 47, 3)).toBe(0);
  expect([other.next(), other.next(), other.received]).toEqual([
    '127.0.0.1:1000 hello, you',
    '127.0.0.1:1000 you',
    13,
  ]);
});

test('what finds no room is lost, what finds nobody is refused', () => {
  const [one, other] = [guest(), guest()];
  other.socket.bind('host', at(53));
  one.put(new Uint8Array(4000), 40);
  for (const bytes of [4000, 100, 3900, 17])
    expect(one.socket.send('host', at(53), one.ring, 40, bytes)).toBe(0);
  expect(other.received).toBe(4000);
  expect(one.socket.send('host', at(54), one.ring, 40, 1)).toBe(Errno.ECONNREFUSED);
  other.socket.release();
  expect(one.socket.send('host', at(53), one.ring, 40, 1)).toBe(Errno.ECONNREFUSED);
});

test('a connected socket hears its peer alone, and a socket is in one network', () => {
  const [one, other, third] = [guest(), guest(), guest()];
  other.socket.bind('host', at(53));
  third.socket.bind('host', at(54));
  expect(other.socket.connect('host', at(54))).toBe(0);
  one.put(Buffer.from('hi'), 0);
  third.put(Buffer.from('ho'), 0);
  expect(one.socket.send('host', at(53), one.ring, 0, 2)).toBe(Errno.ECONNREFUSED);
  expect(third.socket.send('host', at(53), third.ring, 0, 2)).toBe(0);
  expect(other.next()).toBe('127.0.0.1:54 ho');
  expect(one.socket.connect('office', at(53))).toBe(Errno.ENETUNREACH);
});
