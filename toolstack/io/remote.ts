/**
 * The toolstack of a simulated host, reached over its socket. Nothing is connected to before something is asked; a service that is just being started again
 * is waited for. Follows toolstack/io/server.ts.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { DeviceConfig } from '../core/config.ts';
import type {
  CreateOrder,
  DeviceEntry,
  DomainEntry,
  DomainRef,
  HostInfo,
  PlannedStep,
  Progress,
  Swept,
} from '../core/toolstack.ts';
import { Fault, type FaultKind } from './fault.ts';
import { type AnswerLine, type OrderName, toolstackSocket } from './orders.ts';
import type { Toolstack } from './toolstack.ts';

const PATIENCE_MS = 5_000;
const PAUSE_MS = 50;

interface AskOptions {
  readonly progress?: (made: Progress) => void;
  readonly signal?: AbortSignal | undefined;
}

export class RemoteToolstack implements Toolstack {
  readonly #run: string;

  /** `run`: the host's run directory. */
  constructor(run: string) {
    this.#run = run;
  }

  list(): Promise<DomainEntry[]> {
    return this.#ask('list', {});
  }

  info(): Promise<HostInfo> {
    return this.#ask('info', {});
  }

  plan(order: CreateOrder): Promise<PlannedStep[]> {
    return this.#ask('plan', { order: withoutText(order) });
  }

  create(order: CreateOrder, progress: (made: Progress) => void, signal: AbortSignal): Promise<number> {
    return this.#ask('create', { order: withoutText(order) }, { progress, signal });
  }

  destroy(domain: DomainRef): Promise<void> {
    return this.#ask('destroy', { domain });
  }

  shutdown(
    domain: DomainRef,
    how: 'poweroff' | 'reboot' | 'halt',
    wait: 'wait' | 'return',
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#ask('shutdown', { domain, how, wait }, { signal });
  }

  pause(domain: DomainRef): Promise<void> {
    return this.#ask('pause', { domain });
  }

  unpause(domain: DomainRef): Promise<void> {
    return this.#ask('unpause', { domain });
  }

  rename(domain: DomainRef, name: string): Promise<void> {
    return this.#ask('rename', { domain, name });
  }

  sysrq(domain: DomainRef, letter: string): Promise<void> {
    return this.#ask('sysrq', { domain, letter });
  }

  devices(domain: DomainRef, kind: DeviceConfig['kind']): Promise<DeviceEntry[]> {
    return this.#ask('devices', { domain, kind });
  }

  attach(domain: DomainRef, device: DeviceConfig): Promise<DeviceEntry> {
    return this.#ask('attach', { domain, device });
  }

  detach(
    domain: DomainRef,
    kind: DeviceConfig['kind'],
    device: string,
    how: 'orderly' | 'force',
  ): Promise<void> {
    return this.#ask('detach', { domain, kind, device, how });
  }

  consoleNode(domain: DomainRef, type: 'pv' | 'serial', number: number): Promise<string> {
    return this.#ask('consoleNode', { domain, type, number });
  }

  async readNode(path: string): Promise<string | undefined> {
    // JSON has no undefined.
    return (await this.#ask<string | null>('readNode', { path })) ?? undefined;
  }

  dmesg(clear: 'clear' | 'keep'): Promise<string> {
    return this.#ask('dmesg', { clear });
  }

  gc(): Promise<Swept> {
    return this.#ask('gc', {});
  }

  async close(): Promise<void> {}

  /** Throws Fault; AbortError after the signal, when the service has undone it or is gone. */
  async #ask<T>(name: OrderName, body: object, { progress, signal }: AskOptions = {}): Promise<T> {
    const response = await this.#connected(name, JSON.stringify(body), signal);
    for await (const line of lines(response, signal)) {
      if ('progress' in line) progress?.(line.progress);
      else if ('fault' in line) {
        const { message, kind, exitCode } = line.fault;
        throw new Fault(message, { exitCode, ...(kind !== undefined && { kind: kind as FaultKind }) });
      } else if ('error' in line) throw new Error(line.error);
      else return line.result as T;
    }
    throw lost();
  }

  /** Nothing has been ordered until somebody is there to take it: that alone is tried again. */
  async #connected(name: OrderName, body: string, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    for (let waitedMs = 0; ; waitedMs += PAUSE_MS) {
      try {
        return await this.#post(name, body, signal);
      } catch (error) {
        signal?.throwIfAborted();
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ECONNRESET' || code === 'EPIPE')
          throw new Fault(
            'the toolstack ended before it answered; what it had begun is undone when it is back',
          );
        if (code === 'EACCES')
          throw new Fault(`${toolstackSocket(this.#run)} is not for you: Permission denied`);
        // EAGAIN: more wait to be let in than fit before its door.
        if (code !== 'ENOENT' && code !== 'ECONNREFUSED' && code !== 'EAGAIN') throw error;
        if (waitedMs >= PATIENCE_MS) throw new Fault(`no host runs in ${this.#run}`);
        await delay(PAUSE_MS);
      }
    }
  }

  #post(name: OrderName, body: string, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const asking: ClientRequest = request({
        socketPath: toolstackSocket(this.#run),
        path: `/${name}`,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        agent: false,
        ...(signal !== undefined && { signal }),
      });
      asking.once('response', resolve).once('error', reject).end(body);
    });
  }
}

/** Until the answer ends, or the connection does. Throws the signal's reason. */
async function* lines(
  response: IncomingMessage,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerLine> {
  try {
    for await (const text of createInterface({ input: response })) yield JSON.parse(text) as AnswerLine;
  } catch (error) {
    signal?.throwIfAborted();
    throw (error as NodeJS.ErrnoException).code === 'ECONNRESET' ? lost() : error;
  }
}

/** The manager goes by what it says. */
function withoutText({ config, start }: CreateOrder): CreateOrder {
  return { config, start };
}

function lost(): Fault {
  return new Fault('the toolstack ended before it answered; what it had begun is undone when it is back');
}
