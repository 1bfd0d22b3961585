#!/usr/bin/env node
/**
 * The generator of the disk bench: a guest with our own driver and one disk. Keeps so many requests under way for as long as it is told, and says
 * how many were answered. Spawned by disk.ts, which speaks to it over Node's channel.
 */
import type { FrontDisk } from '../../blkback/front/disk.ts';
import { blkfront } from '../../blkback/front/driver.ts';
import { FrontOp } from '../../blkback/front/requests.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { connect } from '../../xenstored/client/index.ts';

/** What a guest's disk is loaded with. */
export interface DiskLoad {
  readonly write: boolean;
  readonly random: boolean;
  /** Bytes. */
  readonly block: number;
  readonly depth: number;
  /** Before, and while it counts. */
  readonly warmupMs: number;
  readonly countMs: number;
}

/** What it says: once that its disk is there, then an answer to each load. */
export type DiskWord =
  | { readonly what: 'ready'; readonly sectors: number }
  | {
      readonly what: 'counted';
      readonly requests: number;
      readonly seconds: number;
      readonly failed: number;
    };

const say = (word: DiskWord): void => void process.send?.(word);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const [run, token] = process.argv.slice(2);
const platform = simPlatform({ run: run!, token: token! });
const store = await connect({ platform });
const disk = await new Promise<FrontDisk>((resolve) => {
  const onDisk = (_: number, made: FrontDisk): void => resolve(made);
  void runFrontends(blkfront({ platform, ringPages: 4, onDisk }), { store });
});
const { sectors } = disk.properties!;
const memories = new Map<number, readonly Uint8Array[]>();

/** The same memory for all loads of a kind, as a guest has it. */
function memoryFor(block: number, depth: number): readonly Uint8Array[] {
  let memory = memories.get(block);
  if (memory === undefined || memory.length < depth) {
    const all = disk.allocate(block * depth).fill(0x5a);
    memory = Array.from({ length: depth }, (_, i) => all.subarray(i * block, (i + 1) * block));
    memories.set(block, memory);
  }
  return memory;
}

async function carryOut({ write, random, block, depth, warmupMs, countMs }: DiskLoad): Promise<void> {
  const memory = memoryFor(block, depth);
  const op = write ? FrontOp.WRITE : FrontOp.READ;
  const step = block / 512;
  const blocks = Math.floor(sectors / step);
  let [done, next, seed, underWay, failed, stopped] = [0, 0, 1, 0, 0, false];
  let whenIdle = (): void => {};
  const begin = (tag: number): void => {
    seed = (seed * 48271) % 0x7fff_ffff;
    const at = random ? seed % blocks : next++ % blocks;
    underWay++;
    disk.submit(op, at * step, memory[tag]!, tag);
  };
  disk.onDone = (tag, status) => {
    underWay--;
    done++;
    if (status !== 0) failed++;
    if (!stopped) begin(tag);
    else if (underWay === 0) whenIdle();
  };
  for (let tag = 0; tag < depth; tag++) begin(tag);
  disk.kick();
  await pause(warmupMs);
  const [from, began] = [done, performance.now()];
  await pause(countMs);
  const [requests, seconds] = [done - from, (performance.now() - began) / 1000];
  stopped = true;
  if (underWay > 0) {
    await new Promise<void>((resolve) => {
      whenIdle = resolve;
    });
  }
  say({ what: 'counted', requests, seconds, failed });
}

process.on('message', (load: DiskLoad) => void carryOut(load));
process.on('disconnect', () => process.exit());
say({ what: 'ready', sectors });
