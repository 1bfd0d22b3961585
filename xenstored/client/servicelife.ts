/**
 * How every backend begins as a process: with a store that may come later, and as the only one of its kind.
 * Knows no service.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockFile } from '../../osdep/os/lockfile.ts';
import type { Platform } from '../../osdep/platform.ts';
import { connect } from './connect.ts';
import type { Client } from './store.ts';

/** It is told, then, what is missing. */
const STORE_PATIENCE_MS = 2000;

export interface StoreWay {
  readonly platform: Platform;
  /** The host's run directory. */
  readonly run: string;
  readonly log: (line: string) => void;
}

/** Waits for the store as long as it takes. Rejects where there is no hypervisor. */
export async function storeOfHost({ platform, run, log }: StoreWay): Promise<Client> {
  // Without a hypervisor it ends here, rather than wait for a store for ever.
  platform.openEvtchn().close();
  // A domain has the store behind its own ring; the control domain has a socket.
  const way = platform.name !== 'sim' ? {} : platform.domid === 0 ? { run } : { platform };
  const waits = setTimeout(() => log('waiting for the store'), STORE_PATIENCE_MS);
  try {
    return await connect({ ...way, first: 'wait' });
  } finally {
    clearTimeout(waits);
  }
}

export interface Claim {
  /** The service's own directory, made if need be. */
  readonly directory: string;
  readonly domid: number;
  readonly name: string;
  /** What two of them would take from each other. */
  readonly what: string;
}

/** For as long as the process lives. Throws an Error of one line if another one has it. */
export function claimDomain({ directory, domid, name, what }: Claim): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (lockFile(join(directory, `lock-${domid}`)) === undefined)
    throw new Error(`another ${name} serves domain ${domid}'s ${what}: stop that one first`);
}
