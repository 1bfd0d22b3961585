// The daemon's rings on a simulated machine: messages larger than the ring, guests that do not read, guests that lie about their indices,
// domains that come and go, and a daemon that is started again under running guests.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RingReader, RingWriter } from '../../osdep/ring/bytering.ts';
import { Ring } from '../../xenstored/wire/ops.ts';
import type { GuestRing } from '../conformance/guestring.ts';
import type { Link } from '../conformance/link.ts';
import { SimHost } from '../conformance/simhost.ts';
import { ask, next, request } from './daemonprocess.ts';

const GUEST = 3;
const OTHER = 4;
/** Of every guest's store event channel. */
const PORT = 1;

let host: SimHost;
let dom0: Link;
let guest: GuestRing;
let other: GuestRing;

async function begin(...args: string[]): Promise<void> {
  host = await SimHost.start(args);
  dom0 = await host.connect();
  guest = await introduce(GUEST);
  other = await introduce(OTHER);
}

async function introduce(domid: number): Promise<GuestRing> {
  await host.addDomain(domid);
  const home = `/local/domain/${domid}`;
  expect(await ask(dom0, 'WRITE', `${home}|`)).toBe('OK|');
  expect(await ask(dom0, 'SET_PERMS', `${home}|n${domid}|`)).toBe('OK|');
  expect(await ask(dom0, 'INTRODUCE', `${domid}|1|${PORT}|`)).toBe('OK|');
  return host.ring(domid);
}

/** Bytes that the guest has not taken yet. */
const filled = (): number => (guest.peek(Ring.RSP_PROD) - guest.peek(Ring.RSP_CONS)) >>> 0;
const served = async (link: Link): Promise<void> => expect(await ask(link, 'WRITE', 'alive|yes')).toBe('OK|');

afterEach(() => {
  vi.restoreAllMocks();
  return host.stop();
});

describe('a ring', () => {
  beforeEach(() => begin('--database', 'memory'));

  test('carries messages larger than itself, both ways', async () => {
    const value = 'x'.repeat(1900);
    expect(await ask(guest, 'WRITE', `large|${value}`)).toBe('OK|');
    expect(await ask(guest, 'READ', 'large|')).toBe(value);
  });

  test('carries many requests at once, answered in order', async () => {
    const count = 200;
    for (let i = 0; i < count; i++) guest.send(request('WRITE', `n|${i}`));
    guest.send(request('READ', 'n|'));
    for (let i = 0; i < count; i++) expect(await next(guest)).toBe('OK|');
    expect(await next(guest)).toBe(`${count - 1}`);
  });

  test('that was there before the daemon is taken up where it stands, over the end of 32-bit indices', async () => {
    await host.server!.close();
    for (const index of [Ring.REQ_CONS, Ring.REQ_PROD, Ring.RSP_CONS, Ring.RSP_PROD])
      guest.poke(index, 0xffff_ff00);
    guest.poke(Ring.EVTCHN_PORT, PORT);
    guest.poke(Ring.CONNECTION, 1);
    await host.startDaemon();
    const value = 'y'.repeat(700);
    expect(await ask(guest, 'WRITE', `/local/domain/${GUEST}|`)).toBe('!EACCES');
    dom0 = await host.connect();
    await ask(dom0, 'WRITE', `/local/domain/${GUEST}|`);
    await ask(dom0, 'SET_PERMS', `/local/domain/${GUEST}|n${GUEST}|`);
    for (let i = 0; i < 10; i++) expect(await ask(guest, 'WRITE', `w|${value}`)).toBe('OK|');
    expect(await ask(guest, 'READ', 'w|')).toBe(value);
    expect(guest.peek(Ring.CONNECTION)).toBe(0);
    expect(guest.peek(Ring.REQ_CONS)).toBeLessThan(0x1_0000);
  });

  test('whose guest does not read is left alone, and goes on when it reads', async () => {
    await ask(guest, 'WRITE', `large|${'z'.repeat(1500)}`);
    guest.pause();
    for (let i = 0; i < 100; i++) guest.send(request('READ', 'large|'));
    for (let i = 0; i < 20; i++) await served(other);
    guest.resume();
    for (let i = 0; i < 100; i++) expect(await next(guest)).toHaveLength(1500);
  });

  test('whose guest rings only when it must, as Linux does, is not forgotten: a request while the one before it is made safe', async () => {
    vi.spyOn(RingReader.prototype, 'advance').mockImplementationOnce(function (this: RingReader, position) {
      guest.place(request('READ', 'n|'));
      this.advance(position);
    });
    guest.pause();
    guest.send(request('WRITE', 'n|0'));
    const answers = 16 + 'OK|'.length + 16 + '0'.length;
    await expect.poll(filled).toBe(answers);
    guest.resume();
    expect(await next(guest)).toBe('OK|');
    expect(await next(guest)).toBe('0');
  });

  test('whose guest rings only when it must: room that it makes while the ring is being filled', async () => {
    await ask(guest, 'WRITE', `large|${'z'.repeat(1500)}`);
    guest.pause();
    for (let i = 0; i < 5; i++) guest.send(request('READ', 'large|'));
    const take = (bytes: number): void => guest.poke(Ring.RSP_CONS, guest.peek(Ring.RSP_CONS) + bytes);
    await expect.poll(filled).toBe(Ring.AREA_BYTES);
    const put = vi.spyOn(RingWriter.prototype, 'put');
    put.mockImplementationOnce(function (this: RingWriter, position, bytes) {
      take(200);
      this.put(position, bytes);
    });
    take(300);
    guest.kick();
    await expect.poll(() => put.mock.calls.length).toBeGreaterThan(1);
    await expect.poll(filled).toBe(Ring.AREA_BYTES);
  });

  test('whose guest asks again whenever an index moves costs the others nothing', async () => {
    let asked = 0;
    vi.spyOn(RingReader.prototype, 'advance').mockImplementation(function (this: RingReader, position) {
      guest.poke(Ring.REQ_CONS, position);
      if (position !== guest.peek(Ring.REQ_PROD)) return;
      guest.place(request('READ', 'n|'));
      asked += 1;
    });
    guest.send(request('READ', 'n|'));
    for (let i = 0; i < 50; i++) await served(dom0);
    expect(asked).toBeGreaterThan(20);
    vi.restoreAllMocks();
    await served(other);
  });

  test('whose guest rings without end costs the others nothing', async () => {
    let ringing = true;
    const storm = (): void => {
      guest.kick();
      if (ringing) setImmediate(storm);
    };
    storm();
    for (let i = 0; i < 50; i++) await served(other);
    ringing = false;
    await served(guest);
  });

  test.each([
    ['req_prod', Ring.REQ_PROD, 1025],
    ['req_prod', Ring.REQ_PROD, 0x8000_0000],
    ['rsp_cons', Ring.RSP_CONS, 1],
    ['rsp_cons', Ring.RSP_CONS, 0x8000_0000],
  ])('with an impossible %s ends for that guest alone', async (_name, offset, distance) => {
    guest.poke(offset, guest.peek(offset) + distance);
    guest.kick();
    await expect.poll(() => guest.peek(Ring.ERROR)).toBe(2);
    await served(other);
    expect(await ask(dom0, 'IS_DOMAIN_INTRODUCED', `${GUEST}|`)).toBe('T|');
  });

  test('does not believe what a guest writes over the daemon’s own indices', async () => {
    await served(guest);
    const [cons, prod] = [guest.peek(Ring.REQ_CONS), guest.peek(Ring.RSP_PROD)];
    guest.poke(Ring.REQ_CONS, cons - 512);
    guest.poke(Ring.RSP_PROD, prod + 512);
    guest.kick();
    for (let i = 0; i < 3; i++) await served(other);
    guest.poke(Ring.REQ_CONS, cons);
    guest.poke(Ring.RSP_PROD, prod);
    await served(guest);
  });

  test('is gone when the domain is, and nothing of it stays mapped', async () => {
    await ask(dom0, 'WATCH', '@releaseDomain|t|');
    expect(await next(dom0)).toBe('EVENT @releaseDomain|t|');
    host.killDomain(GUEST);
    expect(await next(dom0)).toBe('EVENT @releaseDomain|t|');
    await served(other);
    // Resolves only once the id is free: while a page of the dead domain is mapped, it is not.
    await host.addDomain(GUEST);
    expect(await ask(dom0, 'IS_DOMAIN_INTRODUCED', `${GUEST}|`)).toBe('F|');
  });

  test('can be taken away and given back within one turn', async () => {
    await ask(guest, 'WATCH', 'w|t|');
    await next(guest);
    dom0.send(Buffer.concat([request('RELEASE', `${GUEST}|`), request('INTRODUCE', `${GUEST}|1|${PORT}|`)]));
    expect(await next(dom0)).toBe('OK|');
    expect(await next(dom0)).toBe('OK|');
    await served(other);
    expect(guest.peek(Ring.REQ_PROD)).toBe(0);
    expect(await ask(guest, 'READ', 'alive|')).toBe('!EACCES');
  });

  test('introduced again starts anew, whatever was in it', async () => {
    guest.send(request('WRITE', 'half|value').subarray(0, 20));
    await served(other);
    expect(await ask(dom0, 'INTRODUCE', `${GUEST}|1|${PORT}|`)).toBe('OK|');
    await served(guest);
  });
});

describe('a daemon that is started again under its guests', () => {
  beforeEach(() => begin());

  const restart = async (): Promise<void> => {
    await host.server!.close();
    await host.startDaemon();
    dom0 = await host.connect();
  };

  test('finds their rings, watches and nodes', async () => {
    await ask(guest, 'WRITE', 'kept|value');
    await ask(guest, 'WATCH', 'kept|t|');
    expect(await next(guest)).toBe('EVENT kept|t|');
    await restart();
    expect(await ask(guest, 'READ', 'kept|')).toBe('value');
    expect(await ask(dom0, 'WRITE', `/local/domain/${GUEST}/kept|new`)).toBe('OK|');
    expect(await next(guest)).toBe('EVENT kept|t|');
  });

  test('finishes a request of which it had taken the first half', async () => {
    const bytes = request('WRITE', `half|${'h'.repeat(1500)}`);
    guest.send(bytes.subarray(0, 1100));
    await served(other);
    await restart();
    guest.send(bytes.subarray(1100));
    expect(await next(guest)).toBe('OK|');
    expect(await ask(guest, 'READ', 'half|')).toBe('h'.repeat(1500));
  });

  test('gives what was asked while it was away', async () => {
    await ask(guest, 'WRITE', 'kept|value');
    await host.server!.close();
    guest.send(request('READ', 'kept|'));
    await host.startDaemon();
    expect(await next(guest)).toBe('value');
  });

  test('buries those that died meanwhile', async () => {
    await ask(guest, 'WRITE', 'kept|value');
    await host.server!.close();
    host.killDomain(GUEST);
    await host.startDaemon();
    dom0 = await host.connect();
    expect(await ask(dom0, 'IS_DOMAIN_INTRODUCED', `${GUEST}|`)).toBe('F|');
    expect(await ask(dom0, 'READ', `/local/domain/${GUEST}/kept|`)).toBe('!ENOENT');
    await served(other);
  });
});
