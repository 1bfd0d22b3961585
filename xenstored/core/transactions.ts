/**
 * TRANSACTION_START and TRANSACTION_END. Follows docs/misc/xenstore.txt; errnos as the C daemon's; whoever's commit spoils another's pays
 * with conflict credit, as in oxenstored.
 */
import { OK } from '../wire/reply.ts';
import { onlyString } from './nodes.ts';
import type { Perms } from './perms.ts';
import { type Answer, EAGAIN, EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC, type Request } from './request.ts';
import type { State } from './state.ts';
import { Transaction } from './transaction.ts';

export function transactionStart(request: Request): Answer {
  const { state, link } = request;
  if (request.transaction) return EBUSY;
  const account = link.limited;
  if (account?.exceedsBy('transactions', 1)) return ENOSPC;
  let id = link.nextTxId;
  while (id === 0 || link.transactions.has(id)) id = (id + 1) >>> 0;
  link.nextTxId = (id + 1) >>> 0;
  const { store, now } = state;
  link.transactions.set(id, new Transaction({ id, store, by: link.domid, account, startedAt: now }));
  link.domain?.account.add('transactions', 1);
  state.tracer?.object('CREATE', 'transaction', link);
  return `${id}\0`;
}

export function transactionEnd(request: Request): Answer {
  const { state, link, transaction } = request;
  const how = onlyString(request);
  if (how !== 'T' && how !== 'F') return EINVAL;
  if (!transaction) return ENOENT;
  const answer = how === 'T' ? commit(request, transaction) : OK;
  state.endTransaction(link, transaction.id);
  return answer;
}

function commit(request: Request, transaction: Transaction): Answer {
  const { state, link, cause } = request;
  if (transaction.doomed) return ENOMEM;
  if (!link.privileged) {
    for (const [domid, more] of transaction.ownership()) {
      if (more > 0 && state.domains.existing(domid)?.account.exceedsBy('nodes', more)) return ENOSPC;
    }
  }
  for (const entry of transaction.permissionsSet()) {
    const live = (domid: number) => state.domains.isLive(domid, entry.permsAt);
    const { owner } = entry.perms;
    if (!(entry.permsSet ? live(owner) : state.domains.get(owner))) return EAGAIN;
    entry.perms = entry.perms.refreshed(live);
  }
  const result = transaction.commit();
  if (!result.ok) {
    state.conflicts++;
    blame(request, result.blame);
    return EAGAIN;
  }
  const told = (what: string, path: string, value = '') =>
    state.history.add(state.now, link.domid, link.id, what, path, value);
  for (const { path, match, oldPerms, parentPerms } of result.events) {
    // An exact one is of a node that went with another.
    if (match === 'subtree') told(changeOf(state, path, oldPerms), path, state.store.get(path)?.value);
    state.fire(path, match, undefined, oldPerms, cause, { perms: parentPerms });
  }
  if (result.changed) {
    state.commits++;
    told('commit', `${transaction.id}`);
  }
  return OK;
}

/** Of a node that a commit has changed; `oldPerms`: it was there before. */
function changeOf({ store }: State, path: string, oldPerms: Perms | undefined): string {
  const perms = store.get(path)?.perms;
  if (!perms) return 'rm';
  if (!oldPerms) return 'create';
  return perms === oldPerms ? 'write' : 'perms';
}

function blame({ state, link }: Request, domid: number): void {
  const culprit = state.domains.get(domid);
  if (!culprit?.link || culprit.privileged || domid === link.domid) return;
  culprit.blame(state.now);
  const credit = culprit.credit(state.now);
  if (credit > 0 || state.throttled.has(culprit.link)) return;
  state.throttled.add(culprit.link);
  state.effects.push({
    kind: 'note',
    level: 'info',
    text: `domain ${domid} spoils transactions of others: not read until it has conflict credit again (${credit})`,
  });
}
