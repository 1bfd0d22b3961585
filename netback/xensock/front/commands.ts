/**
 * The ring of commands as the guest has it: 32 slots, each with a request under way, and a queue for what finds no slot. Calls that may take
 * their time (connect, accept) never take the last slots, so that others get through. The backend is not trusted: an answer has to be to a
 * request that is under way, and name its command and its socket. Knows no socket but by its number.
 */
import { Errno } from '../../../osdep/errno.ts';
import type { Evtchn } from '../../../osdep/evtchn.ts';
import type { Gntshr, SharedPages } from '../../../osdep/gntshr.ts';
import { Front } from '../../../osdep/ring/slotring.ts';
import {
  type Call,
  Command,
  decodeResponse,
  encodeRequest,
  type Response,
  SLOT_BYTES,
} from '../core/pvcalls.ts';

/** Slots that connects and accepts leave to others. */
const QUICK_SLOTS = 4;
const ERRNO_MAX = 4095;

/** `ret`: 0, or minus an error number; -ECONNRESET if the device was closed before there was an answer. */
type Settle = (ret: number, data: Uint8Array | undefined) => void;

/** A call that was asked for. */
export interface Asked {
  readonly id: bigint;
  readonly call: Call;
  readonly settle: Settle;
}

export interface CommandsOptions {
  readonly gntshr: Gntshr;
  readonly evtchn: Evtchn;
  readonly backendDomid: number;
}

export class Commands {
  readonly port: number;
  readonly ringRef: number;
  /** Slots are free after answers: for who found no `acceptRoom`. */
  onRoom: () => void = () => {};
  readonly #evtchn: Evtchn;
  readonly #pages: SharedPages;
  readonly #front: Front;
  /** By req_id. */
  readonly #underWay: (Asked | undefined)[];
  readonly #free: number[];
  readonly #slot = new Uint8Array(SLOT_BYTES);
  /** What waits for a slot, in its order; connects by themselves, behind the others. */
  readonly #quick = new Set<Asked>();
  readonly #connects = new Set<Asked>();
  #accepting = 0;
  #sending = false;
  #lost = false;
  #acceptSlots = 0;
  #answered = 0;
  /** Requests about sockets whose release has been answered. */
  readonly #forgotten = new Set<Asked>();

  /** Grants and allocates. Throws OsError. */
  constructor({ gntshr, evtchn, backendDomid }: CommandsOptions) {
    this.#evtchn = evtchn;
    this.#pages = gntshr.sharePages(backendDomid, 1, 'rw');
    try {
      this.port = evtchn.bindUnboundPort(backendDomid);
    } catch (error) {
      this.#pages.unmap();
      throw error;
    }
    this.ringRef = this.#pages.refs[0]!;
    this.#front = Front.init(this.#pages.bytes, SLOT_BYTES);
    this.#underWay = new Array<Asked | undefined>(this.#front.size).fill(undefined);
    this.#free = Array.from(this.#underWay.keys()).reverse();
  }

  /** Answers so far. */
  get answered(): number {
    return this.#answered;
  }

  /** Almost all slots are taken by accepts that the backend has forgotten with their sockets, as Linux's does: soon nothing can be asked. */
  get isClogged(): boolean {
    return this.#forgotten.size >= this.#front.size - 2 * QUICK_SLOTS;
  }

  /** Accepts for which there is a slot now. */
  get acceptRoom(): number {
    return this.#sending && this.#quick.size === 0 ? this.#free.length - QUICK_SLOTS : 0;
  }

  /** Slots for accepts, those under way among them, which connects do not take. */
  keepForAccepts(slots: number): void {
    this.#acceptSlots = slots;
  }

  /** The backend looks at the ring from now on. */
  activate(): void {
    this.#sending = true;
    this.#pump();
  }

  /** Sends a call, now or when there is a slot. An accept needs `acceptRoom`. */
  ask(id: bigint, call: Call, settle: Settle): Asked {
    const asked = { id, call, settle };
    (call.command === Command.CONNECT ? this.#connects : this.#quick).add(asked);
    this.#pump();
    return asked;
  }

  /** Takes a call back that has not been sent; it is settled by nobody. False: it was sent. */
  withdraw(asked: Asked): boolean {
    return this.#quick.delete(asked) || this.#connects.delete(asked);
  }

  /** The port has fired. A line if the backend has broken the rules. */
  event(): string | undefined {
    // What is answered after the end is nobody's.
    while (!this.#lost) {
      const there = this.#front.finalCheck();
      if (!there.ok) return 'the backend answers more than it was asked';
      if (there.slots === 0) return undefined;
      for (let i = 0; i < there.slots; i++) {
        this.#front.take(this.#slot);
        const wrong = this.#answer(decodeResponse(this.#slot));
        if (wrong !== undefined) return wrong;
      }
      this.#pump();
      if (this.acceptRoom > 0) this.onRoom();
    }
    return undefined;
  }

  /** There is no backend any more: nothing that was asked will be answered. */
  lose(): void {
    this.#sending = false;
    this.#lost = true;
    const lost = this.#underWay.filter((asked) => asked !== undefined);
    this.#underWay.fill(undefined);
    lost.push(...this.#quick, ...this.#connects);
    this.#quick.clear();
    this.#connects.clear();
    for (const { settle } of lost) settle(-Errno.ECONNRESET, undefined);
  }

  /** Ends the grant and closes the port. */
  release(): void {
    this.#evtchn.unbind(this.port);
    this.#pages.unmap();
  }

  #pump(): void {
    if (!this.#sending) return;
    let sent = false;
    for (const asked of this.#quick) {
      if (this.#free.length === 0) break;
      this.#quick.delete(asked);
      this.#send(asked);
      sent = true;
    }
    if (this.#quick.size === 0) {
      const kept = QUICK_SLOTS + Math.max(0, this.#acceptSlots - this.#accepting);
      for (const asked of this.#connects) {
        if (this.#free.length <= kept) break;
        this.#connects.delete(asked);
        this.#send(asked);
        sent = true;
      }
    }
    if (sent && this.#front.publish()) this.#evtchn.notify(this.port);
  }

  #send(asked: Asked): void {
    const reqId = this.#free.pop()!;
    const { id, call } = asked;
    this.#underWay[reqId] = asked;
    if (call.command === Command.ACCEPT) this.#accepting++;
    encodeRequest(reqId, id, call, this.#slot);
    this.#front.request(this.#slot);
  }

  #answer({ reqId, command, id, ret, data }: Response): string | undefined {
    const asked = this.#underWay[reqId];
    if (asked === undefined) return `the backend answers request ${reqId}, which nobody made`;
    if (command !== asked.call.command)
      return `the backend answers command ${asked.call.command} as ${command}`;
    if (id !== asked.id) return `the backend answers for socket ${asked.id} as ${id}`;
    this.#underWay[reqId] = undefined;
    this.#free.push(reqId);
    if (command === Command.ACCEPT) this.#accepting--;
    this.#answered++;
    this.#forgotten.delete(asked);
    if (command === Command.RELEASE)
      for (const other of this.#underWay) if (other?.id === id) this.#forgotten.add(other);
    asked.settle(ret < -ERRNO_MAX ? -Errno.EIO : Math.min(ret, 0), data);
    return undefined;
  }
}
