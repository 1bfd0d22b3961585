/**
 * Token files: made at first start for their owner alone, refused when others can read them. Knows nothing of requests.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';

const TOKEN_MIN = 16;

/** The token that the file holds; a new one is made and written there, if there is no such file. Throws with one line. */
export function tokenFromFile(path: string): string {
  if (!existsSync(path)) make(path);
  const fd = open(path);
  try {
    const stats = fstatSync(fd);
    const { mode, uid } = stats;
    if (!stats.isFile()) throw new Error(`${path}: a token is in a file, and this is none`);
    // Whoever owns it knows it, or can come to.
    if (uid !== 0 && uid !== process.geteuid?.()) throw new Error(`${path}: it belongs to somebody else`);
    if ((mode & 0o077) !== 0)
      throw new Error(`${path}: others can read or write it; chmod 600 it, or remove it to have a new one`);
    return soundToken(readFileSync(fd, 'utf8').trim(), path);
  } finally {
    closeSync(fd);
  }
}

/** Whole or not at all, and never over one that another has made meanwhile. */
function make(path: string): void {
  const fresh = `${path}.${process.pid}.new`;
  try {
    writeFileSync(fresh, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    linkSync(fresh, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new Error(`${path}: the token cannot be written (${code})`);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function open(path: string): number {
  try {
    // A pipe is not waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(`${path}: the token cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Throws with one line for a token that could be guessed or not be sent. */
export function soundToken(token: string, origin: string): string {
  if (new RegExp(`^[\\x21-\\x7e]{${TOKEN_MIN},512}$`).test(token)) return token;
  throw new Error(`${origin}: a token is ${TOKEN_MIN} to 512 printable characters without blanks`);
}
