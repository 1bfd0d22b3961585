/**
 * Linux's own PV Calls frontend, in a guest that xl made, and our xensock in dom0: connections either way, files and their sums, many sockets at a
 * time; the frontend's device goes with live sockets and comes again; and the backend is killed under traffic.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { ECHOES, GIVES, startTcpPeer, TAKES } from '../dom0/tcppeer.ts';
import { DOM0, PVCALLS, startXensock, xensockSaid } from '../dom0/xensock.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const MIB = 4;
const KILLS = 2;
const HELD = 5;
const FILES = ['/app/guest/pvcalls-glue.ko', '/app/guest/pvcalls'];
/** Where the guest listens: it echoes, it gives half a MiB, it holds what comes. */
const [ECHO, GIVE, HOLD] = [7000, 7001, ECHOES + 1];

const SETUP = `
p=/pvcalls
insmod /pvcalls-glue.ko || echo NO-MODULE
get() { $p get ${DOM0} ${GIVES} | md5sum | cut -c1-32; }
head -c ${MIB}m /dev/urandom >/tmp/data`;

const BOTH_WAYS = `${SETUP}
echo "GOT $(get)."
$p put ${DOM0} ${TAKES} </tmp/data; echo "PUT $(md5sum </tmp/data | cut -c1-32)."
echo "ECHO $($p echo ${DOM0} ${ECHOES} 512 1)."
echo "ECHO $($p echo ${DOM0} ${ECHOES} 128 16)."
echo "MANY $($p many ${DOM0} ${ECHOES} 100)."
echo "REFUSED $($p get ${DOM0} 9)."
$p serve ${ECHO} 10; echo SERVED.
$p serve ${GIVE} 1 512; echo GAVE.
read -r forever </dev/console`;

const GOES_AND_COMES = `${SETUP}
device=$(basename /sys/bus/xen/drivers/pvcalls/pvcalls-*)
back() { until [ "$(xenstore-read $(xenstore-read device/pvcalls/0/backend)/state)" = $1 ]; do sleep 0.1; done; }
unbind() { echo $device >/sys/bus/xen/drivers/pvcalls/unbind; back 6; }
# This frontend takes a backend that is still Closed when it begins for one that closes.
open() { xenstore-write device/pvcalls/0/state 1; back 2; }
mkfifo /tmp/go
$p hold ${DOM0} ${ECHOES} ${HELD} </tmp/go >/tmp/held & exec 3>/tmp/go
until grep -q holding /tmp/held; do sleep 0.1; done
echo HOLDING.
until [ -n "$(xenstore-read data/go 2>/dev/null)" ]; do sleep 0.2; done
unbind; echo UNBOUND.
exec 3>&-; wait; sed 's/^/held: /' /tmp/held
until [ -n "$(xenstore-read data/again 2>/dev/null)" ]; do sleep 0.2; done
open; echo $device >/sys/bus/xen/drivers/pvcalls/bind; echo BOUND.
echo "GOT $(get)."
unbind
rmmod pvcalls_glue && echo REMOVED.
open; insmod /pvcalls-glue.ko
echo "AGAIN $(get)."
read -r forever </dev/console`;

const BUSY = `${SETUP}
while :; do $p echo ${DOM0} ${ECHOES} 64 4; done &
$p serve ${ECHO} 1000 &
read -r forever </dev/console`;

function pvcallsGuest(lab: Lab, name: string, script: string): Guest {
  return lab.guest({ name, memory: 160, script, files: FILES, config: [PVCALLS] });
}

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** All that comes from a port of the guest's; to send until as much has come back: `bytes`. */
async function talked(port: number, bytes?: Buffer): Promise<Buffer> {
  const socket = createConnection(port, DOM0);
  await once(socket, 'connect');
  const parts: Buffer[] = [];
  let there = 0;
  socket.on('data', (part: Buffer) => {
    parts.push(part);
    there += part.length;
    if (there === bytes?.length) socket.end();
  });
  if (bytes !== undefined) socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(parts);
}

/** dom0 reaches the guest's listening sockets: one connection, eight at a time, one that dom0 resets, and one that the guest ends. */
async function served(lab: Lab, guest: Guest): Promise<void> {
  const random = Buffer.from(
    Uint32Array.from({ length: 1 << 16 }, (_, i) => Math.imul(i, 0x9e3779b1)).buffer,
  );
  await guest.says(/serving/, 60);
  await lab.step('dom0 to the guest and back', async () => {
    assert.equal(md5(await talked(ECHO, random)), md5(random));
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, i) => talked(ECHO, random.subarray(i * 999))),
    );
    for (const [i, one] of all.entries()) assert.equal(md5(one), md5(random.subarray(i * 999)));
  });
  await lab.step('a connection that dom0 resets', async () => {
    const socket = createConnection(ECHO, DOM0);
    socket.write('a word');
    await once(socket, 'data');
    socket.resetAndDestroy();
    await guest.says(/a connection: error 104/, 20);
  });
  await guest.says(/SERVED\.[\s\S]*serving/, 60);
  await lab.step('what a released socket had is still sent', async () => {
    assert.equal((await talked(GIVE)).length, 512 * 1024);
  });
  await guest.says(/GAVE\./);
}

/** The guest's part of the store has what the backend is to see. */
async function tell(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.exec('xenstore-write', [`/local/domain/${await guest.domid()}/data/${name}`, '1']);
}

async function nothingLeft(lab: Lab): Promise<void> {
  const { stdout } = await lab.exec('xenstore-ls', ['-f', '/local/domain/0/backend'], { mayFail: true });
  assert.doesNotMatch(stdout, /pvcalls\/\d+\/\d+/, 'nothing is left in the store');
  assert.doesNotMatch(xensockSaid(), /tried again|internal error/);
}

export const scenarios: readonly Scenario[] = [
  {
    name: "Linux's PV Calls frontend and our xensock: files, connections both ways",
    stores: ['ours', 'c'],
    needs: ['pvcalls'],
    limitS: 400,
    async run(lab) {
      const program = await lab.step('xensock', () => startXensock(lab));
      const peer = await startTcpPeer(MIB);
      try {
        const guest = pvcallsGuest(lab, 'calls', BOTH_WAYS);
        await lab.step('xl create', () => guest.create());
        await lab.step('a file to the guest', () => guest.says(/GOT .*\./, 90));
        assert.match(await guest.console(), new RegExp(`GOT ${peer.md5}\\.`));
        const put = await lab.step('a file from the guest', () => guest.says(/PUT .*\./, 90));
        await lab.until('its end', () => peer.sums.length === 1, 20);
        assert.equal(put, `PUT ${peer.sums[0]}.`);
        await lab.step('streams that come back, one and sixteen', () =>
          guest.says(/ECHO 1 streams of 524288 .*\s+ECHO 16 streams of 131072 .*\./, 120),
        );
        const many = await lab.step('a hundred connections', () => guest.says(/MANY .*\./, 120));
        lab.figure('connections/s', (100 / Number(/([\d.]+) s/.exec(many)?.[1])).toFixed(0));
        assert.equal(await guest.says(/REFUSED .*\./, 30), 'REFUSED connect: error 111.');
        await served(lab, guest);
        const [given, taken] = [peer.given[0]!, peer.taken[0]!];
        lab.figure('MB/s to the guest, from it', `${given.toFixed(1)}, ${taken.toFixed(1)}`);
        await lab.until('every connection is closed', () => peer.open === 0, 20);
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'calls']));
        await nothingLeft(lab);
      } finally {
        await program.kill();
        await peer.close();
      }
    },
  },
  {
    name: "Linux's PV Calls frontend: its device goes with live sockets, and comes again",
    stores: ['ours', 'c'],
    needs: ['pvcalls'],
    async run(lab) {
      const program = await lab.step('xensock', () => startXensock(lab));
      const peer = await startTcpPeer(1);
      try {
        const guest = pvcallsGuest(lab, 'comes', GOES_AND_COMES);
        await lab.step('xl create', () => guest.create());
        await lab.step('connections that say nothing', () => guest.says(/HOLDING\./, 90));
        await lab.until('they are there', () => peer.open === HELD, 20);
        const waiting = createConnection(HOLD, DOM0);
        await once(waiting, 'connect');
        const cut = once(waiting, 'close').catch(() => {});
        await tell(lab, guest, 'go');
        await lab.step('unbound', () => guest.says(/UNBOUND\./, 60));
        await lab.until('they are closed', () => peer.open === 0, 20);
        await cut;
        await guest.says(/let go/, 30);
        await assert.rejects(talked(HOLD), /ECONNREFUSED/);
        await tell(lab, guest, 'again');
        await lab.step('bound again', () => guest.says(/BOUND\.\s+GOT .*\./, 60));
        await lab.step('the module was removed and loaded again', () =>
          guest.says(/REMOVED\.\s+AGAIN .*\./, 60),
        );
        const said = await guest.console();
        assert.equal(said.match(new RegExp(`(GOT|AGAIN) ${peer.md5}\\.`, 'g'))?.length, 2);
        assert.doesNotMatch(said, /BUG|WARNING|deferr/i);
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'comes']));
        await nothingLeft(lab);
      } finally {
        await program.kill();
        await peer.close();
      }
    },
  },
  {
    name: "Linux's PV Calls frontend: kill -9 of our xensock under traffic",
    stores: ['ours', 'c'],
    needs: ['pvcalls'],
    async run(lab) {
      let program = await startXensock(lab);
      const peer = await startTcpPeer(1);
      try {
        const guest = pvcallsGuest(lab, 'busy', BUSY);
        await lab.step('xl create', () => guest.create());
        const rounds = async () => (await guest.console()).split('came back').length - 1;
        const more = async (count: number) => {
          const before = await rounds();
          await lab.until(`${count} more rounds`, async () => (await rounds()) >= before + count, 60);
        };
        await lab.step('streams that come back', () => more(2));
        const word = Buffer.from('a word');
        for (let i = 0; i < KILLS; i++) {
          const idle = createConnection(ECHO, DOM0);
          idle.write(word);
          assert.deepEqual((await once(idle, 'data'))[0], word);
          const cut = once(idle, 'close').catch(() => {});
          const resets = (await guest.console()).split('error 104').length;
          await program.kill();
          await cut;
          await lab.step('killed; started again', async () => {
            program = await startXensock(lab);
          });
          await lab.step('reset, and more of them', async () => {
            await guest.says(new RegExp(`(?:error 104[\\s\\S]*){${resets}}`), 30);
            await more(2);
          });
          await lab.step('the guest listens as before', async () => {
            assert.deepEqual(await talked(ECHO, word), word);
          });
        }
        const said = await guest.console();
        assert.doesNotMatch(said, /wrong byte|ended after|error (?!104)/);
        lab.figure('streams that came back', 4 * (await rounds()));
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'busy']));
        await nothingLeft(lab);
      } finally {
        await program.kill();
        await peer.close();
      }
    },
  },
];
