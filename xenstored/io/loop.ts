/**
 * The daemon's turns. What came in since the last one is given to the core; then the turn's changes are written in one piece, then its effects
 * are done in order, then replies leave: none can overtake its own durability. Knows neither sockets nor rings, only peers that read and
 * write; and it is the one place that catches: an assertion while serving a link costs that link, and everybody else goes on.
 */
import type { Clock } from '../../osdep/clock.ts';
import type { Daemon } from '../core/daemon.ts';
import type { Link } from '../core/link.ts';
import type { Effect } from '../core/ports.ts';
import type { Keeper } from './database.ts';
import type { Log } from './log.ts';

/** The far end of a link, as a transport sees it. It hangs on the link's `io`. */
export interface Peer {
  readonly link: Link;
  /** Offers the daemon what has come. Only called while the daemon may read the link. */
  read(): void;
  /** Gives the peer what waits for it, as far as it takes it. */
  write(): void;
  /** Lets go of the peer: what waits for it is still sent, what comes from it is not read. */
  shut(): void;
  /** Lets go of the peer at once, because it cannot be served any more. */
  drop(): void;
}

/** What the machine does for the core when a turn's changes are safe. */
export interface RingEffects {
  features(domid: number, features: number): void;
  reset(domid: number): void;
  error(domid: number, error: number): void;
  detach(domid: number): void;
  connected(domid: number): void;
  resume(link: Link): void;
  /** The peer at a ring that has something to say for the first time. */
  adopt(link: Link): Peer | undefined;
  /** All effects of the turn are done. */
  settle(): void;
}

export interface LoopOptions {
  readonly daemon: Daemon;
  readonly rings: RingEffects;
  readonly keeper: Keeper;
  readonly clock: Clock;
  /** Runs its argument soon, but after other work had a chance: the next turn, if input was left over. */
  readonly defer: (callback: () => void) => void;
  readonly log: Log;
  /** The turn could not be made safe or finished: nothing of it has left, and nothing more may. */
  readonly fatal: (error: unknown) => void;
}

/** What is due may be this late. */
const TICK_EVERY_MS = 10;
/** If more peers than a few are held, they are looked at this often. */
const FEW = 32;
const LOOK_EVERY_MS = 5;

export class Loop {
  readonly daemon: Daemon;
  readonly #options: LoopOptions;
  /** Run at the end of each turn. */
  readonly #flushes: (() => void)[] = [];
  #inTurn = false;
  #dead = false;
  #deferred = false;
  /** Peers with input that the daemon would not take yet: held in this turn, held for longer, and those it would take now. */
  readonly #newlyHeld = new Set<Peer>();
  readonly #held = new Set<Peer>();
  #ready = new Set<Peer>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** To be done at the beginning of the next turn. */
  #waiting: (() => void)[] = [];
  /** To be written to at the end of this turn, whether or not the turn had anything for them. */
  #writers = new Set<Peer>();
  #cancelTimer: (() => void) | undefined = undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #tickedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.daemon = options.daemon;
  }

  /** `flush` runs after everything else in each turn. */
  onTurn(flush: () => void): void {
    this.#flushes.push(flush);
  }

  /** Serves a peer that has become ready, in the current turn or a new one; `end` must follow. */
  serve(peer: Peer, ready: (peer: Peer) => void): void {
    if (!this.begin()) return;
    try {
      ready(peer);
    } catch (error) {
      this.#failed(peer, error);
    }
  }

  /** Runs `work` as (part of) a turn and ends it. */
  turn(work: () => void): void {
    if (!this.begin()) return;
    this.#attempt(work);
    this.end();
  }

  /** `false`: the daemon has stopped. */
  begin(): boolean {
    if (this.#inTurn || this.#dead) return !this.#dead;
    this.#inTurn = true;
    this.daemon.now = this.#options.clock.now();
    if (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const work of waiting) this.#attempt(work);
    }
    return true;
  }

  /** Ends the turn that is on, if one is. */
  end(): void {
    if (!this.#inTurn) return;
    try {
      this.#finish();
    } catch (error) {
      this.#dead = true;
      this.#options.fatal(error);
      return;
    }
    for (const flush of this.#flushes) flush();
    this.#planResume();
  }

  /** The peer has input that the daemon would not take: it is asked to read again when it would. */
  hold(peer: Peer): void {
    this.#held.delete(peer);
    this.#newlyHeld.add(peer);
  }

  /** The peer is not to be read any more. */
  release(peer: Peer): void {
    this.#held.delete(peer);
    this.#newlyHeld.delete(peer);
    this.#ready.delete(peer);
  }

  /** The peer takes more, or has to be told what was taken from it: not before the turn is safe. */
  writeAtEnd(peer: Peer): void {
    this.#writers.add(peer);
  }

  /** Tells the daemon something: in this turn, or in the next if this one is being finished. */
  tell(work: () => void): void {
    if (this.#inTurn) {
      this.#attempt(work);
    } else {
      this.#waiting.push(work);
      this.#resumeSoon();
    }
  }

  /** No more turns. */
  stop(): void {
    this.#dead = true;
    this.#cancelTimer?.();
  }

  #finish(): void {
    const { daemon } = this;
    this.#tick();
    const { commit, effects, output } = daemon.endTurn();
    if (commit) this.#options.keeper.append(commit);
    this.#inTurn = false;
    for (const effect of effects) this.#attempt(() => this.#perform(effect));
    for (const link of output) this.#write((link.io ?? this.#options.rings.adopt(link)) as Peer | undefined);
    if (this.#writers.size > 0) this.#writeOthers();
    this.#options.rings.settle();
  }

  /** Looks for what is due, which may cost as much as there is waiting: not in every turn of a busy daemon. */
  #tick(): void {
    const { daemon } = this;
    const next = this.#tickedAt + TICK_EVERY_MS;
    if (daemon.now < next) {
      this.#arm(next);
    } else {
      this.#tickedAt = daemon.now;
      this.#arm(daemon.tick());
    }
  }

  #perform(effect: Effect): void {
    const { rings, log } = this.#options;
    switch (effect.kind) {
      case 'features':
        rings.features(effect.domid, effect.features);
        break;
      case 'reset':
        rings.reset(effect.domid);
        break;
      case 'error':
        rings.error(effect.domid, effect.error);
        break;
      case 'detach':
        rings.detach(effect.domid);
        break;
      case 'connected':
        rings.connected(effect.domid);
        break;
      case 'resume':
        rings.resume(effect.link);
        break;
      case 'shut':
        this.#shut(effect.link.io as Peer | undefined);
        break;
      case 'note':
        log(effect.level, effect.text);
    }
  }

  #write(peer: Peer | undefined): void {
    if (!peer) return;
    this.#writers.delete(peer);
    try {
      peer.write();
    } catch (error) {
      this.#failed(peer, error);
    }
  }

  #writeOthers(): void {
    const writers = this.#writers;
    this.#writers = new Set();
    for (const peer of writers) this.#write(peer);
  }

  #shut(peer: Peer | undefined): void {
    if (!peer) return;
    try {
      peer.shut();
    } catch (error) {
      this.#failed(peer, error);
    }
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log('crit', `unexpected: ${describe(error)}`);
    }
  }

  /** Serving this peer met what must not happen. Nobody else is to pay for it. */
  #failed(peer: Peer, error: unknown): void {
    const { kind, id, domid } = peer.link;
    this.#options.log('crit', `closing ${kind} link ${id} of domain ${domid}: ${describe(error)}`);
    try {
      peer.drop();
    } catch (again) {
      this.#options.log('crit', `while closing it: ${describe(again)}`);
    }
  }

  /** Another turn, if somebody has input that the daemon would take now. */
  #planResume(): void {
    if (this.#newlyHeld.size > 0) {
      this.#sort(this.#newlyHeld);
      this.#newlyHeld.clear();
    }
    if (this.#held.size > 0) this.#lookAtHeld();
    if (this.#ready.size > 0) this.#resumeSoon();
  }

  /** However many guests are not read for what they did, a turn of the others does not ask after each of them. */
  #lookAtHeld(): void {
    const { now } = this.daemon;
    const next = this.#lookedAt + LOOK_EVERY_MS;
    if (this.#held.size > FEW && now < next) {
      this.#arm(next);
    } else {
      this.#lookedAt = now;
      this.#sort(this.#held);
    }
  }

  #sort(peers: ReadonlySet<Peer>): void {
    for (const peer of peers) {
      const { link } = peer;
      const readable = !link.closed && this.daemon.mayRead(link);
      if (readable) this.#ready.add(peer);
      if (readable || link.closed) this.#held.delete(peer);
      else this.#held.add(peer);
    }
  }

  #resumeSoon(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#options.defer(() => this.#resume());
  }

  #resume(): void {
    this.#deferred = false;
    if (!this.begin()) return;
    const ready = this.#ready;
    this.#ready = new Set();
    for (const peer of ready) {
      if (this.daemon.mayRead(peer.link)) this.serve(peer, readPeer);
      else this.hold(peer);
    }
    this.end();
  }

  /** Sees to it that there is a turn when the daemon wants one. A timer that is too early does no harm, and is left. */
  #arm(due: number | undefined): void {
    if (due === undefined || due >= this.#timerAt) return;
    this.#cancelTimer?.();
    this.#timerAt = due;
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, due - clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#cancelTimer = undefined;
      if (this.begin()) this.end();
    });
  }
}

function readPeer(peer: Peer): void {
  peer.read();
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
