/**
 * The directory that a store lives in: who may use it, and which boot of the host it belongs to. A store describes domains that end with
 * their hypervisor, so one of another boot is set aside, never read. Knows nothing of what is in it besides its own two files:
 * `lock`, held for as long as the daemon lives, and `boot`.
 */
import * as fs from 'node:fs';
import { lockFile } from '../../osdep/os/lockfile.ts';
import { DatabaseError } from './database-error.ts';
import { type Durability, syncDirectory } from './journal.ts';
import { FORMAT } from './records.ts';

export interface DirectoryOptions {
  readonly directory: string;
  /** Differs from boot to boot of the hypervisor: what the store describes ends with it. */
  readonly boot: string;
  readonly durability: Durability;
  /** Takes one line for the daemon's log. */
  readonly log: (line: string) => void;
}

interface Claim {
  release(): void;
}

const TITLE = `stubdom0 xenstored database, format ${FORMAT}`;

/** Makes the directory ours and of this boot. Throws DatabaseError where it cannot be. */
export function claimDirectory(options: DirectoryOptions): Claim {
  const { directory, boot } = options;
  const claim = lock(options);
  try {
    const found = readBoot(directory);
    if (found === boot) return claim;
    if (found === undefined) {
      writeBoot(options);
      return claim;
    }
    const aside = unusedName(`${directory}.${found.replaceAll(/[^\w.-]/g, '_')}`);
    fs.renameSync(directory, aside);
    options.log(`the store in ${directory} is of another boot of the host: set aside as ${aside}`);
  } catch (error) {
    claim.release();
    throw error;
  }
  claim.release();
  return claimDirectory(options);
}

function lock({ directory }: DirectoryOptions): Claim {
  const path = `${directory}/lock`;
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const held = lockFile(path);
    if (held !== undefined) return held;
  } catch (error) {
    throw new DatabaseError(`cannot use ${directory} for the store: ${(error as Error).message}`);
  }
  throw new DatabaseError(
    `${directory} is in use by another xenstored: name another directory, or stop that one`,
  );
}

/** The boot that the store is of; `undefined`: the directory is new. */
function readBoot(directory: string): string | undefined {
  const path = `${directory}/boot`;
  if (!fs.existsSync(path)) {
    const stranger = fs.readdirSync(directory).find((name) => name !== 'lock' && name !== 'boot.new');
    if (stranger === undefined) return undefined;
    throw new DatabaseError(
      `${directory} holds other things (${stranger}): name another directory for the store`,
    );
  }
  const [title, boot] = fs.readFileSync(path, 'utf8').split('\n');
  if (title === TITLE && boot !== undefined) return boot;
  throw new DatabaseError(
    `${directory} is of another version of xenstored: start that version, or move the directory away to start ` +
      'with an empty store',
  );
}

/** Whole or not at all, whenever the daemon dies. */
function writeBoot({ directory, boot, durability }: DirectoryOptions): void {
  const path = `${directory}/boot`;
  fs.writeFileSync(`${path}.new`, `${TITLE}\n${boot}\n`, { mode: 0o600, flush: durability === 'sync' });
  fs.renameSync(`${path}.new`, path);
  if (durability === 'sync') syncDirectory(directory);
}

function unusedName(name: string): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}.${n}`;
    if (!fs.existsSync(candidate)) return candidate;
  }
}
