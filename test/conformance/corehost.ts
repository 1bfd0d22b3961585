/**
 * A host for the core alone: xenstored/core in this process, with sockets that are byte pipes and rings that are plain memory, and a
 * hypervisor of a few lines. What io does for the core, in its plainest form; no native code, no durability.
 */

import { Daemon, type DaemonOptions, defaultOptions } from '../../xenstored/core/daemon.ts';
import type { Link as CoreLink } from '../../xenstored/core/link.ts';
import type { Attached, DomainState, Effect, Machine, RingFields } from '../../xenstored/core/ports.ts';
import { parseOptions } from '../../xenstored/io/options.ts';
import { Connection, Ring } from '../../xenstored/wire/ops.ts';
import { GuestRing, MemoryPage } from './guestring.ts';
import { Inbox, type Link, LinkClosed } from './link.ts';
import { BAD_PORT } from './peers.ts';
import type { Host, HostOptions } from './store.ts';

/** Starts a core with the C daemon's command line. */
export function startCore({ args = [] }: HostOptions): Promise<Host> {
  const parsed = parseOptions(args, {});
  if (parsed.kind !== 'run') throw new Error(`bad options: ${args.join(' ')}`);
  const { quotas, quotaCompare, switches } = parsed.options;
  const options = { ...defaultOptions, quotas: { ...defaultOptions.quotas, ...quotas }, quotaCompare };
  return Promise.resolve(new CoreHost(options, switches));
}

interface Domain {
  state: DomainState;
  readonly page: MemoryPage;
  readonly guest: GuestRing;
}

/** The hypervisor: which domains there are, and whose ring is mapped. */
class CoreMachine implements Machine {
  readonly domains = new Map<number, Domain>();
  readonly attached = new Map<number, Domain>();
  readonly changed = new Set<number>();

  domain(domid: number): DomainState | undefined {
    return this.domains.get(domid)?.state;
  }

  pollChanged(): DomainState | undefined {
    const domid = Math.min(...this.changed);
    if (!this.changed.delete(domid)) return undefined;
    const gone = { domid, exists: false, shutdown: false, dying: false, dead: false, uniqueId: 0n };
    return this.domain(domid) ?? gone;
  }

  attach(domid: number, evtchn: number): Attached {
    const domain = this.domains.get(domid);
    const port = domain?.page.peek(Ring.EVTCHN_PORT) || evtchn;
    if (!domain || port === BAD_PORT) return { ok: false, errno: 'EINVAL' };
    this.attached.set(domid, domain);
    return { ok: true, port };
  }

  rebind(domid: number, evtchn: number): boolean {
    return this.attached.has(domid) && evtchn !== BAD_PORT;
  }

  ring(domid: number): RingFields | undefined {
    const page = this.attached.get(domid)?.page;
    return (
      page && {
        reqCons: page.peek(Ring.REQ_CONS),
        reqProd: page.peek(Ring.REQ_PROD),
        rspCons: page.peek(Ring.RSP_CONS),
        rspProd: page.peek(Ring.RSP_PROD),
        connection: page.peek(Ring.CONNECTION),
        error: page.peek(Ring.ERROR),
      }
    );
  }
}

interface Pipe {
  readonly link: CoreLink;
  readonly inbox: Inbox;
  input: Buffer;
}

class CoreHost implements Host {
  readonly #machine = new CoreMachine();
  readonly #daemon: Daemon;
  readonly #pipes = new Map<CoreLink, Pipe>();
  #nextUniqueId = 1n;
  #planned = false;
  #news = false;
  #stopped = false;

  constructor(options: DaemonOptions, switches: Map<string, boolean>) {
    this.#daemon = new Daemon(options, this.#machine, {
      switches,
      setTrace: () => {},
      setLogFile: () => false,
      memreport: () => false,
      print: () => {},
    });
    this.addDomain(0);
    this.#daemon.start();
    this.#plan();
  }

  connect(): Promise<Link> {
    const link = this.#daemon.connectSocket();
    const pipe: Pipe = { link, inbox: new Inbox(), input: Buffer.alloc(0) };
    this.#pipes.set(link, pipe);
    return Promise.resolve({
      send: (bytes) => {
        pipe.input = Buffer.concat([pipe.input, bytes]);
        this.#plan();
      },
      recv: (timeoutMs) => pipe.inbox.recv(timeoutMs),
      close: () => {
        this.#daemon.closed(link);
        this.#hangUp(link);
      },
    });
  }

  addDomain(domid: number): void {
    this.#machine.domains.get(domid)?.guest.close();
    const page = new MemoryPage();
    const guest = new GuestRing(domid, page, () => this.#plan());
    const fresh = { domid, exists: true, shutdown: false, dying: false, dead: false };
    this.#machine.domains.set(domid, { state: { ...fresh, uniqueId: this.#nextUniqueId++ }, page, guest });
    this.#domainChanged(domid);
  }

  ring(domid: number): Link {
    return this.#domain(domid).guest;
  }

  shutdownDomain(domid: number): void {
    const domain = this.#domain(domid);
    domain.state = { ...domain.state, shutdown: true };
    this.#domainChanged(domid);
  }

  killDomain(domid: number): void {
    this.#domain(domid).guest.close();
    this.#machine.domains.delete(domid);
    this.#domainChanged(domid);
  }

  stop(): Promise<void> {
    this.#stopped = true;
    for (const { guest } of this.#machine.domains.values()) guest.close();
    for (const { inbox } of this.#pipes.values()) inbox.end(new LinkClosed('the host has stopped'));
    return Promise.resolve();
  }

  #domain(domid: number): Domain {
    const domain = this.#machine.domains.get(domid);
    if (!domain) throw new Error(`there is no domain ${domid}`);
    return domain;
  }

  #domainChanged(domid: number): void {
    this.#machine.changed.add(domid);
    this.#news = true;
    this.#plan();
  }

  #hangUp(link: CoreLink): void {
    this.#pipes.get(link)?.inbox.end(new LinkClosed('the daemon closed the link'));
    this.#pipes.delete(link);
  }

  #plan(): void {
    if (this.#planned || this.#stopped) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      if (!this.#stopped) this.#turn();
    });
  }

  #turn(): void {
    const daemon = this.#daemon;
    daemon.now = performance.now();
    if (this.#news) {
      this.#news = false;
      daemon.domainsChanged();
    }
    let busy = false;
    // Rings first: one that a socket's request is about to reset or to attach must not be read before that is done.
    for (const [domid, { page }] of this.#machine.attached) busy = this.#readRing(domid, page) || busy;
    for (const pipe of this.#pipes.values()) {
      const taken = daemon.receive(pipe.link, pipe.input);
      pipe.input = pipe.input.subarray(taken);
      busy ||= taken > 0 && pipe.input.length > 0;
    }
    daemon.tick();
    const { effects, output } = daemon.endTurn();
    for (const effect of effects) this.#perform(effect);
    for (const link of output) if (link.kind === 'socket') this.#writeSocket(link);
    for (const effect of effects) if (effect.kind === 'shut') this.#hangUp(effect.link);
    for (const [domid, domain] of this.#machine.attached) this.#writeRing(domid, domain);
    if (busy) this.#plan();
  }

  /** Gives the core what the guest wrote; answers whether there is more. */
  #readRing(domid: number, page: MemoryPage): boolean {
    const daemon = this.#daemon;
    const link = daemon.ringOf(domid);
    if (!link || link.ignored) return false;
    const cons = page.peek(Ring.REQ_CONS);
    const length = (page.peek(Ring.REQ_PROD) - cons) >>> 0;
    link.outbox.grant(room(page));
    if (length > Ring.AREA_BYTES) {
      daemon.violated(link);
      return false;
    }
    if (length === 0 || !daemon.mayRead(link)) return false;
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = page.bytes[Ring.REQ + ((cons + i) % Ring.AREA_BYTES)]!;
    const taken = daemon.receive(link, bytes);
    page.poke(Ring.REQ_CONS, cons + taken);
    return taken > 0;
  }

  #writeRing(domid: number, { page, guest }: Domain): void {
    const link = this.#daemon.ringOf(domid);
    if (!link || link.ignored) return;
    const prod = page.peek(Ring.RSP_PROD);
    const bytes = Buffer.alloc(Math.max(0, room(page)));
    const length = link.outbox.peek(bytes, 0, bytes.length);
    for (let i = 0; i < length; i++) page.bytes[Ring.RSP + ((prod + i) % Ring.AREA_BYTES)] = bytes[i]!;
    page.poke(Ring.RSP_PROD, prod + length);
    link.outbox.advance(length);
    guest.signalled();
  }

  #writeSocket(link: CoreLink): void {
    const bytes = Buffer.alloc(link.outbox.bytes);
    link.outbox.advance(link.outbox.peek(bytes, 0, bytes.length));
    this.#pipes.get(link)?.inbox.feed(bytes);
  }

  #perform(effect: Effect): void {
    if (effect.kind === 'detach') {
      this.#machine.attached.delete(effect.domid);
      return;
    }
    const page = 'domid' in effect ? this.#machine.attached.get(effect.domid)?.page : undefined;
    if (!page) return;
    if (effect.kind === 'features') page.poke(Ring.SERVER_FEATURES, effect.features);
    if (effect.kind === 'error') page.poke(Ring.ERROR, effect.error);
    if (effect.kind !== 'reset') return;
    for (const index of [Ring.REQ_CONS, Ring.REQ_PROD, Ring.RSP_CONS, Ring.RSP_PROD]) page.poke(index, 0);
    page.poke(Ring.CONNECTION, Connection.CONNECTED);
  }
}

function room(page: MemoryPage): number {
  return Ring.AREA_BYTES - ((page.peek(Ring.RSP_PROD) - page.peek(Ring.RSP_CONS)) >>> 0);
}
