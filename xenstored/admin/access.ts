/**
 * Who may ask: whoever has a bearer token, under a name of this service, and not by way of a browser that another site tells what to do.
 * The read token shows, the write token also changes. Knows no request object, only its headers.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../osdep/clock.ts';
import { AdminError } from './errors.ts';

export interface Headers {
  readonly authorization?: string | undefined;
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

export type Role = 'read' | 'write';

/** Who asks, for decisions and for the audit log. */
export interface Caller {
  /** `none`: has no token, or a wrong one. */
  readonly role: Role | 'none';
  /** The token's first digits in SHA-256; empty without one. */
  readonly token: string;
  readonly address: string;
}

const loopback: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/** Throws forbidden_origin: a name that only another site's DNS leads here (rebinding), or a page from elsewhere. `more`: further names. */
export function checkOrigin(headers: Headers, more: readonly string[] = []): void {
  const host = withoutPort(headers.host ?? '');
  if (!loopback.includes(host) && !more.some((name) => withoutPort(name) === host)) {
    throw new AdminError(
      'forbidden_origin',
      'the Host header must name the loopback interface, or an --allowed-host',
    );
  }
  const { origin } = headers;
  if (origin === undefined || origin === `http://${headers.host}`) return;
  // A proxy that adds TLS is a name that was allowed.
  if (origin === `https://${headers.host}` && !loopback.includes(host)) return;
  throw new AdminError('forbidden_origin', 'pages from elsewhere may not use this service');
}

function withoutPort(host: string): string {
  return host.toLowerCase().replace(/:\d{1,5}$/, '');
}

export class Tokens {
  readonly #read: Buffer;
  readonly #write: Buffer | undefined;

  /** `write` left out: nothing can be changed. */
  constructor({ read, write }: { readonly read: string; readonly write?: string | undefined }) {
    this.#read = digest(read);
    this.#write = write === undefined ? undefined : digest(write);
    if (read === write) throw new Error('the read token and the write token are the same');
  }

  get writable(): boolean {
    return this.#write !== undefined;
  }

  /** Takes as long whatever is wrong. */
  callerOf(headers: Headers, address: string): Caller {
    const match = /^bearer +([\x21-\x7e]+)$/i.exec(headers.authorization ?? '');
    const sent = digest(match?.[1] ?? '');
    const reads = timingSafeEqual(sent, this.#read);
    const writes = timingSafeEqual(sent, this.#write ?? this.#read) && this.#write !== undefined;
    const role = match === null ? 'none' : writes ? 'write' : reads ? 'read' : 'none';
    return { role, token: match === null ? '' : sent.toString('hex', 0, 4), address };
  }
}

/** Digests are of one length, so that comparing them tells nothing of the secret's. */
function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

const FAILURES_MAX = 20;
const FAILURES_WINDOW_MS = 60_000;
const CALLERS_MAX = 10_000;

/** Counts what somebody was refused: more than so often a minute and each time costs even less than a look at it. */
export class Failures {
  readonly #clock: Pick<Clock, 'now'>;
  #counts = new Map<string, number>();
  #since = 0;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** One more. Throws `error`, beyond the limit rate_limited. */
  refuse({ address, token, role }: Caller, error: unknown): never {
    if (this.#clock.now() - this.#since >= FAILURES_WINDOW_MS || this.#counts.size >= CALLERS_MAX) {
      this.#counts = new Map();
      this.#since = this.#clock.now();
    }
    const who = role === 'none' ? address : `${address} ${token}`;
    const count = (this.#counts.get(who) ?? 0) + 1;
    this.#counts.set(who, count);
    if (count > FAILURES_MAX) throw new AdminError('rate_limited', 'refused too often in this minute');
    throw error;
  }
}
