/**
 * xenconsoled's job: the first console of every domain for which the toolstack has named us as its server, found in our own backend directory, which no
 * domain can write. A first console has no handshake: its ring is there before the domain runs. A service that was killed finds its consoles again, each with
 * a new terminal, whose name it writes for those who look for it. Knows no ring.
 */
import { join } from 'node:path';
import { Poller } from '../../osdep/os/poll.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Ports } from '../../osdep/ports.ts';
import { Devices, type Run } from '../../xenstored/client/devices.ts';
import { type Client, XenstoreError } from '../../xenstored/client/index.ts';
import { type Taker, Turns } from '../../xenstored/client/turns.ts';
import { backendRoot, parseBackendPath } from '../../xenstored/xenbus/path.ts';
import { parseNumber } from '../../xenstored/xenbus/value.ts';
import { CONSOLE, consolePath, terminalNode } from '../core/console.ts';
import { logName } from '../core/consolelog.ts';
import { tellTerminal } from '../io/ptyend.ts';
import { type ConsoleHost, GuestConsole } from './guestconsole.ts';
import { LogFile, type LogOptions } from './logfile.ts';

export interface ConsolesOptions {
  readonly platform: Platform;
  readonly store: Client;
  /** Our own domain. */
  readonly domid: number;
  /** Where logs are written; undefined: none are. */
  readonly logs: (LogOptions & { readonly directory: string }) | undefined;
  /** A line for the service's own log. */
  readonly log: (line: string) => void;
}

export interface Consoles {
  /** Watches for consoles. Rejects with a `XenstoreError` if that is refused. */
  readonly ready: Promise<void>;
  /** Rejects if the store is lost for good. */
  readonly ended: Promise<void>;
  /** Leaves the domains as they are, for a successor; viewers are told to wait for one. */
  close(): Promise<void>;
}

const TURNS = 8;
/** What libxl says, and the most that we keep whatever it says. */
const LIMIT_BYTES = 1 << 20;
const MAX_PORT = 0xffff_ffff;

interface Host extends ConsoleHost {
  readonly options: ConsolesOptions;
  readonly turns: Turns;
  readonly forget: (path: string) => void;
}

export function serveConsoles(options: ConsolesOptions): Consoles {
  const { platform, store, log, domid } = options;
  const poller = new Poller();
  const gnttab = platform.openGnttab();
  const ports = new Ports(platform.openEvtchn());
  const turns = new Turns({ clock: platform.clock, limit: TURNS });
  const host: Host = {
    options,
    poller,
    gnttab,
    ports,
    clock: platform.clock,
    turns,
    forget: (path) => devices.forget(path),
  };
  const make = (path: string): Run | undefined => {
    const name = parseBackendPath(path);
    // Others are xenbus devices of whoever emulates the domain's machine.
    return name?.devid === 0 ? new ConsoleRun(host, path, name.frontendDomid) : undefined;
  };
  const devices = new Devices({ store, turns, log, root: backendRoot(domid, CONSOLE), levels: 2, make });
  const close = async (): Promise<void> => {
    turns.stop();
    await devices.stop();
    ports.close();
    gnttab.close();
    poller.close();
  };
  return { ready: devices.ready, ended: devices.ended, close };
}

/** What the store says of a console. */
interface Order {
  readonly port: number;
  readonly limit: number;
  readonly name: string;
}

class ConsoleRun implements Run, Taker {
  readonly #host: Host;
  readonly #path: string;
  readonly #domid: number;
  #console: GuestConsole | undefined;
  readonly #mark: number;
  #told = '';
  #stopped = false;

  constructor(host: Host, path: string, domid: number) {
    this.#host = host;
    this.#path = path;
    this.#domid = domid;
    this.#mark = host.options.platform.random.u32();
  }

  changed(): void {
    this.#host.turns.soon(this);
  }

  async turn(): Promise<void> {
    const { forget, options } = this.#host;
    const order = await this.#readOrder();
    if (this.#stopped) return;
    if (order === undefined) {
      forget(this.#path);
      await this.#leave();
      return;
    }
    if (order === 'other') {
      await this.#leave();
      return;
    }
    this.#console ??= this.#open(order);
    if (this.#console.remotePort !== order.port) this.#console.connect(order.port);
    const { terminal } = this.#console;
    if (this.#told === terminal) return;
    await tellTerminal(options.store, terminalNode(this.#domid, 'pv', 0), terminal, this.#mark);
    this.#told = terminal;
  }

  failed(error: unknown): void {
    this.#host.options.log(`${this.#path}: ${error instanceof Error ? error.message : String(error)}`);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#console === undefined) return;
    this.#console.close();
    // Its name may be another terminal's soon.
    await this.#host.options.store.write(terminalNode(this.#domid, 'pv', 0), '').catch(() => {});
  }

  /** The domain is gone, or served by somebody else. */
  async #leave(): Promise<void> {
    const ended = this.#console?.end();
    this.#console = undefined;
    this.#told = '';
    // For whoever still reads; other domains need not wait for him.
    void ended;
  }

  #open({ limit, name }: Order): GuestConsole {
    const { logs, log } = this.#host.options;
    const file = logs && new LogFile(join(logs.directory, logName(name)), logs, log);
    return new GuestConsole({ ...this.#host, domid: this.#domid, mark: this.#mark, limit, log: file });
  }

  /** undefined: there is none; `other`: somebody else serves it. */
  async #readOrder(): Promise<Order | 'other' | undefined> {
    const front = consolePath(this.#domid);
    if (!(await this.#host.options.store.exists(this.#path))) return undefined;
    const [port, type = 'xenconsoled', limit] = await Promise.all(
      ['port', 'type', 'limit'].map((key) => this.#find(`${front}/${key}`)),
    );
    if (type !== 'xenconsoled') return 'other';
    const number = parseNumber(port, 1, MAX_PORT);
    // Written with the rest; a domain that is on its way out has none any more.
    if (number === undefined) return 'other';
    return {
      port: number,
      limit: Math.min(LIMIT_BYTES, parseNumber(limit, 1, MAX_PORT) ?? LIMIT_BYTES),
      name: await this.#name(),
    };
  }

  /** As its server is told, or as whoever is privileged can read. */
  async #name(): Promise<string> {
    const told = await this.#find(`${this.#path}/domain`);
    return told ?? (await this.#find(`/local/domain/${this.#domid}/name`)) ?? `domain-${this.#domid}`;
  }

  /** undefined: there is no such node, or none for us. */
  async #find(path: string): Promise<string | undefined> {
    try {
      return await this.#host.options.store.findText(path);
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'EACCES') return undefined;
      throw error;
    }
  }
}
