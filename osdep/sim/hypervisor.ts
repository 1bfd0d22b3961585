/**
 * The hypervisor as a process's worth of state: the world, its memory files, and the connections of domains' processes.
 * It alone decides nothing (the world does); it carries requests in, answers, memory and events out. It never waits for
 * a domain: what breaks the protocol loses its connection and so its life, what does not read waits for itself.
 *
 * A process becomes a domain by a token that the control domain has asked for. A domain may have several processes, each
 * with its own event channel files and mappings, which end with it as a kernel would end them; with the last process
 * ends the domain, unless its token said that it is restartable. The control domain always is.
 */
import { randomBytes } from 'node:crypto';
import { Errno, OsError } from '../errno.ts';
import { PAGE_SIZE } from '../mapping.ts';
import type { Descriptor } from '../os/ffi.ts';
import { Poller, READABLE } from '../os/poll.ts';
import { accept, close, listen, raiseOpenFiles, WOULD_BLOCK } from '../os/sock.ts';
import { COPIES_PER_REQUEST } from './batches.ts';
import { Connection, GONE } from './connection.ts';
import { Extents } from './extents.ts';
import { hasBytes, Kind, MAX_BODY_BYTES, MAX_CONTROL_BODY_BYTES, type TokenArgs } from './protocol.ts';
import { SharedTable, TABLE_BYTES, TABLE_ROWS } from './sharedtable.ts';
import { type Effect, type Limits, type MappedMemory, type Reply, World } from './world.ts';

export interface HypervisorOptions {
  /** Path of the socket that domains' processes connect to. */
  readonly socket: string;
  readonly limits?: Partial<Limits>;
  /** Lines for the log: what became of domains, what they print. */
  readonly log?: (line: string) => void;
}

interface Token {
  readonly domid: number;
  readonly restartable: boolean;
}

const OPEN_FILES = 1 << 20;
/** Extents of one domain, as far as descriptors go round. */
const EXTENTS_PER_DOMAIN = 4096;
/** What a domain may print, in all, before the log hears no more of it. */
const PRINT_BYTES_PER_DOMAIN = 1 << 20;
const MAX_TOKENS = 1 << 16;
/** Processes of one domain, but for the control domain; and connections that have not said yet who they are. */
const CONNECTIONS_PER_DOMAIN = 256;
const STRANGERS = 1024;

export class Hypervisor {
  /** Differs between any two hypervisors. */
  readonly instance: string = randomBytes(8).toString('hex');
  /** By which a process becomes the control domain. */
  readonly controlToken: string;
  readonly #poller = new Poller();
  readonly #listener: Descriptor;
  readonly #extents: Extents;
  readonly #world: World;
  readonly #log: (line: string) => void;
  readonly #tokens = new Map<string, Token>();
  readonly #connections = new Set<Connection>();
  /** Those among them that are no domain yet, the longest there first. */
  readonly #strangers = new Set<Connection>();
  readonly #maxStrangers: number;
  readonly #attached = new Map<number, Set<Connection>>();
  readonly #printed = new Map<number, number>();
  #closed = false;

  constructor(options: HypervisorOptions) {
    this.#log = options.log ?? (() => {});
    const files = raiseOpenFiles(OPEN_FILES);
    this.#extents = new Extents(Math.min(EXTENTS_PER_DOMAIN, Math.floor(files / 8)));
    this.#maxStrangers = Math.min(STRANGERS, Math.floor(files / 8));
    this.#world = new World({ memory: this.#extents, ...(options.limits && { limits: options.limits }) });
    this.controlToken = this.#issue({ domid: 0, restartable: true });
    this.#listener = listen({ path: options.socket });
    this.#poller.add(this.#listener, READABLE, () => this.#accept());
    this.#apply();
  }

  /** Ends: every domain's process sees its connection close. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.close();
    this.#connections.clear();
    this.#poller.close();
    close(this.#listener);
  }

  #accept(): void {
    for (;;) {
      const fd = accept(this.#listener);
      if (fd < 0) {
        // Out of descriptors: whoever is not let in now waits until somebody leaves.
        if (fd !== WOULD_BLOCK) this.#poller.modify(this.#listener, 0);
        return;
      }
      const connection = new Connection(this.#poller, fd, {
        frame: (from, kind, body) => this.#frame(from, kind, body),
        ended: (from, why) => this.#ended(from, why),
      });
      this.#connections.add(connection);
      this.#strangers.add(connection);
      // Whoever means it says who he is at once.
      const [oldest] = this.#strangers;
      if (this.#strangers.size > this.#maxStrangers && oldest !== undefined) this.#ended(oldest, GONE);
    }
  }

  /** One request. False: it was not one, and its sender is to go. */
  #frame(from: Connection, kind: number, body: Buffer): boolean {
    const { domid } = from;
    if (domid === undefined) {
      return kind === Kind.ATTACH && this.#attach(from, from.decode(body));
    }
    switch (kind) {
      case Kind.NOTIFY:
      case Kind.UNMASK:
        if (body.length !== 8) return false;
        this.#perform(domid, kind === Kind.NOTIFY ? 'evtchnNotify' : 'evtchnUnmask', {
          handle: body.readUInt32LE(0),
          port: body.readUInt32LE(4),
        });
        return true;
      case Kind.COPY:
        return body.length === 8 && this.#copy(from, domid, body.readUInt32LE(0), body.readUInt32LE(4));
      case Kind.CALL:
        return this.#call(from, domid, from.decode(body));
      case Kind.OPEN_EVENTS:
        this.#openEvents(from, domid);
        return true;
      case Kind.TOKEN:
        return this.#token(from, domid, from.decode(body));
      default:
        return false;
    }
  }

  #attach(from: Connection, args: unknown): boolean {
    const text = (args as { token?: unknown } | null)?.token;
    const token = typeof text === 'string' ? this.#tokens.get(text) : undefined;
    if (token === undefined || !this.#world.isAlive(token.domid)) {
      from.reply({ errno: Errno.EACCES });
      return true;
    }
    const maxBodyBytes = token.domid === 0 ? MAX_CONTROL_BODY_BYTES : MAX_BODY_BYTES;
    const others = this.#attached.get(token.domid) ?? new Set();
    if (token.domid !== 0 && others.size >= CONNECTIONS_PER_DOMAIN) {
      from.reply({ errno: Errno.EMFILE });
      return true;
    }
    this.#strangers.delete(from);
    from.attach(token.domid, token.restartable, maxBodyBytes);
    others.add(from);
    this.#attached.set(token.domid, others);
    from.reply({ value: { domid: token.domid, instance: this.instance, maxBodyBytes } });
    return true;
  }

  #call(from: Connection, domid: number, request: unknown): boolean {
    if (!isCall(request)) return false;
    const { op, args } = request;
    // Files are opened with their pipe.
    if (op === 'evtchnOpen') return false;
    if (hasBytes(op) && copiesOf(args) > COPIES_PER_REQUEST) {
      from.reply({ errno: Errno.E2BIG });
      return true;
    }
    const reply = this.#perform(domid, op, args);
    if (!reply.ok) {
      from.reply({ errno: reply.errno });
      return true;
    }
    if (op === 'evtchnClose') from.forgetFile((args as { handle: number }).handle);
    if (op === 'unmap') from.forgetMap((args as { map: number }).map);
    if (op === 'writeConsole') this.#print(domid, (args as { text: string }).text);
    if (reply.memory === undefined) {
      from.reply({ value: reply.value }, hasBytes(op) ? 'bytes' : 'plain');
    } else {
      const value = reply.value as { map: number };
      if (op === 'gntdevCopier') this.#openTable(from, value.map, reply.memory);
      this.#replyMapped(from, domid, value, reply.memory);
    }
    return true;
  }

  /** Its place is the end of the memory; who asked for less has none. */
  #openTable(from: Connection, map: number, { runs }: MappedMemory): void {
    const [run] = runs;
    if (run === undefined || run.pages * PAGE_SIZE <= TABLE_BYTES) return;
    from.copyTables.set(map, new SharedTable(this.#extents.tail(run.extent, TABLE_BYTES)));
  }

  /** The table stays where it is: whatever its owner makes of it meanwhile, a row is checked as it is used. */
  #copy(from: Connection, domid: number, map: number, count: number): boolean {
    const table = from.copyTables.get(map);
    if (table === undefined || count > TABLE_ROWS) return false;
    table.count = count;
    from.copied(this.#world.copyByTable(domid, map, table));
    return true;
  }

  #replyMapped(from: Connection, domid: number, value: { map: number }, memory: MappedMemory): void {
    const indices = new Map<number, number>();
    const descriptors: Descriptor[] = [];
    try {
      for (const { extent } of memory.runs) {
        if (extent === 0 || indices.has(extent)) continue;
        indices.set(extent, descriptors.length);
        descriptors.push(this.#extents.descriptor(extent, memory.writable ? 'rw' : 'r'));
      }
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#perform(domid, 'unmap', { map: value.map });
      from.reply({ errno: Errno.ENOMEM });
      return;
    }
    from.maps.add(value.map);
    const runs = memory.runs.map(({ extent, page, pages }) => ({
      descriptor: indices.get(extent),
      page,
      pages,
    }));
    from.reply({ value, memory: { runs, writable: memory.writable } }, 'plain', descriptors);
  }

  #openEvents(from: Connection, domid: number): void {
    const opened = this.#perform(domid, 'evtchnOpen', {});
    if (!opened.ok) {
      from.reply({ errno: opened.errno });
      return;
    }
    const value = opened.value as { handle: number };
    try {
      from.openFile(value.handle);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#perform(domid, 'evtchnClose', value);
      from.reply({ errno: Errno.EMFILE });
    }
  }

  #token(from: Connection, domid: number, args: unknown): boolean {
    if (!isTokenArgs(args)) return false;
    const errno =
      domid !== 0
        ? Errno.EPERM
        : !this.#world.isAlive(args.domid)
          ? Errno.ESRCH
          : this.#tokens.size >= MAX_TOKENS
            ? Errno.ENOSPC
            : 0;
    if (errno !== 0) from.reply({ errno });
    else from.reply({ value: { token: this.#issue(args) } });
    return true;
  }

  #issue({ domid, restartable }: Token): string {
    const token = randomBytes(16).toString('hex');
    this.#tokens.set(token, { domid, restartable: restartable || domid === 0 });
    return token;
  }

  /** A request to the world, and all that comes of it, before its answer leaves: whoever has the answer has the events. */
  #perform(domid: number, op: string, args: unknown): Reply {
    this.#extents.caller = domid;
    const reply = this.#world.hypercall(domid, op, args);
    this.#apply();
    return reply;
  }

  #apply(): void {
    for (const effect of this.#world.takeEffects()) this.#effect(effect);
  }

  #effect(effect: Effect): void {
    switch (effect.kind) {
      case 'event':
        for (const connection of this.#attached.get(effect.domid) ?? []) {
          if (connection.fire(effect.handle, effect.port)) break;
        }
        return;
      case 'domain':
        if (effect.what === 'dead') this.#dead(effect.domid);
        if (effect.what === 'gone') this.#printed.delete(effect.domid);
        this.#log(`domain ${effect.domid} ${effect.what}`);
        return;
      case 'fileClosed':
      case 'interrupt':
        return;
    }
  }

  /** Its processes lose their connections, and nobody becomes this domain any more. */
  #dead(domid: number): void {
    for (const [token, { domid: owner }] of this.#tokens) {
      if (owner === domid) this.#tokens.delete(token);
    }
    const connections = this.#attached.get(domid);
    this.#attached.delete(domid);
    for (const connection of connections ?? []) {
      this.#connections.delete(connection);
      connection.close();
    }
  }

  /** A process is gone, or is sent away. */
  #ended(from: Connection, why: string): void {
    if (!this.#connections.delete(from)) return;
    this.#strangers.delete(from);
    this.#poller.modify(this.#listener, READABLE);
    const { domid, restartable } = from;
    const files = from.fileHandles();
    from.close();
    if (domid === undefined) return;
    const others = this.#attached.get(domid);
    others?.delete(from);
    const last = others === undefined || others.size === 0;
    if (last) this.#attached.delete(domid);
    // One that has shut down waits for its toolstack to look why, and to take it down.
    const waits = why === GONE && this.#world.hasShutDown(domid);
    if (!restartable && !waits && (last || why !== GONE)) {
      this.#log(`domain ${domid} crashed: ${why}`);
      this.#world.crashed(domid);
      this.#apply();
      return;
    }
    this.#log(`domain ${domid}: ${why}`);
    for (const map of from.maps) this.#perform(domid, 'unmap', { map });
    for (const handle of files) this.#perform(domid, 'evtchnClose', { handle });
  }

  #print(domid: number, text: string): void {
    const printed = (this.#printed.get(domid) ?? 0) + text.length;
    this.#printed.set(domid, printed);
    if (printed > PRINT_BYTES_PER_DOMAIN) return;
    for (const line of text.split('\n')) {
      // What a domain prints must not steer the terminal that somebody reads the log on.
      if (line !== '') this.#log(`(d${domid}) ${line.replace(/[^\x20-\x7e\xa0-\uffff]/g, '?')}`);
    }
  }
}

function isCall(value: unknown): value is { op: string; args: unknown } {
  return typeof (value as { op?: unknown } | null)?.op === 'string';
}

function copiesOf(args: unknown): number {
  const ops = (args as { ops?: unknown } | null)?.ops;
  return Array.isArray(ops) ? ops.length : 0;
}

function isTokenArgs(value: unknown): value is TokenArgs {
  const args = value as { domid?: unknown; restartable?: unknown } | null;
  return Number.isInteger(args?.domid) && typeof args?.restartable === 'boolean';
}
