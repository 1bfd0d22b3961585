/**
 * The requests on nodes: READ, WRITE, MKDIR, RM, DIRECTORY, DIRECTORY_PART, GET_PERMS, SET_PERMS. Follows docs/misc/xenstore.txt and, for
 * errnos and their order, the C daemon. Each checks everything before it changes anything.
 */
import { readLatin1 } from '../wire/latin1.ts';
import { Domid, Feature, PAYLOAD_MAX } from '../wire/ops.ts';
import { OK } from '../wire/reply.ts';
import { atoi, countStrings, strings } from '../wire/request.ts';
import { nodeSize } from './node.ts';
import { canonicalPath, countedLength, isSpecial, parentPath, ROOT } from './path.ts';
import { Perms, parsePerm, Right } from './perms.ts';
import type { StoredPerm } from './ports.ts';
import {
  type Answer,
  EACCES,
  EINVAL,
  EIO,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EPERM,
  type Refusal,
  type Request,
  refused,
} from './request.ts';
import { Part, type Seen } from './view.ts';

const NUL = 0;

/** The payload's only string, which must end it. `undefined`: it does not. */
export function onlyString({ data, start, end }: Request): string | undefined {
  if (end === start || data[end - 1] !== NUL) return undefined;
  const text = readLatin1(data, start, end - 1);
  return text.includes('\0') ? undefined : text;
}

/** The absolute path of a name, or `undefined`: not legal for this link. Names that start with `@` only where asked for. */
export function pathFor(request: Request, name: string | undefined, special: boolean): string | undefined {
  if (name === undefined) return undefined;
  const { link, state } = request;
  // What the store holds is legal already: looking it up costs less than looking at every character.
  const path = state.store.has(name) ? name : canonicalPath(name, link.home);
  if (path === undefined || (isSpecial(path) && !special)) return undefined;
  const account = link.limited;
  return account?.exceeds('path-max', countedLength(path)) ? undefined : path;
}

/** Did the transaction just meet more than it may hold? */
function overflow({ transaction }: Request): Refusal | undefined {
  const errno = transaction?.takeOverflow();
  return errno && (errno === 'ENOMEM' ? ENOMEM : ENOSPC);
}

/**
 * The node at `path`, if the link has all rights in `need`. Who may not know whether a node exists is told EACCES either way: the errno is
 * the real one only if the nearest node above grants any of `need`.
 */
function gate(request: Request, path: string, need: number, parts: number): Seen | Refusal {
  const { view, link } = request;
  const seen = view.lookup(path, link.privileged ? parts : parts | Part.PERMS);
  const over = overflow(request);
  if (over) return over;
  if (seen?.perms.allows(link, need)) return seen;
  const errno = seen ? EACCES : ENOENT;
  if (link.privileged) return errno;
  const above = path === ROOT ? seen : view.ancestor(path);
  const overAbove = overflow(request);
  if (overAbove) return overAbove;
  return above && (above.perms.rights(link) & need) !== 0 ? errno : EACCES;
}

export function read(request: Request): Answer {
  const path = pathFor(request, onlyString(request), false);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.READ, Part.VALUE);
  return refused(seen) ? seen : seen.value;
}

export function directory(request: Request): Answer {
  const path = pathFor(request, onlyString(request), false);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.READ, Part.CHILDREN);
  return refused(seen) ? seen : request.view.childList(seen);
}

/** A piece of a long child list: the generation, then as many whole names as fit, then an empty name at the end of the list. */
export function directoryPart(request: Request): Answer {
  const { view, data, start, end } = request;
  const payload = readLatin1(data, start, end);
  if (countStrings(payload) !== 2) return EINVAL;
  const [name, text] = strings(payload);
  const path = pathFor(request, name, false);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.READ, Part.CHILDREN | Part.VALUE | Part.PERMS);
  if (refused(seen)) return seen;
  const generation = `${view.generation(seen)}\0`;
  const list = view.childList(seen);
  const offset = atoi(text!) >>> 0;
  if (offset >= list.length) return `${generation}\0`;
  const room = PAYLOAD_MAX - generation.length - 1;
  let stop = offset;
  while (stop < list.length) {
    const next = list.indexOf('\0', stop);
    if (next - offset >= room) break;
    stop = next + 1;
  }
  return generation + list.slice(offset, stop) + (stop === list.length ? '\0' : '');
}

export function write(request: Request): Answer {
  const { data, start, end } = request;
  const nul = data.indexOf(NUL, start);
  if (nul < 0 || nul >= end) return EINVAL;
  const path = pathFor(request, readLatin1(data, start, nul), false);
  if (path === undefined) return EINVAL;
  const value = readLatin1(data, nul + 1, end);
  const seen = gate(request, path, Right.WRITE, Part.NONE);
  if (!refused(seen)) return overwrite(request, seen, value);
  return seen === ENOENT ? create(request, path, value) : seen;
}

export function mkdir(request: Request): Answer {
  const path = pathFor(request, onlyString(request), false);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.WRITE, Part.NONE);
  if (!refused(seen)) return OK;
  return seen === ENOENT ? create(request, path, '') : seen;
}

function overwrite(request: Request, seen: Seen, value: string): Answer {
  const { link, view } = request;
  const account = link.limited;
  if (account) {
    const size = nodeSize(seen.perms, value.length, view.childBytes(seen));
    if (account.exceeds('node-size', size)) return doom(request, ENOSPC);
    const growth = value.length - seen.value.length;
    if (growth > 0 && !memoryFor(request, seen.perms.owner, growth)) return doom(request, ENOMEM);
  }
  view.setValue(seen, value);
  changed(request, 'write', seen.path, undefined, value);
  return OK;
}

function create(request: Request, path: string, value: string): Answer {
  const { state, link, view } = request;
  const above = view.ancestor(path);
  const over = overflow(request);
  if (over) return over;
  const perms = above.perms.inheritedBy(link);
  const account = link.limited;
  if (account) {
    const levels = path.slice(above.path.length).split('/').length - (above.path === ROOT ? 0 : 1);
    const more = request.transaction ? 1 : levels;
    if (account.exceedsBy('nodes', more)) return doom(request, ENOSPC);
    if (account.exceeds('node-size', nodeSize(perms, value.length, 0))) return doom(request, ENOSPC);
    const first = path.slice(above.path === ROOT ? 1 : above.path.length + 1).split('/', 1)[0]!;
    const list = view.childBytes(above) + first.length + 1;
    if (account.exceeds('node-size', nodeSize(above.perms, above.value.length, list)))
      return doom(request, ENOSPC);
    const listed = first.length + 1;
    const together = above.perms.owner === perms.owner;
    const made = memoryMade(path, value, perms, above.path) + (together ? listed : 0);
    if (!memoryFor(request, perms.owner, made)) return doom(request, EIO);
    if (!together && !memoryFor(request, above.perms.owner, listed)) return doom(request, EIO);
  }
  state.domains.existing(perms.owner);
  view.create(path, value, perms);
  const overMade = overflow(request);
  if (overMade) return overMade;
  changed(request, 'create', path, undefined, value);
  return OK;
}

/** What a new node and the levels missing between it and `above` add to their owner's memory. */
function memoryMade(path: string, value: string, perms: Perms, above: string): number {
  let bytes = nodeSize(perms, value.length, 0) + path.length;
  let below = path;
  for (let level = parentPath(path); level !== above; level = parentPath(level)) {
    bytes += nodeSize(perms, 0, below.length - level.length) + level.length;
    below = level;
  }
  return bytes;
}

/** A write that failed inside a transaction cannot be told from half a write: the transaction never commits. */
function doom({ transaction }: Request, errno: Refusal): Refusal {
  if (transaction) transaction.doomed = true;
  return errno;
}

/** May the owner's memory grow by this much? What a transaction has changed is in the asking domain's own memory until it ends. */
function memoryFor({ state, link, transaction }: Request, owner: number, bytes: number): boolean {
  if ((transaction || owner === link.domid) && !state.memoryAllows(link, bytes)) return false;
  return owner === link.domid || !state.domains.get(owner)?.account.exceedsBy('memory', bytes);
}

function changed(
  request: Request,
  what: string,
  path: string,
  oldPerms: Perms | undefined,
  value: string,
): void {
  const { state, link, transaction, cause } = request;
  if (transaction) {
    transaction.fire(path, 'subtree');
    return;
  }
  state.history.add(state.now, link.domid, link.id, what, path, value);
  if (state.trie.count > 0) state.fire(path, 'subtree', undefined, oldPerms, cause);
}

export function remove(request: Request): Answer {
  const { state, link, view, transaction, cause } = request;
  const path = pathFor(request, onlyString(request), false);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.WRITE, Part.NONE);
  if (refused(seen)) {
    if (seen !== ENOENT) return seen;
    const parent = view.lookup(parentPath(path), Part.NONE);
    const over = overflow(request);
    if (over) return over;
    return parent ? OK : ENOENT;
  }
  if (path === ROOT) return EINVAL;
  view.remove(seen);
  if (transaction) return overflow(request) ?? OK;
  state.history.add(state.now, link.domid, link.id, 'rm', path, '');
  for (const dead of state.live.removed) {
    state.fire(dead.path, dead.path === path ? 'subtree' : 'exact', dead, undefined, cause);
  }
  state.live.removed = [];
  return OK;
}

export function getPerms(request: Request): Answer {
  const path = pathFor(request, onlyString(request), true);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.READ, Part.PERMS);
  return refused(seen) ? seen : seen.perms.encode();
}

export function setPerms(request: Request): Answer {
  const { link, view, data, start, end } = request;
  const [name, ...texts] = strings(readLatin1(data, start, end));
  if (name === undefined || texts.length === 0) return EINVAL;
  const account = link.limited;
  if (account?.exceeds('node-permissions', texts.length)) return ENOSPC;
  const entries: StoredPerm[] = [];
  for (const text of texts) {
    const entry = parsePerm(text);
    if (!entry) return EINVAL;
    entries.push(known(request, entry));
  }
  if (entries[0]!.domid !== Domid.ANY && entries[0]!.stale) return ENOENT;
  const path = pathFor(request, name, true);
  if (path === undefined) return EINVAL;
  const seen = gate(request, path, Right.WRITE | Right.OWNER, Part.NONE);
  if (refused(seen)) return seen;
  const perms = new Perms(entries);
  if (!link.privileged && perms.owner !== seen.perms.owner) return EPERM;
  if (perms.owner === Domid.ANY) return ENOMEM;
  const size = nodeSize(perms, seen.value.length, account ? view.childBytes(seen) : 0);
  if (account?.exceeds('node-size', size)) return doom(request, ENOSPC);
  const growth = 8 * (entries.length - seen.perms.entries.length);
  if (account && growth > 0 && !memoryFor(request, perms.owner, growth)) return doom(request, ENOMEM);
  const old = seen.perms;
  view.setPerms(seen, perms);
  changed(request, 'perms', path, old, '');
  return OK;
}

/** An entry for a domain that nobody knows grants nothing, now or ever; one for everybody only if the link may name everybody. */
function known({ state, link }: Request, entry: StoredPerm): StoredPerm {
  if (entry.domid === Domid.ANY) {
    const features = link.domain?.features ?? Feature.DOMID_ANY;
    return (features & Feature.DOMID_ANY) !== 0 ? entry : { ...entry, stale: true };
  }
  const domain =
    state.domains.get(entry.domid) ??
    (entry.domid >= 0 && entry.domid < Domid.FIRST_RESERVED
      ? state.domains.existing(entry.domid)
      : undefined);
  return domain ? entry : { ...entry, stale: true };
}
