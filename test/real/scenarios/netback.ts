/**
 * Our netback is the network of a guest that knows nothing of it, in a dom0 without Linux's, with Xen's own scripts and a bridge: it answers ping,
 * files come and go whole, interfaces come and go while it runs, and TCP goes on when the backend was killed and started again.
 */
import assert from 'node:assert/strict';
import { DOM0_ADDRESS, netbackSaid, startNetback } from '../dom0/netback.ts';
import { GIVES, startTcpPeer, TAKES } from '../dom0/tcppeer.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const ADDRESS = '10.9.0.2';
const MIB = 8;
const LOAD_MIB = 2;
/** Files that are measured, and for how long. */
const MEASURED_MIB = 8;
const MEASURED_S = 20;
const FILES_MIN = 4;
const KILLS = 3;

/** An interface of the guest with its address. */
const UP = `
up() {
  until [ -e /sys/class/net/$1 ]; do sleep 0.1; done
  ip addr add $2/24 dev $1; ip link set $1 up
}
take() { nc ${DOM0_ADDRESS} ${GIVES} </dev/null | md5sum | cut -c1-32; }
give() { nc ${DOM0_ADDRESS} ${TAKES} </tmp/data; }
data() { head -c $1m /dev/urandom >/tmp/data; md5=$(md5sum </tmp/data | cut -c1-32); }
up eth0 ${ADDRESS}`;

const COMES_AND_GOES = `${UP}
data ${MIB}
echo "GIVEN $md5 $(give)."
echo "TAKEN $(take)."
up eth1 10.10.0.2
echo "SECOND $(cat /sys/class/net/eth1/address)."
while [ -e /sys/class/net/eth1 ]; do sleep 0.1; done
echo DETACHED
echo "AGAIN $(take)."
read -r forever </dev/console`;

/** Both directions at once, for ever. */
const LOAD = `${UP}
data ${LOAD_MIB}
( while :; do [ "$(take)" = "$want" ] && echo TOOK. || echo WRONG-TAKEN; done ) &
( while :; do [ "$(give)" = "$md5" ] && echo GAVE. || echo WRONG-GIVEN; done ) &
read -r forever </dev/console`;

const MEASURED = `${UP}
data ${MEASURED_MIB}
while :; do give; take; done >/dev/null`;

const MAC = '00:16:3e:09:00:02';
const vif = `mac=${MAC},bridge=xenbr0`;

function netGuest(lab: Lab, name: string, script: string): Guest {
  return lab.guest({ name, memory: 128, script, vifs: [vif] });
}

/** How each interface was connected, as the program tells. */
function manners(lab: Lab): void {
  for (const [, line] of netbackSaid().matchAll(/^netback: (.*(?:connected|taken over): .*)$/gm))
    lab.log(line!);
}

async function ping(lab: Lab, address: string, count: number): Promise<void> {
  const { stdout } = await lab.exec('ping', ['-c', `${count}`, '-W', '5', address], { limitS: 60 });
  assert.match(stdout, / 0% packet loss/);
}

async function devices(lab: Lab): Promise<string> {
  return (await lab.sh('ls /sys/class/net')).stdout;
}

/** MB/s to and from a guest, the median of as many files as go in a while. */
async function measured(lab: Lab, name: string): Promise<{ readonly given: number; readonly taken: number }> {
  const peer = await startTcpPeer(MEASURED_MIB);
  try {
    await netGuest(lab, name, MEASURED).create();
    await lab.until('the first file', () => peer.given.length > 0, 300);
    const end = lab.uptime() + MEASURED_S;
    await lab.until('files', () => lab.uptime() > end && peer.given.length >= FILES_MIN, 300);
    await lab.exec('xl', ['destroy', name]);
    return { given: median(peer.given), taken: median(peer.taken) };
  } finally {
    await peer.close();
  }
}

/** Without the first one. */
function median(rates: readonly number[]): number {
  const sorted = rates.slice(1).sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'our netback: ping, files, an interface attached and detached',
    stores: ['ours', 'c'],
    limitS: 600,
    async run(lab) {
      const program = await lab.step('netback', () => startNetback(lab));
      const peer = await startTcpPeer(MIB);
      try {
        await lab.sh('ip addr add 10.10.0.1/24 dev xenbr0');
        const guest = netGuest(lab, 'net', COMES_AND_GOES);
        await lab.step('xl create', () => guest.create());
        await lab.step('a file each way', () => guest.says(/TAKEN .*\./, 300));
        const said = await guest.console();
        assert.match(said, new RegExp(`TAKEN ${peer.md5}\\.`));
        assert.match(said, /GIVEN (\w{32}) \1\./);
        manners(lab);
        const domid = await guest.domid();
        assert.match((await lab.sh('ls /sys/class/net/xenbr0/brif')).stdout, new RegExp(`vif${domid}\\.0`));
        await lab.step('ping', () => ping(lab, ADDRESS, 5));
        await lab.step('xl network-attach', () =>
          lab.exec('xl', ['network-attach', 'net', 'mac=00:16:3e:09:00:03', 'bridge=xenbr0']),
        );
        await guest.says(/SECOND 00:16:3e:09:00:03\./, 120);
        await lab.step('ping of the second', () => ping(lab, '10.10.0.2', 3));
        await lab.step('xl network-detach', () => lab.exec('xl', ['network-detach', 'net', '1']));
        assert.doesNotMatch(await devices(lab), new RegExp(`vif${domid}\\.1`));
        await guest.says(/DETACHED\s+AGAIN .*\./, 240);
        assert.match(await guest.console(), new RegExp(`AGAIN ${peer.md5}\\.`));
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'net']));
        assert.doesNotMatch(await devices(lab), /vif/);
        const { stdout } = await lab.exec('xenstore-ls', ['-f', '/local/domain/0/backend'], {
          mayFail: true,
        });
        assert.doesNotMatch(stdout, /vif\/\d+\/\d+/, 'nothing is left in the store');
        assert.doesNotMatch(netbackSaid(), /tried again|internal error/);
      } finally {
        await program.kill();
        await peer.close();
      }
    },
  },
  {
    name: 'our netback: kill -9 under load',
    stores: ['ours', 'c'],
    limitS: 600,
    async run(lab) {
      let program = await startNetback(lab);
      const peer = await startTcpPeer(LOAD_MIB);
      try {
        const guest = netGuest(lab, 'load', `want=${peer.md5}\n${LOAD}`);
        await lab.step('xl create', () => guest.create());
        // A device without its program has no carrier. After three seconds of that dom0 gives up asking for a guest's address, and ends connections that
        // are just being opened, whoever serves; starting again takes longer under emulation.
        await lab.sh(`arp -i xenbr0 -s ${ADDRESS} ${MAC}`);
        const rounds = () => Math.min(peer.given.length, peer.taken.length);
        const more = (count: number) => {
          const before = rounds();
          return lab.until(`${count} more rounds`, () => rounds() >= before + count, 200);
        };
        await lab.step('files both ways', () => more(2));
        for (let i = 0; i < KILLS; i++) {
          await program.kill();
          await lab.step('killed; started again', async () => {
            program = await startNetback(lab);
          });
          await lab.step('two more files each way', () => more(2));
        }
        assert.doesNotMatch(await guest.console(), /WRONG/);
        const device = `/vif/${await guest.domid()}/0`;
        const takeovers = netbackSaid().match(new RegExp(`${device}: taken over`, 'g')) ?? [];
        assert.equal(takeovers.length, KILLS);
        lab.figure('files each way', rounds());
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'load']));
        assert.doesNotMatch(await devices(lab), /vif/);
      } finally {
        await program.kill();
        await peer.close();
      }
    },
  },
  {
    name: "our netback beside Linux's: TCP",
    stores: ['ours'],
    limitS: 800,
    async run(lab) {
      const program = await startNetback(lab);
      const ours = await lab.step('ours', () => measured(lab, 'ours')).finally(() => program.kill());
      await lab.exec('insmod', ['/lib/modules/xen-netback.ko']);
      const linux = await lab.step("Linux's", () => measured(lab, 'linux'));
      await lab.exec('rmmod', ['xen-netback']);
      for (const [what, way] of [
        ['dom0 to guest', 'given'],
        ['guest to dom0', 'taken'],
      ] as const) {
        const [mine, theirs] = [ours[way], linux[way]];
        const figure = `${mine.toFixed(1)}, ${theirs.toFixed(1)} (${(mine / theirs).toFixed(2)})`;
        lab.figure(`${what}: ours, Linux's MB/s (ratio)`, figure);
      }
    },
  },
];
