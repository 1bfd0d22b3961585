/**
 * Who may come in, and as what: lines as in OpenSSH's authorized_keys (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"), with options of our own, `role=` and
 * `console=`. A line with an option that is not known is refused: what it was meant to forbid would be allowed otherwise. Knows no file and no key's
 * arithmetic.
 */
import type { Role } from '../cli/session.ts';
import { type Addresses, parseAddresses } from './addresses.ts';

export interface AuthorizedKey {
  /** `ssh-ed25519` ... */
  readonly type: string;
  /** As it is sent: RFC 4253, 6.6. */
  readonly blob: Uint8Array;
  readonly comment: string;
  readonly role: Role;
  /** Of role `console`: whose. */
  readonly guest: string | undefined;
  /** undefined: from anywhere. */
  readonly from: Addresses | undefined;
  /** Milliseconds since 1970; undefined: it does not. */
  readonly expiresMs: number | undefined;
}

export interface AuthorizedKeys {
  readonly keys: readonly AuthorizedKey[];
  /** Lines for the log: what is wrong with which line. */
  readonly refused: readonly string[];
}

const KEY_TYPES = new Set([
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
]);
const ROLES: readonly Role[] = ['read-only', 'operator', 'admin'];
/** What OpenSSH's options forbid, and nobody may here. */
const ALWAYS_SO = new Set(['no-agent-forwarding', 'no-port-forwarding', 'no-x11-forwarding', 'no-user-rc']);
const KEYS_MAX = 1000;

/** `file`: how messages call it. */
export function parseAuthorizedKeys(text: string, file: string): AuthorizedKeys {
  const keys: AuthorizedKey[] = [];
  const refused: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const read = keys.length < KEYS_MAX ? parseLine(line.trim()) : `more than ${KEYS_MAX} keys`;
    if (typeof read === 'string') refused.push(`${file}:${index + 1}: ${read}`);
    else keys.push(read);
  }
  return { keys, refused };
}

function parseLine(line: string): AuthorizedKey | string {
  const start = /^[^\s"]+/.exec(line)?.[0] ?? '';
  // A line begins with its key, or with options.
  const optionsEnd = KEY_TYPES.has(start) ? 0 : endOfOptions(line);
  if (optionsEnd === undefined) return 'a quote is not closed';
  const [type = '', base64 = '', ...comment] = line.slice(optionsEnd).trim().split(/\s+/);
  if (!KEY_TYPES.has(type)) {
    const met = /^(ssh|ecdsa|sk)-/.test(start) || type === '' ? start : type;
    return `expected a key of type ${[...KEY_TYPES].join(', ')}, not ${met.slice(0, 40)}`;
  }
  const blob = /^[A-Za-z0-9+/]+={0,2}$/.test(base64)
    ? Uint8Array.from(Buffer.from(base64, 'base64'))
    : undefined;
  if (blob === undefined || firstString(blob) !== type) return `this is no key of type ${type}`;
  const options = readOptions(line.slice(0, optionsEnd));
  if (typeof options === 'string') return options;
  return { type, blob, comment: comment.join(' '), ...options };
}

/** Where the first blank outside quotes is. */
function endOfOptions(line: string): number | undefined {
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === '\\' && line[at + 1] === '"') at++;
    else if (line[at] === '"') quoted = !quoted;
    else if (!quoted && /\s/.test(line[at]!)) return at;
  }
  return quoted ? undefined : line.length;
}

function readOptions(text: string): Pick<AuthorizedKey, 'role' | 'guest' | 'from' | 'expiresMs'> | string {
  let role: Role | undefined;
  let guest: string | undefined;
  let from: Addresses | undefined;
  let expiresMs: number | undefined;
  const seen = new Set<string>();
  for (const option of text.match(/(?:[^,"]|"(?:\\"|[^"])*")+/g) ?? []) {
    const [, written = '', quoted] = /^([^=]+)(?:="((?:\\"|[^"])*)")?$/.exec(option) ?? [];
    const name = written.toLowerCase();
    const value = quoted?.replaceAll('\\"', '"');
    if (seen.has(name)) return `${name} is given twice`;
    seen.add(name);
    if (value === undefined) {
      if (!ALWAYS_SO.has(name)) return `option ${option} is not known here, so the key is refused`;
    } else if (name === 'role') {
      role = ROLES.find((known) => known === value);
      if (role === undefined) return `role="${value}": expected ${ROLES.join(', ')}`;
    } else if (name === 'console') {
      if (!/^[^/\s]+$/.test(value)) return `console="${value}": expected a guest's name`;
      guest = value;
    } else if (name === 'from') {
      from = parseAddresses(value);
      if (from === undefined) return `from="${value}": expected addresses or networks, parted by commas`;
    } else if (name === 'expiry-time') {
      expiresMs = parseTime(value);
      if (expiresMs === undefined) return `expiry-time="${value}": expected YYYYMMDD[HHMM[SS]][Z]`;
    } else {
      return `option ${name} is not known here, so the key is refused`;
    }
  }
  if (guest !== undefined && role !== undefined) return 'console= is a role of its own; leave role= out';
  return { role: guest === undefined ? (role ?? 'admin') : 'console', guest, from, expiresMs };
}

/** The machine's own time, unless it ends in Z. */
function parseTime(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z)?$/.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour = '00', minute = '00', second = '00', zone = ''] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  return Number.isNaN(ms) ? undefined : ms;
}

function firstString(blob: Uint8Array): string | undefined {
  if (blob.length < 4) return undefined;
  const length = new DataView(blob.buffer, blob.byteOffset).getUint32(0);
  return length > 64 || blob.length < 4 + length
    ? undefined
    : Buffer.from(blob.subarray(4, 4 + length)).toString('latin1');
}
