/**
 * What a request costs in the core alone: bytes in, bytes out and the journal's records encoded, but nothing read, sent or written. The
 * figures for whoever works on the core: what is left of a row of the table when the kernel's part is taken away.
 */
import { Bench, type Task } from 'tinybench';
import type { Link } from '../../xenstored/core/link.ts';
import { Encoder } from '../../xenstored/io/journal-bytes.ts';
import { encodeCommit } from '../../xenstored/io/records.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op } from '../../xenstored/wire/ops.ts';
import { CoreDriver } from '../xenstored/coredriver.ts';
import type { Table } from './table.ts';

export interface CoreScore {
  readonly name: string;
  readonly nanoseconds: number;
}

/** Links served in one turn, and with the same order of keys for all of them. */
const LINKS = 16;
const KEYS = 900;
const VALUE = 'v'.repeat(16);

/** The load generator's tree. */
function keyPath(key: number): string {
  const domain = String(Math.floor(key / 90)).padStart(4, '0');
  return `/bench/d${domain}/dev${Math.floor((key % 90) / 10)}/key${key % 10}`;
}

const message = (op: number, payload: string, txId: number = 0) => encodeMessage(op, 0, txId, payload);

/** A daemon, its links, and the buffers that io would have. */
class Bare {
  readonly links: Link[] = [];
  readonly #driver = new CoreDriver({ persistent: true });
  readonly #encoder = new Encoder();
  readonly #out = Buffer.allocUnsafeSlow(64 << 10);

  constructor() {
    for (let i = 0; i < LINKS; i++) this.links.push(this.#driver.daemon.connectSocket());
  }

  /** A turn in which each link sends one request. */
  turn(request: (link: number) => Buffer): void {
    const { daemon } = this.#driver;
    for (let i = 0; i < LINKS; i++) daemon.receive(this.links[i]!, request(i));
    daemon.tick();
    const { commit, output } = daemon.endTurn();
    if (commit) {
      this.#encoder.restart(0);
      encodeCommit(this.#encoder, commit);
    }
    for (const { outbox } of output) outbox.advance(outbox.peek(this.#out, 0, this.#out.length));
  }

  reconnect(i: number): void {
    const { daemon } = this.#driver;
    daemon.closed(this.links[i]!);
    this.links[i] = daemon.connectSocket();
  }
}

/** Requests that go through all keys, one further each time. */
function throughKeys(op: number, payload: (path: string) => string): () => Buffer {
  const requests = Array.from({ length: KEYS }, (_, key) => message(op, payload(keyPath(key))));
  let at = 0;
  // A step that has no factor in common with the number of keys visits all of them.
  return () => {
    at = (at + 611) % KEYS;
    return requests[at]!;
  };
}

function ownRequests(op: number, leaf: string, value: string): Buffer[] {
  return Array.from({ length: LINKS }, (_, i) => message(op, `/bench-own/c${i}/${leaf}\0${value}`));
}

/** START, READ, WRITE, WRITE, END: five turns. */
function transactionOf(bare: Bare): () => void {
  const start = message(Op.TRANSACTION_START, '\0');
  const steps = [
    ownRequests(Op.READ, 'a', ''),
    ownRequests(Op.WRITE, 'a', VALUE),
    ownRequests(Op.WRITE, 'b', VALUE),
    Array.from({ length: LINKS }, () => message(Op.TRANSACTION_END, 'T\0')),
  ];
  return () => {
    const ids = bare.links.map((link) => link.nextTxId);
    bare.turn(() => start);
    for (const requests of steps) {
      bare.turn((i) => {
        requests[i]!.writeUInt32LE(ids[i]!, 8);
        return requests[i]!;
      });
    }
  };
}

export async function core(seconds: number): Promise<CoreScore[]> {
  const bare = new Bare();
  const bench = new Bench({ time: seconds * 1000, warmupTime: seconds * 500 });
  const write = throughKeys(Op.WRITE, (path) => `${path}\0${VALUE}`);
  for (let filled = 0; filled < KEYS; filled += LINKS) bare.turn(write);
  for (const leaf of ['a', 'b']) bare.turn((i) => ownRequests(Op.WRITE, leaf, VALUE)[i]!);
  const read = throughKeys(Op.READ, (path) => `${path}\0`);
  const directory = throughKeys(Op.DIRECTORY, (path) => `${path.slice(0, path.lastIndexOf('/'))}\0`);
  const [make, remove] = [ownRequests(Op.WRITE, 'new', VALUE), ownRequests(Op.RM, 'new', '')];

  bench.add('read', () => bare.turn(read));
  bench.add('write', () => bare.turn(write));
  bench.add('directory', () => bare.turn(directory));
  bench.add('transaction', transactionOf(bare));
  bench.add('create', () => {
    bare.turn((i) => make[i]!);
    bare.turn((i) => remove[i]!);
  });
  bench.add('connect', () => {
    for (let i = 0; i < LINKS; i++) bare.reconnect(i);
    bare.turn(read);
  });
  await bench.run();
  return bench.tasks.map(scoreOf);
}

function scoreOf({ name, result }: Task): CoreScore {
  if (!('latency' in result)) throw new Error(`core, ${name}: ${result.state}`);
  return { name, nanoseconds: (result.latency.p50 * 1e6) / LINKS };
}

export function coreTable(scores: readonly CoreScore[]): Table {
  return {
    title: 'In the core alone',
    head: ['nanoseconds an operation', 'ours'],
    body: scores.map(({ name, nanoseconds }) => [name, nanoseconds.toFixed(0)]),
    notes: [`Turns of ${LINKS} requests; medians. No system call is in them but the clock's.`],
  };
}
