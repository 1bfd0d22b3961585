/**
 * A typed client of xenstore-admin, for Node and browsers: the package's door `stubdom0/admin-client`. Requests are openapi-fetch's, with
 * types from the service's own OpenAPI document; changes are an endless loop over what happened. README.md beside it shows both in use.
 *
 *     const admin = adminClient('http://127.0.0.1:7380/#token=...');
 *     const { data, error } = await admin.GET('/v1/node', { params: { query: { path: '/local/domain/0/name' } } });
 *     for await (const event of admin.events('/local/domain')) console.log(event);
 */
import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './api.ts';
import { type AdminEvent, type EventsOptions, eventsOf } from './events.ts';

export { AdminProblem } from './events.ts';
export type { AdminEvent, components, EventsOptions, paths };

/** A node as replies show it. */
export type AdminNode = components['schemas']['Node'];
/** An error's body (RFC 9457). */
export type Problem = components['schemas']['Problem'];

export interface AdminClientOptions {
  /** Default: what is in the URL as `#token=`. */
  readonly token?: string;
  /** Default: the platform's. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface AdminClient extends Client<paths, `${string}/${string}`> {
  /**
   * Changes at or below a path, for as long as the loop goes on or until the signal. A lost connection is made anew and goes on where it
   * ended; what could not be gone on with is `resync`. Throws an `AdminProblem` if the service refuses.
   */
  events(path: string, options?: EventsOptions): AsyncGenerator<AdminEvent, void, undefined>;
}

/** `url`: as xenstore-admin prints it. */
export function adminClient(url: string, options: AdminClientOptions = {}): AdminClient {
  const { origin, hash } = new URL(url);
  const token = options.token ?? new URLSearchParams(hash.slice(1)).get('token') ?? '';
  const ask = options.fetch ?? ((...request) => globalThis.fetch(...request));
  const headers = { authorization: `Bearer ${token}` };
  const client = createClient<paths>({ baseUrl: origin, headers, fetch: (request) => ask(request) });
  return Object.assign(client, {
    events: (path: string, more: EventsOptions = {}) => eventsOf({ origin, headers, ask }, path, more),
  });
}
