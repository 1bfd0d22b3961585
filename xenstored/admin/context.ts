/**
 * What every route has at hand, and the words in which routes are written. A group of routes is a function of the application and this;
 * routes/index.ts lists the groups. Knows no route.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../osdep/clock.ts';
import type { Caller, Tokens } from './access.ts';
import type { Audit } from './audit.ts';
import { AdminError, type ErrorCode, errorCodes } from './errors.ts';
import type { Inspect } from './inspect.ts';
import type { Live } from './live.ts';
import type { Show } from './node.ts';
import type { Secrets } from './secrets.ts';
import { isPath, type Store } from './store.ts';

export type App = FastifyInstance;
export type Request = FastifyRequest;
export type Reply = FastifyReply;

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; known before any handler runs. */
    caller: Caller;
    /** What a change is about, for the audit log; a route that changes something says it. */
    audited: unknown;
  }
  interface FastifyContextConfig {
    /** Needs no token: static pages and documents that say nothing of a store. */
    open?: boolean;
    /** Changes something: needs the write token and is in the audit log. */
    writes?: boolean;
  }
}

export interface Context {
  readonly store: Store;
  readonly secrets: Secrets;
  readonly show: Show;
  readonly live: Live;
  readonly inspect: Inspect;
  /** The host's run directory, for what its backends count. */
  readonly run: string | undefined;
  readonly tokens: Tokens;
  readonly audit: Audit;
  readonly clock: Clock;
  /** Names of control commands that are passed on, beside those of the manual. */
  readonly control: readonly string[];
  /** Told of mistakes of ours, whose text does not travel. */
  readonly failed: (error: unknown) => void;
}

export type Routes = (app: App, context: Context) => void | Promise<void>;

/** Headers of replies. Values are guests': no browser shall take a reply for anything but what it is, nor keep it. Pages have their own. */
export const guards: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** Throws bad_path. */
export function checkedPath(path: string): string {
  if (isPath(path)) return path;
  throw new AdminError(
    'bad_path',
    'a path starts with / and has names of letters, digits, - _ @ between its slashes',
  );
}

/** Of `?secrets=show`: others than writers have been refused before. */
export function showsSecrets({ caller }: Request, secrets: 'show' | undefined): boolean {
  return secrets === 'show' && caller.role === 'write';
}

/** Kept by a browser to ask whether it still holds; secrets are not. */
export function cachedAs(secrets: boolean): string {
  return secrets ? 'no-store' : 'no-cache';
}

const everywhere: readonly ErrorCode[] = [
  'bad_request',
  'unauthorized',
  'forbidden_origin',
  'rate_limited',
  'internal',
];

/** Of whatever asks the store. */
export const storeFailures: readonly ErrorCode[] = [
  'access_denied',
  'not_offered',
  'store_unavailable',
  'store_error',
];

/** A documented reply: one of the named schemas. */
export function answer(name: string, description: string): object {
  return { description, content: { 'application/json': { schema: { $ref: `${name}#` } } } };
}

/** The documented errors of a route, by status: those that any may have, and these. */
export function failures(codes: readonly ErrorCode[]): Record<number, object> {
  const byStatus: Record<number, object> = {};
  const all = [...new Set([...everywhere, ...codes])];
  for (const status of new Set(all.map((code) => errorCodes[code].status))) {
    const list = all.filter((code) => errorCodes[code].status === status);
    byStatus[status] = {
      description: list.map((code) => `${code}: ${errorCodes[code].when}`).join(' '),
      content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
    };
  }
  return byStatus;
}
