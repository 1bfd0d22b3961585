/** iperf3 over loopback, as the socket bench uses it. Knows nothing of ours. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Undefined: it is not installed (Debian: iperf3). */
export function iperfVersion(): string | undefined {
  const { status, stdout } = spawnSync('iperf3', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Bytes a second; undefined: it failed, or is not there. */
export async function iperf(load: {
  readonly streams: number;
  /** Of a write. */
  readonly bytes: number;
  readonly seconds: number;
}): Promise<number | undefined> {
  const port = `${await freePort()}`;
  const server = spawn('iperf3', ['-s', '-1', '-B', '127.0.0.1', '-p', port, '--forceflush'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await Promise.race([
      once(server.stdout, 'data'),
      once(server, 'error').then(([error]) => Promise.reject(error as Error)),
    ]);
    const flags = ['-c', '127.0.0.1', '-p', port, '-J', '-l', `${load.bytes}`, '-P', `${load.streams}`];
    const client = spawn('iperf3', [...flags, '-t', `${Math.max(1, Math.round(load.seconds))}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let text = '';
    client.stdout.on('data', (part: Buffer) => {
      text += part.toString();
    });
    await once(client, 'close');
    const report = JSON.parse(text) as { end?: { sum_received?: { bits_per_second: number } } };
    const bits = report.end?.sum_received?.bits_per_second;
    return bits === undefined ? undefined : bits / 8;
  } catch {
    return undefined;
  } finally {
    server.kill();
  }
}
