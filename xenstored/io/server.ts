/**
 * A running daemon: the core with its machine, its keeper, its sockets, its rings and its trace, introduced to each other, brought up in the
 * order that lets nobody see half of it, and taken down again. Decides nothing about the process it runs in.
 */
import type { Clock } from '../../osdep/clock.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { systemClock } from '../../osdep/os/clock.ts';
import { Poller } from '../../osdep/os/poll.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Daemon, defaultOptions } from '../core/daemon.ts';
import type { Machine, SavedState, Tracer } from '../core/ports.ts';
import { Database, type Keeper, memory } from './database.ts';
import type { Log } from './log.ts';
import { Loop, type RingEffects } from './loop.ts';
import { PlatformMachine, type Roles } from './machine.ts';
import type { Options } from './options.ts';
import { RingServer } from './ringlink.ts';
import { SocketServer } from './socket.ts';
import { StandaloneMachine } from './standalone.ts';
import { Surroundings } from './surroundings.ts';
import { TraceFile } from './trace.ts';

/** Relative names of trace files are below it. */
const LIB_DIR = '/var/lib/xen/xenstore';

export interface ServerOptions {
  readonly options: Options;
  /** `undefined`: no hypervisor; the daemon serves sockets alone. */
  readonly platform: Platform | undefined;
  /** Differs from boot to boot of the machine: a store of another one is not taken up. */
  readonly boot: string;
  /** Keeps the store instead of a database; and what it has kept. */
  readonly kept?: { readonly keeper: Keeper; readonly saved: SavedState | undefined };
  /** A listening socket, which becomes the server's own. `undefined`: no sockets; the platform tells of events by itself. */
  readonly listener: number | undefined;
  /** Runs its argument soon. Default: in this process's loop. */
  readonly defer?: (callback: () => void) => void;
  readonly log: Log;
  /** The daemon cannot go on: nothing that is not safe has left it, and the process has to end. */
  readonly fatal: (error: unknown) => void;
}

export class Server {
  readonly daemon: Daemon;
  readonly loop: Loop;
  readonly keeper: Keeper;
  readonly #trace: TraceFile;
  readonly #closers: (() => void | Promise<void>)[] = [];
  readonly #options: Options;
  readonly #log: Log;
  #capture: (Tracer & { close(): void }) | undefined = undefined;

  /** Resolves when clients are being served. Throws OsError, DatabaseError. */
  static async start(options: ServerOptions): Promise<Server> {
    const { platform, log, kept } = options;
    const clock = platform?.clock ?? systemClock;
    const machine = platform ? platformMachine(platform, options.options) : new StandaloneMachine();
    const { database, durability } = options.options;
    let sentPosition: (domid: number) => number | undefined = () => undefined;
    const opened = database
      ? await Database.open({
          directory: database,
          durability,
          boot: options.boot,
          log: (line) => log('warn', line),
          sentPosition: (domid) => sentPosition(domid),
        })
      : undefined;
    const server = new Server(options, { machine, clock, keeper: kept?.keeper ?? opened ?? memory });
    sentPosition = (domid) => server.daemon.ringOf(domid)?.outbox.sent;
    await server.#openCapture(clock);
    server.#begin(kept?.saved ?? opened?.takeSaved());
    server.#serve(options, machine, clock);
    return server;
  }

  private constructor(
    { options, log, fatal, defer = setImmediate }: ServerOptions,
    parts: { machine: AnyMachine; clock: Clock; keeper: Keeper },
  ) {
    const { machine, clock, keeper } = parts;
    this.keeper = keeper;
    this.#options = options;
    this.#log = log;
    this.#trace = new TraceFile({
      switches: options.switches,
      directory: LIB_DIR,
      wallNow: () => clock.wallNow(),
      complain: (text) => log('warn', text),
    });
    if (options.traceFile) this.#trace.setFile(options.traceFile);
    const surroundings = new Surroundings({
      trace: this.#trace,
      traceChanged: () => this.#watchTraffic(),
      print: (text) => (options.fork ? this.#trace.line(text) : process.stderr.write(text)),
    });
    const { quotas, watchEventTimeoutMs } = options;
    this.daemon = new Daemon(
      {
        ...machine.roles,
        // On a simulated host the store is a domain of its own and yet has sockets, which are the host's.
        socketDomid: options.storeDomid ?? machine.roles.privDomid,
        quotas: { ...defaultOptions.quotas, ...quotas },
        quotaCompare: options.quotaCompare,
        eventTimeoutMs: watchEventTimeoutMs ?? defaultOptions.eventTimeoutMs,
        keepOrphans: options.keepOrphans,
        persistent: keeper !== memory,
      },
      machine,
      surroundings,
    );
    this.loop = new Loop({
      daemon: this.daemon,
      rings: machine,
      keeper,
      clock,
      defer,
      log: (level, text) => log(level, text),
      fatal,
    });
    this.#closers.push(
      () => this.loop.stop(),
      () => machine.close(),
      () => keeper.close(),
      () => this.#trace.close(),
    );
  }

  /** SIGHUP. */
  reopenLogs(): void {
    this.#trace.open();
    this.#watchTraffic();
  }

  /** Lets go of clients and rings; what was acknowledged is safe already. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }

  #begin(saved: SavedState | undefined): void {
    this.loop.turn(() => {
      if (saved) this.daemon.restore(saved);
      else this.daemon.start();
    });
  }

  #serve({ listener, fatal }: ServerOptions, machine: AnyMachine, clock: Clock): void {
    const poller = listener === undefined ? undefined : this.#listen(listener, clock);
    if (!(machine instanceof PlatformMachine)) return;
    const lost = () => fatal(new OsError(Errno.ENODEV, 'the hypervisor is gone'));
    const rings = new RingServer({ loop: this.loop, machine, poller, lost });
    this.#closers.unshift(() => rings.close());
  }

  #listen(listener: number, clock: Clock): Poller {
    const poller = new Poller({ spinUs: 60 });
    poller.onTurn(() => this.loop.end());
    const sockets = new SocketServer({
      loop: this.loop,
      poller,
      clock,
      listener,
      log: (text) => this.#log('warn', text),
    });
    this.#closers.unshift(
      () => sockets.close(),
      () => poller.close(),
    );
    return poller;
  }

  async #openCapture(clock: Clock): Promise<void> {
    this.loop.onTurn(() => this.#trace.flush());
    const { pcapFile } = this.#options;
    if (pcapFile !== undefined) {
      const { PcapFile } = await import('./pcap.ts');
      // Finer than a wall clock's milliseconds, and never going back.
      const epoch = clock.wallNow() - clock.now();
      const capture = new PcapFile({
        file: pcapFile,
        wallNow: () => epoch + clock.now(),
        complain: (text) => this.#log('warn', text),
      });
      this.loop.onTurn(() => capture.flush());
      this.#closers.push(() => capture.close());
      this.#capture = capture;
    }
    this.#watchTraffic();
  }

  /** Tells the core who looks; it costs nothing while nobody does. */
  #watchTraffic(): void {
    const trace = this.#trace.active ? this.#trace : undefined;
    const capture = this.#capture;
    this.daemon.tracer = trace && capture ? both(trace, capture) : (trace ?? capture);
  }
}

type AnyMachine = Machine & RingEffects & { readonly roles: Roles; close(): void };

function platformMachine(platform: Platform, options: Options): PlatformMachine {
  const { storeDomid, privDomid, dom0Port } = options;
  return new PlatformMachine({ platform, storeDomid, privDomid, dom0Port });
}

function both(first: Tracer, second: Tracer): Tracer {
  return {
    io(...message) {
      first.io(...message);
      second.io(...message);
    },
    object(...change) {
      first.object(...change);
      second.object(...change);
    },
  };
}
