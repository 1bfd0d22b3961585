/**
 * A client of DHCP: gets an address, keeps it for as long as it is lent, and asks anew when it is not. One attempt after the other, further and further
 * apart. Messages go out and in as bytes of UDP; whom they are for is told with them. (RFC 2131, sections 3 and 4.4)
 */
import type { Clock, Random } from '../../../osdep/clock.ts';
import { type DhcpMessage, DhcpType, dhcp, openDhcp } from './dhcp.ts';

const AGAIN_MS = 4000;
const AGAIN_MAX_MS = 64_000;
const REQUESTS = 4;
/** Nobody asks a server for more often than this (RFC 2131, 4.4.5). */
const RENEW_MIN_MS = 60_000;
/** The longest that a timer goes at once. */
const TIMER_MAX_MS = 0x7fffffff;
const FOREVER = 0xffffffff;
const SECOND_MS = 1000;

export interface Lease {
  readonly address: string;
  /** `255.255.255.0`; the whole network is at hand if the server does not say. */
  readonly netmask: string;
  readonly router: string | undefined;
}

export interface DhcpClientOptions {
  readonly mac: Uint8Array;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly random: Pick<Random, 'u32' | 'below'>;
  /** To a server, or to all of them (undefined), from the address that there is. */
  readonly send: (message: Uint8Array, server: string | undefined) => void;
  /** There is a lease, another one, or none any more. */
  readonly onLease: (lease: Lease | undefined) => void;
}

interface Bound extends Lease {
  readonly server: string;
  /** When to ask the server again, when to ask all of them, when it ends. */
  readonly renewAt: number;
  readonly rebindAt: number;
  readonly endsAt: number;
}

type State = 'stopped' | 'selecting' | 'requesting' | 'bound' | 'renewing' | 'rebinding';

export class DhcpClient {
  state: State = 'stopped';
  readonly #options: DhcpClientOptions;
  #xid = 0;
  #offer: { readonly address: string; readonly server: string } | undefined;
  #bound: Bound | undefined;
  #attempts = 0;
  #stopTimer: () => void = () => {};

  constructor(options: DhcpClientOptions) {
    this.#options = options;
  }

  start(): void {
    this.#xid = this.#options.random.u32();
    this.#attempts = 0;
    this.state = 'selecting';
    this.#select();
  }

  stop(): void {
    this.#stopTimer();
    this.state = 'stopped';
  }

  /** A message has come, to whomever. */
  receive(bytes: Uint8Array): void {
    const message = openDhcp(bytes);
    if (!message?.isReply || message.xid !== this.#xid) return;
    if (!message.mac.every((byte, at) => byte === this.#options.mac[at])) return;
    if (this.state === 'selecting' && message.type === DhcpType.OFFER) this.#offered(message);
    else if (this.state === 'requesting' || this.state === 'renewing' || this.state === 'rebinding') {
      if (message.type === DhcpType.ACK) this.#acked(message);
      else if (
        message.type === DhcpType.NAK &&
        (this.state === 'rebinding' || message.server === this.#server)
      )
        this.#lost();
    }
  }

  get #server(): string | undefined {
    return this.state === 'requesting' ? this.#offer?.server : this.#bound?.server;
  }

  #select(): void {
    this.#message({ type: DhcpType.DISCOVER }, undefined);
    this.#later(this.#pause(), () => this.#select());
  }

  #offered({ yourAddress, server }: DhcpMessage): void {
    if (server === undefined || !isUsable(yourAddress)) return;
    this.#offer = { address: yourAddress, server };
    this.#attempts = 0;
    this.state = 'requesting';
    this.#request();
  }

  #request(): void {
    if (this.#attempts === REQUESTS) {
      this.start();
      return;
    }
    const { address, server } = this.#offer!;
    this.#message({ type: DhcpType.REQUEST, requested: address, server }, undefined);
    this.#later(this.#pause(), () => this.#request());
  }

  #acked(message: DhcpMessage): void {
    const { yourAddress, server = this.#server, lease = 0 } = message;
    if (server === undefined || !isUsable(yourAddress) || lease === 0) return;
    if (this.state !== 'rebinding' && server !== this.#server) return;
    const now = this.#options.clock.now();
    const at = (seconds: number): number =>
      lease === FOREVER ? Number.POSITIVE_INFINITY : now + seconds * SECOND_MS;
    const rebinding = Math.min(message.rebinding ?? lease * 0.875, lease);
    const renewal = Math.min(message.renewal ?? lease * 0.5, rebinding);
    this.#bound = {
      address: yourAddress,
      netmask: message.netmask ?? '0.0.0.0',
      router: message.router,
      server,
      renewAt: at(renewal),
      rebindAt: at(rebinding),
      endsAt: at(lease),
    };
    this.state = 'bound';
    this.#options.onLease(this.#bound);
    this.#until(this.#bound.renewAt, () => this.#renew());
  }

  #renew(): void {
    const { address, server, rebindAt, endsAt } = this.#bound!;
    const now = this.#options.clock.now();
    if (now >= endsAt) {
      this.#lost();
      return;
    }
    this.state = now < rebindAt ? 'renewing' : 'rebinding';
    const to = this.state === 'renewing' ? server : undefined;
    this.#message({ type: DhcpType.REQUEST, clientAddress: address }, to);
    const next = this.state === 'renewing' ? rebindAt : endsAt;
    // Half of what is left, but not too often.
    this.#until(Math.min(next, now + Math.max((next - now) / 2, RENEW_MIN_MS)), () => this.#renew());
  }

  #lost(): void {
    if (this.#bound !== undefined) this.#options.onLease(undefined);
    this.#bound = undefined;
    this.start();
  }

  #message(fields: Omit<DhcpMessage, 'isReply' | 'xid' | 'mac'>, to: string | undefined): void {
    const { mac, send } = this.#options;
    send(dhcp({ isReply: false, xid: this.#xid, mac, ...fields }), to);
  }

  /** Twice as long each time, and not for all guests at once (RFC 2131, 4.1). */
  #pause(): number {
    const pause = Math.min(AGAIN_MS * 2 ** this.#attempts++, AGAIN_MAX_MS);
    return pause - 1000 + this.#options.random.below(2001);
  }

  #until(time: number, then: () => void): void {
    const left = Math.max(0, time - this.#options.clock.now());
    if (left <= TIMER_MAX_MS) this.#later(Math.ceil(left), then);
    else this.#later(TIMER_MAX_MS, () => this.#until(time, then));
  }

  #later(ms: number, then: () => void): void {
    this.#stopTimer();
    this.#stopTimer = this.#options.clock.after(ms, then);
  }
}

/** Not nobody's, everybody's, a group's or the machine's own. */
function isUsable(address: string | undefined): address is string {
  const first = Number(address?.split('.')[0] ?? 0);
  return first !== 0 && first !== 127 && first < 224;
}
