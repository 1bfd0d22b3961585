/**
 * How the server's state begins: anew, with the initial tree and whatever domains there are, as today's C daemon does; or as it was recorded,
 * with rings taken up where they were left and the dead buried. A restart may cost a guest a watch event told twice and its open
 * transactions, and nothing else.
 */
import { Connection, Domid, HEADER_BYTES } from '../wire/ops.ts';
import type { Domain } from './domain.ts';
import { check, INTRODUCED, introduce, isSame, RELEASED, violated } from './lifecycle.ts';
import type { Link } from './link.ts';
import { ROOT } from './path.ts';
import { Perms } from './perms.ts';
import type { RingRecord, SavedState, StoredPerm, WatchRecord } from './ports.ts';
import { quotaKey, quotaKeys } from './quota.ts';
import type { State } from './state.ts';

const entry = (letter: StoredPerm['letter'], domid: number): StoredPerm => ({ letter, domid, stale: false });

/** A new store, and every domain that there is. Failures to introduce one are not fatal, and noted. */
export function begin(state: State): void {
  const { privDomid } = state.options;
  state.domains.make(privDomid, state.machine.domain(privDomid)?.uniqueId ?? 0n);
  initialTree(state);
  introduceAtStart(state, privDomid);
  for (let next = state.machine.pollChanged(); next; next = state.machine.pollChanged()) {
    if (next.exists && !next.dead && next.domid !== privDomid) introduceAtStart(state, next.domid);
  }
}

/** The store as it was recorded. */
export function restore(state: State, saved: SavedState): void {
  for (const [name, value] of Object.entries(saved.settings)) {
    const key = quotaKey(name);
    if (key) state.domains.defaults[key] = value;
  }
  state.domains.make(state.options.privDomid, 0n);
  const targets = restoreDomains(state, saved);
  // A generation that nobody has been told yet: lists of children count as changed.
  state.store.generation = Math.max(state.store.generation, saved.generation) + 1;
  for (const node of saved.nodes) state.store.restore(node, new Perms(node.perms));
  if (state.store.size === 0) initialTree(state);
  restoreRings(state, saved);
  for (const [domain, target] of targets) {
    const known = state.domains.get(target.domid);
    if (known?.uniqueId === target.uniqueId) domain.serve(known);
  }
  for (const watch of [...saved.watches].sort((a, b) => a.seq - b.seq)) restoreWatch(state, watch);
  state.store.takeChanges();
  state.watchesAdded = [];
  buryTheDead(state);
}

function initialTree(state: State): void {
  const { store, options } = state;
  const { privDomid } = options;
  const own = new Perms([entry('n', privDomid)]);
  store.create(ROOT, '', own, privDomid);
  store.create('/tool/xenstored', '', own, privDomid);
  store.create(INTRODUCED, '', own, privDomid);
  const everybody = new Perms([entry('n', privDomid), entry('r', Domid.ANY)]);
  store.create(RELEASED, '', everybody, privDomid);
}

function introduceAtStart(state: State, domid: number): void {
  const result = introduce(state, domid, 0);
  if (result.ok) {
    const link = state.domains.introduced(domid)?.link;
    const fields = state.machine.ring(domid);
    if (link && fields) {
      link.consumed = fields.reqCons;
      link.outbox.restore(fields.rspProd, '', fields.rspProd);
    }
    state.effects.push({ kind: 'connected', domid });
  } else if (domid === state.options.privDomid) {
    // Nobody is at its ring: it speaks through sockets alone, and is no less there for that.
    state.domains.get(domid)!.introduced = true;
  } else {
    const text = `Could not initialize dom${domid}: ${result.errno}`;
    state.effects.push({ kind: 'note', level: 'warn', text });
  }
}

/** Answers who is to serve whom again, once all are there. */
function restoreDomains(state: State, saved: SavedState): Map<Domain, { domid: number; uniqueId: bigint }> {
  const { domains, machine } = state;
  const targets = new Map<Domain, { domid: number; uniqueId: bigint }>();
  for (const record of saved.domains) {
    const domain = domains.make(record.domid, record.uniqueId, record.generation);
    domain.features = record.features;
    domain.shutdownReported = record.shutdownReported;
    domain.introduced = record.introduced;
    domain.port = record.port;
    for (const [i, key] of quotaKeys.entries()) domain.account.limits[key] = record.quotas[i] ?? 0;
    if (record.target) targets.set(domain, record.target);
    if (!record.introduced) continue;
    // Where the number is another domain's by now, its ring is not to be touched.
    const attached = isSame(domain, machine.domain(record.domid))
      ? machine.attach(record.domid, record.port).ok
      : false;
    // The privileged domain may speak through sockets alone; any other is kept, so that its end is noticed.
    if (!attached && domain.privileged) continue;
    domain.link = state.addLink('ring', record.domid);
    domain.link.ignored = record.ignored || !attached;
    // Every start of a transaction is a generation: this is behind all ids that the guest may still use for ones that are gone.
    domain.link.nextTxId = (saved.generation + 1) >>> 0;
  }
  return targets;
}

/** What had been said to a guest, of which it has everything before `sent`. */
function restoreOutput(state: State, link: Link, at: number, bytes: Buffer, sent: number): void {
  const { outbox, domain } = link;
  outbox.restore(at, bytes.toString('latin1'), sent);
  if (!outbox.pending) return;
  if (!link.privileged) domain?.account.add('memory', outbox.bytes + HEADER_BYTES);
  state.output.add(link);
}

function restoreRings(state: State, saved: SavedState): void {
  const recorded = new Map<number, RingRecord>();
  for (const ring of saved.rings) recorded.set(ring.domid, ring);
  for (const domain of state.domains.all()) {
    const { link, domid } = domain;
    const fields = link && !link.ignored && state.machine.ring(domid);
    if (!fields) continue;
    // What was offered may not have reached the page before the end came.
    state.effects.push({ kind: 'features', domid, features: domain.features });
    const ring = recorded.get(domid);
    if (!ring) {
      link.consumed = fields.reqCons;
      link.outbox.restore(fields.rspProd, '', fields.rspProd);
      if (fields.connection === Connection.RECONNECT) state.effects.push({ kind: 'connected', domid });
      continue;
    }
    const given = (fields.rspProd - ring.appendedAt) >>> 0;
    if (ring.consumed === 0 && (fields.reqCons !== 0 || fields.connection === Connection.RECONNECT)) {
      // Its fresh start was recorded, and the end came before the page was told.
      restoreOutput(state, link, 0, ring.appended, 0);
      state.effects.push({ kind: 'reset', domid });
      continue;
    }
    if (given > ring.appended.length) {
      violated(state, domain);
      continue;
    }
    link.consumed = ring.consumed;
    link.framer.restore(ring.partial);
    restoreOutput(state, link, ring.appendedAt, ring.appended, ring.appendedAt + given);
    state.effects.push({ kind: 'resume', link });
  }
}

function restoreWatch(state: State, { seq, domid, path, token, depth }: WatchRecord): void {
  const link = state.domains.get(domid)?.link;
  if (!link || link.ignored) return;
  const relative = !path.startsWith('/') && !path.startsWith('@');
  state.nextSeq = seq;
  state.addWatch(link, relative ? `${link.home}/${path}` : path, token, depth, relative);
}

/** Domains that ended while nobody was looking, and those whose ring could not be mapped again. */
function buryTheDead(state: State): void {
  // Each is asked after now. What the machine has to tell would be old news later, of someone who has the number no more.
  while (state.machine.pollChanged()) {}
  let shutdown = false;
  for (const domain of [...state.domains.all()]) {
    if (domain.domid === state.options.privDomid) continue;
    if (check(state, domain, state.machine.domain(domain.domid)) === 'shutdown') shutdown = true;
  }
  if (shutdown) state.fireSpecial(RELEASED, 0, { plain: true, domain: false });
}
