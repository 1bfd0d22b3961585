/**
 * A TAP device in the network bench: netback's uplink in a network namespace of the bench's own, frames into and out of it, and what a bare loop on such a
 * device does with the same frames (net-tap-main.ts).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NetNamespace } from '../netback/netns.ts';
import type { BareWord } from './net-tap-main.ts';
import { type LoadFrame, vnetHeader } from './netframes.ts';

/** netback's device, and those of bare loops. */
const UPLINK = 'sd0uplink';
const BARE = 'sd0bare';

export const uplinkFlags: readonly string[] = ['--uplink', UPLINK, '--uplink-address', '10.99.0.254/24'];

export class TapBench {
  readonly #space: NetNamespace;
  #source: ChildProcess | undefined;

  constructor(space: NetNamespace) {
    this.#space = space;
  }

  /** The uplink's address, which guests' switch has learned when this returns. */
  learn(): Uint8Array {
    try {
      // Asks who has it, and nobody answers.
      this.#space.run('ping', '-c', '1', '-W', '1', '10.99.0.99');
    } catch {}
    const link = this.#space.run('ip', '-o', 'link', 'show', UPLINK);
    const mac = /link\/ether ([0-9a-f:]{17})/.exec(link)?.[1] ?? '';
    return Uint8Array.from(Buffer.from(mac.replaceAll(':', ''), 'hex'));
  }

  /** Frames that the machine has had from the uplink. */
  arrived(): number {
    const line = new RegExp(`${UPLINK}: *\\d+ +(\\d+)`).exec(
      readFileSync('/proc/thread-self/net/dev', 'latin1'),
    );
    return Number(line?.[1]);
  }

  /** The machine sends this to the uplink, without end. */
  send({ frame }: LoadFrame): void {
    this.#source = spawnBare('send', UPLINK, frame);
  }

  async silence(): Promise<void> {
    await end(this.#source);
    this.#source = undefined;
  }

  /** Frames in a second of CPU time, written by a bare loop. */
  async bareWriting(frame: LoadFrame, seconds: number): Promise<number> {
    const loop = spawnBare('write', BARE, Buffer.concat([vnetHeader(frame), frame.frame]), seconds);
    const [word] = (await once(loop, 'message')) as [BareWord];
    await end(loop);
    return word.frames / word.cpuSeconds;
  }

  /** Frames in a second of CPU time, read by a bare loop. */
  async bareReading({ frame }: LoadFrame, seconds: number): Promise<number> {
    const loop = spawnBare('read', BARE, frame, seconds);
    await once(loop, 'message');
    const source = spawnBare('send', BARE, frame);
    const [word] = (await once(loop, 'message')) as [BareWord];
    await end(source);
    await end(loop);
    return word.frames / word.cpuSeconds;
  }
}

function spawnBare(what: string, device: string, frame: Uint8Array, seconds = 0): ChildProcess {
  const program = join(import.meta.dirname, 'net-tap-main.js');
  return fork(program, [what, device, Buffer.from(frame).toString('base64'), `${seconds}`]);
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
