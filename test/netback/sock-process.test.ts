// The built program beside guests in other processes: killed and started again, it goes on with them: a server in a guest does nothing for that, and its
// clients of this machine find it at the same port; connections are reset. Told to stop, it stops.
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import { ProcessHost, Program } from '../blkback/process-kit.ts';
import { at, machine } from './sock-io-host.ts';
import { attachSock, RawSockGuest } from './sock-rawguest.ts';

const LIMIT_MS = 60_000;
/** As SockHost's: what a guest calls 10.0.0.1 is this machine. */
const policy = {
  default: { map: { connect: { '10.0.0.1': '127.0.0.1' }, listen: { '0.0.0.0': '127.0.0.1' } } },
};

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(host: ProcessHost): Promise<Program> {
  const file = join(host.directory, 'policy.json');
  writeFileSync(file, JSON.stringify(policy));
  const args = ['--platform', 'sim', '--run', host.directory, '--policy', file];
  const program = new Program('netback/xensock', args, {}, 'ready for domain');
  stops.push(() => program.end('SIGKILL'));
  await program.ready();
  return program;
}

async function guestOf(host: ProcessHost): Promise<RawSockGuest> {
  const bare = await host.guest();
  await attachSock(host.dom0, bare.domid);
  const guest = new RawSockGuest(host.dom0, bare);
  await guest.connect({ 'feature-xensock': '1' });
  return guest;
}

/** What a client of this machine hears at a port, however often it is refused before. */
async function hear(port: number): Promise<string> {
  for (;;) {
    const socket = createConnection(port, '127.0.0.1');
    // It may be reset when nobody looks any more.
    socket.on('error', () => {});
    stops.push(async () => socket.destroy());
    try {
      const [text] = await once(socket, 'data');
      return String(text);
    } catch {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test('killed and killed again: the server serves on', { timeout: LIMIT_MS }, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  let program = await start(host);
  const guest = await guestOf(host);
  expect(await guest.serve(1, at('0.0.0.0', 0))).toBe(0);
  const { port } = await guest.name(1);
  for (let round = 0; round < 3; round++) {
    const ring = guest.ring();
    const accepted = guest.accept(1, 10 + round, ring);
    const heard = hear(port);
    expect(await accepted).toBe(0);
    await ring.send(Buffer.from(`round ${round}`));
    expect(await heard).toBe(`round ${round}`);
    // One waits for an answer while nobody is there to give it.
    const next = guest.ring();
    const later = guest.accept(1, 20 + round, next);
    await program.end('SIGKILL');
    program = await start(host);
    await guest.until(() => ring.inError !== 0 && ring.outError !== 0);
    expect([ring.inError, ring.outError]).toEqual([-Errno.ECONNRESET, -Errno.ECONNRESET]);
    const after = hear(port);
    expect(await later).toBe(0);
    await next.send(Buffer.from('after'));
    expect(await after).toBe('after');
    expect(await host.dom0.readText(`${guest.back}/state`)).toBe('4');
  }
  expect(program.said).toContain('taken over');
  const control = join(host.directory, 'xensock/control-0');
  expect(existsSync(control)).toBe(true);
  expect(await program.end('SIGTERM')).toBe(0);
  expect(existsSync(control)).toBe(false);
});

test('killed while bytes flow: what came is right as far as it came, and the next try is whole', {
  timeout: LIMIT_MS,
}, async () => {
  const host = await ProcessHost.start();
  stops.push(() => host.stop());
  let program = await start(host);
  const guest = await guestOf(host);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(async () => server.close());
  const { port } = server.address() as { port: number };
  const sent = Uint8Array.from({ length: 3 << 20 }, (_, i) => (i * 7) % 251);
  /** As far as it got. */
  const echo = async (id: number): Promise<Uint8Array> => {
    const { ret, ring } = await guest.dial(id, machine(port), guest.ring(4));
    if (ret !== 0) return new Uint8Array(0);
    const back = ring.receive(sent.length);
    void ring.send(sent);
    return back;
  };
  for (let id = 1; id <= 4; id++) {
    const got = echo(id);
    if (id < 4) {
      // In the middle of it, wherever that is.
      const before = guest.responses.length;
      await guest.until(() => guest.responses.length >= before + 2);
      await program.end('SIGKILL');
      program = await start(host);
    }
    const bytes = await got;
    expect(Buffer.compare(bytes, sent.subarray(0, bytes.length))).toBe(0);
    if (id === 4) expect(bytes.length).toBe(sent.length);
  }
});
