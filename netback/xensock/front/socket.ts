/**
 * One socket as the guest keeps it: where it is in its life, its data ring once it has one, and what its user was told of readiness. Moves bytes, and
 * asks the backend nothing: commands are for `xensock.ts`. What came up is told once, when the user has seen that there is no more.
 */
import { Errno } from '../../../osdep/errno.ts';
import { decodeAddress, type InetAddress, SocketType } from '../core/address.ts';
import { type Message, Ready, type SocketKind } from './driver.ts';
import { recvRecord, sendRecord } from './records.ts';
import type { Ring } from './ring.ts';
import { apart } from './thrown.ts';

/** `lost`: its connection ended with the device's. */
export type SocketState = 'made' | 'bound' | 'connecting' | 'active' | 'listening' | 'lost' | 'closed';

export interface Option {
  readonly level: number;
  readonly name: number;
  readonly value: Uint8Array;
}

/** The address in a response; undefined: there is none. */
export function nameIn(data: Uint8Array | undefined): InetAddress | undefined {
  return data === undefined || data.length === 0 ? undefined : decodeAddress(data, data.length);
}

/** Nobody has asked for it yet. */
export const nobody = (): void => {};

const ALL = Ready.IN | Ready.OUT | Ready.ERROR | Ready.HANGUP;

export class XenSocket {
  readonly id: bigint;
  readonly kind: SocketKind;
  onReady: (bits: number) => void;
  state: SocketState = 'made';
  /** 0, or minus an error number: why the backend did not make it, or what it ended with. */
  error = 0;
  /** As the user said, or as the backend chose. */
  bound: InetAddress | undefined;
  /** Of a stream that is connected. */
  own: InetAddress | undefined;
  peer: InetAddress | undefined;
  backlog = 0;
  /** The backend that had its datagrams has died; whoever is told makes it anew. */
  onReset: () => void = () => {};
  /** What was set, for when it has to be made again. */
  readonly options: Option[] = [];
  #ring: Ring | undefined;
  /** The user has found nothing to read, or no room, and waits to be told. */
  #wantsIn = true;
  #wantsOut = false;
  #toldError = false;
  #toldHangup = false;
  /** An error was answered: from then on there is simply no connection. */
  #answered = false;
  #shutRead = false;
  #shutWrite = false;
  #soon = false;

  constructor(id: bigint, kind: SocketKind, onReady: (bits: number) => void) {
    this.id = id;
    this.kind = kind;
    this.onReady = onReady;
  }

  get isDatagram(): boolean {
    return this.kind.type === SocketType.DGRAM;
  }

  get ring(): Ring | undefined {
    return this.#ring;
  }

  /** Bytes may flow from now on. */
  attach(ring: Ring): void {
    this.#ring = ring;
    ring.onEvent = () => this.look();
    // What came before anybody was told of this ring.
    this.lookSoon();
  }

  /** Takes the ring away, for whoever gives it back. */
  detach(): Ring | undefined {
    const ring = this.#ring;
    this.#ring = undefined;
    if (ring !== undefined) ring.onEvent = undefined;
    return ring;
  }

  /** The end of it: every call fails from now on, and the user is told. */
  fail(state: 'lost' | 'closed', error: number): void {
    this.state = state;
    this.error = error;
    if (state === 'lost') this.tell(ALL);
  }

  /** Marks directions as ended by the user. */
  shutdown(how: 'read' | 'write' | 'both'): void {
    if (how !== 'write') this.#shutRead = true;
    if (how !== 'read') this.#shutWrite = true;
    if (this.#shutRead) this.lookSoon();
  }

  tell(bits: number): void {
    // Others are told after this one.
    if (this.state !== 'closed') apart(() => this.onReady(bits));
  }

  send(bytes: Uint8Array): number {
    const refused = this.#maySend();
    if (refused !== 0) return refused;
    const ring = this.#ring!;
    return this.isDatagram
      ? this.#sendRecord([bytes], undefined)
      : this.#sent(ring.send(bytes), bytes.length);
  }

  sendmsg({ parts, address }: Message): number {
    const refused = this.#maySend();
    if (refused !== 0) return refused;
    const ring = this.#ring!;
    if (this.isDatagram) return this.#sendRecord(parts, address);
    let sent = 0;
    for (const part of parts) {
      const count = ring.send(part);
      if (count < 0 && sent === 0) return this.#sent(count, part.length);
      sent += Math.max(count, 0);
      if (count < part.length) {
        this.#wantsOut = true;
        break;
      }
    }
    return sent;
  }

  recv(into: Uint8Array): number {
    const refused = this.#mayReceive();
    if (refused !== 0) return this.#shutRead ? 0 : refused;
    const ring = this.#ring!;
    if (this.isDatagram) return this.#recvRecord({ parts: [into] });
    return this.#received(ring.recv(into), into.length);
  }

  recvmsg(message: Message): number {
    const refused = this.#mayReceive();
    if (refused !== 0) return this.#shutRead ? 0 : refused;
    const ring = this.#ring!;
    if (this.isDatagram) return this.#recvRecord(message);
    let got = 0;
    for (const part of message.parts) {
      const count = ring.recv(part);
      if (count <= 0 && got === 0) return this.#received(count, part.length);
      got += Math.max(count, 0);
      if (count < part.length) {
        this.#received(count, part.length);
        break;
      }
    }
    return got;
  }

  /** What is ready now. */
  poll(): number {
    if (this.state === 'lost' || this.state === 'closed') return ALL;
    const ring = this.#ring;
    if (ring === undefined || this.state !== 'active') return 0;
    let bits = 0;
    if (this.#shutRead || ring.readable) bits |= Ready.IN;
    if (ring.writable) bits |= Ready.OUT;
    if (this.#failed(ring)) bits |= Ready.ERROR;
    if (ring.outError !== 0 && ring.inError !== 0) bits |= Ready.HANGUP;
    return bits;
  }

  /** Tells the user of what has come up, if there is any. */
  look(): void {
    const ring = this.#ring;
    if (ring === undefined || this.state !== 'active' || this.onReady === nobody) return;
    if (this.isDatagram && ring.inError === -Errno.ECONNRESET && ring.inThere() === 0) {
      this.onReset();
      return;
    }
    let bits = 0;
    if (this.#wantsIn && (this.#shutRead || ring.readable)) {
      this.#wantsIn = false;
      bits |= Ready.IN;
    }
    if (this.#wantsOut && ring.writable) {
      this.#wantsOut = false;
      bits |= Ready.OUT;
    }
    if (!this.#toldError && this.#failed(ring)) {
      this.#toldError = true;
      bits |= Ready.ERROR;
    }
    if (!this.#toldHangup && ring.outError !== 0 && ring.inError !== 0) {
      this.#toldHangup = true;
      bits |= Ready.HANGUP;
    }
    if (bits !== 0) this.tell(bits);
  }

  /** The same, but not from within a call. */
  lookSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    queueMicrotask(() => {
      this.#soon = false;
      this.look();
    });
  }

  #sendRecord(parts: readonly Uint8Array[], address: InetAddress | undefined): number {
    if (address === undefined && this.peer === undefined) return -Errno.EDESTADDRREQ;
    const sent = sendRecord(this.#ring!, this.kind.family, parts, address);
    if (sent === -Errno.ECONNRESET) return this.#again();
    return this.#sent(sent, sent);
  }

  #recvRecord(message: Message): number {
    const got = recvRecord(this.#ring!, message);
    if (got === -Errno.ECONNRESET) return this.#again();
    return this.#received(got, got);
  }

  /** Datagrams know no connection that could be reset: they go on when the socket is there again. */
  #again(): number {
    this.#wantsIn = true;
    this.#wantsOut = true;
    this.lookSoon();
    return -Errno.EAGAIN;
  }

  #failed(ring: Ring): boolean {
    const { inError, outError } = ring;
    // That nothing is sent any more after a shutdown is no news.
    const outFailed = outError !== 0 && !(this.#shutWrite && outError === -Errno.EPIPE);
    return outFailed || (inError !== 0 && inError !== -Errno.ENOTCONN);
  }

  #maySend(): number {
    if (this.#shutWrite) return -Errno.EPIPE;
    if (this.state === 'active') return 0;
    if (!this.isDatagram || this.error !== 0) return this.#idle();
    this.#wantsOut = true;
    return -Errno.EAGAIN;
  }

  #mayReceive(): number {
    if (this.#shutRead) return -Errno.ENOTCONN;
    if (this.state === 'active') return 0;
    if (!this.isDatagram || this.error !== 0) return this.#idle();
    this.#wantsIn = true;
    return -Errno.EAGAIN;
  }

  #idle(): number {
    return this.error === 0 ? -Errno.ENOTCONN : this.error;
  }

  #sent(count: number, wanted: number): number {
    if (count === -Errno.EAGAIN || (count >= 0 && count < wanted)) this.#wantsOut = true;
    else if (count < 0 && !this.isDatagram) {
      // What Linux says to who sends nevertheless.
      if (this.#answered || count === -Errno.ENOTCONN) return -Errno.EPIPE;
      this.#answered = true;
    }
    return count;
  }

  /** Of a call that got `count` of the bytes that it had room for. */
  #received(count: number, wanted: number): number {
    if (count === -Errno.EAGAIN || (count > 0 && count < wanted)) {
      this.#wantsIn = true;
      // An end that came with the last bytes has been told of already.
      if (this.#ring!.inError !== 0) this.lookSoon();
    } else if (count < 0 && !this.isDatagram) {
      if (this.#answered) return 0;
      this.#answered = true;
    }
    return count;
  }
}
