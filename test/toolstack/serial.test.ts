/** A serial port that a domain of its own makes up: what its guest finds there, who joins it, what it may not do, and what its end costs. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Resource } from '../../osdep/foreignmemory.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { type LocalHost, liveHost } from '../../osdep/sim/local.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';
import { UART_STATE_BYTES } from '../../toolstack/core/uart.ts';
import { Shell } from '../../toolstack/guest/consoleshell.ts';
import { PortIo } from '../../toolstack/guest/portio.ts';
import { SerialPort as Driver } from '../../toolstack/guest/serialport.ts';
import { type JoinedTerminal, joinTerminal } from '../../toolstack/io/terminal.ts';
import { SerialPort } from '../../toolstack/model/serial.ts';

let host: LocalHost;
let poller: Poller;
let guest: SimPlatform;
let model: SimPlatform;
const state = new Uint8Array(UART_STATE_BYTES);
let port: SerialPort;
const joined: JoinedTerminal[] = [];

function newDomain(): SimPlatform {
  const ctrl = host.platformFor(0).openCtrl();
  const domid = ctrl.createDomain({ hvm: true });
  ctrl.unpause(domid);
  ctrl.close();
  return host.platformFor(domid);
}

function serve(): void {
  port = new SerialPort({ platform: model, poller, domid: guest.domid, mark: 1, state });
}

beforeEach(() => {
  host = liveHost();
  poller = new Poller();
  state.fill(0);
  [guest, model] = [newDomain(), newDomain()];
  host.platformFor(0).openCtrl().setTarget(model.domid, guest.domid);
  serve();
});
afterEach(() => {
  for (const terminal of joined.splice(0)) terminal.close();
  port.close();
  poller.close();
});

/** Somebody who has joined. */
function join(): { text: string; readonly type: (text: string) => void } {
  const viewer = { text: '', type: (text: string) => void terminal.write(Buffer.from(text)) };
  const terminal = joinTerminal(port.terminal, 1, {
    bytes: (bytes) => {
      viewer.text += Buffer.from(bytes).toString('latin1');
    },
    drained: () => {},
    gone: () => {},
  })!;
  joined.push(terminal);
  return viewer;
}

/** A guest with a driver and a shell. */
function boot(): { found: number; readonly shell: Shell; readonly driver: Driver; readonly io: PortIo } {
  const booted = { found: 0 };
  const io = new PortIo(guest, () => driver.kick());
  const driver = new Driver({
    io,
    clock: guest.clock,
    onInput: (bytes) => shell.input(bytes),
    onFound: () => {
      booted.found++;
    },
  });
  const shell = new Shell({
    name: 'alice',
    write: (text) => driver.write(text),
    commands: { echo: { help: '', run: (words) => [words] } },
  });
  return Object.assign(booted, { shell, driver, io });
}

test('a guest finds its port, and whoever joins talks to it', async () => {
  const alice = boot();
  alice.shell.print('booted');
  const viewer = join();
  await expect.poll(() => viewer.text).toBe('booted\r\n');
  viewer.type('echo hello\r');
  await expect.poll(() => viewer.text).toBe('booted\r\nalice# echo hello\r\nhello\r\nalice# ');
  expect(alice.found).toBe(1);
});

test('more than a FIFO holds comes through whole, both ways, told by interrupts alone', async () => {
  const alice = boot();
  const viewer = join();
  const text = Array.from({ length: 100 }, (_, line) => `line ${line}\r\n`).join('');
  alice.driver.write(text);
  await expect.poll(() => viewer.text).toBe(text);
  viewer.text = '';
  viewer.type(`echo ${'0123456789'.repeat(18)}\r`);
  await expect.poll(() => viewer.text).toContain(`\r\n${'0123456789'.repeat(18)}\r\nalice# `);
});

test('a wide access is as many narrow ones; what is beyond the port is not there', async () => {
  const io = guest.guest;
  const answered = new Promise<void>((resolve) => {
    const evtchn = guest.openEvtchn();
    evtchn.bindVirq(16);
    evtchn.onReadable(resolve);
  });
  // Line, modem, scratch at once; the fourth byte is another device's.
  expect(io.io({ vcpu: 0, type: 'port', direction: 'read', address: 0x3fd, size: 4, value: 0 })).toBe(
    0xffff_ffff,
  );
  expect(
    io.io({ vcpu: 0, type: 'port', direction: 'read', address: 0x3fd, size: 2, value: 0 }),
  ).toBeUndefined();
  await answered;
  expect(io.ioResult(0)).toBe(0xb060);
});

test('the model is privileged over its guest and over nobody else', () => {
  const other = newDomain();
  const ctrl = host.platformFor(0).openCtrl();
  ctrl.populatePhysmap(other.domid, [0]);
  const foreign = model.openForeignmemory();
  const devices = model.openDevicemodel();
  expect(() => foreign.map(other.domid, 'r', [0])).toThrow('EPERM');
  expect(() => devices.createIoreqServer(other.domid, 'off')).toThrow('EPERM');
  expect(() => devices.setIsaIrqLevel(other.domid, 4, 1)).toThrow('EPERM');
  expect(() =>
    foreign.mapResource({ domid: 0, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: 1 }, 'r'),
  ).toThrow('EPERM');
  expect(() => model.openCtrl().destroyDomain(guest.domid)).toThrow('EPERM');
  expect(() => new SerialPort({ platform: model, poller, domid: other.domid, mark: 1, state })).toThrow(
    'EPERM',
  );
});

test('a model that is started again goes on with the device, and with the access that was under way', async () => {
  const alice = boot();
  const first = join();
  alice.shell.print('one');
  await expect.poll(() => first.text).toBe('one\r\n');
  port.close();
  // The guest stops in the middle of this.
  alice.shell.print('two');
  await new Promise((resolve) => setImmediate(resolve));
  serve();
  const second = join();
  await expect.poll(() => second.text).toBe('two\r\n');
  second.type('echo three\r');
  await expect.poll(() => second.text).toContain('\r\nthree\r\nalice# ');
  expect(alice.found).toBe(1);
});

test('without its model the port is not there, and when there is one again it is found', async () => {
  const alice = boot();
  const viewer = join();
  alice.shell.print('one');
  await expect.poll(() => viewer.text).toBe('one\r\n');
  host.kill(model.domid);
  alice.shell.print('two');
  // After the driver's own.
  expect(await alice.io.read(0x3ff)).toBe(0xff);
  model = newDomain();
  host.platformFor(0).openCtrl().setTarget(model.domid, guest.domid);
  state.fill(0);
  serve();
  const next = join();
  await expect.poll(() => alice.found, { timeout: 5000 }).toBe(2);
  await expect.poll(() => next.text).toBe('two\r\n');
});

test('a model whose guest is gone is none the worse for it, whatever is typed to it then', async () => {
  const alice = boot();
  const viewer = join();
  alice.shell.print('one');
  await expect.poll(() => viewer.text).toBe('one\r\n');
  host.kill(guest.domid);
  viewer.type('is anybody there?');
  // Taken by the UART, whose interrupt nobody hears.
  await expect.poll(() => state.includes('i'.charCodeAt(0))).toBe(true);
});
