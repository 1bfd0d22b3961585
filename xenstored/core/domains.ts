/**
 * The requests about domains: INTRODUCE, RELEASE, RESUME, SET_TARGET, IS_DOMAIN_INTRODUCED, GET_DOMAIN_PATH, features and quotas.
 * Follows docs/misc/xenstore.txt as of Xen 4.22 and today's C daemon.
 */
import { readLatin1 } from '../wire/latin1.ts';
import { Domid, wireError } from '../wire/ops.ts';
import { OK } from '../wire/reply.ts';
import { atoi, parseDomid, strings } from '../wire/request.ts';
import { type Domain, FEATURES } from './domain.ts';
import { destroy, introduce as introduceDomain, reset } from './lifecycle.ts';
import { onlyString } from './nodes.ts';
import { homePath } from './path.ts';
import { quotaKey, quotaKeys } from './quota.ts';
import {
  type Answer,
  EACCES,
  EBUSY,
  EINVAL,
  ENOENT,
  type Refusal,
  type Request,
  refused,
} from './request.ts';

const texts = ({ data, start, end }: Request): string[] => strings(readLatin1(data, start, end));

function onlyDomid(request: Request): number | undefined {
  const text = onlyString(request);
  return text === undefined ? undefined : parseDomid(text);
}

export function introduce(request: Request): Answer {
  const { state } = request;
  const [id, frame, channel] = texts(request);
  if (id === undefined || frame === undefined || channel === undefined) return EINVAL;
  const domid = parseDomid(id);
  const port = atoi(channel);
  if (domid === undefined || port <= 0) return EINVAL;
  const result = introduceDomain(state, domid, port);
  if (!result.ok) return { errno: wireError(result.errno) };
  reset(state, state.domains.introduced(domid)!);
  return OK;
}

/** A domain other than those that cannot be released, introduced and with a connection. */
function otherDomain(request: Request): Domain | Refusal {
  const { state } = request;
  const domid = onlyDomid(request);
  const { storeDomid, privDomid } = state.options;
  if (domid === undefined || domid === storeDomid || domid === privDomid) return EINVAL;
  return connected(request, domid);
}

function connected({ state }: Request, domid: number): Domain | Refusal {
  const domain = state.domains.introduced(domid);
  if (!domain) return ENOENT;
  return domain.link ? domain : EINVAL;
}

export function release(request: Request): Answer {
  const domain = otherDomain(request);
  if (refused(domain)) return domain;
  request.state.dropWatches(domain.link!);
  destroy(request.state, domain);
  return OK;
}

export function resume(request: Request): Answer {
  const domain = otherDomain(request);
  if (refused(domain)) return domain;
  domain.shutdownReported = false;
  request.state.domains.changed.add(domain);
  return OK;
}

export function setTarget(request: Request): Answer {
  const [id, targetId] = texts(request);
  if (id === undefined || targetId === undefined) return EINVAL;
  const domid = parseDomid(id);
  const targetDomid = parseDomid(targetId);
  if (domid === undefined || targetDomid === undefined) return EINVAL;
  const domain = connected(request, domid);
  if (refused(domain)) return domain;
  const target = connected(request, targetDomid);
  if (refused(target)) return target;
  domain.serve(target);
  request.state.domains.changed.add(domain);
  return OK;
}

export function isDomainIntroduced(request: Request): Answer {
  const domid = onlyDomid(request);
  if (domid === undefined) return EINVAL;
  return domid === Domid.SELF || request.state.domains.introduced(domid) ? 'T\0' : 'F\0';
}

export function getDomainPath(request: Request): Answer {
  const domid = onlyDomid(request);
  return domid === undefined ? EINVAL : `${homePath(domid)}\0`;
}

export function getFeature(request: Request): Answer {
  const { state, link } = request;
  const parts = texts(request);
  if (parts.length === 0) return `${link.domain?.features ?? FEATURES}\0`;
  if (!link.privileged) return EACCES;
  if (parts.length > 1) return EINVAL;
  const domain = existing(request, parts[0]!);
  if (refused(domain)) return domain;
  return `${state.domains.get(domain.domid)!.features}\0`;
}

export function setFeature(request: Request): Answer {
  const [id, text, ...more] = texts(request);
  if (id === undefined || text === undefined || more.length > 0) return EINVAL;
  const domain = existing(request, id);
  if (refused(domain)) return domain;
  if (domain.introduced) return EBUSY;
  const features = atoi(text);
  if ((features & ~FEATURES) !== 0) return EINVAL;
  domain.features = features;
  request.state.domains.changed.add(domain);
  return OK;
}

function existing({ state }: Request, id: string): Domain | Refusal {
  const domid = parseDomid(id);
  if (domid === undefined) return EINVAL;
  return state.domains.existing(domid) ?? ENOENT;
}

export function getQuota(request: Request): Answer {
  const parts = texts(request);
  if (parts.length > 2) return EINVAL;
  if (parts.length === 0) return `${quotaKeys.join(' ')}\0`;
  const domain = parts.length === 2 ? existing(request, parts[0]!) : undefined;
  if (refused(domain)) return domain;
  const key = quotaKey(parts.at(-1)!);
  if (!key) return EINVAL;
  return `${(domain?.account.limits ?? request.state.domains.defaults)[key]}\0`;
}

export function setQuota(request: Request): Answer {
  const { state } = request;
  const parts = texts(request);
  if (parts.length < 2 || parts.length > 3) return EINVAL;
  const domain = parts.length === 3 ? existing(request, parts[0]!) : undefined;
  if (refused(domain)) return domain;
  const key = quotaKey(parts.at(-2)!);
  const value = atoi(parts.at(-1)!) >>> 0;
  if (!key || value === 0xffffffff) return EINVAL;
  if (domain) {
    domain.account.limits[key] = value;
    state.domains.changed.add(domain);
  } else {
    state.domains.defaults[key] = value;
    state.settingsChanged = true;
  }
  return OK;
}
