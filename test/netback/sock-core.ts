/**
 * The machine of a frontend's sockets with hands that only remember: requests go in as calls, responses come out as rows, and what the hands hold
 * can be counted. Nothing of a kernel.
 */
import { Account, type Limits } from '../../netback/xensock/core/account.ts';
import {
  ADDRESS_BYTES,
  encodeAddress,
  type InetAddress,
  parseIp,
} from '../../netback/xensock/core/address.ts';
import type { Ledger, SocketEntry } from '../../netback/xensock/core/entries.ts';
import type { Answer, Hands, Place, Traffic } from '../../netback/xensock/core/hands.ts';
import type { GuestRules } from '../../netback/xensock/core/policy.ts';
import { compilePolicy, type PolicyText } from '../../netback/xensock/core/policytext.ts';
import type { Call, Request, Response } from '../../netback/xensock/core/pvcalls.ts';
import { type Decision, Sockets } from '../../netback/xensock/core/sockets.ts';

const EAGAIN = 11;
const EINPROGRESS = 115;

interface Held {
  made: boolean;
  ring: boolean;
  listening: boolean;
  reset: boolean;
  /** Connections that wait. */
  waiting: number;
  places: readonly Place[];
}

/** Does what it is told at once, but connects only when the test says so. */
class FakeHands implements Hands {
  readonly held: Map<number, Held> = new Map();
  readonly responses: Response[] = [];
  readonly dropped: Request[] = [];
  readonly released: (readonly [number, 'unmap' | 'keep'])[] = [];
  /** What the next calls answer; default: all goes well, and a connect takes its time. */
  attachErrno = 0;
  connectErrno: number = EINPROGRESS;
  bindErrno = 0;
  listenErrno = 0;
  acceptErrno = 0;
  port = 40_000;

  respond(response: Response): void {
    this.responses.push(response);
  }

  drop(request: Request): void {
    this.dropped.push(request);
  }

  create(socket: number): void {
    if (this.held.has(socket)) throw new Error(`socket ${socket} is made twice`);
    this.#held(socket).made = true;
  }

  attach(socket: number): number {
    if (this.attachErrno !== 0) return this.attachErrno;
    const held = this.#held(socket);
    if (held.ring) throw new Error(`socket ${socket} has two rings`);
    held.ring = true;
    return 0;
  }

  connect(socket: number, to: Place): number {
    this.#held(socket).places = [to];
    return this.connectErrno;
  }

  bind(socket: number, places: readonly Place[]): Answer<number> {
    if (this.bindErrno !== 0) return { ok: false, errno: this.bindErrno };
    this.#held(socket).places = places;
    return { ok: true, value: places[0]!.address.port || this.port++ };
  }

  listen(socket: number): number {
    if (this.listenErrno === 0) this.#held(socket).listening = true;
    return this.listenErrno;
  }

  accept(socket: number, into: number): number {
    const held = this.#held(socket);
    if (!this.#held(into).ring) throw new Error('accepted without a ring');
    if (this.acceptErrno !== 0) return this.acceptErrno;
    if (held.waiting === 0) return EAGAIN;
    held.waiting--;
    return 0;
  }

  waits(socket: number): boolean {
    return this.#held(socket).waiting > 0;
  }

  shutdown(): number {
    return 0;
  }

  name(): Answer<InetAddress> {
    return { ok: true, value: parseIp('192.0.2.1', 1234)! };
  }

  getOption(): Answer<Uint8Array> {
    return { ok: true, value: Uint8Array.of(7, 0, 0, 0) };
  }

  setOption(): number {
    return 0;
  }

  release(socket: number, ring: 'unmap' | 'keep'): void {
    this.held.delete(socket);
    this.released.push([socket, ring]);
  }

  reset(socket: number): void {
    const held = this.#held(socket);
    held.reset = true;
    held.ring = false;
    held.listening = false;
  }

  traffic(): Traffic {
    return { inBytes: 0, outBytes: 0 };
  }

  #held(socket: number): Held {
    const held = this.held.get(socket) ?? {
      made: false,
      ring: false,
      listening: false,
      reset: false,
      waiting: 0,
      places: [],
    };
    this.held.set(socket, held);
    return held;
  }
}

function rulesOf(policy: PolicyText = {}): GuestRules {
  const compiled = compilePolicy(policy);
  if (!compiled.ok) throw new Error(compiled.mistakes.join('; '));
  return compiled.policy.of(1, undefined);
}

interface Setting {
  readonly extended?: boolean;
  readonly policy?: PolicyText;
}

/** What a test does to a machine, and what comes of it. */
export class Bench {
  readonly hands: FakeHands = new FakeHands();
  readonly account: Account;
  readonly entries: Map<bigint, SocketEntry> = new Map();
  readonly decisions: Decision[] = [];
  readonly sockets: Sockets;
  readonly rules: GuestRules;
  nowMs = 0;
  #reqId = 0;

  constructor({ extended = false, policy = {} }: Setting = {}) {
    const rules = rulesOf(policy);
    this.rules = rules;
    this.account = new Account(rules.limits);
    const ledger: Ledger = {
      put: (entry) => void this.entries.set(entry.id, entry),
      remove: (id) => void this.entries.delete(id),
    };
    this.sockets = new Sockets({
      hands: this.hands,
      account: this.account,
      rules,
      extended,
      ledger,
      now: () => this.nowMs,
      onDecision: (decision) => void this.decisions.push(decision),
    });
  }

  /** The response's `ret`; undefined: none yet. */
  ask(id: number, call: Call): number | undefined {
    const { responses } = this.hands;
    const before = responses.length;
    const reqId = this.send(id, call);
    return responses.slice(before).find((response) => response.reqId === reqId)?.ret;
  }

  /** The number of the request. */
  send(id: number, call: Call): number {
    const reqId = this.#reqId++;
    this.sockets.handle({ reqId, command: call.command, id: BigInt(id), call });
    return reqId;
  }

  /** What came as an answer to a request of before. */
  answer(reqId: number): number | undefined {
    return this.hands.responses.find((response) => response.reqId === reqId)?.ret;
  }

  /** The hands' number of a socket: the last one that was made for it. */
  get newest(): number {
    return Math.max(...this.hands.held.keys());
  }

  limit(limits: Partial<Limits>): void {
    this.account.limits = { ...this.account.limits, ...limits };
  }
}

export function address(text: string, port: number): InetAddress {
  return parseIp(text, port)!;
}

function bytesOf(to: InetAddress): { readonly address: Uint8Array; readonly addressLength: number } {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  return { address: bytes, addressLength: encodeAddress(to, bytes) };
}

/** Calls as a guest makes them. */
export const calls = {
  socket: (domain = 2, type = 1, protocol = 0): Call => ({ command: 0, domain, type, protocol }),
  connect: (to: InetAddress = address('198.51.100.1', 80)): Call => ({
    command: 1,
    ...bytesOf(to),
    flags: 0,
    ref: 8,
    evtchn: 9,
  }),
  release: (reuse = false): Call => ({ command: 2, reuse }),
  bind: (to: InetAddress = address('0.0.0.0', 8080)): Call => ({ command: 3, ...bytesOf(to) }),
  listen: (backlog = 5): Call => ({ command: 4, backlog }),
  accept: (newId: number): Call => ({ command: 5, newId: BigInt(newId), ref: 8, evtchn: 9 }),
  poll: (): Call => ({ command: 6 }),
  shutdown: (how = 1): Call => ({ command: 0x100, how }),
  getsockname: (): Call => ({ command: 0x101 }),
  getpeername: (): Call => ({ command: 0x102 }),
  getsockopt: (level = 1, name = 8): Call => ({ command: 0x103, level, name }),
  setsockopt: (level = 1, name = 8, value: Uint8Array = Uint8Array.of(1, 0, 0, 0)): Call => ({
    command: 0x104,
    level,
    name,
    value,
  }),
  attach: (): Call => ({ command: 0x105, ref: 8, evtchn: 9 }),
} as const;
