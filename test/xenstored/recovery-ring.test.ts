// The daemon's core on its database, killed at every step of every turn, with a guest on a ring smaller than its requests: what the guest
// reads is, to the byte, what it would have read had nothing happened.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Daemon, defaultOptions } from '../../xenstored/core/daemon.ts';
import type { Link } from '../../xenstored/core/link.ts';
import type { DomainState, Effect, Machine, Surroundings } from '../../xenstored/core/ports.ts';
import { Database } from '../../xenstored/io/database.ts';
import { encodeMessage, Framer } from '../../xenstored/wire/frame.ts';
import { Op, type OpName } from '../../xenstored/wire/ops.ts';
import { Scene } from './database-model.ts';

let scene: Scene;
beforeEach(() => {
  scene = new Scene();
});
afterEach(() => scene.remove());

/** The moments of a turn at which the daemon dies, in order. */
const STEPS = [
  'served',
  'committed',
  'effects done',
  'req_cons moved',
  'bytes written',
  'rsp_prod moved',
] as const;
type Step = (typeof STEPS)[number];

const SIZE = 1024;
/** How often dom0 says something that the guest is told. */
const NEWS = 12;

/** The guest's side of a ring, in memory that outlives the daemon. Positions are the ring's free-running indices. */
class Guest {
  reqCons = 0;
  reqProd = 0;
  rspCons = 0;
  rspProd = 0;
  /** 1: waits for the store before it does anything. */
  connection = 0;
  readonly req: Buffer = Buffer.alloc(SIZE);
  readonly rsp: Buffer = Buffer.alloc(SIZE);
  unsent: Buffer = Buffer.alloc(0);
  received: Buffer = Buffer.alloc(0);

  ask(op: OpName, payload: string): void {
    this.unsent = Buffer.concat([this.unsent, encodeMessage(Op[op], 7, 0, payload.replaceAll('|', '\0'))]);
  }

  /** Puts on the ring what fits, and takes off it at most `appetite` bytes. */
  run(appetite: number): void {
    const room = SIZE - ((this.reqProd - this.reqCons) >>> 0);
    const sending = this.unsent.subarray(0, room);
    for (const [i, byte] of sending.entries()) this.req[(this.reqProd + i) % SIZE] = byte;
    this.reqProd = (this.reqProd + sending.length) >>> 0;
    this.unsent = this.unsent.subarray(sending.length);
    const waiting = Math.min(appetite, (this.rspProd - this.rspCons) >>> 0);
    this.received = Buffer.concat([this.received, between(this.rsp, this.rspCons, waiting)]);
    this.rspCons = (this.rspCons + waiting) >>> 0;
  }

  get idle(): boolean {
    return this.unsent.length === 0 && this.reqCons === this.reqProd && this.rspCons === this.rspProd;
  }
}

function between(ring: Buffer, from: number, length: number): Buffer {
  if (length > SIZE) throw new Error(`an index is out of range: ${length} bytes`);
  return Buffer.from(Array.from({ length }, (_, i) => ring[(from + i) % SIZE]!));
}

/** A daemon with one guest, domain 1, whose turns are taken by hand. */
class Host {
  readonly guest: Guest = new Guest();
  readonly dead = new Set<number>();
  uniqueId = 100n;
  /** What the hypervisor has to tell, as it was when the daemon started. */
  readonly news: DomainState[] = [];
  daemon!: Daemon;
  dom0!: Link;
  deaths = 0;
  /** Its journals are absorbed often, so that most lives begin with LevelDB. */
  absorbs = false;
  #directory: string;
  #database!: Database;
  readonly #abandoned: Database[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  async boot(): Promise<void> {
    this.daemon = new Daemon(
      // Room for the largest payload that the wire allows.
      { ...defaultOptions, quotas: { ...defaultOptions.quotas, 'node-size': 8192 }, persistent: true },
      this.#machine(),
      quiet,
    );
    this.#database = await Database.open(
      scene.options(this.#directory, {
        sentPosition: (domid) => this.daemon.ringOf(domid)?.outbox.sent,
        ...(this.absorbs ? { journalLimitBytes: 20_000 } : {}),
      }),
    );
    const saved = this.#database.takeSaved();
    if (saved) this.daemon.restore(saved);
    else this.daemon.start();
    this.#finish();
    this.dom0 = this.daemon.connectSocket();
  }

  /** As kill -9 leaves things: the files as they are, the ring as it is. */
  async die(): Promise<void> {
    this.deaths += 1;
    this.#abandoned.push(this.#database);
    this.#directory = scene.copy(this.#directory);
    await this.boot();
  }

  async shutDown(): Promise<void> {
    for (const database of [...this.#abandoned, this.#database]) await database.close();
  }

  /** Dom0 asks something, or more in the same turn, and reads the last answer; nothing dies meanwhile. */
  dom0Asks(...requests: (OpName | string)[]): string {
    const messages: Buffer[] = [];
    for (let i = 0; i < requests.length; i += 2) {
      messages.push(encodeMessage(Op[requests[i] as OpName], 1, 0, requests[i + 1]!.replaceAll('|', '\0')));
    }
    this.daemon.receive(this.dom0, Buffer.concat(messages));
    this.turn();
    const answer = Buffer.alloc(65_536);
    const { outbox } = this.dom0;
    const length = outbox.peek(answer, 0, answer.length);
    outbox.advance(length);
    const framer = new Framer();
    framer.push(answer.subarray(0, length));
    let last = '';
    while (framer.next() === 'message') last = framer.data.toString('latin1', framer.start, framer.end);
    return last.replaceAll('\0', '|');
  }

  /** One turn, as io takes it. Answers false if it got only as far as `until`. */
  turn(until?: Step): boolean {
    const { daemon, guest } = this;
    const link = daemon.ringOf(1);
    if (link && !link.ignored) {
      const waiting = between(guest.req, guest.reqCons, (guest.reqProd - guest.reqCons) >>> 0);
      link.outbox.grant(SIZE - ((guest.rspProd - guest.rspCons) >>> 0));
      if (daemon.mayRead(link)) daemon.receive(link, waiting);
    }
    return this.#finish(until);
  }

  #finish(until?: Step): boolean {
    const { daemon, guest } = this;
    daemon.tick();
    const { commit, effects } = daemon.endTurn();
    if (until === 'served') return false;
    if (commit) this.#database.append(commit);
    if (until === 'committed') return false;
    for (const effect of effects) this.#perform(effect);
    if (until === 'effects done') return false;
    const now = daemon.ringOf(1);
    if (!now || now.ignored) return true;
    guest.reqCons = now.consumed >>> 0;
    if (until === 'req_cons moved') return false;
    const out = Buffer.alloc(SIZE);
    const length = now.outbox.peek(out, 0, SIZE - ((guest.rspProd - guest.rspCons) >>> 0));
    for (let i = 0; i < length; i++) guest.rsp[(guest.rspProd + i) % SIZE] = out[i]!;
    if (until === 'bytes written') return false;
    guest.rspProd = (guest.rspProd + length) >>> 0;
    now.outbox.advance(length);
    return until === undefined;
  }

  #perform(effect: Effect): void {
    const { guest } = this;
    if (effect.kind === 'reset') guest.reqCons = guest.reqProd = guest.rspCons = guest.rspProd = 0;
    if (effect.kind === 'reset' || effect.kind === 'connected') guest.connection = 0;
    if (effect.kind === 'resume') guest.reqCons = effect.link.consumed >>> 0;
  }

  #machine(): Machine {
    const state = (domid: number): DomainState => ({
      domid,
      exists: true,
      shutdown: false,
      dying: false,
      dead: false,
      uniqueId: domid === 1 ? this.uniqueId : BigInt(domid + 1),
    });
    return {
      domain: (domid) => (this.dead.has(domid) ? undefined : state(domid)),
      pollChanged: () => this.news.shift(),
      attach: (domid, port) => (domid === 1 ? { ok: true, port } : { ok: false, errno: 'ENOENT' }),
      rebind: () => true,
      ring: (domid) => (domid === 1 ? { ...this.guest, error: 0 } : undefined),
    };
  }
}

const quiet: Surroundings = {
  switches: new Map(),
  setTrace: () => {},
  setLogFile: () => true,
  memreport: () => true,
  print: () => {},
};

/** A conversation that fills the ring many times over, both ways. No event is twice the same: whether two that wait become one may differ. */
function converse(guest: Guest): void {
  guest.ask('WATCH', 'data|token|');
  guest.ask('WATCH', '/local/domain/1/other|abs|');
  guest.ask('WRITE', `data/payload|${'x'.repeat(4000)}`);
  guest.ask('READ', 'data/payload|');
  guest.ask('READ', 'no/such/node|');
  for (let i = 0; i < 12; i++) guest.ask('WRITE', `data/${i}|${'y'.repeat(i * 40)}`);
  guest.ask('DIRECTORY', 'data|');
  guest.ask('WRITE', `data/second|${'z'.repeat(4060)}`);
  guest.ask('UNWATCH', 'data|token|');
  guest.ask('RM', 'data/3|');
  guest.ask('READ', 'data/second|');
  guest.ask('DIRECTORY', 'data|');
  guest.ask('GET_PERMS', 'data/payload|');
}

/** Runs the conversation; `dies` chooses at which steps of the nth turn the daemon does. */
async function run(
  directory: string,
  dies: (turn: number) => readonly Step[],
  options: { readonly keepOpen?: boolean; readonly absorbs?: boolean } = {},
): Promise<Host> {
  const host = new Host(directory);
  host.absorbs = options.absorbs ?? false;
  await host.boot();
  for (const path of ['', '/data', '/other']) {
    host.dom0Asks('WRITE', `/local/domain/1${path}|`);
    host.dom0Asks('SET_PERMS', `/local/domain/1${path}|n1|`);
  }
  host.dom0Asks('INTRODUCE', '1|1|9|');
  converse(host.guest);
  let told = 0;
  for (let turn = 0; !(host.guest.idle && told === NEWS); turn++) {
    host.guest.run(turn % 3 === 0 ? SIZE : turn % 3 === 1 ? 100 : 0);
    for (const step of dies(turn)) {
      host.turn(step);
      await host.die();
    }
    host.turn();
    if (turn % 3 === 0 && told < NEWS) host.dom0Asks('WRITE', `/local/domain/1/other/${told++}|`);
    if (turn > 500) throw new Error('the guest is stuck');
  }
  if (!options.keepOpen) await host.shutDown();
  return host;
}

/** What the guest has read, as text: replies and events apart, since when dom0 speaks is not the same in two runs. */
function heard({ received }: Guest): { replies: string[]; events: string[] } {
  const replies: string[] = [];
  const events: string[] = [];
  const framer = new Framer();
  framer.push(received);
  while (framer.next() === 'message') {
    const text = framer.data.toString('latin1', framer.start, framer.end);
    if (framer.type === Op.WATCH_EVENT) events.push(text);
    else replies.push(`${framer.type} ${framer.reqId} ${text}`);
  }
  expect(framer.partial()).toHaveLength(0);
  return { replies, events };
}

test('a guest reads the same whenever the daemon dies', async () => {
  const undisturbed = heard((await run(`${scene.root}/undisturbed`, () => [])).guest);
  expect(undisturbed.replies).toHaveLength(24);
  expect(undisturbed.events.length).toBeGreaterThan(NEWS);
  for (const step of STEPS) {
    const host = await run(`${scene.root}/${step.replace(' ', '-')}`, () => [step], {
      absorbs: step === 'committed',
    });
    expect(host.deaths).toBeGreaterThan(20);
    expect(heard(host.guest), `dying when ${step}`).toEqual(undisturbed);
  }
});

test('what a domain owned goes with it, for good, if it died while the daemon was away', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.dead.add(1);
  await host.die();
  expect(host.dom0Asks('READ', '/local/domain/1/data/0|')).toBe('ENOENT|');
  await host.die();
  expect(host.dom0Asks('READ', '/local/domain/1/data/0|')).toBe('ENOENT|');
  await host.shutDown();
});

test('what was to be told of domains at the start is not held against who has the number of one later', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  const { uniqueId } = host;
  host.news.push({ domid: 1, exists: true, shutdown: false, dying: false, dead: false, uniqueId });
  await host.die();
  host.uniqueId += 1n;
  host.dom0Asks('INTRODUCE', '1|1|9|');
  host.daemon.domainsChanged();
  host.turn();
  expect(host.daemon.ringOf(1)).toBeDefined();
  await host.shutDown();
});

test('a ring that is started afresh when the daemon dies is fresh when it is back', async () => {
  const again = encodeMessage(Op.INTRODUCE, 1, 0, '1|1|9|'.replaceAll('|', '\0'));
  for (const step of ['served', 'committed', 'effects done'] as const) {
    const host = await run(`${scene.root}/${step.replace(' ', '-')}`, () => [], { keepOpen: true });
    const before = host.guest.received.length;
    host.daemon.receive(host.dom0, again);
    host.turn(step);
    await host.die();
    // The guest waits until the store is back, and asks once more if it was not heard.
    if (step === 'served') {
      host.daemon.receive(host.dom0, again);
      host.turn();
    }
    expect(host.guest).toMatchObject({ reqCons: 0, reqProd: 0, rspCons: 0, rspProd: 0 });
    host.guest.ask('READ', 'data/0|');
    host.guest.ask('READ', 'none|');
    for (let turn = 0; !host.guest.idle; turn++) {
      host.guest.run(SIZE);
      host.turn();
      if (turn > 10) throw new Error(`no answer after dying when ${step}`);
    }
    host.guest.received = host.guest.received.subarray(before);
    expect(heard(host.guest)).toEqual({ replies: [`${Op.READ} 7 `, `${Op.ERROR} 7 ENOENT\0`], events: [] });
    await host.shutDown();
  }
});

test('a domain released and introduced again in one turn has nothing of its earlier ring', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  Object.assign(host.guest, new Guest());
  host.dom0Asks('RELEASE', '1|', 'INTRODUCE', '1|1|9|');
  await host.die();
  host.guest.ask('GET_DOMAIN_PATH', '1|');
  for (let turn = 0; turn < 3; turn++) {
    host.guest.run(SIZE);
    host.turn();
  }
  host.guest.run(SIZE);
  expect(heard(host.guest).replies).toEqual([`${Op.GET_DOMAIN_PATH} 7 /local/domain/1\0`]);
  await host.shutDown();
});

/** Lets the guest and the daemon go on until there is nothing left to say; answers what the guest heard meanwhile. */
function settle(host: Host): ReturnType<typeof heard> {
  for (let turn = 0; turn === 0 || !host.guest.idle; turn++) {
    host.guest.run(SIZE);
    host.turn();
    if (turn > 100) throw new Error('the guest is stuck');
  }
  const answers = heard(host.guest);
  host.guest.received = Buffer.alloc(0);
  return answers;
}

test('the id of a transaction that is gone is no later one', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.guest.received = Buffer.alloc(0);
  const begun: string[] = [];
  for (let life = 0; life < 3; life++) {
    host.guest.ask('TRANSACTION_START', '|');
    host.guest.ask('TRANSACTION_START', '|');
    begun.push(...settle(host).replies);
    await host.die();
  }
  expect(new Set(begun).size).toBe(6);
  expect(begun).toEqual(begun.map(() => expect.stringMatching(/^6 7 \d+\0$/)));
  await host.shutDown();
});

test('memory in use is the same to the byte after a death with answers on their way', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.guest.received = Buffer.alloc(0);
  const memory = (): string | undefined => /memory=\S+/.exec(host.dom0Asks('CONTROL', 'connections|1|'))?.[0];
  const before = memory();
  for (let i = 0; i < 3; i++) host.guest.ask('READ', 'data/second|');
  host.guest.run(0);
  host.turn('rsp_prod moved');
  await host.die();
  expect(memory()).not.toBe(before);
  expect(settle(host).replies).toHaveLength(3);
  expect(memory()).toBe(before);
  await host.shutDown();
});

test('the ring of a domain that has got the number of a dead one is left alone', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.uniqueId = 200n;
  Object.assign(host.guest, new Guest(), { reqCons: 5, reqProd: 5 });
  await host.die();
  expect(host.guest).toMatchObject({ reqCons: 5, reqProd: 5, rspProd: 0 });
  expect(host.dom0Asks('IS_DOMAIN_INTRODUCED', '1|')).toBe('F|');
  await host.shutDown();
});

test('a domain that is introduced before the death of the last of its number is told starts with nothing of it', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.dom0Asks('WRITE', '/secret|x');
  host.dom0Asks('SET_PERMS', '/secret|n0|r1|');
  host.uniqueId = 200n;
  expect(host.dom0Asks('INTRODUCE', '1|1|9|')).toBe('OK|');
  expect(host.dom0Asks('GET_PERMS', '/secret|')).toBe('n0|');
  expect(host.dom0Asks('READ', '/local/domain/1/data/0|')).toBe('ENOENT|');
  host.guest.received = Buffer.alloc(0);
  host.guest.ask('READ', '/secret|');
  expect(settle(host).replies).toEqual([`${Op.ERROR} 7 EACCES\0`]);
  host.daemon.domainsChanged();
  expect(host.dom0Asks('IS_DOMAIN_INTRODUCED', '1|')).toBe('T|');
  await host.shutDown();
});

test('permissions for what can be no domain read back as they were', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.dom0Asks('WRITE', '/odd|');
  host.dom0Asks('SET_PERMS', '/odd|n0|r70000|w-5|b0x100000003|');
  const odd = 'n0|r70000|w-5|b3|';
  expect(host.dom0Asks('GET_PERMS', '/odd|')).toBe(odd);
  await host.die();
  expect(host.dom0Asks('GET_PERMS', '/odd|')).toBe(odd);
  await host.shutDown();
});

test('a guest that waits for the store is told that it is there, though the daemon died before it could', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  host.dom0Asks('RELEASE', '1|');
  Object.assign(host.guest, new Guest(), { connection: 1 });
  host.daemon.receive(host.dom0, encodeMessage(Op.INTRODUCE, 1, 0, '1\x001\x009\0'));
  host.turn('committed');
  expect(host.guest.connection).toBe(1);
  await host.die();
  expect(host.guest.connection).toBe(0);
  host.guest.ask('GET_DOMAIN_PATH', '1|');
  expect(settle(host).replies).toEqual([`${Op.GET_DOMAIN_PATH} 7 /local/domain/1\0`]);
  await host.shutDown();
});

test('a list of children that is read in pieces is read anew after a death: it may have changed unseen', async () => {
  const host = await run(`${scene.root}/db`, () => [], { keepOpen: true });
  const generation = (): string => host.dom0Asks('DIRECTORY_PART', '/fresh|0|').split('|')[0]!;
  host.dom0Asks('WRITE', '/fresh|');
  const seen = [generation()];
  host.dom0Asks('WRITE', '/fresh/child|');
  seen.push(generation());
  await host.die();
  expect(seen).not.toContain(generation());
  await host.shutDown();
});
