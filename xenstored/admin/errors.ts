/**
 * Every error that the REST service answers: its code, which never changes, its HTTP status, and when it happens. A reply's body is a
 * problem of RFC 9457: `type` (urn:stubdom0:error:CODE), `title` (when it happens), `status`, `code`, `detail`, which is for people and
 * may change, and what the code adds. Knows no request.
 */
export const errorCodes = {
  bad_request: {
    status: 400,
    when: 'A parameter or a body is missing, unknown or out of range; `where` names it.',
  },
  bad_path: { status: 400, when: 'The path is no absolute path of a store.' },
  store_refused: { status: 400, when: 'The store takes no such value, permissions or command (EINVAL).' },
  unauthorized: { status: 401, when: 'The bearer token is missing or wrong.' },
  access_denied: { status: 403, when: 'The store does not let this service see or change the node.' },
  forbidden_origin: {
    status: 403,
    when: 'Host or Origin is not this service, as when another site made a browser ask.',
  },
  write_token_needed: {
    status: 403,
    when: 'What changes something, or shows secrets, needs the write token.',
  },
  control_not_allowed: {
    status: 403,
    when: 'This service passes on only the control commands that its manual lists.',
  },
  read_only_store: { status: 403, when: 'The store takes no changes by this way (EROFS).' },
  not_found: { status: 404, when: 'There is no such resource in this service.' },
  no_such_node: { status: 404, when: 'There is no such node in the store.' },
  no_such_domain: { status: 404, when: 'There is no such domain.' },
  method_not_allowed: {
    status: 405,
    when: 'The resource has no such method; the header Allow lists those it has.',
  },
  conflict: {
    status: 409,
    when: 'Others changed the same nodes again and again meanwhile; nothing was done.',
  },
  precondition_failed: {
    status: 412,
    when: 'The node is not as the request says; nothing was done. `current` is the node, `operation` the index in the list.',
  },
  too_large: { status: 413, when: 'The request or a value is larger than this service or the store takes.' },
  unsupported_media_type: { status: 415, when: 'A body is application/json.' },
  rate_limited: {
    status: 429,
    when: 'More requests than this service takes; the header Retry-After tells when to come back.',
  },
  headers_too_large: { status: 431, when: 'The headers of the request are larger than this service reads.' },
  internal: { status: 500, when: 'A mistake in this service; its log tells more.' },
  not_offered: { status: 501, when: 'The daemon behind this service has nothing of the kind.' },
  store_error: { status: 502, when: 'The store answered with an error of its own; `detail` names it.' },
  store_unavailable: {
    status: 503,
    when: 'The store cannot be reached, or does not answer, at the moment; nothing was done.',
  },
  outcome_unknown: {
    status: 503,
    when: 'The store was lost while it made a change: look whether it was made.',
  },
  audit_unavailable: { status: 503, when: 'The audit log cannot be written, so nothing is changed.' },
  too_many_streams: { status: 503, when: 'As many event streams are open as this service keeps.' },
  too_many_searches: { status: 503, when: 'As many searches are under way as this service makes at a time.' },
  quota_exceeded: {
    status: 507,
    when: 'A quota of the store is used up (ENOSPC, EQUOTA); nothing was done.',
  },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** What some codes add to a problem, such as `where` or `current`. */
export type ProblemExtras = Readonly<Record<string, unknown>>;

export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: ErrorCode;
  readonly extras: ProblemExtras;

  constructor(code: ErrorCode, message: string, extras: ProblemExtras = {}) {
    super(message);
    this.code = code;
    this.extras = extras;
  }
}

/** The body of an error's reply, application/problem+json. */
export function problemOf({ code, message, extras }: AdminError): Readonly<Record<string, unknown>> {
  const { status, when } = errorCodes[code];
  return { type: `urn:stubdom0:error:${code}`, title: when, status, code, detail: message, ...extras };
}

/** What a thrown value is for the client of this service. Nothing of an unforeseen one's text travels. */
export function asAdminError(thrown: unknown): AdminError {
  if (thrown instanceof AdminError) return thrown;
  const { code, statusCode } = thrown as { code?: unknown; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE' || statusCode === 413)
    return new AdminError('too_large', 'the request is too large');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new AdminError('unsupported_media_type', 'send application/json');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return badRequest(thrown as Refusal);
  return fromStore(code) ?? new AdminError('internal', 'something went wrong in this service');
}

/** What the framework and its validator say of a bad request. */
interface Refusal {
  readonly message?: string;
  readonly validationContext?: string;
  readonly validation?: readonly {
    readonly instancePath?: string;
    readonly params?: Readonly<Record<string, unknown>>;
  }[];
}

const contexts: Readonly<Record<string, string>> = { querystring: 'query', params: 'path' };

function badRequest({
  message = 'bad request',
  validation,
  validationContext = 'request',
}: Refusal): AdminError {
  const [first] = validation ?? [];
  if (first === undefined) return new AdminError('bad_request', message);
  const field = first.params?.additionalProperty ?? first.params?.missingProperty;
  const steps = (first.instancePath ?? '').split('/').slice(1);
  if (typeof field === 'string') steps.push(field);
  const where = [contexts[validationContext] ?? validationContext, ...steps].join('.').slice(0, 200);
  const unknown = first.params?.additionalProperty !== undefined ? ': there is no such field' : '';
  return new AdminError('bad_request', `${message.slice(0, 300)}${unknown}`, { where });
}

const byErrno: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['no_such_node', 'there is no such node'],
  EACCES: ['access_denied', 'the store does not let this service do that'],
  EPERM: ['access_denied', 'the store does not let this service do that'],
  EROFS: ['read_only_store', 'the store takes no changes by this way'],
  EINVAL: ['store_refused', 'the store does not take it (EINVAL)'],
  EISDIR: ['store_refused', 'the store does not take it (EISDIR)'],
  EEXIST: ['store_refused', 'the store has it already (EEXIST)'],
  E2BIG: ['too_large', 'path and value together are larger than the store takes'],
  ENOSPC: ['quota_exceeded', 'a quota of the store is used up'],
  EQUOTA: ['quota_exceeded', 'a quota of the store is used up'],
  EDQUOT: ['quota_exceeded', 'a quota of the store is used up'],
  ENOSYS: ['not_offered', 'the daemon has nothing of the kind'],
  EAGAIN: ['conflict', 'others changed the same nodes again and again meanwhile'],
  EBUSY: ['store_unavailable', 'the store is busy'],
};

const unreachable: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTCONN',
  'ETIMEDOUT',
  'ECLOSED',
]);

function fromStore(code: unknown): AdminError | undefined {
  if (typeof code !== 'string') return undefined;
  const known = Object.hasOwn(byErrno, code) ? byErrno[code] : undefined;
  if (known !== undefined) return new AdminError(...known);
  if (unreachable.has(code))
    return new AdminError('store_unavailable', 'the store cannot be reached at the moment');
  return /^E[A-Z0-9]+$/.test(code) ? new AdminError('store_error', `the store answered ${code}`) : undefined;
}
