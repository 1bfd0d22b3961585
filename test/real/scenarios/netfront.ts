/**
 * The driver of our simulated guests as a peer of Linux's netback, which has never heard of it: in dom0, over real grants and event channels. All that the
 * two agree on is used: several queues with two ports each, packets of several slots, large TCP packets and blank checksums both ways, groups, and
 * hashes by the control ring.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { Toeplitz } from '../../../netback/vif/core/toeplitz.ts';
import { KERNEL_DEVICE, type OwnInterface, ownInterface } from '../dom0/netfront.ts';
import type { Lab, Scenario } from '../lab/scenario.ts';

const HOST = '10.12.0.2';
const KERNEL = '10.12.0.1';
const MIB = 4;
const KEY = Uint8Array.from({ length: 40 }, (_, i) => (i * 37 + 11) & 0xff);
const IPV4_TCP = 1;

const md5 = (parts: readonly Uint8Array[]): string => {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** A slow machine may lose some of a large packet's pieces: one that comes back is enough. */
async function ping(lab: Lab, bytes: number): Promise<void> {
  const { stdout } = await lab.exec('ping', ['-c', '3', '-W', '5', '-s', `${bytes}`, HOST], {
    limitS: 40,
    mayFail: true,
  });
  assert.match(stdout, /, [123] packets received/, `${bytes} bytes`);
}

async function udpEcho(bytes: number): Promise<void> {
  const socket = createSocket('udp4');
  const data = Buffer.alloc(bytes, 'x');
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(20_000) });
  socket.send(data, 7, HOST);
  assert.deepEqual((await answer)[0], data);
  socket.close();
}

/** To the host and from it; MB/s each. */
async function files(
  lab: Lab,
  { listen, nic }: OwnInterface,
): Promise<{ readonly to: number; readonly from: number }> {
  const file = Buffer.from(
    Uint32Array.from({ length: MIB << 18 }, (_, i) => Math.imul(i, 0x9e3779b1)).buffer,
  );
  const [into, out] = [listen(5001), listen(5002)];
  let began = performance.now();
  const giver = createConnection(5001, HOST);
  giver.end(file);
  await into.ended;
  giver.destroy();
  const to = (MIB * 1048.576) / (performance.now() - began);
  assert.equal(md5(into.received), md5([file]));
  lab.log(`came: ${JSON.stringify(into.counts)}`);
  assert.equal(into.counts.wrong, 0, 'checksums');
  assert.ok(into.counts.large > 20, `${into.counts.large} large packets came`);
  assert.ok(into.counts.blank > 20, `${into.counts.blank} blank checksums came`);
  const before = nic.counts.txFrames;
  began = performance.now();
  const taker = createConnection(5002, HOST);
  const parts: Uint8Array[] = [];
  let there = 0;
  const all = new Promise<void>((resolve) =>
    taker.on('data', (part) => {
      parts.push(part);
      there += part.length;
      if (there >= file.length) resolve();
    }),
  );
  await once(taker, 'connect');
  await out.send(file);
  await all;
  const from = (MIB * 1048.576) / (performance.now() - began);
  taker.destroy();
  assert.equal(md5(parts), md5([file]));
  assert.ok(nic.counts.txFrames - before < file.length / 4096, 'they went out large');
  return { to, from };
}

async function hashes({ nic, received }: OwnInterface): Promise<void> {
  const control = nic.control!;
  assert.equal(await control.hashFlags(), 15);
  await control.setHash({ flags: 15, key: KEY, mapping: [0, 1, 2, 3] });
  received.length = 0;
  // Nobody listens there: the packet with SYN is all that is wanted.
  const socket = createConnection(5003, HOST);
  socket.on('error', () => {});
  const toeplitz = new Toeplitz();
  toeplitz.setKey(KEY);
  for (let i = 0; i < 100 && received.every(({ frame }) => frame[23] !== 6); i++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  const found = received.find(({ frame }) => frame[12] === 8 && frame[13] === 0 && frame[23] === 6);
  assert.ok(found, 'a packet of TCP came');
  assert.equal(found.meta.hash?.type, IPV4_TCP);
  assert.equal(found.meta.hash?.value, toeplitz.add(0, 0, found.frame, 26, 12));
  socket.destroy();
  await assert.rejects(control.setHash({ flags: 15, key: KEY, mapping: [4] }), /invalid parameter/);
  await control.clearHash();
}

async function groups(lab: Lab, { nic, received }: OwnInterface): Promise<void> {
  const group = (last: number): Uint8Array => Uint8Array.of(1, 0, 0x5e, 1, 1, last);
  assert.equal(await nic.joinGroup(group(1)), true);
  received.length = 0;
  const socket = createSocket('udp4');
  socket.bind();
  await once(socket, 'listening');
  socket.setMulticastInterface(KERNEL);
  // What this kernel sends itself is not filtered, only what it passes on; that the orders are carried out is all that can be seen.
  socket.send('joined', 9, '239.1.1.1');
  await lab.until('a packet to the group', () =>
    received.some(({ frame }) => frame[5] === 1 && frame[0] === 1),
  );
  assert.equal(await nic.leaveGroup(group(1)), true);
  socket.close();
}

export const scenarios: readonly Scenario[] = [
  {
    name: "our frontend and Linux's netback",
    stores: ['ours', 'c'],
    async run(lab) {
      const wishes = { queues: 4, multicastControl: true };
      const own = await lab.step('connected', () =>
        ownInterface(lab, { host: `${HOST}/24`, kernel: `${KERNEL}/24` }, wishes),
      );
      try {
        assert.equal(own.nic.queues, 4);
        assert.notEqual(own.nic.control, undefined);
        lab.log(`it takes ${JSON.stringify(own.nic.offered)}`);
        await lab.step('ping of any size', async () => {
          for (const bytes of [0, 56, 1472, 1473, 20_000]) await ping(lab, bytes);
        });
        await lab.step('UDP', async () => {
          for (const bytes of [1, 1400, 5000]) await udpEcho(bytes);
        });
        await lab.step('groups', () => groups(lab, own));
        await lab.step('a file each way over TCP', async () => {
          const { to, from } = await files(lab, own);
          lab.figure('MB/s to it, from it', `${to.toFixed(1)}, ${from.toFixed(1)}`);
        });
        await lab.step('hashes', () => hashes(own));
        lab.log(`counted: ${JSON.stringify(own.nic.counts)}`);
        await lab.step('connected again', async () => {
          const { nic } = own;
          nic.reconnect();
          await lab.until('another connection', () => own.connections === 2, 20);
          assert.equal(nic.closed.aborted, true);
          await lab.sh(`ip link set ${KERNEL_DEVICE} up`);
          await ping(lab, 1400);
        });
        const { txErrors, rxErrors } = own.nic.counts;
        assert.deepEqual({ txErrors, rxErrors }, { txErrors: 0, rxErrors: 0 });
        assert.deepEqual(
          own.said.filter((line) => /backend/.test(line)),
          [],
        );
      } finally {
        await lab.step('removed', () => own.remove());
        await lab.exec('rmmod', ['xen-netback'], { mayFail: true });
      }
    },
  },
];
