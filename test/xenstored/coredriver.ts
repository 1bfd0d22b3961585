/**
 * The core called directly, one request at a time and without waiting: what tests of its cost and of its books use. Rings always have room, the
 * machine says that every domain below 30000 exists. Strings use `|` for NUL.
 */
import { Daemon, type DaemonOptions, defaultOptions } from '../../xenstored/core/daemon.ts';
import type { Link } from '../../xenstored/core/link.ts';
import type { DomainState, Machine, Surroundings, Turn } from '../../xenstored/core/ports.ts';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op, type OpName } from '../../xenstored/wire/ops.ts';

const OUTPUT = Buffer.alloc(1 << 20);

export class CoreDriver {
  readonly daemon: Daemon;
  readonly dom0: Link;
  /** Domains that are gone, to be reported next. */
  readonly #gone: number[] = [];
  readonly #dead = new Set<number>();
  /** The last turn, for those who look at commits and effects. */
  turn: Turn | undefined = undefined;

  /** `machine`: what is to answer otherwise. */
  constructor(options: Partial<DaemonOptions> = {}, machine: Partial<Machine> = {}) {
    this.daemon = new Daemon({ ...defaultOptions, ...options }, { ...this.#machine(), ...machine }, nothing);
    this.daemon.start();
    this.turn = this.daemon.endTurn();
    this.dom0 = this.daemon.connectSocket();
  }

  /** Sends a request and answers all that the link is sent: `OK|`, `!ENOENT`, `EVENT path|token|`. */
  ask(link: Link, op: OpName, payload: string, txId: number = 0): string[] {
    this.daemon.receive(link, encodeMessage(Op[op], 1, txId, payload.replaceAll('|', '\0')));
    this.turn = this.daemon.endTurn();
    return this.take(link);
  }

  /** The only thing that a request is answered. */
  one(link: Link, op: OpName, payload: string, txId: number = 0): string {
    return this.ask(link, op, payload, txId).join(' ');
  }

  begin(link: Link): number {
    return Number.parseInt(this.one(link, 'TRANSACTION_START', '|'), 10);
  }

  introduce(domid: number): Link {
    this.one(this.dom0, 'INTRODUCE', `${domid}|1|1|`);
    const link = this.daemon.ringOf(domid)!;
    link.outbox.grant(Number.POSITIVE_INFINITY);
    return link;
  }

  kill(domid: number): void {
    this.#gone.push(domid);
    this.#dead.add(domid);
    this.daemon.domainsChanged();
    this.turn = this.daemon.endTurn();
  }

  /** What waits to be sent on a link. */
  take(link: Link): string[] {
    const messages: string[] = [];
    while (link.outbox.pending) {
      const length = link.outbox.peek(OUTPUT, 0, OUTPUT.length);
      link.outbox.advance(length);
      for (let at = 0; at < length; ) {
        const type = OUTPUT.readUInt32LE(at);
        const end = at + 16 + OUTPUT.readUInt32LE(at + 12);
        const body = OUTPUT.toString('latin1', at + 16, end).replaceAll('\0', '|');
        const event = type === Op.WATCH_EVENT;
        messages.push(event ? `EVENT ${body}` : type === Op.ERROR ? `!${body.slice(0, -1)}` : body);
        at = end;
      }
    }
    return messages;
  }

  #machine(): Machine {
    const state = (domid: number): DomainState => ({
      domid,
      exists: true,
      shutdown: false,
      dying: false,
      dead: false,
      uniqueId: BigInt(domid + 1),
    });
    return {
      domain: (domid) => (domid < 30_000 && !this.#dead.has(domid) ? state(domid) : undefined),
      pollChanged: () => {
        const domid = this.#gone.shift();
        return domid === undefined ? undefined : { ...state(domid), exists: false, uniqueId: 0n };
      },
      attach: (_, port) => ({ ok: true, port: port || 1 }),
      rebind: () => true,
      ring: () => ({ reqCons: 0, reqProd: 0, rspCons: 0, rspProd: 0, connection: 0, error: 0 }),
    };
  }
}

const nothing: Surroundings = {
  switches: new Map(),
  setTrace: () => {},
  setLogFile: () => true,
  memreport: () => true,
  print: () => {},
};
