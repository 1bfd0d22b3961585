// Linux's TCP at both ends, each behind a TAP in a network namespace of its own, and our network in between: large packets and blank checksums go through
// as they are, and files come whole, both ways. Where one end takes only small frames, the machine cuts them for it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { Network } from '../../netback/vif/core/network.ts';
import { PacketPool } from '../../netback/vif/core/packets.ts';
import { Spare, TapWire } from '../../netback/vif/io/uplink.ts';
import { parseAddress, setAddress, setUp } from '../../osdep/os/netdev.ts';
import { Tap } from '../../osdep/os/tap.ts';
import { TapWriter } from '../../osdep/os/tapwriter.ts';
import { NetNamespace, noNamespaces, whyNot } from './netns.ts';

const BYTES = 8 << 20;

/** Takes a file and answers with its MD5; then gives it back. */
const SERVER = `
import { createServer } from 'node:net';
import { createHash } from 'node:crypto';
createServer({ allowHalfOpen: true }, (socket) => {
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('end', () => socket.end(Buffer.concat(chunks)));
}).listen(9000, () => console.log('listening'));`;
const CLIENT = `
import { connect } from 'node:net';
import { randomBytes } from 'node:crypto';
const bytes = randomBytes(${BYTES});
const socket = connect(9000, process.argv[1]);
socket.end(bytes);
const chunks = [];
socket.on('data', (chunk) => chunks.push(chunk));
socket.on('end', () => console.log(Buffer.concat(chunks).equals(bytes) ? 'the same' : 'something else'));`;

describe.skipIf(noNamespaces !== undefined)(`TCP through TAP devices${whyNot}`, () => {
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  function node(space: string, script: string, ...args: readonly string[]): ChildProcess {
    const program = ['node', '--input-type=module', '-e', script, '--', ...args];
    const child = spawn('ip', ['netns', 'exec', space, ...program], { stdio: ['ignore', 'pipe', 'inherit'] });
    stops.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    return child;
  }

  async function says(child: ChildProcess): Promise<string> {
    const [text] = (await once(child.stdout!, 'data')) as [Buffer];
    return text.toString().trim();
  }

  test.each([
    ['both take large packets', true],
    ['one takes small ones only', false],
  ])('%s', { timeout: 60_000 }, async (_, large) => {
    const pool = new PacketPool({ small: 1024, large: 64 });
    const memory = new Uint8Array(pool.memoryBytes);
    const network = new Network(pool, memory, 7);
    const spare = new Spare();
    const writer = new TapWriter({ memory, batches: large ? 'try' : 'no' });
    stops.push(() => writer.close());
    const wires: TapWire[] = [];
    const names: string[] = [];
    for (const [end, address] of ['10.53.0.1/24', '10.53.0.2/24'].entries()) {
      const space = new NetNamespace(`tcp${end}`);
      names.push(space.name);
      stops.push(() => space.leave());
      const tap = new Tap({ name: 'sd0', which: 'new', memory });
      stops.push(() => tap.close());
      const takes = end === 0 || large;
      tap.setOffload({ csum: takes, tso4: takes, tso6: takes });
      setAddress('sd0', parseAddress(address)!);
      setUp('sd0');
      tap.setCarrier(true);
      const full = (): boolean => false;
      const onGone = (): void => {};
      wires.push(new TapWire({ tap, writer, network, memory, spare, now: 0, full, onGone }));
    }
    let stopped = false;
    const pump = (): void => {
      for (const wire of wires) {
        wire.readable();
        wire.read(64, performance.now());
      }
      for (const wire of wires) wire.write();
      if (!stopped) setImmediate(pump);
    };
    pump();
    stops.push(() => {
      stopped = true;
    });
    expect(await says(node(names[1]!, SERVER))).toBe('listening');
    expect(await says(node(names[0]!, CLIENT, '10.53.0.2'))).toBe('the same');
    const { txPackets, txBytes, txErrors } = wires[1]!.statistics;
    expect(txErrors).toBe(0);
    expect(txBytes).toBeGreaterThan(BYTES);
    if (large) expect(txBytes / txPackets).toBeGreaterThan(3000);
    else expect(txBytes / txPackets).toBeLessThan(1515);
    // All but the spare one came back.
    stopped = true;
    for (const wire of wires) wire.write();
    expect(pool.free).toBe(1024 + 64 - 1);
  });
});
