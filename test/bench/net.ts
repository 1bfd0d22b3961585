/**
 * The network bench: netback as a process of its own, frames from one simulated guest to another, and between a guest and a TAP device, as fast as they go.
 * Figures are by CPU time of netback's process, since a machine of few cores has the generator and the hypervisor on the same ones, and by the clock.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { NetNamespace, noNamespaces } from '../netback/netns.ts';
import { median, ratios, short, times } from './figures.ts';
import { type BuiltProgram, Machine } from './machine.ts';
import { type LoadFrame, tcpFrame, udpFrame } from './netframes.ts';
import { MACS, NetLoad } from './netload.ts';
import { TapBench, uplinkFlags } from './nettap.ts';
import { allocationRate, cpuSeconds } from './processes.ts';
import type { Table } from './table.ts';

export interface NetTiming {
  readonly rounds: number;
  readonly seconds: number;
}

/** One measurement. */
interface Figure {
  readonly perCpuSecond: number;
  readonly perSecond: number;
  /** JavaScript's heap, of a frame; undefined: there have been less than two collections. */
  readonly heapBytes: number | undefined;
  /** A bare loop on a TAP device, frames per CPU second; undefined between guests. */
  readonly bare: number | undefined;
}

export interface NetScore {
  readonly name: string;
  readonly bytes: number;
  readonly rounds: readonly Figure[];
}

interface Row {
  readonly name: string;
  readonly bytes: number;
  begin(): void;
  end(): Promise<void>;
  /** Frames that have arrived so far. */
  arrived(): Promise<number>;
  bare?(seconds: number): Promise<number>;
}

/** Small, so that collections are many and their account is exact. */
const TRACE = ['--trace-gc', '--max-semi-space-size=1'];
const WARM_MS = 1000;

/** `node`: flags for netback's node; `wanted`: rows by name. */
export async function net(
  { rounds, seconds }: NetTiming,
  { node, wanted }: { readonly node: readonly string[]; readonly wanted: RegExp },
  say: (line: string) => void,
): Promise<NetScore[]> {
  if (noNamespaces !== undefined) say(`SKIPPED rows with a TAP device: ${noNamespaces}`);
  const space = noNamespaces === undefined ? new NetNamespace('bench') : undefined;
  const stops: (() => unknown)[] = [];
  // Also when the bench is broken off.
  const leave = (): void => space?.leave();
  process.once('exit', leave);
  try {
    const args = space === undefined ? [] : uplinkFlags;
    const machine = await Machine.start({ program: 'netback/vif', args, node: [...TRACE, ...node] });
    stops.push(() => machine.stop());
    const load = await NetLoad.start(machine);
    stops.push(() => load.stop());
    if (!load.segments) say('SKIPPED rows with GSO: netback does not offer it');
    const rows = [...vifRows(load), ...(space === undefined ? [] : tapRows(load, new TapBench(space)))];
    const scores: NetScore[] = [];
    for (const row of rows.filter(({ name }) => wanted.test(name))) {
      const figures: Figure[] = [];
      for (let round = 0; round < rounds; round++) figures.push(await measure(machine.backend, row, seconds));
      scores.push({ name: row.name, bytes: row.bytes, rounds: figures });
    }
    return scores;
  } finally {
    for (const stop of stops.reverse()) await stop();
    process.off('exit', leave);
    leave();
  }
}

function framesTo(load: NetLoad, to: Uint8Array, from: Uint8Array): LoadFrame[] {
  const frames = [udpFrame('64 bytes', 60, to, from), udpFrame('1500 bytes', 1514, to, from)];
  return load.segments ? [...frames, tcpFrame('GSO', to, from)] : frames;
}

function vifRows(load: NetLoad): Row[] {
  return framesTo(load, MACS[1], MACS[0]).map((frame) => ({
    name: `vif to vif, ${frame.name}`,
    bytes: frame.frame.length,
    begin: () => load.send(frame),
    end: () => load.silence(),
    arrived: () => load.received(1),
  }));
}

function tapRows(load: NetLoad, tap: TapBench): Row[] {
  const uplink = tap.learn();
  const out = framesTo(load, uplink, MACS[0]).map((frame) => ({
    name: `vif to TAP, ${frame.name}`,
    bytes: frame.frame.length,
    begin: () => load.send(frame),
    end: () => load.silence(),
    arrived: async () => tap.arrived(),
    bare: (seconds: number) => tap.bareWriting(frame, seconds),
  }));
  const small = framesTo(load, MACS[1], uplink).slice(0, 2);
  const into = small.map((frame) => ({
    name: `TAP to vif, ${frame.name}`,
    bytes: frame.frame.length,
    begin: () => tap.send(frame),
    end: () => tap.silence(),
    arrived: () => load.received(1),
    bare: (seconds: number) => tap.bareReading(frame, seconds),
  }));
  return [...out, ...into];
}

async function measure(backend: BuiltProgram, row: Row, seconds: number): Promise<Figure> {
  row.begin();
  await pause(WARM_MS);
  backend.printed = '';
  const [from, cpu, began] = [await row.arrived(), cpuSeconds(backend.pid), performance.now()];
  await pause(seconds * 1000);
  const [frames, used, took] = [
    (await row.arrived()) - from,
    cpuSeconds(backend.pid) - cpu,
    (performance.now() - began) / 1000,
  ];
  const allocated = allocationRate(backend.printed);
  await row.end();
  return {
    perCpuSecond: frames / used,
    perSecond: frames / took,
    heapBytes: allocated === undefined ? undefined : (allocated * took) / frames,
    bare: await row.bare?.(seconds),
  };
}

export function netTable(scores: readonly NetScore[], { rounds, seconds }: NetTiming): Table {
  return {
    title: `Network: netback on the simulator, ${rounds} rounds of ${seconds} s`,
    head: ['frames', 'per CPU s', 'Gbit per CPU s', 'per s', 'Gbit/s', 'of a bare loop', 'heap bytes'],
    body: scores.map(({ name, bytes, rounds: each }) => {
      const cpu = median(each.map(({ perCpuSecond }) => perCpuSecond));
      const wall = median(each.map(({ perSecond }) => perSecond));
      const heap = median(each.flatMap(({ heapBytes }) => heapBytes ?? []));
      const gbit = (rate: number): string => ((rate * bytes * 8) / 1e9).toPrecision(3);
      const share = ratios(
        each.map(({ perCpuSecond }) => perCpuSecond),
        each.map(({ bare }) => bare),
      );
      return [name, short(cpu), gbit(cpu), short(wall), gbit(wall), times(share), short(heap)];
    }),
    notes: [
      "CPU s: of netback's process, all threads. Bare loop: a program that does nothing but read or write such frames, by its CPU time.",
      'heap bytes: what JavaScript allocated for a frame, by the trace of its collections (--trace-gc).',
    ],
  };
}
