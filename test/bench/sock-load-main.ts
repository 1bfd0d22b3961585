#!/usr/bin/env node
/**
 * A generator of the socket bench: a program that serves, sends, asks and connects as it is told, over Node's own sockets (`plain`) or, in a simulated guest,
 * over ours (`guest`): the same program for both. Spawned by sockload.ts, which speaks to it over Node's channel.
 */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { sockfront } from '../../netback/xensock/front/device.ts';
import { type SocketDriver, Sockets } from '../../netback/xensock/front/index.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { connect } from '../../xenstored/client/index.ts';

/** Where somebody serves: a port on an address, or the path of a unix socket. */
export type SockPlace = { readonly host: string; readonly port: number } | { readonly path: string };

/** `sink` counts, `echo` answers with what it was asked, `end` ends each connection at once. */
export type Service = 'sink' | 'echo' | 'end';

export type SockOrder =
  | { readonly what: 'serve'; readonly service: Service; readonly at: SockPlace }
  /** Streams that write so many bytes at a time, without end. */
  | {
      readonly what: 'send';
      readonly to: SockPlace;
      readonly streams: number;
      readonly bytes: number;
    }
  | { readonly what: 'stop' }
  | { readonly what: 'count' }
  /** One byte there and back, again and again. */
  | { readonly what: 'ask'; readonly to: SockPlace; readonly ms: number }
  /** Connections, so many at a time, until the server has ended each. */
  | { readonly what: 'dial'; readonly to: SockPlace; readonly ms: number; readonly depth: number };

/** `ready` once, then an answer to each order. */
export type SockWord =
  | { readonly what: 'ready' | 'sending' | 'stopped' }
  | { readonly what: 'serving'; readonly at: SockPlace }
  | { readonly what: 'counted'; readonly bytes: number; readonly atMs: number }
  | { readonly what: 'asked'; readonly microseconds: readonly number[] }
  | { readonly what: 'dialled'; readonly connections: number; readonly seconds: number }
  | { readonly what: 'failed'; readonly why: string };

interface Listener {
  listen(at: SockPlace, listener: () => void): unknown;
  address(): unknown;
}

interface SocketApi {
  connect(to: SockPlace, listener: () => void): Duplex;
  createServer(listener: (socket: Duplex) => void): Listener;
}

const say = (word: SockWord): void => void process.send?.(word);

const plain: SocketApi = {
  connect: (to, listener) => net.connect(to, listener),
  createServer: (listener) => net.createServer(listener),
};

async function guest(run: string, token: string, order: number): Promise<SocketApi> {
  const platform = simPlatform({ run, token });
  const store = await connect({ platform });
  const driver = await new Promise<SocketDriver<object>>((resolve) => {
    const onDriver = (_: number, made: SocketDriver<object>): void => resolve(made);
    const driving = sockfront({ platform, onDriver, connectOrder: order, acceptOrder: order });
    void runFrontends(driving, { store });
  });
  const sockets = new Sockets();
  sockets.register(driver);
  return {
    connect: (to, listener) => sockets.connect(to as Exclude<SockPlace, { path: string }>, listener),
    createServer: (listener) => sockets.createServer(listener) as unknown as Listener,
  };
}

const [kind, ...given] = process.argv.slice(2);
const api = kind === 'guest' ? await guest(given[0]!, given[1]!, Number(given[2])) : plain;

let counted = 0;
const senders = new Set<Duplex>();

const services: Readonly<Record<Service, (socket: Duplex) => void>> = {
  sink: (socket) => {
    socket.on('data', (bytes: Buffer) => {
      counted += bytes.length;
    });
  },
  echo: (socket) => socket.pipe(socket),
  end: (socket) => {
    socket.resume();
    socket.end();
  },
};

async function serve(service: Service, at: SockPlace): Promise<void> {
  const server = api.createServer((socket) => {
    // Who measures ends a connection when he has seen enough.
    socket.on('error', () => {});
    services[service](socket);
  });
  await new Promise<void>((resolve) => server.listen(at, resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? (address as { port: number }).port : 0;
  say({ what: 'serving', at: 'path' in at ? at : { host: at.host, port } });
}

function opened(to: SockPlace): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = api.connect(to, () => resolve(socket));
    socket.once('error', reject);
  });
}

async function send(to: SockPlace, streams: number, bytes: number): Promise<void> {
  const chunk = Buffer.alloc(bytes, 0x5a);
  for (let i = 0; i < streams; i++) {
    const socket = await opened(to);
    const go = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('error', () => {});
    socket.on('drain', go);
    senders.add(socket);
    go();
  }
  say({ what: 'sending' });
}

async function ask(to: SockPlace, ms: number): Promise<void> {
  const socket = await opened(to);
  const byte = Buffer.alloc(1, 1);
  const microseconds: number[] = [];
  const until = performance.now() + ms;
  let from = performance.now();
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('data', () => {
      const now = performance.now();
      microseconds.push((now - from) * 1000);
      if (now >= until) return resolve();
      from = performance.now();
      socket.write(byte);
    });
    socket.write(byte);
  });
  socket.destroy();
  say({ what: 'asked', microseconds });
}

async function dial(to: SockPlace, ms: number, depth: number): Promise<void> {
  const began = performance.now();
  let connections = 0;
  const one = async (): Promise<void> => {
    while (performance.now() - began < ms) {
      const socket = await opened(to);
      const ended = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
      socket.end();
      await ended;
      connections++;
    }
  };
  await Promise.all(Array.from({ length: depth }, one));
  say({ what: 'dialled', connections, seconds: (performance.now() - began) / 1000 });
}

async function carryOut(order: SockOrder): Promise<void> {
  if (order.what === 'serve') await serve(order.service, order.at);
  else if (order.what === 'send') await send(order.to, order.streams, order.bytes);
  else if (order.what === 'ask') await ask(order.to, order.ms);
  else if (order.what === 'dial') await dial(order.to, order.ms, order.depth);
  else if (order.what === 'count') say({ what: 'counted', bytes: counted, atMs: performance.now() });
  else {
    for (const socket of senders) socket.destroy();
    senders.clear();
    await pause(50);
    say({ what: 'stopped' });
  }
}

process.on('message', (order: SockOrder) => {
  carryOut(order).catch((error: Error) => say({ what: 'failed', why: error.message }));
});
process.on('disconnect', () => process.exit());
say({ what: 'ready' });
