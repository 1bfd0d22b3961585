/**
 * Requests to the service this page came from: the token on each, replies as values, refusals as an ApiError with the service's own code.
 * Keeps the tokens in this tab's session storage, and nowhere else. Knows no view.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0: no answer at all. */
  readonly status: number;
  /** The service's, which do not change; `unreachable` is ours. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Request {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const READ = 'xenstore-admin.token';
const WRITE = 'xenstore-admin.write-token';

export class Api {
  /** Takes a token out of the address bar: what is there ends in histories and screenshots. */
  static adopt(): Api {
    const match = /(?:^#|&)token=([^&]+)/.exec(location.hash);
    if (match) {
      sessionStorage.setItem(READ, decodeURIComponent(match[1]!));
      history.replaceState(undefined, '', location.pathname + location.search);
    }
    return new Api();
  }

  get token(): string | undefined {
    return sessionStorage.getItem(WRITE) ?? sessionStorage.getItem(READ) ?? undefined;
  }

  setToken(kind: 'read' | 'write', token: string | undefined): void {
    const key = kind === 'read' ? READ : WRITE;
    if (token === undefined) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, token);
  }

  async get<T>(path: string, query: Request['query'] = {}, signal?: AbortSignal): Promise<T> {
    const response = await this.send(path, { query, ...(signal ? { signal } : {}) });
    return (await response.json()) as T;
  }

  /** The response of a request that was granted. Throws ApiError, and AbortError. */
  async send(path: string, request: Request = {}): Promise<Response> {
    const url = new URL(path, location.origin);
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const headers = new Headers(request.headers);
    if (this.token !== undefined) headers.set('authorization', `Bearer ${this.token}`);
    if (request.body !== undefined) headers.set('content-type', 'application/json');
    let response: Response;
    try {
      response = await fetch(url, {
        method: request.method ?? 'GET',
        headers,
        cache: 'no-store',
        credentials: 'omit',
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.signal ? { signal: request.signal } : {}),
      });
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw error;
      throw new ApiError(0, 'unreachable', 'the service does not answer');
    }
    if (response.ok) return response;
    throw await refusal(response);
  }
}

async function refusal(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => ({}))) as Readonly<Record<string, unknown>>;
  const code = typeof body.code === 'string' ? body.code : `http_${response.status}`;
  const detail = body.detail ?? body.title;
  return new ApiError(response.status, code, typeof detail === 'string' ? detail : response.statusText);
}
