/**
 * Whoever a guest moves a file to and from over TCP, in dom0: one port gives away the same bytes to everybody, another takes bytes until their
 * end and answers with their MD5; both measure how long it took. A third gives back what it gets. Knows no backend.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export const GIVES = 9001;
export const TAKES = 9002;
export const ECHOES = 9003;
const MIB = 1 << 20;

export interface TcpPeer {
  /** Of the bytes that are given away. */
  readonly md5: string;
  /** In MB/s, of each one that was finished. */
  readonly given: readonly number[];
  readonly taken: readonly number[];
  /** MD5 of what was taken, of each one that was finished. */
  readonly sums: readonly string[];
  /** Connections that are open now. */
  readonly open: number;
  /** How many connections broke, so far. */
  readonly broken: number;
  close(): Promise<void>;
}

export async function startTcpPeer(mib: number): Promise<TcpPeer> {
  const bytes = randomBytes(mib * MIB);
  const given: number[] = [];
  const taken: number[] = [];
  const sums: string[] = [];
  let broken = 0;
  const rate = (length: number, begun: number): number => length / 1000 / (performance.now() - begun);
  const gives = createServer({ allowHalfOpen: true }, (socket) => {
    const begun = performance.now();
    socket.on('error', () => {});
    socket.end(bytes);
    socket.resume();
    // The guest closes when it has all of it.
    socket.on('close', (failed) => failed || given.push(rate(bytes.length, begun)));
  });
  const takes = createServer({ allowHalfOpen: true }, (socket) => {
    const begun = performance.now();
    const hash = createHash('md5');
    let length = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      hash.update(chunk);
      length += chunk.length;
    });
    socket.on('end', () => {
      taken.push(rate(length, begun));
      sums.push(hash.digest('hex'));
      socket.end(`${sums.at(-1)}\n`);
    });
  });
  const echoes = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const sockets = new Set<Socket>();
  for (const [server, port] of [
    [gives, GIVES],
    [takes, TAKES],
    [echoes, ECHOES],
  ] as const) {
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', (failed) => {
        if (failed) broken++;
        sockets.delete(socket);
      });
    });
    server.listen(port);
    await once(server, 'listening');
  }
  return {
    md5: createHash('md5').update(bytes).digest('hex'),
    given,
    taken,
    sums,
    get open() {
      return sockets.size;
    },
    get broken() {
      return broken;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([gives, takes, echoes].map(closed));
    },
  };
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}
