/**
 * Plays one row against one store and compares, step by step. A failure shows the whole conversation so far. Knows the wire's framing
 * and that every request has exactly one reply with its own req_id and tx_id; what the replies should say is in the rows.
 *
 * Nothing here waits for time to pass: a link is quiet when a harmless request sent after everything else has been answered.
 */
import { isDeepStrictEqual } from 'node:util';
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op, opName, Ring } from '../../xenstored/wire/ops.ts';
import type { RingLink } from './guestring.ts';
import { type Link, LinkClosed, type Packet } from './link.ts';
import {
  type Answer,
  answerOf,
  type Column,
  type EventCells,
  type HostStep,
  pick,
  type Row,
  type Step,
} from './row.ts';
import type { Host } from './store.ts';

const EVENT_DEADLINE_MS = 2_000;
const BARRIER_ID = 0x7a7a7a7a;

/** One client: its link, the events not yet asked for, its transactions by label. */
interface Client {
  readonly link: Link;
  readonly transactions: Map<string, number>;
  events: string[];
  nextReqId: number;
}

export class Play {
  readonly #host: Host;
  readonly #row: Row;
  readonly #column: Column;
  readonly #clients = new Map<string, Client>();

  constructor(host: Host, row: Row, column: Column) {
    this.#host = host;
    this.#row = row;
    this.#column = column;
  }

  /** Plays to the end, whatever differs on the way, and then rejects with all that did. */
  async run(): Promise<void> {
    const wrong: string[] = [];
    let place = 'setting up';
    try {
      await this.#introduceAll();
      for (const [at, step] of this.#row.steps.entries()) {
        place = `step ${at + 1}, ${told(step)}`;
        await this.#play(step).catch((error: unknown) => {
          if (!(error instanceof Mismatch)) throw error;
          wrong.push(`${place}: ${error.message}`);
        });
      }
    } catch (error) {
      wrong.push(`${place}: ${error instanceof Error ? error.message : error}`);
    } finally {
      for (const { link } of this.#clients.values()) link.close();
    }
    if (wrong.length > 0) throw new Error(`[${this.#column}] ${this.#row.title}\n  ${wrong.join('\n  ')}`);
  }

  async #introduceAll(): Promise<void> {
    const unintroduced = this.#row.unintroduced ?? [];
    for (const domid of unintroduced) await this.#host.addDomain(domid);
    const made = (action: string, domid: number) =>
      this.#row.steps.some((step) => isHostStep(step) && step[1] === action && step[2] === domid);
    const speaking = this.#row.steps
      .map(([who]) => Number(/^d(\d+)/.exec(who)?.[1] ?? 0))
      .filter((domid) => !made('create', domid) || made('kill', domid));
    for (const domid of new Set([...(this.#row.domains ?? []), ...speaking])) {
      if (domid === 0 || unintroduced.includes(domid)) continue;
      await this.#host.addDomain(domid);
      const dom0 = await this.#client('dom0');
      const reply = await this.#ask(dom0, Op.INTRODUCE, `${domid}|1|1|`);
      same(reply, 'OK|');
    }
  }

  async #play(step: Step): Promise<void> {
    if (isHostStep(step)) return this.#act(step[1], step[2]);
    const [who = '', tx] = step[0].split(':');
    const client = await this.#client(who);
    switch (step[1]) {
      case 'EVENTS':
        return this.#expectEvents(client, isList(step[2]) ? step[2] : pick(step[2], this.#column));
      case 'REPLY':
        return this.#expect(client, answerOf(step[2], this.#column), undefined);
      case 'CLOSE':
        client.link.close();
        this.#clients.delete(who);
        return;
      case 'PAUSE':
        return (client.link as RingLink).pause();
      case 'UNPAUSE':
        return (client.link as RingLink).resume();
      case 'PEEK': {
        const wanted = typeof step[3] === 'number' ? step[3] : pick(step[3], this.#column);
        return same((client.link as RingLink).peek(Ring[step[2]]), wanted);
      }
      case 'POKE': {
        const ring = client.link as RingLink;
        ring.poke(Ring[step[2]], step[3]);
        return ring.kick();
      }
      case 'RAW': {
        client.link.send(step[2]);
        return this.#expect(client, answerOf(step[3], this.#column), undefined);
      }
      default: {
        const txId = tx === undefined ? 0 : (client.transactions.get(tx) ?? Number(tx));
        const reqId = client.nextReqId++;
        client.link.send(encodeMessage(Op[step[1]], reqId, txId, bytes(step[2])));
        return this.#expect(client, answerOf(step[3], this.#column), { type: Op[step[1]], reqId, txId });
      }
    }
  }

  async #act(action: 'create' | 'shutdown' | 'kill', domid: number): Promise<void> {
    const name = `d${domid}`;
    if (action !== 'shutdown') this.#clients.delete(name);
    if (action === 'create') await this.#host.addDomain(domid);
    else if (action === 'shutdown') await this.#host.shutdownDomain(domid);
    else await this.#host.killDomain(domid);
  }

  async #expect(client: Client, answer: Answer, request: Header | undefined): Promise<void> {
    if (Array.isArray(answer)) {
      const seen = await this.#untilQuiet(client, request);
      return same(seen, answer);
    }
    if (answer === '<silence>') {
      // A second client is served after whatever there was to do for the first.
      const other = await this.#client('sock-barrier');
      for (let turn = 0; turn < 2; turn++) await this.#untilQuiet(other, undefined);
      return same(await client.link.recv(1).catch(() => 'nothing'), 'nothing');
    }
    const seen = await this.#reply(client, request);
    if (answer instanceof RegExp) {
      if (!answer.test(seen)) throw new Mismatch(seen, answer);
      return;
    }
    const label = /^<(\w+)>$/.exec(String(answer))?.[1];
    if (label !== undefined && label !== 'closed' && /^\d+\|$/.test(seen)) {
      client.transactions.set(label, Number.parseInt(seen, 10));
      return;
    }
    same(seen, answer);
  }

  /** The next reply, rendered; events on the way are kept. */
  async #reply(client: Client, request: Header | undefined): Promise<string> {
    for (;;) {
      let packet: Packet;
      try {
        packet = await client.link.recv();
      } catch (error) {
        if (error instanceof LinkClosed) return '<closed>';
        throw error;
      }
      if (packet.type === Op.WATCH_EVENT) client.events.push(eventText(packet));
      else return replyText(packet, request);
    }
  }

  async #ask(client: Client, type: number, payload: string): Promise<string> {
    const reqId = client.nextReqId++;
    client.link.send(encodeMessage(type, reqId, 0, bytes(payload)));
    return this.#reply(client, { type, reqId, txId: 0 });
  }

  /** Everything that comes before the answer to a harmless request. */
  async #untilQuiet(client: Client, request: Header | undefined): Promise<string[]> {
    const seen: string[] = [];
    client.link.send(encodeMessage(Op.GET_DOMAIN_PATH, BARRIER_ID, 0, bytes('1|')));
    for (;;) {
      const packet = await client.link.recv();
      if (packet.type === Op.WATCH_EVENT) seen.push(`EVENT ${eventText(packet)}`);
      else if (packet.reqId === BARRIER_ID) return seen;
      else seen.push(replyText(packet, request));
    }
  }

  async #expectEvents(client: Client, wanted: readonly string[]): Promise<void> {
    const deadline = performance.now() + EVENT_DEADLINE_MS;
    do {
      const more = await this.#untilQuiet(client, undefined);
      client.events.push(...more.map((text) => text.replace(/^EVENT /, '')));
    } while (client.events.length < wanted.length && performance.now() < deadline);
    const seen = client.events;
    client.events = [];
    same(seen, wanted);
  }

  async #client(who: string): Promise<Client> {
    let client = this.#clients.get(who);
    if (!client) {
      const domid = /^d([1-9]\d*)$/.exec(who)?.[1];
      const link = domid === undefined ? await this.#host.connect() : this.#host.ring(Number(domid));
      client = { link, transactions: new Map(), events: [], nextReqId: 1 };
      this.#clients.set(who, client);
    }
    return client;
  }
}

/** What was seen is not what the row says; the conversation can go on. */
class Mismatch extends Error {
  constructor(seen: unknown, wanted: unknown) {
    super(`${short(seen)} instead of ${short(wanted)}`);
  }
}

function same(seen: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(seen, wanted)) throw new Mismatch(seen, wanted);
}

function short(value: unknown): string {
  const text = value instanceof RegExp ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 400 ? `${text.slice(0, 400)}... (${text.length})` : text;
}

function isHostStep(step: Step): step is HostStep {
  return step[0] === 'host';
}

function isList(cell: readonly string[] | EventCells): cell is readonly string[] {
  return Array.isArray(cell);
}

/** The step without its answer. */
function told(step: Step): string {
  return step
    .slice(0, 3)
    .map((part) => (typeof part === 'string' ? part : short(part)))
    .join(' ')
    .slice(0, 120);
}

interface Header {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
}

/** `|` is NUL; every character is a byte. */
export function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('|', '\0'), 'latin1');
}

function shown(body: string): string {
  return body.replaceAll('\0', '|');
}

function eventText(packet: Packet): string {
  same([packet.reqId, packet.txId], [0, 0]);
  return shown(packet.body);
}

function replyText(packet: Packet, request: Header | undefined): string {
  const body = shown(packet.body);
  if (request) {
    const { reqId, txId } = request;
    same([packet.reqId, packet.txId], [reqId, txId]);
    if (packet.type !== Op.ERROR && packet.type !== request.type)
      return `a reply of type ${opName(packet.type) ?? packet.type}: ${body}`;
  }
  return packet.type === Op.ERROR ? `!${body.replace(/\|$/, '')}` : body;
}
