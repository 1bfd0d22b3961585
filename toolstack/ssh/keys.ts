/**
 * Keys in files: the host's own, a client key for who has none, and those that may come in, read again when their files change. Knows nothing of
 * connections.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Fault, reasonOf } from '../io/fault.ts';
import { type AuthorizedKey, type AuthorizedKeys, parseAuthorizedKeys } from './authorized.ts';
import {
  digestOf,
  fingerprint,
  makePrivateKey,
  type PublicKey,
  publicHalf,
  publicLine,
  sameDigest,
  weakness,
} from './library.ts';
import { replace } from './place.ts';

const CLIENT_COMMENT = 'stubdom0-admin';

export interface HostKey {
  readonly privateKey: string;
  readonly fingerprint: string;
}

export interface KeyFiles {
  /** `ssh` in the state directory. */
  readonly folder: string;
  /** undefined: in the folder. */
  readonly hostKey: string | undefined;
}

/** Made once, then kept. Throws Fault. Beside it `known_hosts`, for clients that shall not ask. */
export function hostKey({ folder, hostKey: path = join(folder, 'host_key') }: KeyFiles): HostKey {
  const { privateKey, half } = keptKey(folder, path, 'stubdom0');
  const line = `stubdom0,[localhost]:*,[127.0.0.1]:*,[::1]:* ${publicLine(half)}\n`;
  replace(join(folder, 'known_hosts'), line, 0o644);
  return { privateKey, fingerprint: half.fingerprint };
}

/** The path of a private key that is authorised as an admin's, by the public half beside it. Throws Fault. */
export function clientKey(folder: string): string {
  const path = join(folder, 'id_ed25519');
  const { half } = keptKey(folder, path, CLIENT_COMMENT);
  if (!existsSync(`${path}.pub`)) replace(`${path}.pub`, `${publicLine(half)} ${CLIENT_COMMENT}\n`, 0o644);
  return path;
}

/** Files with keys of admins, by default: the client key, and those of whoever runs this. */
export function ownKeyFiles(folder: string, who: 'with the user' | 'without the user'): string[] {
  const files = [join(folder, 'id_ed25519.pub')];
  if (who === 'without the user') return files;
  const home = join(homedir(), '.ssh');
  try {
    const publics = readdirSync(home).filter((name) => /^id_[^.]+\.pub$/.test(name));
    files.push(...publics.map((name) => join(home, name)));
  } catch {
    // Nobody has to have keys.
  }
  return [...files, join(home, 'authorized_keys')];
}

function keptKey(folder: string, path: string, comment: string): { privateKey: string; half: PublicKey } {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (statSync(path, { throwIfNoEntry: false }) === undefined) makeKey(path, comment);
    if ((statSync(path).mode & 0o077) !== 0) throw new Error('others may read it; chmod 600');
    const privateKey = readFileSync(path, 'utf8');
    return { privateKey, half: publicHalf(privateKey) };
  } catch (error) {
    throw new Fault(`key ${path}: ${reasonOf(error)}`);
  }
}

/** Whole or not at all, should this be killed; and once, should another host do the same. */
function makeKey(path: string, comment: string): void {
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, makePrivateKey(comment), { mode: 0o600 });
  try {
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh);
  }
}

interface Kept extends AuthorizedKeys {
  /** Of the file as it was read. */
  readonly stamp: string;
  /** Of the keys, in their order. */
  readonly digests: readonly Buffer[];
}

/** The keys of some files; each is read again when it has changed. */
export class KeyRing {
  readonly #files: readonly string[];
  readonly #log: (line: string) => void;
  readonly #kept = new Map<string, Kept>();

  /** `log`: what is wrong with which line of which file. */
  constructor(files: readonly string[], log: (line: string) => void) {
    this.#files = files;
    this.#log = log;
    this.keys();
  }

  keys(): readonly AuthorizedKey[] {
    return this.#files.flatMap((file) => this.#read(file).keys);
  }

  /** The first file's word counts. Takes as long for a key that is there as for one that is not. */
  find(blob: Uint8Array): AuthorizedKey | undefined {
    const wanted = digestOf(blob);
    let found: AuthorizedKey | undefined;
    for (const { keys, digests } of this.#files.map((file) => this.#read(file)))
      for (const [index, key] of keys.entries()) if (sameDigest(digests[index]!, wanted)) found ??= key;
    return found;
  }

  #read(file: string): Kept {
    const before = this.#kept.get(file);
    let now: Kept;
    try {
      const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file);
      const around = foldersOf(file).map(({ mode, uid }) => `${mode} ${uid}`);
      const stamp = [dev, ino, size, mtimeMs, ctimeMs, ...around].join(' ');
      if (before?.stamp === stamp) return before;
      const read = readKeys(file);
      now = { stamp, ...read, digests: read.keys.map(({ blob }) => digestOf(blob)) };
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const stamp = missing ? 'missing' : reasonOf(error);
      if (before?.stamp === stamp) return before;
      const refused = missing ? [] : [`${file}: ${reasonOf(error)}`];
      now = { stamp, keys: [], digests: [], refused };
    }
    this.#kept.set(file, now);
    for (const line of now.refused) this.#log(line);
    return now;
  }
}

const FILE_MAX_BYTES = 1 << 20;

/** Where it lies, and a link to it, and the home that this is in: whoever can write to one can put another file in its place. */
function foldersOf(file: string): { path: string; mode: number; uid: number }[] {
  const folders = [resolve(file), realpathSync(file)].map((path) => dirname(path));
  const above = folders.map((path) => dirname(path)).filter((path) => path === homedir());
  return [...new Set([...folders, ...above])].map((path) => {
    const { mode, uid } = statSync(path);
    return { path, mode, uid };
  });
}

/** As OpenSSH's StrictModes: whoever can write it can come in. `what`: of it. Throws. */
function assertOurs(what: string, { mode, uid }: { readonly mode: number; readonly uid: number }): void {
  if ((mode & 0o022) !== 0)
    throw new Error(`others may write to ${what}, so nobody is let in by it; chmod go-w`);
  if (uid !== 0 && uid !== process.getuid?.())
    throw new Error(`${what} belongs to somebody else, so nobody is let in by it`);
}

function readKeys(file: string): AuthorizedKeys {
  const fd = openSync(file, 'r');
  try {
    const { size, ...its } = fstatSync(fd);
    assertOurs('it', its);
    for (const { path, ...folder } of foldersOf(file)) assertOurs(path, folder);
    if (size > FILE_MAX_BYTES) throw new Error(`it has more than ${FILE_MAX_BYTES} bytes`);
    const { keys, refused } = parseAuthorizedKeys(readFileSync(fd, 'utf8'), file);
    const good: AuthorizedKey[] = [];
    const weak: string[] = [];
    for (const key of keys) {
      const why = weakness(key.type, key.blob);
      if (why === undefined) good.push(key);
      else weak.push(`${file}: key ${fingerprint(key.blob)}: ${why}`);
    }
    return { keys: good, refused: [...refused, ...weak] };
  } finally {
    closeSync(fd);
  }
}
