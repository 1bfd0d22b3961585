/**
 * A domain's end of the connection to the hypervisor process: a Machine whose requests are messages. A request waits for
 * its answer without turning the event loop, as a hypercall does; only the hypervisor is ever waited for. Ringing a peer
 * and unmasking are not answered at all. Knows no library.
 */

import type { Clock, Random } from '../clock.ts';
import { Errno, errnoName, OsError } from '../errno.ts';
import type { CopyTable } from '../gnttab.ts';
import { systemClock, systemRandom } from '../os/clock.ts';
import { receiveWithDescriptors } from '../os/fdpass.ts';
import type { Descriptor } from '../os/ffi.ts';
import { type MappedArea, mapPieces } from '../os/mmap.ts';
import { HUNG_UP } from '../os/poll.ts';
import { close, connectBlocking, receiveAll, sendAll } from '../os/sock.ts';
import { batchesOf } from './batches.ts';
import { LoopMember } from './loop.ts';
import type { Area, CopyMemory, EventSource, Machine } from './machine.ts';
import { Posts } from './posts.ts';
import {
  type Attached,
  COPIED_FRAME_BYTES,
  decodeBody,
  encodeFrame,
  HEADER_BYTES,
  hasBytes,
  Kind,
  MAX_ATTACH_BYTES,
  type SentReply,
  type TokenArgs,
} from './protocol.ts';
import { RemoteEvents } from './remote-events.ts';
import { SharedTable, TABLE_BYTES, TABLE_ROWS } from './sharedtable.ts';
import type { Args, CopyResult, MappingOp, OpName, Value } from './world/requests.ts';

const PAGE = 4096;
const nothing = {};

export interface RemoteOptions {
  readonly socket: string;
  readonly token: string;
  /** Called once when the hypervisor has ended this domain, or is gone itself. */
  readonly onLost: () => void;
}

export class RemoteMachine implements Machine {
  readonly domid: number;
  readonly clock: Clock = systemClock;
  readonly random: Random = systemRandom;
  /** Differs between any two runs of a hypervisor. */
  readonly instance: string;
  readonly #fd: Descriptor;
  readonly #posts: Posts;
  readonly #loop: LoopMember;
  readonly #onLost: () => void;
  #maxBodyBytes: number = MAX_ATTACH_BYTES;
  /** Files whose events come here, and the ports that are bound through them. */
  readonly #ports = new Map<number, Set<number>>();
  readonly #sources = new Set<RemoteEvents>();
  readonly #copied = Buffer.alloc(COPIED_FRAME_BYTES);
  #inbox: Buffer = Buffer.alloc(64 * 1024);
  #open = true;

  constructor(options: RemoteOptions) {
    this.#onLost = options.onLost;
    this.#fd = connectBlocking(options.socket);
    this.#posts = new Posts(this.#fd, () => this.#lostSoon());
    this.#loop = new LoopMember();
    try {
      const attached = this.#ask(encodeFrame(Kind.ATTACH, { token: options.token }, 'plain'), 'attach', [])
        .value as Attached;
      this.domid = attached.domid;
      this.instance = attached.instance;
      this.#maxBodyBytes = attached.maxBodyBytes;
    } catch (error) {
      this.close();
      throw error;
    }
    // Nothing is asked for, so that answers wake nobody; the end of the stream comes unasked.
    this.#loop.poller.add(this.#fd, 0, (events) => {
      if ((events & HUNG_UP) !== 0) this.#lost();
    });
  }

  call<K extends OpName>(op: K, args: Args<K>): Value<K> {
    if (op === 'evtchnNotify' || op === 'evtchnUnmask') {
      const { handle, port } = args as Args<'evtchnNotify'>;
      // What the answer would be is known here, so that nobody has to wait for it.
      if (this.#ports.get(handle)?.has(port)) {
        if (!this.#open) throw new OsError(Errno.ECONNRESET, 'event channel');
        this.#posts.add(op === 'evtchnNotify' ? Kind.NOTIFY : Kind.UNMASK, handle, port);
        return nothing as Value<K>;
      }
    }
    if (op === 'gntdevCopy' || op === 'gnttabCopy') {
      return { results: this.#copy(op, args as Args<'gntdevCopy'>) } as Value<K>;
    }
    const value = this.#request(op, args, []).value as Value<K>;
    this.#note(op, args, value);
    return value;
  }

  callMapped<K extends MappingOp>(op: K, args: Args<K>): { readonly value: Value<K>; readonly area: Area } {
    const descriptors: Descriptor[] = [];
    try {
      const { value, memory, descriptors: expected = 0 } = this.#request(op, args, descriptors);
      if (memory === undefined) throw new OsError(Errno.EPROTO, op);
      const { map } = value as { map: number };
      if (descriptors.length < expected) {
        this.#request('unmap', { map }, []);
        throw new OsError(Errno.EMFILE, op);
      }
      const pieces = memory.runs.map(({ descriptor, page, pages }) => ({
        fd: descriptor === undefined ? undefined : descriptors[descriptor],
        offset: page * PAGE,
        length: pages * PAGE,
      }));
      try {
        const area = mapPieces(pieces, memory.writable ? 'rw' : 'r');
        return { value: value as Value<K>, area: areaOf(area) };
      } catch (error) {
        this.#request('unmap', { map }, []);
        throw error;
      }
    } finally {
      for (const fd of descriptors) close(fd);
    }
  }

  openCopies(memoryBytes: number): CopyMemory {
    const pages = (memoryBytes + TABLE_BYTES) / PAGE;
    const { value, area } = this.callMapped('gntdevCopier', { pages });
    const { map } = value;
    const shared = new SharedTable(area.bytes.subarray(memoryBytes));
    const copy = (table: CopyTable): number => {
      for (let from = 0; from < table.count; from += TABLE_ROWS) {
        const count = Math.min(TABLE_ROWS, table.count - from);
        shared.take(table, from, count);
        const errno = this.#copyRows(map, count);
        if (errno !== 0) return errno;
        shared.giveStatuses(table, from);
      }
      return 0;
    };
    return { map, area, copy };
  }

  flush(): void {
    if (this.#posts.send() < 0) this.#lostSoon();
  }

  openEvents(): EventSource {
    const descriptors: Descriptor[] = [];
    const { value } = this.#ask(encodeFrame(Kind.OPEN_EVENTS, {}, 'plain'), 'evtchnOpen', descriptors);
    const { handle } = value as { handle: number };
    const fd = descriptors[0];
    if (fd === undefined) {
      this.#request('evtchnClose', { handle }, []);
      throw new OsError(Errno.EMFILE, 'evtchnOpen');
    }
    this.#ports.set(handle, new Set());
    const source = new RemoteEvents({
      handle,
      fd,
      poller: this.#loop.poller,
      onWaiting: (waiting) => this.#loop.waiting(waiting),
      onClosed: () => this.#sources.delete(source),
    });
    this.#sources.add(source);
    return source;
  }

  /** For the control domain: a token by which a process becomes that domain. EPERM, ESRCH. */
  issueToken(args: TokenArgs): string {
    const { value } = this.#ask(encodeFrame(Kind.TOKEN, args, 'plain'), 'token', []);
    return (value as { token: string }).token;
  }

  /** The process stops being (this process of) the domain. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#posts.close();
    for (const source of this.#sources) source.close();
    this.#loop.poller.remove(this.#fd);
    this.#loop.leave();
    close(this.#fd);
  }

  #lost(): void {
    if (!this.#open) return;
    this.close();
    this.#onLost();
  }

  /** Those who are to be told are told from the event loop, not from within a call. */
  #lostSoon(): void {
    setImmediate(() => this.#lost());
  }

  #request(op: OpName, args: unknown, descriptors: Descriptor[]): SentReply {
    return this.#ask(encodeFrame(Kind.CALL, { op, args }, hasBytes(op) ? 'bytes' : 'plain'), op, descriptors);
  }

  /** An error ends it, and what came before has been done, as it is with Linux's device. */
  #copy(op: 'gntdevCopy' | 'gnttabCopy', { ops }: Args<'gntdevCopy'>): CopyResult[] {
    const maxBytes = this.#maxBodyBytes - HEADER_BYTES;
    return batchesOf(ops, maxBytes).flatMap(
      (batch) => (this.#request(op, { ops: batch }, []).value as Value<'gntdevCopy'>).results,
    );
  }

  /** Rows of the table in that memory: 0, or an error number. */
  #copyRows(map: number, count: number): number {
    const answer = this.#copied;
    if (!this.#open) return Errno.ECONNRESET;
    if (this.#posts.sendWith(Kind.COPY, map, count) < 0 || receiveAll(this.#fd, answer) < 0) {
      this.#lostSoon();
      return Errno.ECONNRESET;
    }
    return answer.readUInt32LE(HEADER_BYTES);
  }

  #send(frame: Buffer, what: string): void {
    if (!this.#open) throw new OsError(Errno.ECONNRESET, what);
    if (this.#posts.send() < 0 || sendAll(this.#fd, frame) < 0) this.#broken(what);
  }

  #broken(what: string): never {
    this.#lostSoon();
    throw new OsError(Errno.ECONNRESET, `${what}: the domain or its hypervisor has ended`);
  }

  #ask(frame: Buffer, what: string, descriptors: Descriptor[]): SentReply {
    if (frame.length - HEADER_BYTES > this.#maxBodyBytes) throw new OsError(Errno.E2BIG, what);
    this.#send(frame, what);
    const body = this.#receive(what, descriptors);
    const reply = decodeBody(body) as SentReply;
    if (reply.errno !== undefined) throw new OsError(reply.errno, `${what}: ${errnoName(reply.errno)}`);
    return reply;
  }

  /** One whole frame. Nothing can follow it: an answer is asked for one at a time. */
  #receive(what: string, descriptors: Descriptor[]): Buffer {
    let end = 0;
    let wanted = HEADER_BYTES;
    while (end < wanted) {
      const count = receiveWithDescriptors(this.#fd, this.#inbox, end, descriptors);
      if (count === -Errno.EINTR) continue;
      if (count <= 0) this.#broken(what);
      end += count;
      if (wanted === HEADER_BYTES && end >= HEADER_BYTES) {
        wanted = HEADER_BYTES + this.#inbox.readUInt32LE(0);
        if (wanted > this.#inbox.length) {
          const larger = Buffer.alloc(wanted);
          this.#inbox.copy(larger, 0, 0, end);
          this.#inbox = larger;
        }
      }
    }
    return this.#inbox.subarray(HEADER_BYTES, wanted);
  }

  /** Which ports are bound through which file, as far as it takes to know what notifying them would answer. */
  #note(op: OpName, args: unknown, value: unknown): void {
    const { handle, port } = args as { handle?: number; port?: number };
    switch (op) {
      case 'evtchnBindUnbound':
      case 'evtchnBindInterdomain':
      case 'evtchnBindVirq':
        this.#ports.get(handle!)?.add((value as { port: number }).port);
        return;
      case 'evtchnBind':
        this.#ports.get(handle!)?.add(port!);
        return;
      case 'evtchnUnbind':
        this.#ports.get(handle!)?.delete(port!);
        return;
      case 'evtchnClose':
        this.#ports.delete(handle!);
        return;
      case 'evtchnShut':
      case 'evtchnReset':
        // Below the files: from here on the hypervisor is asked again.
        for (const ports of this.#ports.values()) ports.clear();
        return;
      default:
        return;
    }
  }
}

function areaOf(mapped: MappedArea): Area {
  return {
    get bytes() {
      return mapped.bytes;
    },
    release: () => mapped.unmap(),
  };
}
