/**
 * The server looked at from inside: its connections, watches, transactions, rings and last changes, one line each, as `key=value` pairs after what
 * the line is about; the counters of work done; and the check that its books are right. Changes nothing but wrong sums.
 */
import type { Domain } from './domain.ts';
import type { Link } from './link.ts';
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
      yield `${about(link)} ${path} ${token}${depth === undefined ? '' : ` depth=${depth}`}`;
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
  for (const change of state.history.last(Number.POSITIVE_INFINITY)) {
    if (domid !== undefined && change.domid !== domid) continue;
    const age = Math.round(state.now - change.at);
    yield `${change.seq} age=${age}ms domain ${change.domid} connection ${change.link} ${change.what} ${change.path}`;
  }
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
