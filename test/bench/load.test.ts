// The load generator tells the truth: beside a store of a few lines it counts what that store answered, and it gives up with one
// clear line where a daemon misbehaves.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Framer } from '../../xenstored/wire/frame.ts';
import { Op } from '../../xenstored/wire/ops.ts';
import { type LoadFlags, load } from './load.ts';

let dir: string;
let server: Server;
let answered: Map<number, number>;
/** What the store says to a request: its type and payload. */
let answer: (type: number) => [type: number, body: string];

const acknowledge = (type: number): [number, string] => [
  type,
  type === Op.TRANSACTION_START ? '7\0' : 'OK\0',
];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'load-'));
  answered = new Map();
  answer = acknowledge;
  server = createServer((socket) => {
    const framer = new Framer();
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      framer.push(bytes);
      const out: Buffer[] = [];
      while (framer.next() === 'message') {
        answered.set(framer.type, (answered.get(framer.type) ?? 0) + 1);
        const [type, body] = answer(framer.type);
        const reply = Buffer.alloc(16 + body.length);
        reply.writeUInt32LE(type, 0);
        reply.writeUInt32LE(framer.reqId, 4);
        reply.writeUInt32LE(framer.txId, 8);
        reply.writeUInt32LE(body.length, 12);
        reply.write(body, 16, 'latin1');
        out.push(reply);
      }
      socket.write(Buffer.concat(out));
    });
  });
  await new Promise<void>((resolve) => server.listen(join(dir, 'socket'), resolve));
});

afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true });
});

const run = (flags: LoadFlags) =>
  load('run', join(dir, 'socket'), { connections: 3, seconds: 0.05, warmup: 0, ...flags });

test('what it counts is what was answered', async () => {
  const { perSecond, requestsPerSecond, p50Us, p99Us } = await run({ op: 'read' });
  // Besides the measured ones: three requests in flight at the end, three to leave the daemon idle, the last turn's.
  expect(answered.get(Op.READ)).toBeGreaterThan(0);
  expect(perSecond).toBe(requestsPerSecond);
  expect(perSecond).toBeLessThanOrEqual(answered.get(Op.READ)! / 0.05);
  expect(perSecond).toBeGreaterThan((answered.get(Op.READ)! - 20) / 0.2);
  expect(p99Us).toBeGreaterThanOrEqual(p50Us);
});

test('a transaction is five requests, and a conflict is counted, not an error', async () => {
  answer = (type) => (type === Op.TRANSACTION_END ? [Op.ERROR, 'EAGAIN\0'] : acknowledge(type));
  const { perSecond, requestsPerSecond, conflicts } = await run({ op: 'transaction', 'in-flight': 4 });
  expect(requestsPerSecond / perSecond).toBeCloseTo(5, -1);
  expect(conflicts).toBeGreaterThan(0);
  const ends = answered.get(Op.TRANSACTION_END)!;
  expect(answered.get(Op.TRANSACTION_START)! - ends).toBeLessThanOrEqual(12);
});

test('each connect is a connection of its own', async () => {
  let connections = 0;
  server.on('connection', () => connections++);
  await run({ op: 'connect' });
  expect(connections).toBeGreaterThanOrEqual(answered.get(Op.READ)! - 3);
});

test('an unexpected error ends it with the request and the error', async () => {
  answer = () => [Op.ERROR, 'ENOENT\0'];
  await expect(run({ op: 'read' })).rejects.toThrow(/^load: request 2 answered with ENOENT/);
});

test('a reply of another type ends it', async () => {
  answer = (type) => [type === Op.READ ? Op.WRITE : type, 'OK\0'];
  await expect(run({ op: 'read' })).rejects.toThrow(/^load: request 2 answered with type 11/);
});

test('a daemon that hangs up ends it', async () => {
  server.on('connection', (socket) => socket.once('data', () => socket.destroy()));
  await expect(run({ op: 'read' })).rejects.toThrow(/^load: /);
});
