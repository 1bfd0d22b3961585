/**
 * One store under the fuzzer: plays steps and tells what every client got of each, in order. Everything is quiet between two steps: each
 * client's harmless request has been answered.
 */

import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op, opName } from '../../xenstored/wire/ops.ts';
import { type Link, LinkClosed } from '../conformance/link.ts';
import { bytes } from '../conformance/play.ts';
import type { Host } from '../conformance/store.ts';
import { type Ask, domids, type Step, sockets } from './fuzz-steps.ts';

const BARRIER = 0x7a7a7a7a;
const NO_TRANSACTION = 0x40000000;

/** What each client got: replies and events as text. */
export type Heard = ReadonlyMap<string, readonly string[]>;

export class Player {
  readonly #host: Host;
  readonly #links = new Map<string, Link>();
  readonly #alive = new Set<number>(domids);
  /** The stores' own numbers of open transactions, by `client:count`. */
  readonly #transactions = new Map<string, number>();
  readonly #started = new Map<string, number>();
  #nextReqId = 1;

  private constructor(host: Host) {
    this.#host = host;
  }

  /** A store with its clients: two sockets and the domains, introduced, each with a home of its own. */
  static async start(host: Host): Promise<Player> {
    const player = new Player(host);
    for (const name of sockets) player.#links.set(name, await host.connect());
    for (const domid of domids) {
      await host.addDomain(domid);
      await player.play({ who: 'dom0', op: 'INTRODUCE', tx: 0, payload: `${domid}|1|1|` });
      for (const path of [`/d${domid}`, `/local/domain/${domid}`]) {
        await player.play({ who: 'dom0', op: 'WRITE', tx: 0, payload: `${path}|` });
        await player.play({ who: 'dom0', op: 'SET_PERMS', tx: 0, payload: `${path}|n${domid}|` });
      }
    }
    return player;
  }

  /** Does nothing where the client cannot speak now. The reply is the first thing that is not an event among what the step's client heard. */
  async play(step: Step): Promise<Heard> {
    const heard = new Map<string, string[]>();
    let acting: string | undefined;
    if ('host' in step) {
      await this.#act(step.host, step.domid);
    } else if ('restart' in step) {
      await this.#restart(step.restart);
    } else {
      acting = step.who;
      const link = this.#links.get(step.who);
      if (link) {
        for (const piece of this.#pieces(step)) link.send(piece);
        heard.set(step.who, await this.#untilQuiet(link));
      }
      if ('op' in step) this.#learn(step, heard.get(step.who) ?? []);
    }
    // News from the hypervisor may come a little later than they were made.
    const turns = 'host' in step ? 3 : 1;
    for (let turn = 0; turn < turns; turn++) {
      for (const [name, link] of [...this.#links]) {
        if (name === acting) continue;
        heard.set(name, [...(heard.get(name) ?? []), ...(await this.#untilQuiet(link))]);
      }
    }
    return heard;
  }

  #pieces(step: Ask | { readonly batch: readonly Ask[]; readonly cut: number }): Buffer[] {
    const encode = (ask: Ask) => {
      const txId = ask.tx === 0 ? 0 : (this.#transactions.get(`${ask.who}:${ask.tx}`) ?? NO_TRANSACTION);
      return encodeMessage(Op[ask.op], this.#nextReqId++, txId, bytes(ask.payload));
    };
    if ('op' in step) return [encode(step)];
    const all = Buffer.concat(step.batch.map(encode));
    return [all.subarray(0, step.cut), all.subarray(step.cut)].filter((piece) => piece.length > 0);
  }

  /** The whole store as dom0 sees it: a line a node. */
  async dump(): Promise<string[]> {
    const lines: string[] = [];
    const visit = async (path: string): Promise<void> => {
      const value = await this.#ask('READ', path);
      const perms = await this.#ask('GET_PERMS', path);
      lines.push(`${path} = ${JSON.stringify(value)} ${perms}`);
      const children = await this.#ask('DIRECTORY', path);
      if (children.startsWith('!')) return;
      for (const name of children.split('|').filter(Boolean))
        await visit(path === '/' ? `/${name}` : `${path}/${name}`);
    };
    await visit('/');
    return lines;
  }

  async stop(): Promise<void> {
    for (const link of this.#links.values()) link.close();
    await this.#host.stop();
  }

  #learn(step: Ask, heard: readonly string[]): void {
    const id = heard
      .map((text) => /^TRANSACTION_START (\d+)\|$/.exec(text)?.[1])
      .find((each) => each !== undefined);
    if (id !== undefined) {
      const count = (this.#started.get(step.who) ?? 0) + 1;
      this.#started.set(step.who, count);
      this.#transactions.set(`${step.who}:${count}`, Number(id));
    }
    // A domain that was introduced can speak, one that was released cannot.
    const domid = Number.parseInt(step.payload, 10);
    if (!domids.includes(domid) || !heard.includes(`${step.op} OK|`)) return;
    if (step.op === 'INTRODUCE') this.#links.set(`d${domid}`, this.#host.ring(domid));
    if (step.op === 'RELEASE') this.#links.delete(`d${domid}`);
  }

  async #restart(aborted: readonly Ask[]): Promise<void> {
    for (const name of sockets) this.#links.get(name)?.close();
    if (this.#host.restart) {
      await this.#host.restart();
    } else {
      for (const ask of aborted) {
        const link = this.#links.get(ask.who);
        if (!link) continue;
        for (const piece of this.#pieces(ask)) link.send(piece);
        await this.#untilQuiet(link);
      }
    }
    this.#transactions.clear();
    for (const name of sockets) this.#links.set(name, await this.#host.connect());
  }

  async #act(action: 'create' | 'shutdown' | 'kill', domid: number): Promise<void> {
    if ((action === 'create') === this.#alive.has(domid)) return;
    if (action !== 'shutdown') this.#links.delete(`d${domid}`);
    if (action === 'kill') this.#alive.delete(domid);
    else this.#alive.add(domid);
    if (action === 'create') await this.#host.addDomain(domid);
    else if (action === 'shutdown') await this.#host.shutdownDomain(domid);
    else await this.#host.killDomain(domid);
  }

  async #ask(op: 'READ' | 'GET_PERMS' | 'DIRECTORY', path: string): Promise<string> {
    const link = this.#links.get('dom0')!;
    link.send(encodeMessage(Op[op], this.#nextReqId++, 0, bytes(`${path}|`)));
    const [reply = ''] = (await this.#untilQuiet(link)).filter((text) => !text.startsWith('EVENT'));
    return reply.startsWith('!') ? reply : reply.slice(op.length + 1);
  }

  async #untilQuiet(link: Link): Promise<string[]> {
    const heard: string[] = [];
    link.send(encodeMessage(Op.GET_DOMAIN_PATH, BARRIER, 0, bytes('1|')));
    for (;;) {
      try {
        const { type, reqId, txId, body } = await link.recv(10_000);
        if (reqId === BARRIER && type === Op.GET_DOMAIN_PATH) return heard;
        const text = body.replaceAll('\0', '|');
        if (type === Op.WATCH_EVENT) heard.push(`EVENT ${text}`);
        else if (type === Op.ERROR) heard.push(`!${text.slice(0, -1)} tx ${txId === 0 ? 0 : 1}`);
        else heard.push(`${opName(type) ?? type} ${text}`);
      } catch (error) {
        heard.push(
          error instanceof LinkClosed ? '<closed>' : `<${error instanceof Error ? error.message : error}>`,
        );
        return heard;
      }
    }
  }
}
