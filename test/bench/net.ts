/**
 * The network bench: netback as a process of its own, frames from one simulated guest to another, as fast as they go. Figures are by CPU time of netback's
 * process, since a machine of few cores has the generator and the hypervisor on the same ones, and by the clock.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { median, short } from './figures.ts';
import { Machine } from './machine.ts';
import type { GuestCounts, Order, Word } from './net-load-main.ts';
import { type LoadFrame, tcpFrame, udpFrame } from './netframes.ts';
import { allocationRate, cpuSeconds } from './processes.ts';
import type { Table } from './table.ts';

export interface NetTiming {
  readonly rounds: number;
  readonly seconds: number;
}

export interface NetScore {
  readonly name: string;
  readonly bytes: number;
  /** Of each round. */
  readonly perCpuSecond: readonly number[];
  readonly perSecond: readonly number[];
  /** JavaScript's heap, of a packet; undefined: there was less than one collection. */
  readonly heapBytes: number | undefined;
}

const MACS = [1, 2].map((last) => Uint8Array.of(0, 0x16, 0x3e, 0, 0, last)) as [Uint8Array, Uint8Array];
const macText = (mac: Uint8Array): string => Buffer.from(mac).toString('hex').replace(/..\B/g, '$&:');

/** Guests in a process. */
class Load {
  readonly #child: ChildProcess;
  readonly #words: AsyncIterator<Word>;

  constructor(run: string, tokens: readonly string[]) {
    this.#child = fork(join(import.meta.dirname, 'net-load-main.js'), [run, ...tokens]);
    this.#words = wordsOf(this.#child);
  }

  tell(order: Order): void {
    this.#child.send(order);
  }

  async word(): Promise<Word> {
    const { value, done } = await this.#words.next();
    if (done) throw new Error('the generator has ended');
    return value;
  }

  async counts(): Promise<readonly GuestCounts[]> {
    this.tell({ what: 'count' });
    const word = await this.word();
    if (word.what !== 'counts') throw new Error(`the generator says ${word.what}`);
    return word.guests;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

async function* wordsOf(child: ChildProcess): AsyncGenerator<Word, undefined> {
  const said: Word[] = [];
  let wake: () => void = () => {};
  let ended = false;
  child.on('message', (word: Word) => {
    said.push(word);
    wake();
  });
  child.once('exit', () => {
    ended = true;
    wake();
  });
  while (!ended || said.length > 0) {
    const word = said.shift();
    if (word !== undefined) yield word;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

/** From one guest to another through netback. `node`: flags for netback's node. */
export async function net(
  { rounds, seconds }: NetTiming,
  node: readonly string[],
  say: (line: string) => void,
): Promise<NetScore[]> {
  const machine = await Machine.start({ program: 'netback/vif', node: ['--trace-gc', ...node] });
  try {
    const guests = [await machine.guest(), await machine.guest()];
    const load = new Load(
      machine.run,
      guests.map(({ token }) => token),
    );
    for (const [index, { domid }] of guests.entries()) {
      const mac = macText(MACS[index]!);
      await machine.attach({
        device: { backendDomid: 0, kind: 'vif', frontendDomid: domid, devid: 0 },
        backend: { handle: '0', type: 'vif', mac },
        frontend: { handle: '0' },
        frontendReadOnly: { mac },
      });
    }
    const ready = await load.word();
    const frames = [
      udpFrame('vif to vif, 64 bytes', 60, MACS[1], MACS[0]),
      udpFrame('vif to vif, 1500 bytes', 1514, MACS[1], MACS[0]),
    ];
    if (ready.what === 'ready' && ready.segments) frames.push(tcpFrame('vif to vif, GSO', MACS[1], MACS[0]));
    else say('SKIPPED vif to vif, GSO: netback does not offer it');
    const scores: NetScore[] = [];
    for (const frame of frames) scores.push(await measure(machine, load, frame, { rounds, seconds }));
    load.stop();
    return scores;
  } finally {
    await machine.stop();
  }
}

async function measure(
  { backend }: Machine,
  load: Load,
  { name, frame, meta }: LoadFrame,
  { rounds, seconds }: NetTiming,
): Promise<NetScore> {
  load.tell({ what: 'send', guest: 0, frame: Buffer.from(frame).toString('base64'), meta });
  // Until all that runs has been compiled.
  await pause(Math.max(500, seconds * 250));
  backend.printed = '';
  const perCpuSecond: number[] = [];
  const perSecond: number[] = [];
  let [packets, time] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    const [from, cpu, began] = [await load.counts(), cpuSeconds(backend.pid), performance.now()];
    await pause(seconds * 1000);
    const [to, used, took] = [await load.counts(), cpuSeconds(backend.pid) - cpu, performance.now() - began];
    const received = to[1]!.received - from[1]!.received;
    perCpuSecond.push(received / used);
    perSecond.push((received * 1000) / took);
    packets += received;
    time += took / 1000;
  }
  const allocated = allocationRate(backend.printed);
  load.tell({ what: 'stop', guest: 0 });
  await pause(200);
  const heapBytes = allocated === undefined ? undefined : (allocated * time) / packets;
  return { name, bytes: frame.length, perCpuSecond, perSecond, heapBytes };
}

export function netTable(scores: readonly NetScore[], { rounds, seconds }: NetTiming): Table {
  return {
    title: `Network: netback on the simulator, ${rounds} rounds of ${seconds} s`,
    head: ['frames', 'packets per CPU s', 'Gbit per CPU s', 'packets/s', 'Gbit/s', 'heap bytes'],
    body: scores.map(({ name, bytes, perCpuSecond, perSecond, heapBytes }) => {
      const [cpu, wall] = [median(perCpuSecond), median(perSecond)];
      const gbit = (rate: number): string => ((rate * bytes * 8) / 1e9).toPrecision(3);
      return [name, short(cpu), gbit(cpu), short(wall), gbit(wall), heapBytes?.toFixed(1) ?? '< 1 GC'];
    }),
    notes: [
      "CPU s: of netback's process, all threads. heap bytes: that JavaScript allocated for a packet (--trace-gc).",
    ],
  };
}
