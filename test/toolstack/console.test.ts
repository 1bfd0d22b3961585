/** Consoles as their users see them: what a guest says, who reads it and when, what he types; guests that lie or flood; servers that die. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsoleFront } from '../../toolstack/guest/console.ts';
import { ConsoleHost } from './consolehost.ts';

let host: ConsoleHost;

beforeEach(async () => {
  host = await ConsoleHost.start();
});
afterEach(() => host.stop());

const decoder = new TextDecoder();

test('what a guest prints is shown and logged; what its viewer types, it hears', async () => {
  const alice = await host.guest('alice');
  let heard = '';
  const console = ConsoleFront.open(alice.platform, (bytes) => {
    heard += decoder.decode(bytes);
  });
  console!.write('hello\r\n');
  const viewer = await host.join(alice);
  await viewer.shown('hello\r\n');
  viewer.type('who are you?\r');
  await expect.poll(() => heard).toBe('who are you?\r');
  console!.write('alice\r\n');
  await viewer.shown('hello\r\nalice\r\n');
  expect(host.logged('alice')).toBe('hello\r\nalice\r\n');
  expect(host.log).toEqual([]);
});

test('much more than a ring holds comes through whole, in both directions', async () => {
  const alice = await host.guest('alice');
  let heard = '';
  const console = ConsoleFront.open(alice.platform, (bytes) => {
    heard += decoder.decode(bytes);
  });
  const viewer = await host.join(alice);
  const page = Array.from({ length: 1500 }, (_, line) => `line ${line}\r\n`).join('');
  console!.write(page);
  await viewer.shown('line 1499\r\n');
  expect(viewer.text()).toBe(page);
  for (let at = 0; at < 3000; at += 500) viewer.type(page.slice(at, at + 500));
  await expect.poll(() => heard).toBe(page.slice(0, 3000));
});

test('what a guest says at its end is read, and the page it said it in is let go', async () => {
  const alice = await host.guest('alice');
  const viewer = await host.join(alice);
  const { end } = alice.ring();
  // It dies before it can ring.
  const words = Buffer.from('panic: no working init found\r\n');
  end.writer.put(0, words);
  end.writer.advance(words.length);
  await host.destroy(alice);
  await viewer.shown('panic: no working init found\r\n');
  await viewer.gone;
  expect(host.logged('alice')).toBe('panic: no working init found\r\n');
  await expect.poll(() => host.isGone(alice)).toBe(true);
});

test('indices that cannot be are ignored, also of a guest that then goes on as it should', async () => {
  const mallory = await host.guest('mallory');
  const alice = await host.guest('alice');
  await host.terminal(mallory);
  const { end, ring } = mallory.ring();
  end.writer.advance(2049);
  ring();
  end.writer.advance(0xffff_ffff);
  ring();
  ConsoleFront.open(alice.platform, () => {})!.write('fine\r\n');
  const viewer = await host.join(alice);
  await viewer.shown('fine\r\n');
  expect(existsSync(join(host.directory, 'guest-mallory.log'))).toBe(false);
  end.writer.put(0, Buffer.from('sorry\r\n'));
  end.writer.advance(7);
  ring();
  await expect.poll(() => existsSync(join(host.directory, 'guest-mallory.log'))).toBe(true);
  await expect.poll(() => host.logged('mallory')).toBe('sorry\r\n');
});

test('a guest that rings without end is heard thirty times in 200 ms, and the others as ever', async () => {
  const mallory = await host.guest('mallory');
  const alice = await host.guest('alice');
  await host.terminal(mallory);
  const { end, ring } = mallory.ring();
  let heard = 0;
  let asked = false;
  const from = performance.now();
  const flood = Buffer.alloc(8, 'x');
  for (let turn = 0; heard < 70; turn++) {
    const at = end.writer.position;
    const room = end.writer.room(at);
    if (room.ok && room.bytes === 2048) {
      heard++;
      end.writer.put(at, flood);
      end.writer.advance(at + flood.length);
    }
    ring();
    if (turn % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (heard < 31 || asked) continue;
    asked = true;
    ConsoleFront.open(alice.platform, () => {})!.write('and I?\r\n');
  }
  expect(performance.now() - from).toBeGreaterThan(190);
  const viewer = await host.join(alice);
  await viewer.shown('and I?\r\n');
});

test('what nobody reads is kept: its beginning and its end, and how much lies between', async () => {
  const alice = await host.guest('alice');
  await host.dom0.write(`/local/domain/${alice.domid}/console/limit`, '10000');
  const { end, ring } = alice.ring();
  await host.terminal(alice);
  let sent = 0;
  while (sent < 60_000) {
    const at = end.writer.position;
    const room = end.writer.room(at);
    if (room.ok && room.bytes === 2048) {
      end.writer.put(at, Buffer.from(`${sent} `.padEnd(2048, '.')));
      end.writer.advance(at + 2048);
      sent += 2048;
    }
    ring();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => host.logged('alice').length).toBe(sent);
  const viewer = await host.join(alice);
  await viewer.shown('bytes were dropped here');
  await viewer.shown(`${sent - 2048} `.padEnd(2048, '.'));
  expect(viewer.text().startsWith('0 ...')).toBe(true);
  const dropped = Number(/\[(\d+) bytes were dropped here\]/.exec(viewer.text())?.[1]);
  expect(viewer.text().length - `\r\n[${dropped} bytes were dropped here]\r\n`.length).toBe(sent - dropped);
}, 20_000);

test('a log that is full is set aside, and so many of them are kept', async () => {
  await host.stopServing();
  host.logOptions = { maxBytes: 1000, keep: 2, times: 'stamped' };
  await host.serve();
  const alice = await host.guest('alice');
  const viewer = await host.join(alice);
  const console = ConsoleFront.open(alice.platform, () => {});
  for (let line = 0; line < 100; line++) {
    console!.write(`this is line ${line}\r\n`);
    if (line % 10 === 9) await viewer.shown(`line ${line}\r\n`);
  }
  expect(readdirSync(host.directory).sort()).toEqual([
    'guest-alice.log',
    'guest-alice.log.1',
    'guest-alice.log.2',
  ]);
  expect(host.logged('alice')).toMatch(/^(\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] this is line \d+\r\n)+$/);
  expect(host.logged('alice').endsWith('line 99\r\n')).toBe(true);
});

test('a log that cannot be written is told once, and goes on when it can', async () => {
  rmSync(host.directory, { recursive: true });
  mkdirSync(join(host.directory, 'guest-alice.log'), { recursive: true });
  const alice = await host.guest('alice');
  const viewer = await host.join(alice);
  const console = ConsoleFront.open(alice.platform, () => {});
  console!.write('one\r\n');
  console!.write('two\r\n');
  await viewer.shown('one\r\ntwo\r\n');
  expect(host.log).toHaveLength(1);
  expect(host.log[0]).toMatch(/guest-alice\.log: EISDIR/);
});

test('a server that is started again finds its guests, and nothing that they said is lost or doubled in their logs', async () => {
  const alice = await host.guest('alice');
  const console = ConsoleFront.open(alice.platform, () => {});
  const first = await host.terminal(alice);
  const viewer = host.look(first);
  console!.write('before\r\n');
  await viewer.shown('before\r\n');
  await host.stopServing();
  await viewer.gone;
  viewer.close();
  expect(await host.dom0.readText(`/local/domain/${alice.domid}/console/tty`)).toBe('');
  console!.write('meanwhile\r\n');
  await host.serve();
  const again = await host.join(alice);
  await again.shown('meanwhile\r\n');
  console!.write('after\r\n');
  await again.shown('meanwhile\r\nafter\r\n');
  expect(host.logged('alice')).toBe('before\r\nmeanwhile\r\nafter\r\n');
});

test('a console whose server has become somebody else is let go', async () => {
  const alice = await host.guest('alice');
  const viewer = await host.join(alice);
  await host.dom0.write(`/local/domain/${alice.domid}/console/type`, 'ioemu');
  await host.dom0.write(`/local/domain/${host.server.domid}/backend/console/${alice.domid}/0/online`, '1');
  await viewer.gone;
  expect(host.log).toEqual([]);
});

test('a guest that shuts its port, or ends without a word, is nothing to its server and to who types', async () => {
  const mallory = await host.guest('mallory');
  const zombie = await host.guest('zombie');
  const alice = await host.guest('alice');
  const viewers = [await host.join(mallory), await host.join(zombie)];
  const { port } = mallory.platform.console.ring();
  const evtchn = mallory.platform.openEvtchn();
  evtchn.bind(port);
  evtchn.notify(port);
  evtchn.unbind(port);
  const ctrl = host.sim.machine.platformFor(0).openCtrl();
  // Its nodes stay for now.
  ctrl.destroyDomain(zombie.domid);
  ctrl.close();
  for (const viewer of viewers) viewer.type('hello?\r'.repeat(300));
  ConsoleFront.open(alice.platform, () => {})!.write('fine\r\n');
  const viewer = await host.join(alice);
  await viewer.shown('fine\r\n');
  await host.destroy(zombie);
  await viewers[1]!.gone;
  expect(host.log).toEqual([]);
});
