/**
 * xenstore-admin beside a daemon: a subtree of 50 domains in one GET, cold and warm; and 10,000 changes a second told to 20 readers, with what that
 * leaves of the store's throughput. The daemon has a core of its own; admin, its readers, the writer and the load generator share the other.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, connect } from '../../xenstored/client/index.ts';
import type { Contestant, Served } from './contestants.ts';
import { median, short } from './figures.ts';
import { LOAD_CORE, load } from './load.ts';
import type { Table } from './table.ts';

export interface AdminScore {
  readonly name: string;
  readonly nodes: number;
  readonly coldMs: number;
  readonly warmMs: number;
  /** From the request to write to its event at a reader. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly most: number };
  readonly perSecond: number;
  /** Of the other load, operations a second; and with the writer's, those for a second of the daemon's CPU: with readers, over without. */
  readonly throughput: number;
  readonly thrift: number;
}

const PROGRAM = fileURLToPath(new URL('../../xenstored/admin/main.js', import.meta.url));
const TOKEN = 'a-token-for-the-bench';
const DOMAINS = 50;
const KEYS = 50;
const READERS = 20;
const RATE = 10_000;
const WRITTEN = 1_000;
const TICK_MS = 5;
/** Of the other load. */
const NODES = 1_000;

export async function admin(one: Contestant, seconds: number): Promise<AdminScore> {
  const served = await one.start();
  const client = await connect({ path: served.socketPath });
  const directory = mkdtempSync(join(tmpdir(), 'bench-admin-'));
  try {
    await populate(client);
    await load('populate', served.socketPath, { nodes: NODES });
    const service = await Service.start(served, directory);
    try {
      const tree = `${service.url}/v1/tree?path=/local/domain&depth=64&limit=10000`;
      const cold = await get(tree);
      const warm: number[] = [];
      for (let time = 0; time < 21; time++) warm.push((await get(tree)).ms);
      const alone = new Writer(client);
      const plain = await mixed(served, seconds, alone);
      const writer = new Writer(client);
      const readers = await Promise.all(
        Array.from({ length: READERS }, (_, index) =>
          follow(
            `${service.url}/v1/events?path=/bench`,
            index === 0 ? (path) => writer.told(path) : undefined,
          ),
        ),
      );
      const beside = await mixed(served, seconds, writer);
      for (const stop of readers) stop();
      return {
        name: one.name,
        nodes: (JSON.parse(cold.body) as { nodes: unknown[] }).nodes.length,
        coldMs: cold.ms,
        warmMs: median(warm),
        delayMs: writer.delays(),
        perSecond: writer.perSecond,
        throughput: beside.perSecond / plain.perSecond,
        thrift: thrift(beside, writer) / thrift(plain, alone),
      };
    } finally {
      await service.stop();
    }
  } finally {
    await client.close();
    await served.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function populate(client: Client): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let domid = 1; domid <= DOMAINS; domid++) {
    for (let key = 0; key < KEYS - 2; key++) {
      writes.push(client.write(`/local/domain/${domid}/data/${key}`, 'a value of some length'));
    }
  }
  for (let node = 0; node < WRITTEN; node++) writes.push(client.write(`/bench/${node}`, '0'));
  await Promise.all(writes);
}

interface Figures {
  readonly perSecond: number;
  readonly serverCpu: number;
}

function thrift({ perSecond, serverCpu }: Figures, writer: Writer): number {
  return (perSecond + writer.perSecond) / serverCpu;
}

/** The other load, while somebody writes. */
async function mixed(served: Served, seconds: number, writer: Writer): Promise<Figures> {
  writer.start();
  try {
    return await load('run', served.socketPath, {
      op: 'mixed',
      nodes: NODES,
      connections: 10,
      seconds,
      warmup: 0.25,
    });
  } finally {
    await writer.stop();
  }
}

class Writer {
  readonly #client: Client;
  /** When the oldest write that nobody was told of was asked for, by node. */
  readonly #asked = new Map<string, number>();
  readonly #delays: number[] = [];
  readonly #under = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #began = 0;
  #ended = 0;
  #written = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  start(): void {
    this.#began = performance.now();
    this.#timer = setInterval(() => this.#write(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#ended = performance.now();
    await Promise.all(this.#under);
  }

  told(path: string): void {
    const asked = this.#asked.get(path);
    if (asked === undefined) return;
    this.#asked.delete(path);
    this.#delays.push(performance.now() - asked);
  }

  delays(): { p50: number; p99: number; most: number } {
    const sorted = this.#delays.sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
    return { p50: at(0.5), p99: at(0.99), most: at(1) };
  }

  get perSecond(): number {
    return this.#written / ((this.#ended - this.#began) / 1000);
  }

  /** As many as are due by now, so that a late timer loses none. */
  #write(): void {
    const due = ((performance.now() - this.#began) * RATE) / 1000;
    for (; this.#written < due; this.#written++) {
      const path = `/bench/${this.#written % WRITTEN}`;
      if (!this.#asked.has(path)) this.#asked.set(path, performance.now());
      const write = this.#client.write(path, String(this.#written)).finally(() => this.#under.delete(write));
      this.#under.add(write);
    }
  }
}

class Service {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  static start({ socketPath }: Served, directory: string): Promise<Service> {
    const child = spawn(process.execPath, [PROGRAM, '--socket', socketPath, '--port', '0'], {
      env: { ...process.env, XENSTORE_ADMIN_TOKEN: TOKEN },
      cwd: directory,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    execFileSync('taskset', ['-apc', String(LOAD_CORE), String(child.pid)], { stdio: 'ignore' });
    return new Promise((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`xenstore-admin ended: ${code}`)));
      child.stdout!.on('data', (text: Buffer) => {
        const url = /(http:\/\/[\d.:]+)/.exec(text.toString())?.[1];
        if (url !== undefined) resolve(new Service(url, child));
      });
    });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }
}

const headers = { authorization: `Bearer ${TOKEN}` };

function get(url: string): Promise<{ ms: number; body: string }> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    request(url, { headers }, (reply) => {
      const pieces: Buffer[] = [];
      reply.on('data', (piece: Buffer) => pieces.push(piece));
      reply.on('end', () => {
        const ms = performance.now() - began;
        const body = Buffer.concat(pieces).toString();
        if (reply.statusCode === 200) resolve({ ms, body });
        else reject(new Error(body));
      });
    })
      .on('error', reject)
      .end();
  });
}

/** Calls back for each path in the order in which a reader is told; answers how to end it. */
function follow(url: string, told: ((path: string) => void) | undefined): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers }, (reply) => {
      let text = '';
      reply.on('error', () => {});
      reply.on('data', (piece: Buffer) => {
        if (told === undefined) return;
        text += piece.toString();
        const end = text.lastIndexOf('\n\n');
        for (const [, path] of text.slice(0, end + 2).matchAll(/"path":"([^"]*)"/g)) told(path!);
        text = text.slice(end + 2);
      });
      resolve(() => reply.destroy());
    });
    asked.on('error', reject).end();
  });
}

export function adminTable(scores: readonly AdminScore[]): Table {
  return {
    title: 'xenstore-admin',
    head: [
      'daemon',
      'nodes',
      'GET cold ms',
      'GET warm ms',
      'changes/s',
      'delay p50 ms',
      'p99 ms',
      'most ms',
      'throughput',
      'by CPU',
    ],
    body: scores.map((score) => [
      score.name,
      String(score.nodes),
      score.coldMs.toFixed(1),
      score.warmMs.toFixed(1),
      short(score.perSecond),
      score.delayMs.p50.toFixed(0),
      score.delayMs.p99.toFixed(0),
      score.delayMs.most.toFixed(0),
      score.throughput.toFixed(2),
      score.thrift.toFixed(2),
    ]),
    notes: [
      `GET: the subtree of ${DOMAINS} domains. Changes are told to ${READERS} readers; delay: from the request to write to a reader.`,
      'Throughput: of a mixed load beside it, with readers over without; by CPU: of all writes and operations, for a second of the',
      'daemon, since admin, readers, writer and the load generator share one core here. All of it wants a machine with nothing else on it.',
    ],
  };
}
