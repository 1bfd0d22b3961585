/**
 * The socket bench: xensock as a process of its own, guests that send to a sink on the machine and to each other, and beside them, in the same round, two
 * plain Node processes over loopback TCP and over a unix socket, iperf3, and a copy in memory. All generators are the same program.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { median, ratios, short, spread, times } from './figures.ts';
import { iperf, iperfVersion } from './iperf.ts';
import { Machine } from './machine.ts';
import { cpuSeconds } from './processes.ts';
import type { SockPlace } from './sock-load-main.ts';
import { SockLoad } from './sockload.ts';
import type { Table } from './table.ts';

export interface SockTiming {
  readonly rounds: number;
  readonly seconds: number;
}

const KIB = 1024;
const ORDERS = [2, 4, 6, 9] as const;
const SIZES = [4 * KIB, 64 * KIB, 1024 * KIB] as const;
/** An address that the policy maps to the machine's own loopback: that of a guest is the guests' own network. */
const MACHINE = '10.53.0.1';
const POLICY = {
  default: { otherwise: 'allow', map: { connect: { [MACHINE]: '127.0.0.1' } }, limits: { pages: 40_000 } },
};
const WARM_SHARE = 0.5;
const DIAL_DEPTH = 32;

/** One stream measurement: bytes a second, and CPU seconds of xensock's process for 10^9 bytes. */
interface Flow {
  readonly rate: number;
  readonly cpuPerGb: number | undefined;
}

type Peer = 'tcp' | 'unix' | 'iperf';

interface StreamRow {
  readonly name: string;
  /** undefined: plain. */
  readonly order: number | undefined;
  readonly way: 'to the machine' | 'guest to guest' | Peer;
  readonly bytes: number;
  readonly streams: number;
}

export interface SockScores {
  readonly streams: readonly { readonly row: StreamRow; readonly rounds: readonly (Flow | undefined)[] }[];
  /** Bytes a second of a copy, of each round. */
  readonly memcpy: readonly number[];
  readonly small: readonly SmallScore[];
}

export interface SmallScore {
  readonly name: string;
  /** Median and 99th percentile of one byte there and back, microseconds, of each round. */
  readonly latency: readonly { readonly median: number; readonly p99: number }[];
  readonly connects: readonly number[];
}

const sizeName = (bytes: number): string =>
  bytes >= 1024 * KIB ? `${bytes / KIB / KIB} MiB` : `${bytes / KIB} KiB`;

function rowsOf(way: StreamRow['way'], order?: number): StreamRow[] {
  const row = (bytes: number, streams: number): StreamRow => ({
    name: `${way}${order === undefined ? '' : `, order ${order}`}, ${streams} x ${sizeName(bytes)}`,
    order,
    way,
    bytes,
    streams,
  });
  return [...SIZES.map((bytes) => row(bytes, 1)), row(SIZES[1], 3), row(SIZES[2], 3)];
}

const PLAIN_NAMES: Readonly<Record<Peer, string>> = {
  tcp: 'plain Node, loopback TCP',
  unix: 'plain Node, unix socket',
  iperf: 'iperf3, loopback TCP',
};

/** Bytes a second of one thread, from one stretch of 32 MiB to another. */
function memcpy(seconds: number): number {
  const [from, to] = [new Uint8Array(32 * KIB * KIB).fill(1), new Uint8Array(32 * KIB * KIB).fill(2)];
  let bytes = 0;
  const began = performance.now();
  while (performance.now() - began < seconds * 1000) {
    to.set(from);
    bytes += from.length;
  }
  return bytes / ((performance.now() - began) / 1000);
}

/** All processes of the bench. */
class Field {
  readonly machine: Machine;
  readonly #loads: SockLoad[] = [];
  readonly #guests = new Map<number, readonly [SockLoad, SockLoad]>();
  readonly #sinks = new Map<SockLoad, SockPlace>();
  readonly #directory: string;
  plain!: readonly [SockLoad, SockLoad];

  private constructor(machine: Machine, directory: string) {
    this.machine = machine;
    this.#directory = directory;
  }

  static async make(node: readonly string[]): Promise<Field> {
    const directory = mkdtempSync(join(tmpdir(), 'bench-sock-'));
    const policy = join(directory, 'policy.json');
    writeFileSync(policy, JSON.stringify(POLICY));
    const machine = await Machine.start({ program: 'netback/xensock', args: ['--policy', policy], node });
    const field = new Field(machine, directory);
    field.plain = [await field.#add(SockLoad.plain()), await field.#add(SockLoad.plain())];
    return field;
  }

  /** Two guests with rings of this order. */
  async guests(order: number): Promise<readonly [SockLoad, SockLoad]> {
    let pair = this.#guests.get(order);
    if (pair === undefined) {
      const { machine } = this;
      pair = [
        await this.#add(SockLoad.guest(machine, order)),
        await this.#add(SockLoad.guest(machine, order)),
      ];
      this.#guests.set(order, pair);
    }
    return pair;
  }

  /** Who sends, who receives, and where the sender finds it. */
  async ends(row: StreamRow): Promise<{ from: SockLoad; to: SockLoad; at: SockPlace }> {
    const [one, other] = row.order === undefined ? this.plain : await this.guests(row.order);
    if (row.way === 'guest to guest') return { from: one, to: other, at: await this.#sink(other, tcp) };
    if (row.way === 'unix') {
      const path = join(this.#directory, `${Math.random()}`.slice(2));
      return { from: one, to: other, at: await other.serve('sink', { path }) };
    }
    const [, sink] = this.plain;
    const at = await this.#sink(sink, tcp);
    return { from: one, to: sink, at: row.order === undefined ? at : outside(at) };
  }

  async stop(): Promise<void> {
    for (const load of this.#loads) load.end();
    await this.machine.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #add(starting: Promise<SockLoad>): Promise<SockLoad> {
    const load = await starting;
    this.#loads.push(load);
    return load;
  }

  async #sink(load: SockLoad, at: SockPlace): Promise<SockPlace> {
    const there = this.#sinks.get(load) ?? (await load.serve('sink', at));
    this.#sinks.set(load, there);
    return there;
  }
}

const tcp: SockPlace = { host: '127.0.0.1', port: 0 };

/** The machine's loopback as a guest names it. */
function outside(at: SockPlace): SockPlace {
  return 'path' in at ? at : { host: MACHINE, port: at.port };
}

async function flow(field: Field, row: StreamRow, seconds: number): Promise<Flow | undefined> {
  if (row.way === 'iperf') {
    const rate = await iperf({ ...row, seconds });
    return rate === undefined ? undefined : { rate, cpuPerGb: undefined };
  }
  const { from, to, at } = await field.ends(row);
  const { pid } = field.machine.backend;
  await from.send(at, row.streams, row.bytes);
  await pause(seconds * WARM_SHARE * 1000);
  const [first, cpu] = [await to.count(), cpuSeconds(pid)];
  await pause(seconds * 1000);
  const [last, used] = [await to.count(), cpuSeconds(pid) - cpu];
  await from.stop();
  const bytes = last.bytes - first.bytes;
  const cpuPerGb = row.order === undefined ? undefined : used / (bytes / 1e9);
  return { rate: (bytes * 1000) / (last.atMs - first.atMs), cpuPerGb };
}

async function small(
  score: { latency: { median: number; p99: number }[]; connects: number[] },
  parts: { from: SockLoad; echo: SockPlace; end: SockPlace },
  seconds: number,
): Promise<void> {
  const each = (await parts.from.ask(parts.echo, seconds * 1000)).toSorted((a, b) => a - b);
  score.latency.push({ median: median(each), p99: each[Math.floor(each.length * 0.99)] ?? Number.NaN });
  score.connects.push(await parts.from.dial(parts.end, seconds * 1000, DIAL_DEPTH));
}

/** `node`: flags for xensock's node; `wanted`: rows by name. */
export async function sock(
  { rounds, seconds }: SockTiming,
  { node, wanted }: { readonly node: readonly string[]; readonly wanted: RegExp },
  say: (line: string) => void,
): Promise<SockScores> {
  if (iperfVersion() === undefined) say('SKIPPED iperf3: it is not installed (Debian: iperf3)');
  const field = await Field.make(node);
  try {
    const peers = (['tcp', 'unix', 'iperf'] as const).flatMap((peer) => rowsOf(peer));
    const ours = ORDERS.flatMap((order) => [
      ...rowsOf('to the machine', order),
      ...rowsOf('guest to guest', order),
    ]);
    const chosen = ours.filter(({ name }) => wanted.test(name));
    const beside = peers.filter(({ bytes, streams }) =>
      chosen.some((row) => row.bytes === bytes && row.streams === streams),
    );
    const streams = [...beside, ...chosen].map((row) => ({ row, rounds: [] as (Flow | undefined)[] }));
    const copies: number[] = [];
    const small = wanted.test('one byte') || wanted.test('connections') ? await smallOnes(field) : [];
    for (let round = 0; round < rounds; round++) {
      copies.push(memcpy(seconds / 4));
      for (const score of streams) score.rounds.push(await flow(field, score.row, seconds));
      for (const one of small) await one.measure(seconds);
    }
    return { streams, memcpy: copies, small: small.map(({ score }) => score) };
  } finally {
    await field.stop();
  }
}

interface SmallOne {
  readonly score: SmallScore;
  measure(seconds: number): Promise<void>;
}

async function smallOnes(field: Field): Promise<SmallOne[]> {
  const [plain, server] = field.plain;
  const [guest, other] = await field.guests(ORDERS[1]);
  const [echo, end] = [await server.serve('echo', tcp), await server.serve('end', tcp)];
  const one = (name: string, from: SockLoad, parts: { echo: SockPlace; end: SockPlace }): SmallOne => {
    const score = { name, latency: [], connects: [] };
    return { score, measure: (seconds) => small(score, { from, ...parts }, seconds) };
  };
  return [
    one(PLAIN_NAMES.tcp, plain, { echo, end }),
    one('guest to the machine', guest, { echo: outside(echo), end: outside(end) }),
    one('guest to guest', guest, {
      echo: await other.serve('echo', tcp),
      end: await other.serve('end', tcp),
    }),
  ];
}

const gbit = (rate: number): string => ((rate * 8) / 1e9).toPrecision(3);
const rates = (rounds: readonly (Flow | undefined)[]): (number | undefined)[] =>
  rounds.map((one) => one?.rate);

export function sockTables({ streams, memcpy: copies, small }: SockScores, timing: SockTiming): Table[] {
  const beside = (peer: Peer, row: StreamRow) =>
    streams.find(
      (one) => one.row.way === peer && one.row.bytes === row.bytes && one.row.streams === row.streams,
    );
  const against = (rounds: readonly (Flow | undefined)[], peer: Peer, row: StreamRow): string =>
    times(ratios(rates(rounds), rates(beside(peer, row)?.rounds ?? [])));
  const cell = (text: string, shown: boolean): string => (shown ? text : '');
  const copy = gbit(median(copies));
  return [
    {
      title: `Sockets: xensock on the simulator, ${timing.rounds} rounds of ${timing.seconds} s, ${availableParallelism()} cores`,
      head: [
        'stream',
        'Gbit/s',
        'CPU s per GB',
        'of Node TCP',
        'of iperf3',
        'of unix',
        'of memcpy',
        'copies',
      ],
      body: streams.map(({ row, rounds }) => {
        const ours = row.order !== undefined;
        const { median: rate } = spread(rates(rounds).flatMap((one) => one ?? []));
        return [
          row.way in PLAIN_NAMES ? row.name.replace(row.way, PLAIN_NAMES[row.way as Peer]) : row.name,
          gbit(rate),
          cell(short(median(rounds.flatMap((one) => one?.cpuPerGb ?? []))), ours),
          cell(against(rounds, 'tcp', row), ours),
          cell(against(rounds, 'iperf', row), ours),
          cell(against(rounds, 'unix', row), ours),
          times(ratios(rates(rounds), copies)),
          row.way === 'iperf' ? '' : ours ? '3' : '2',
        ];
      }),
      notes: [
        `memcpy: one thread, 32 MiB at a time: ${copy} Gbit/s. CPU s: of xensock's process, all threads.`,
        'copies, of each byte: into a ring, from ring to ring, out of a ring; to the machine: into the ring, out of it by the send, and by the receiver.',
      ],
    },
    {
      title: 'Sockets: one byte there and back, and short connections, rings of order 4',
      head: ['', 'us', 'p99 us', 'connections/s', 'of Node TCP'],
      body: small.map(({ name, latency, connects }) => [
        name,
        short(median(latency.map((one) => one.median))),
        short(median(latency.map(({ p99 }) => p99))),
        short(median(connects)),
        times(ratios(connects, small[0]!.connects)),
      ]),
      notes: [
        `connections: ${DIAL_DEPTH} at a time, each accepted, ended by the server and then by the client.`,
      ],
    },
  ];
}
