/**
 * WATCH, UNWATCH and RESET_WATCHES. Follows docs/misc/xenstore.txt and today's C daemon. A watch's path need not exist and needs no
 * permission: what may be told is decided when something happens.
 */
import { readLatin1 } from '../wire/latin1.ts';
import { Feature } from '../wire/ops.ts';
import { OK } from '../wire/reply.ts';
import { atoi, strings } from '../wire/request.ts';
import { watchKey } from './link.ts';
import { pathFor } from './nodes.ts';
import { type Answer, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, type Request } from './request.ts';

export function watch(request: Request): Answer {
  const { state, link, data, start, end, type, reqId, txId, cause } = request;
  const parts = strings(readLatin1(data, start, end));
  const [name, token, levels] = parts;
  const withDepth = parts.length === 3 && ((link.domain?.features ?? -1) & Feature.WATCH_DEPTH) !== 0;
  if (name === undefined || token === undefined || (parts.length !== 2 && !withDepth)) return EINVAL;
  const depth = levels === undefined ? undefined : atoi(levels);
  if (depth !== undefined && depth < 0) return EINVAL;
  const path = pathFor(request, name, true);
  if (path === undefined) return EINVAL;
  if (link.watches.has(watchKey(path, token))) return EEXIST;
  const account = link.limited;
  if (account?.exceedsBy('watches', 1)) return ENOSPC;
  if (account && !state.memoryAllows(link, path.length + token.length)) return ENOMEM;
  state.addWatch(link, path, token, depth, !name.startsWith('/') && !name.startsWith('@'));
  state.reply(link, type, reqId, txId, OK, cause);
  state.event(link, name, token, undefined);
  return undefined;
}

export function unwatch(request: Request): Answer {
  const { state, link, data, start, end } = request;
  const parts = strings(readLatin1(data, start, end));
  const [name, token] = parts;
  if (parts.length !== 2 || name === undefined || token === undefined) return EINVAL;
  const path = pathFor(request, name, true);
  if (path === undefined) return EINVAL;
  const found = link.watches.get(watchKey(path, token));
  if (!found) return ENOENT;
  state.removeWatch(found);
  return OK;
}

/** Also ends the link's transactions, the one it came in included. */
export function resetWatches({ state, link }: Request): Answer {
  state.dropWatches(link);
  state.dropTransactions(link);
  return OK;
}
