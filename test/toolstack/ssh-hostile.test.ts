// Strangers, and clients that have a key and mean ill: half-open connections, garbage, wrong keys, a client that does not read, that reads too much out of
// its window, that exchanges keys all the time. Each costs itself; who is logged in does not notice, and nothing stays.
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import ssh2 from 'ssh2';
import { afterEach, describe, expect, test } from 'vitest';
import type { Session } from '../../toolstack/cli/session.ts';
import { hasOpenSsh, SshHost, Typist } from './sshhost.ts';

let accepted = 0;

async function run(words: readonly string[], session: Session): Promise<number> {
  if (words[0] === 'flood') {
    const piece = Buffer.alloc(64 * 1024);
    while (!session.signal.aborted) {
      await new Promise<void>((resolve) => session.stdio.write(piece, () => resolve()));
      accepted += piece.length;
    }
  } else if (words[0] === 'wait') await once(session.signal, 'abort');
  else session.out(`${words.join(' ')}\n`);
  return 0;
}

/** A client whose library lets us break the rules. */
type Rude = ssh2.Client & {
  readonly _sock: Socket;
  readonly _protocol: {
    ping(): void;
    rekey(): void;
    session(channel: number, window: number, packet: number): void;
    exec(channel: number, command: string, reply: boolean): void;
    channelClose(channel: number): void;
    channelData(channel: number, data: Buffer): void;
  };
};

describe.skipIf(!hasOpenSsh)('whoever means ill', () => {
  let host: SshHost | undefined;
  const rude: Rude[] = [];
  const descriptors = (): number => readdirSync('/proc/self/fd').length;

  afterEach(async () => {
    for (const client of rude.splice(0)) client.destroy();
    await host?.close();
    host = undefined;
  });

  async function login(key: string): Promise<Rude> {
    const client = new ssh2.Client() as Rude;
    rude.push(client);
    client.on('error', () => {});
    client.connect({
      host: '127.0.0.1',
      port: host!.service.port,
      username: 'admin',
      privateKey: readFileSync(key),
      keepaliveInterval: 0,
    });
    await once(client, 'ready');
    return client;
  }

  const raw = (bytes: Buffer | string = ''): Promise<Socket> =>
    new Promise((resolve) => {
      const socket = connect(host!.service.port, '127.0.0.1');
      socket.on('error', () => {}).resume();
      socket.once('connect', () => {
        if (bytes.length > 0) socket.write(bytes);
        resolve(socket);
      });
    });

  /** However it came about. */
  const closed = (one: Socket | Rude): Promise<unknown> =>
    'destroyed' in one && one.destroyed
      ? Promise.resolve()
      : new Promise((resolve) => (one as Socket).on('close', resolve));

  const alone = async (connections: number): Promise<void> => {
    while (host!.service.connections !== connections) await new Promise(setImmediate);
  };

  /** A connection is open and has been told nothing of an end. */
  async function works(typist: Typist, what: string): Promise<number> {
    const begun = performance.now();
    typist.types(`say ${what}\r`);
    await typist.sees(`\r\nsay ${what}\r\n`);
    return performance.now() - begun;
  }

  test('hundreds that connect and say nothing, or nonsense, are gone after the time for a login', async () => {
    host = await SshHost.open(run, { loginMs: 600, newAtOnce: 500 });
    const admin = host.key('admin');
    const typist = new Typist(host.start(admin, ['-tt', 'admin@127.0.0.1']));
    await typist.sees('stubdom0> ');
    const before = descriptors();
    const sockets = await Promise.all([
      ...Array.from({ length: 200 }, () => raw()),
      ...Array.from({ length: 20 }, () => raw(Buffer.alloc(100_000, 0x41))),
      ...Array.from({ length: 20 }, () => raw('SSH-2.0-x\r\n')),
      ...Array.from({ length: 20 }, () => raw(`SSH-2.0-x\r\n${'\xff'.repeat(5000)}`)),
      ...Array.from({ length: 20 }, () => raw('GET / HTTP/1.1\r\n\r\n')),
    ]);
    // One byte at a time.
    const slow = await raw('S');
    const drip = setInterval(() => slow.write('S'), 20);
    // The limits count, and who is in goes on.
    expect(host.service.connections).toBeLessThanOrEqual(61);
    expect(await works(typist, 'one')).toBeLessThan(3000);
    await Promise.all([...sockets, slow].map(closed));
    clearInterval(drip);
    expect(await works(typist, 'two')).toBeLessThan(3000);
    await alone(1);
    expect(descriptors()).toBeLessThanOrEqual(before);
    typist.types('exit\r');
    expect(await typist.ended).toBe(0);
  });

  test('a login gets in although strangers hold all places', async () => {
    host = await SshHost.open(run, { loginMs: 5000 });
    const admin = host.key('admin');
    const sockets = await Promise.all(Array.from({ length: 90 }, () => raw()));
    // Those who just came have their second.
    let done = await host.ssh(admin, ['in']);
    while (done.code !== 0) done = await host.ssh(admin, ['in']);
    expect(done.stdout).toBe('in\n');
    for (const socket of sockets) socket.destroy();
  });

  test('wrong keys, many at a time, do not disturb a session', async () => {
    host = await SshHost.open(run);
    const [admin, wrong] = [host.key('admin'), host.key('wrong', null)];
    const typist = new Typist(host.start(admin, ['-tt', 'admin@127.0.0.1']));
    await typist.sees('stubdom0> ');
    const tries = Array.from({ length: 20 }, () => host!.ssh(wrong, ['in']));
    for (let at = 0; at < 5; at++) expect(await works(typist, `${at}`)).toBeLessThan(3000);
    for (const { code, stdout } of await Promise.all(tries)) expect([code, stdout]).toEqual([255, '']);
    typist.types('\x04');
    expect(await typist.ended).toBe(0);
    await alone(0);
  });

  test('a connection has so many tries', async () => {
    host = await SshHost.open(run, { tries: 3 });
    const wrong = host.key('wrong', null);
    const client = new ssh2.Client() as Rude;
    rude.push(client);
    let tries = 0;
    client.on('error', () => {});
    client.connect({
      host: '127.0.0.1',
      port: host.service.port,
      username: 'admin',
      authHandler: () => {
        tries++;
        return { type: 'publickey', username: 'admin', key: readFileSync(wrong) };
      },
    } as ssh2.ConnectConfig);
    await closed(client);
    expect(tries).toBeLessThanOrEqual(4);
    expect(host.logged.filter(({ what }) => what === 'refused').length).toBe(3);
  });

  test('before its key is accepted, a client opens nothing and does not talk for long', async () => {
    host = await SshHost.open(run, { loginBytes: 64 * 1024 });
    const client = new ssh2.Client() as Rude;
    rude.push(client);
    client.on('error', () => {});
    client.connect({
      host: '127.0.0.1',
      port: host.service.port,
      username: 'admin',
      authHandler: (_left: unknown, _partial: unknown, _next: unknown) => {
        client._protocol.session(0, 1 << 20, 1 << 15);
        client._protocol.exec(0, 'in', true);
        const talk = (): void => {
          if (client._sock.destroyed) return;
          for (let at = 0; at < 50; at++) client._protocol.ping();
          setImmediate(talk);
        };
        talk();
      },
    } as ssh2.ConnectConfig);
    await closed(client);
    expect(host.logged).toContainEqual(expect.objectContaining({ what: 'ended', why: 'it sent too much' }));
    expect(host.logged.map(({ what }) => what)).not.toContain('command');
  });

  test('a client that takes no packets is not written to', async () => {
    host = await SshHost.open(run);
    const client = await login(host.key('admin'));
    client._protocol.session(0, 1 << 20, 0);
    client._protocol.exec(0, 'in', true);
    await closed(client);
    expect(await host.logs('ended')).toMatchObject({ why: 'it takes no packets' });
  });

  test('a client that asks for everything and reads nothing holds little of it, and no longer than it may', async () => {
    accepted = 0;
    host = await SshHost.open(run, { rekeyMs: 300 });
    const client = await login(host.key('admin'));
    client._sock.pause();
    client._protocol.session(0, 0xffff_ffff, 1 << 15);
    client._protocol.exec(0, 'flood', true);
    // What is accepted stops growing: kernel's buffers, and ours.
    for (let last = -1, still = 0; still < 1000; still = accepted === last && last > 0 ? still + 1 : 0) {
      last = accepted;
      await new Promise(setImmediate);
    }
    expect(accepted).toBeLessThan(16 << 20);
    client._sock.destroy();
    expect(await host.logs('command')).toMatchObject({ command: 'flood' });
  });

  test('a line without an end keeps nobody else waiting', async () => {
    host = await SshHost.open(run);
    const admin = host.key('admin');
    const typist = await login(admin);
    const shell = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      typist.shell({ term: 'vt100' }, (error, opened) => (error ? reject(error) : resolve(opened))),
    );
    shell.write(Buffer.alloc(2 << 20, 'x'));
    const begun = performance.now();
    const other = await host.ssh(admin, ['in']);
    expect(other.stdout).toBe('in\n');
    expect(performance.now() - begun).toBeLessThan(5000);
    shell.on('data', () => {});
    shell.write('\rexit\r');
    await once(shell, 'close');
    const [line] = host.logged.filter(({ command }) => `${command}`.startsWith('xxx'));
    expect(line?.command).toBe('x'.repeat(500));
  });

  test('a key exchange that never ends, and those that never stop', async () => {
    accepted = 0;
    host = await SshHost.open(run, { rekeyMs: 300, rekeysPerMinute: 5 });
    const admin = host.key('admin');
    const stuck = await login(admin);
    stuck._protocol.session(0, 0xffff_ffff, 1 << 15);
    stuck._protocol.exec(0, 'flood', true);
    // Its side of the exchange begins, and hears no answer.
    stuck._protocol.rekey();
    stuck._sock.removeAllListeners('data').resume();
    await closed(stuck);
    expect(await host.logs('ended')).toMatchObject({ why: 'a key exchange took too long' });

    const busy = await login(admin);
    busy.on('handshake', () => setImmediate(() => busy._protocol.rekey()));
    busy._protocol.rekey();
    await closed(busy);
    expect(host.logged).toContainEqual(expect.objectContaining({ why: 'it exchanges keys too often' }));
  });

  test('more than the window, more than the channels, and sessions that are opened for nothing', async () => {
    host = await SshHost.open(run);
    const admin = host.key('admin');
    const many = await login(admin);
    const open = (): Promise<unknown> =>
      new Promise((resolve) => many.exec('wait', (error, channel) => resolve(error ?? channel)));
    const opened = await Promise.all(Array.from({ length: 12 }, open));
    expect(opened.filter((one) => one instanceof Error).length).toBe(2);
    many.end();
    await closed(many);

    const greedy = await login(admin);
    greedy._protocol.session(0, 1 << 20, 1 << 15);
    greedy._protocol.exec(0, 'wait', true);
    const piece = Buffer.alloc(30_000);
    for (let at = 0; at < 400; at++) greedy._protocol.channelData(0, piece);
    await closed(greedy);
    expect(await host.logs('ended')).toMatchObject({ why: 'it sent more than its window' });

    const idle = await login(admin);
    const confirmed = (): Promise<unknown> => once(idle._sock, 'data');
    for (let at = 0; at < 40; at++) {
      const heard = confirmed();
      idle._protocol.session(7, 1 << 20, 1 << 15);
      await heard;
      idle._protocol.channelClose(at);
    }
    const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      idle.exec('still here', (error, opened) => (error ? reject(error) : resolve(opened))),
    );
    expect(`${(await once(channel, 'data'))[0]}`).toBe('still here\n');
  });

  test('who does nothing is not kept for ever; a command at work is', async () => {
    host = await SshHost.open(run, { idleMs: 200 });
    const admin = host.key('admin');
    const busy = await login(admin);
    busy.exec('wait', () => {});
    const idle = await login(admin);
    await closed(idle);
    expect(await host.logs('ended')).toMatchObject({ why: 'it was idle for too long' });
    expect(host.service.connections).toBe(1);
  });
});
