/**
 * The control socket of a host: `control` in its run directory, one JSON object a line. A connection is told the host's state when it
 * asks (`{"ask":"status"}`), may take the host down (`{"ask":"down"}`), and ends with the process that serves it. Knows nothing of how.
 */
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Fault } from './fault.ts';
import { ended } from './identity.ts';
import type { HostState } from './state.ts';

export interface ControlEvents {
  state(): HostState;
  down(): void;
}

export class ControlServer {
  readonly #server: Server;

  private constructor(events: ControlEvents) {
    this.#server = createServer((socket) => {
      // Open to the very end, and no reason to put it off: who waits for the host's end waits for that of the connection.
      socket.unref().on('error', () => {});
      createInterface({ input: socket }).on('line', (line) => {
        const ask = question(line);
        if (ask === 'down') events.down();
        socket.write(
          `${JSON.stringify(ask === undefined ? { error: 'ask status or down' } : { state: events.state() })}\n`,
        );
      });
    });
  }

  static listen(run: string, events: ControlEvents): Promise<ControlServer> {
    const control = new ControlServer(events);
    return new Promise((resolve, reject) => {
      control.#server.once('error', reject).listen(join(run, 'control'), () => resolve(control));
    });
  }

  /** Takes no new connections. */
  close(): void {
    this.#server.close();
  }
}

function question(line: string): 'status' | 'down' | undefined {
  try {
    const { ask } = JSON.parse(line) as { ask?: unknown };
    return ask === 'status' || ask === 'down' ? ask : undefined;
  } catch {
    return undefined;
  }
}

/** The state of the host that runs in `run`; undefined: none does. */
export function askStatus(run: string): Promise<HostState | undefined> {
  return ask(run, 'status', 'answer');
}

/** Takes the host down and waits until it is. False: none runs. */
export async function askDown(run: string): Promise<boolean> {
  const state = await ask(run, 'down', 'end');
  if (state === undefined) return false;
  await ended(state.owner);
  return true;
}

function ask(run: string, what: 'status' | 'down', until: 'answer' | 'end'): Promise<HostState | undefined> {
  return new Promise((resolve, reject) => {
    let state: HostState | undefined;
    const socket = createConnection(join(run, 'control'), () =>
      socket.write(`${JSON.stringify({ ask: what })}\n`),
    );
    createInterface({ input: socket })
      .on('line', (line) => {
        state = (JSON.parse(line) as { state: HostState }).state;
        if (until === 'answer') socket.destroy();
      })
      .on('error', () => {});
    socket
      .on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
        else if (error.code !== 'ECONNRESET') reject(new Fault(`${run}: ${error.message}`));
      })
      .on('close', () => resolve(state));
  });
}
