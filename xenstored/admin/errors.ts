/**
 * Every error that the REST service answers: its code, which never changes, its HTTP status, and when it happens. A reply's body is
 * `{ "error": { "code", "message" } }`; the message is for people and may change. Knows no request.
 */
export const errorCodes = {
  bad_request: { status: 400, when: 'A parameter or a body is missing, unknown or out of range.' },
  bad_path: { status: 400, when: 'The path is no absolute path of a store.' },
  unauthorized: { status: 401, when: 'The bearer token is missing or wrong.' },
  access_denied: { status: 403, when: 'The store does not let this service see the node.' },
  forbidden_origin: {
    status: 403,
    when: 'Host or Origin is not this service on the loopback interface, as when another site made a browser ask.',
  },
  not_found: { status: 404, when: 'There is no such resource in this service.' },
  no_such_node: { status: 404, when: 'There is no such node in the store.' },
  method_not_allowed: { status: 405, when: 'The resource can only be read.' },
  too_large: { status: 413, when: 'The request is larger than this service reads.' },
  internal: { status: 500, when: 'A mistake in this service; its log tells more.' },
  store_error: { status: 502, when: 'The store answered with an error of its own; the message names it.' },
  store_unavailable: { status: 503, when: 'The store cannot be reached at the moment.' },
  too_many_streams: { status: 503, when: 'As many event streams are open as this service keeps.' },
} as const;

export type ErrorCode = keyof typeof errorCodes;

export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a thrown value is for the client of this service. Nothing of an unforeseen one's text travels. */
export function asAdminError(thrown: unknown): AdminError {
  if (thrown instanceof AdminError) return thrown;
  const { code, message, statusCode } = thrown as { code?: unknown; message?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE' || statusCode === 413)
    return new AdminError('too_large', 'the request is too large');
  if (typeof code === 'string' && code.startsWith('FST_') && statusCode !== undefined && statusCode < 500) {
    return new AdminError('bad_request', message ?? 'bad request');
  }
  return fromStore(code) ?? new AdminError('internal', 'something went wrong in this service');
}

const unreachable: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTCONN',
  'ETIMEDOUT',
  'ECLOSED',
]);

function fromStore(code: unknown): AdminError | undefined {
  if (code === 'ENOENT') return new AdminError('no_such_node', 'there is no such node');
  if (code === 'EACCES' || code === 'EPERM')
    return new AdminError('access_denied', 'the store does not let this service see it');
  if (unreachable.has(code))
    return new AdminError('store_unavailable', 'the store cannot be reached at the moment');
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)
    ? new AdminError('store_error', `the store answered ${code}`)
    : undefined;
}
