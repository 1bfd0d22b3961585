/**
 * The server looked at from inside: its connections, watches, transactions, rings, refusals and last changes, one line each, as `key=value` pairs after what
 * the line is about; the counters of work done; and the check that its books are right. Changes nothing but wrong sums.
 */
import { opName } from '../wire/ops.ts';
import type { Domain } from './domain.ts';
import type { Change } from './history.ts';
import type { Link } from './link.ts';
import { quotaNames } from './quota.ts';
import type { State } from './state.ts';

const about = (link: Link): string => (link.kind === 'ring' ? `domain ${link.domid}` : `socket ${link.id}`);

function* chosen(state: State, domid: number | undefined): Generator<Link> {
  for (const link of state.links) if (domid === undefined || link.domid === domid) yield link;
}

export function* connections(state: State, domid: number | undefined): Generator<string> {
  for (const link of chosen(state, domid)) {
    const { domain, outbox } = link;
    let line = `${about(link)} requests=${link.requests} watches=${link.watches.size}`;
    line += ` transactions=${link.transactions.size} unsent=${outbox.bytes}`;
    if (domain) {
      const { used } = domain.account;
      line += ` outstanding=${used.outstanding} memory=${used.memory} nodes=${used.nodes}`;
      line += ` credit=${domain.credit(state.now)} features=${domain.features}`;
    }
    if (domain?.target) line += ` target=${domain.target.domid}`;
    if (link.ignored) line += ' ignored';
    yield line;
  }
}

export function* watches(state: State, domid: number | undefined): Generator<string> {
  for (const link of chosen(state, domid)) {
    for (const { path, token, depth } of link.watches.values()) {
      yield `${about(link)} ${path} ${word(token)}${depth === undefined ? '' : ` depth=${depth}`}`;
    }
  }
}

export function* transactions(state: State, domid: number | undefined): Generator<string> {
  for (const link of chosen(state, domid)) {
    for (const { id, nodes, startedAt, changed, doomed } of link.transactions.values()) {
      const age = Math.round(state.now - startedAt);
      yield `${about(link)} ${id} nodes=${nodes} age=${age}ms${changed ? ' changed' : ''}${doomed ? ' failed' : ''}`;
    }
  }
}

/** Used, limit (0: none) and the most ever seen of each quota. */
export function* quotas(state: State, domid: number | undefined): Generator<string> {
  for (const { domid: id, account, privileged } of state.domains.all()) {
    if (domid !== undefined && id !== domid) continue;
    const { used, limits, max } = account;
    const parts = quotaNames.map(
      (name) => `${name}=${used[name]}/${privileged ? 0 : limits[name]}/${max[name]}`,
    );
    yield `domain ${id} ${parts.join(' ')}`;
  }
}

export function* rings(state: State, domid: number | undefined): Generator<string> {
  for (const link of chosen(state, domid)) {
    if (link.kind !== 'ring') continue;
    const fields = state.machine.ring(link.domid);
    const status = link.ignored ? 'ignored' : 'served';
    if (!fields) yield `${about(link)} ${status} unmapped`;
    else {
      const { reqCons, reqProd, rspCons, rspProd, connection, error } = fields;
      yield `${about(link)} ${status} port=${link.domain?.port} req_cons=${reqCons} req_prod=${reqProd} ` +
        `rsp_cons=${rspCons} rsp_prod=${rspProd} connection=${connection} error=${error}`;
    }
  }
}

/** Newest first. */
export function* changes(state: State, domid: number | undefined): Generator<string> {
  const { history } = state;
  for (let seq = history.next - 1; seq >= history.oldest; seq--) {
    const change = history.get(seq)!;
    if (domid === undefined || change.domid === domid) yield changeLine(state, change);
  }
}

/** Those of number `from` and later, oldest first. */
export function* changesFrom(state: State, from: number): Generator<{ seq: number; line: string }> {
  const { history } = state;
  for (let seq = Math.max(from, history.oldest); seq < history.next; seq++) {
    yield { seq, line: changeLine(state, history.get(seq)!) };
  }
}

function changeLine({ now }: State, { seq, at, domid, link, what, path, value }: Change): string {
  const age = Math.round(now - at);
  return `${seq} age=${age}ms domain ${domid} connection ${link} ${what} ${path}${value && ` ${value}`}`;
}

/** Newest first. What is refused may be any bytes: here they are one word. */
export function* refusals(state: State, domid: number | undefined): Generator<string> {
  for (const { domid: by, type, errno, subject, count, at } of state.refusals.last(domid)) {
    const age = Math.round(state.now - at);
    yield `domain ${by} ${opName(type) ?? type} ${errno} count=${count} age=${age}ms ${word(subject)}`;
  }
}

function word(text: string): string {
  return text.replace(/[^!-~]|%/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** `name=value`, one a line: counted since the start, then as it stands. */
export function statistics(state: State): string {
  const { store, trie, domains, links } = state;
  let rings = 0;
  let transactions = 0;
  let unsent = 0;
  for (const link of links) {
    if (link.kind === 'ring') rings++;
    transactions += link.transactions.size;
    unsent += link.outbox.bytes;
  }
  const values = {
    requests: state.requests,
    errors: state.errors,
    refusals: state.refusals.total,
    commits: state.commits,
    conflicts: state.conflicts,
    changes: state.history.next,
    events: store.work.links,
    nodes: store.size,
    watches: trie.count,
    transactions,
    sockets: links.size - rings,
    rings,
    domains: domains.count,
    unsent,
    uptime_ms: Math.round(state.now),
  };
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

export function work({ store, trie, domains, links }: State): string {
  const { nodes, watches: touched, links: told } = store.work;
  return (
    `touched: nodes=${nodes} watches=${touched} links=${told}\n` +
    `held: nodes=${store.size} watches=${trie.count} links=${links.size} domains=${domains.count}\n`
  );
}

/** Counts afresh what each domain owns, and corrects its account if that is not what it says. */
export function verify(state: State): void {
  const counted = new Map<Domain, number>();
  for (const node of state.store.all()) {
    const owner = state.domains.get(node.perms.owner);
    if (owner) counted.set(owner, (counted.get(owner) ?? 0) + 1);
  }
  for (const domain of state.domains.all()) {
    const { account, domid } = domain;
    const right = counted.get(domain) ?? 0;
    if (account.used.nodes === right) continue;
    const text = `domain ${domid}: ${account.used.nodes} nodes on the books, ${right} in the store: corrected`;
    state.effects.push({ kind: 'note', level: 'warn', text });
    account.used.nodes = right;
  }
}
