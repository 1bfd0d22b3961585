/**
 * Who may ask: whoever has the bearer token, from this machine, and not by way of a browser that another site tells what to do.
 * Knows no request object, only its headers.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { AdminError } from './errors.ts';

export interface Headers {
  readonly authorization?: string | undefined;
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

const loopback: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Throws forbidden_origin: a name that only another site's DNS leads here (rebinding), or a page from elsewhere. */
export function checkOrigin(headers: Headers): void {
  if (!loopback.has(withoutPort(headers.host ?? ''))) {
    throw new AdminError('forbidden_origin', 'the Host header must name the loopback interface');
  }
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) {
    throw new AdminError('forbidden_origin', 'pages from elsewhere may not use this service');
  }
}

function withoutPort(host: string): string {
  return host.toLowerCase().replace(/:\d{1,5}$/, '');
}

export class Token {
  readonly #digest: Buffer;

  constructor(secret: string) {
    this.#digest = digest(secret);
  }

  /** Throws unauthorized. Takes as long whatever is wrong. */
  check(headers: Headers): void {
    const match = /^bearer +([\x21-\x7e]+)$/i.exec(headers.authorization ?? '');
    if (timingSafeEqual(digest(match?.[1] ?? ''), this.#digest) && match) return;
    throw new AdminError('unauthorized', 'send the token: Authorization: Bearer TOKEN');
  }
}

/** Digests are of one length, so that comparing them tells nothing of the secret's. */
function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

const TOKEN_MIN = 16;

/** The token that the file holds; a new one is made and written there, readable for its owner alone, if there is no such file. */
export function tokenFromFile(path: string): string {
  try {
    writeFileSync(path, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    chmodSync(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return soundToken(readFileSync(path, 'utf8').trim(), path);
}

/** Throws with one line for a token that could be guessed or not be sent. */
export function soundToken(token: string, origin: string): string {
  if (new RegExp(`^[\\x21-\\x7e]{${TOKEN_MIN},512}$`).test(token)) return token;
  throw new Error(`${origin}: a token is ${TOKEN_MIN} to 512 printable characters without blanks`);
}
