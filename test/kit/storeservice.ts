/**
 * Our xenstored on a stepped machine: in the control domain, its store in memory, without sockets; it may be stopped, and go on with what it had. And who said
 * what to it, for the timeline. Knows no device.
 */
import type { LocalHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';
import type { Connector } from '../../xenstored/client/transport.ts';
import type { Link } from '../../xenstored/core/link.ts';
import type { Tracer } from '../../xenstored/core/ports.ts';
import { parseOptions } from '../../xenstored/io/options.ts';
import { Server } from '../../xenstored/io/server.ts';
import { Op, opName } from '../../xenstored/wire/ops.ts';
import { Nodes } from './nodes.ts';
import type { RingShare } from './ringshare.ts';
import { StoreKeeper } from './storekeeper.ts';
import { linkConnector, type StoreLinksOptions, StoreView } from './storelinks.ts';
import type { Timeline } from './timeline.ts';
import { eventWords, storeWords } from './words.ts';

const TOOLSTACK = 'toolstack';

export interface StoreServiceOptions {
  readonly machine: LocalHost<SteppedScheduler>;
  readonly timeline: Timeline;
}

export class StoreService {
  readonly nodes: Nodes = new Nodes();
  /** The rings that several share, by their guests. */
  readonly shares: Map<number, RingShare> = new Map();
  readonly #options: StoreServiceOptions;
  readonly #keeper = new StoreKeeper();
  readonly #peers = new Set<{ lose(): void }>();
  #server: Server | undefined;
  /** By the daemon's link id. */
  readonly #names = new Map<number, string>();
  /** What was asked and is not answered, by link and request. */
  readonly #asked = new Map<string, string>();

  static async start(options: StoreServiceOptions): Promise<StoreService> {
    const store = new StoreService(options);
    await store.begin();
    return store;
  }

  private constructor(options: StoreServiceOptions) {
    this.#options = options;
  }

  /** A connection of a process in the control domain. */
  connector(who: string): Connector {
    return linkConnector(
      () => this.#links(),
      (link) => void this.#names.set(link.id, who),
    );
  }

  /** Starts, with what was there before. */
  async begin(): Promise<void> {
    if (this.#server !== undefined) throw new Error('the store runs already');
    const { machine, timeline } = this.#options;
    const parsed = parseOptions(['-N', '--database', 'memory'], {});
    if (parsed.kind !== 'run') throw new Error('xenstored does not take its options');
    const server = await Server.start({
      options: parsed.options,
      platform: machine.platformFor(0),
      boot: 'one',
      kept: { keeper: this.#keeper, saved: await this.#keeper.saved() },
      listener: undefined,
      defer: (callback) => machine.scheduler.ready(callback),
      log: (_level, text) => timeline.add('xenstored', `says: ${text}`),
      fatal: (error) => {
        throw error;
      },
    });
    this.#server = server;
    const view = new StoreView(server.loop);
    this.#names.set(view.link.id, TOOLSTACK);
    this.nodes.view = view;
    server.daemon.tracer = this.#tracer();
  }

  /** Ends; connections are lost, and rings wait. */
  async close(): Promise<void> {
    this.nodes.view = undefined;
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
    this.#names.clear();
    this.#asked.clear();
    for (const peer of [...this.#peers]) peer.lose();
  }

  #links(): StoreLinksOptions | undefined {
    if (this.#server === undefined) return undefined;
    return { loop: this.#server.loop, scheduler: this.#options.machine.scheduler, peers: this.#peers };
  }

  #tracer(): Tracer {
    const { timeline } = this.#options;
    return {
      io: (direction, link, type, reqId, txId, payload) => {
        if (direction === 'IN') this.#request(link, type, reqId, txId, payload);
        else if (type === Op.WATCH_EVENT) timeline.add(this.#watcher(link, payload), eventWords(payload));
        else this.#reply(link, type, reqId, payload);
      },
      object: () => {},
    };
  }

  #request(link: Link, type: number, reqId: number, txId: number, payload: string): void {
    const { timeline } = this.#options;
    const words = storeWords(opName(type), txId, payload);
    if (words === undefined) {
      // A test that looks changes nothing.
      if (this.#names.get(link.id) !== TOOLSTACK) timeline.touch();
      return;
    }
    const who = this.#asker(link, reqId);
    // The rights that every device's nodes have.
    if (who === TOOLSTACK && type === Op.SET_PERMS) return;
    this.#asked.set(`${link.id} ${reqId}`, words);
    timeline.add(who, words);
  }

  #reply(link: Link, type: number, reqId: number, payload: string): void {
    const { timeline } = this.#options;
    const key = `${link.id} ${reqId}`;
    const words = this.#asked.get(key);
    this.#asked.delete(key);
    if (words === undefined || type !== Op.ERROR) return;
    timeline.add(this.#asker(link, reqId), `is refused (${payload.replace('\0', '')}): ${words}`);
  }

  #asker(link: Link, reqId: number): string {
    const shared = link.kind === 'ring' ? this.shares.get(link.domid)?.whoAsked(reqId) : undefined;
    return shared ?? this.#nameOf(link);
  }

  #watcher(link: Link, payload: string): string {
    const token = payload.split('\0')[1] ?? '';
    const shared = link.kind === 'ring' ? this.shares.get(link.domid)?.whoWatches(token) : undefined;
    return shared ?? this.#nameOf(link);
  }

  #nameOf(link: Link): string {
    return (link.kind === 'socket' ? this.#names.get(link.id) : undefined) ?? `domain ${link.domid}`;
  }
}
