/**
 * The server's whole state and the few acts that every handler needs: queue a reply, fire watches, take a link's things away. Handlers of
 * single requests are elsewhere; io, time and chance come from outside.
 */
import { Feature, Op, PAYLOAD_MAX } from '../wire/ops.ts';
import { Domains } from './domain.ts';
import { History } from './history.ts';
import { Link, type LinkKind, watchKey } from './link.ts';
import type { Node } from './node.ts';
import type { Cause, Message } from './outbox.ts';
import { isSpecial, parentPath } from './path.ts';
import { type Perms, Right } from './perms.ts';
import type { Effect, Machine, Surroundings, Tracer } from './ports.ts';
import type { QuotaCompare, Quotas } from './quota.ts';
import { Refusals } from './refusals.ts';
import { Store } from './store.ts';
import { LiveView } from './view.ts';
import { type Match, type Watch, WatchTrie } from './watch.ts';

export interface StateOptions {
  /** The domain whose links may do everything. */
  readonly privDomid: number;
  /** The domain that the store runs in. */
  readonly storeDomid: number;
  /** Whom sockets speak for: with C the store's domain, which is the privileged one wherever there are sockets. */
  readonly socketDomid: number;
  readonly quotas: Quotas;
  readonly quotaCompare: QuotaCompare;
  /** How long an unprivileged domain may leave an event unread (ms); 0: for ever. */
  readonly eventTimeoutMs: number;
  /** Nodes of a dead domain go to the privileged one instead of being removed. */
  readonly keepOrphans: boolean;
  /** Are changes to be handed out as commits? */
  readonly persistent: boolean;
}

const MEMORY_NOTE_EVERY_MS = 10_000;
/** A socket that leaves this much unread is closed: nobody can be that slow and alive. */
const SOCKET_OUTBOX_MAX = 64 << 20;
/** A socket with this much unsent is not read. */
export const SOCKET_OUTBOX_FULL: number = 256 << 10;

export class State {
  readonly options: StateOptions;
  readonly machine: Machine;
  readonly surroundings: Surroundings;
  readonly store: Store;
  readonly live: LiveView;
  readonly trie: WatchTrie;
  readonly domains: Domains;
  readonly history: History = new History();
  readonly refusals: Refusals = new Refusals();
  readonly links: Set<Link> = new Set();
  now = 0;
  tracer: Tracer | undefined = undefined;
  nextSeq = 1;
  nextLinkId = 1;
  // Counted since the start.
  requests = 0;
  errors = 0;
  commits = 0;
  conflicts = 0;

  // The turn.
  effects: Effect[] = [];
  output: Set<Link> = new Set();
  settingsChanged = false;
  watchesAdded: Watch[] = [];
  watchesRemoved: number[] = [];
  /** Rings whose record has to be written anew, because something queued was dropped. */
  readonly rewritten: Set<Link> = new Set();
  /** Rings from which bytes were taken. */
  readonly fed: Set<Link> = new Set();
  /** Unprivileged links with events that may expire, and when to look at them (ms). */
  readonly expiring: Set<Link> = new Set();
  expiryDue: number = Number.POSITIVE_INFINITY;
  /** Links of domains without credit. */
  readonly throttled: Set<Link> = new Set();

  constructor(options: StateOptions, machine: Machine, surroundings: Surroundings) {
    this.options = options;
    this.machine = machine;
    this.surroundings = surroundings;
    this.store = new Store({ owner: (domid) => this.domains.get(domid), trackChanges: options.persistent });
    this.live = new LiveView(this.store);
    this.trie = new WatchTrie(this.store.work);
    this.domains = new Domains({
      machine,
      privDomid: options.privDomid,
      defaults: { ...options.quotas },
      compare: options.quotaCompare,
      // Later than anything that was meant for an earlier domain of the same number.
      generation: () => ++this.store.generation,
    });
  }

  // Links.

  addLink(kind: LinkKind, domid: number): Link {
    const domain = kind === 'ring' ? this.domains.get(domid) : undefined;
    const privileged = domid === this.options.privDomid;
    const account = privileged ? undefined : domain?.account;
    const onSettled = account && (({ payload }: Message) => account.add('memory', -(payload.length + 16)));
    const link = new Link({ kind, id: this.nextLinkId++, domid, privileged, domain, onSettled });
    if (kind === 'ring') link.outbox.grant(0);
    this.links.add(link);
    this.tracer?.object('CREATE', 'connection', link);
    return link;
  }

  /** Everything that a link holds, but for the link itself. */
  clearLink(link: Link): void {
    this.dropWatches(link);
    this.dropTransactions(link);
    link.framer.reset();
    link.outbox.reset();
    link.consumed = 0;
    link.resets++;
    this.rewritten.add(link);
  }

  removeLink(link: Link): void {
    if (link.closed) return;
    link.closed = true;
    if (!link.holdsNothing) {
      this.dropWatches(link);
      this.dropTransactions(link);
    }
    link.outbox.reset();
    this.links.delete(link);
    for (const set of [this.output, this.rewritten, this.fed, this.expiring, this.throttled])
      set.delete(link);
    this.tracer?.object('DESTROY', 'connection', link);
  }

  /** The peer broke the protocol. A socket is closed once it has what it is due; a ring is left alone from now on. */
  giveUp(link: Link, error: number): void {
    if (link.kind === 'socket') {
      this.shut(link);
      return;
    }
    const { domid, domain } = link;
    link.ignored = true;
    this.clearLink(link);
    if (domain) this.domains.changed.add(domain);
    if (domain && (domain.features & Feature.ERROR) !== 0) this.effects.push({ kind: 'error', domid, error });
    this.effects.push({ kind: 'note', level: 'warn', text: `domain ${domid} ignored, reason ${error}` });
  }

  /** Nothing more is read from a socket, or told it; it closes once it has what it is due. */
  shut(link: Link): void {
    if (link.closing) return;
    link.closing = true;
    this.dropWatches(link);
    this.dropTransactions(link);
    this.effects.push({ kind: 'shut', link });
  }

  // Watches.

  addWatch(link: Link, path: string, token: string, depth: number | undefined, relative: boolean): Watch {
    const prefixBytes = relative ? link.home.length + 1 : 0;
    const watch: Watch = { link, seq: this.nextSeq++, path, token, depth, prefixBytes };
    link.watches.set(watchKey(path, token), watch);
    this.trie.add(watch);
    const account = link.domain?.account;
    account?.add('watches', 1);
    account?.add('memory', path.length + token.length);
    if (this.#isKept(link)) this.watchesAdded.push(watch);
    this.tracer?.object('CREATE', 'watch', link);
    return watch;
  }

  removeWatch(watch: Watch): void {
    const { link, path, token } = watch;
    link.watches.delete(watchKey(path, token));
    this.trie.remove(watch);
    const account = link.domain?.account;
    account?.add('watches', -1);
    account?.add('memory', -(path.length + token.length));
    if (this.#isKept(link)) this.watchesRemoved.push(watch.seq);
    this.tracer?.object('DESTROY', 'watch', link);
  }

  /** Are the link's watches to be recorded? A socket does not outlive the daemon. */
  #isKept({ kind }: Link): boolean {
    return kind === 'ring' && this.options.persistent;
  }

  dropWatches(link: Link): void {
    for (const watch of [...link.watches.values()]) this.removeWatch(watch);
  }

  // Transactions.

  endTransaction(link: Link, id: number): void {
    const transaction = link.transactions.get(id);
    if (!transaction) return;
    transaction.end();
    link.transactions.delete(id);
    link.domain?.account.add('transactions', -1);
    this.tracer?.object('DESTROY', 'transaction', link);
  }

  dropTransactions(link: Link): void {
    for (const id of [...link.transactions.keys()]) this.endTransaction(link, id);
  }

  // What goes out.

  reply(
    link: Link,
    type: number,
    reqId: number,
    txId: number,
    payload: string,
    cause: Cause | undefined,
  ): void {
    if (link.closing) return;
    let answer = payload;
    let kind = type;
    const account = link.limited;
    if (answer.length > PAYLOAD_MAX) {
      kind = Op.ERROR;
      answer = 'E2BIG\0';
    } else if (account && answer.length > 16 && !this.memoryAllows(link, answer.length + 16)) {
      kind = Op.ERROR;
      answer = 'ENOMEM\0';
    }
    if (account) {
      account.add('memory', answer.length + 16);
      account.add('outstanding', 1);
    }
    this.tracer?.io('OUT', link, kind, reqId, txId, answer);
    link.outbox.push(kind, reqId, txId, answer, cause);
    this.output.add(link);
  }

  event(link: Link, path: string, token: string, cause: Cause | undefined): void {
    const payload = `${path}\0${token}\0`;
    if (payload.length > PAYLOAD_MAX || link.closing) return;
    this.store.work.links++;
    const { outbox } = link;
    if (path.charCodeAt(0) !== 0x40 && outbox.waits(payload)) return;
    const account = link.limited;
    let expiresAt = 0;
    if (account) {
      if (!this.memoryAllows(link, payload.length + 16)) return;
      account.add('memory', payload.length + 16);
      if (this.options.eventTimeoutMs > 0) expiresAt = this.now + this.options.eventTimeoutMs;
    }
    if (cause) cause.unsettled++;
    this.tracer?.io('OUT', link, Op.WATCH_EVENT, 0, 0, payload);
    const waits = outbox.pushEvent(Op.WATCH_EVENT, payload, cause, expiresAt);
    if (waits && expiresAt > 0) {
      this.expiring.add(link);
      this.expiryDue = Math.min(this.expiryDue, expiresAt);
    }
    this.output.add(link);
    if (link.kind === 'socket' && outbox.bytes > SOCKET_OUTBOX_MAX) {
      this.shut(link);
      // Nothing is due any more to who has not read for so long.
      outbox.reset();
    }
  }

  /**
   * Sends an event for `path` to every watch that matches and may know. `node`: as it is, or was when it died; `parent`: where it is not to
   * be taken as it is now.
   */
  fire(
    path: string,
    match: Match,
    node: Node | undefined,
    oldPerms: Perms | undefined,
    cause: Cause | undefined,
    parent?: { readonly perms: Perms | undefined },
  ): void {
    const matches = this.trie.matches(path, match);
    let last: Watch | undefined;
    let permitted = false;
    // What a link has been told of this change already, if it has several watches on it; special events are never merged.
    let told: Set<string> | undefined;
    for (const watch of matches) {
      const { link, token, prefixBytes } = watch;
      if (link !== last?.link) {
        permitted = this.#mayKnow(link, path, node, oldPerms, parent);
        told = undefined;
      } else if (!isSpecial(path)) {
        told ??= new Set([wording(last)]);
        if (told.has(wording(watch))) continue;
        told.add(wording(watch));
      }
      last = watch;
      if (permitted) this.event(link, prefixBytes === 0 ? path : path.slice(prefixBytes), token, cause);
    }
  }

  /** A domain came, went or shut down. The two forms are for watches without and with a depth or a domid. */
  fireSpecial(
    name: string,
    domid: number,
    forms: { readonly plain: boolean; readonly domain: boolean },
  ): void {
    const node = this.store.get(name);
    if (!node) return;
    if (forms.plain) this.fire(name, 'nodepth', node, undefined, undefined);
    if (forms.domain) this.fire(`${name}/${domid}`, 'depth', node, undefined, undefined);
  }

  #mayKnow(
    link: Link,
    path: string,
    node: Node | undefined,
    oldPerms: Perms | undefined,
    parent: { readonly perms: Perms | undefined } | undefined,
  ): boolean {
    if (oldPerms?.allows(link, Right.READ)) return true;
    const seen = node ?? this.store.get(path);
    if (!seen) return false;
    if (seen.perms.allows(link, Right.READ)) return true;
    if (isSpecial(seen.path)) return false;
    const above = parent ?? seen.parent ?? this.store.get(parentPath(path));
    return above?.perms?.allows(link, Right.READ) ?? false;
  }

  /** Has the link's domain memory left for `bytes` more? Says so in the log, as often as the C daemon does. */
  memoryAllows(link: Link, bytes: number): boolean {
    const domain = link.domain;
    if (!domain || link.privileged) return true;
    const { account, memoryNotes, domid } = domain;
    const over = account.exceedsBy('memory', bytes);
    const note = (level: 'info' | 'warn', text: string) => {
      memoryNotes.at = this.now;
      this.effects.push({ kind: 'note', level, text: `Domain ${domid} ${text}` });
    };
    if (over) {
      if (!memoryNotes.hard) {
        memoryNotes.hard = true;
        note('warn', 'exceeds hard memory quota, Xenstore interface to domain stalled');
      }
      return false;
    }
    if (this.now - memoryNotes.at >= MEMORY_NOTE_EVERY_MS) {
      const soft = account.limits['soft-memory'];
      const above = soft > 0 && account.used.memory + bytes >= soft;
      if (memoryNotes.hard) {
        memoryNotes.hard = false;
        note('info', 'below hard memory quota again');
      }
      if (above !== memoryNotes.soft) {
        memoryNotes.soft = above;
        note(above ? 'warn' : 'info', above ? 'exceeds soft memory quota' : 'below soft memory quota again');
      }
    }
    return true;
  }
}

/** Two watches of a link for which this is the same are told a change in the same words. */
function wording({ token, prefixBytes }: Watch): string {
  return `${prefixBytes} ${token}`;
}
