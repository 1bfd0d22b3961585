/**
 * A guest of which there are many in one process: it takes its devices to Connected, and ends when it is told to. Knows nothing of the others.
 */
import { once } from 'node:events';
import { ShutdownReason } from '../../osdep/ctrl.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { bulkFronts } from './bulkfront.ts';

export interface BulkOptions {
  readonly token: string;
  /** The devices that it had when it began are connected; it may have none. */
  readonly ready: () => void;
  /** One line for people. */
  readonly log: (line: string) => void;
}

const kinds = ['vbd', 'vif'] as const;

const reasons: Readonly<Record<string, number>> = {
  poweroff: ShutdownReason.POWEROFF,
  halt: ShutdownReason.POWEROFF,
  reboot: ShutdownReason.REBOOT,
};

/** Until it is over, however that comes: answers why, for people. Never rejects. */
export async function runBulk(options: BulkOptions): Promise<string> {
  const lost = new AbortController();
  const ends: (() => void)[] = [];
  // Whoever is in the middle of a question to his store is not answered any more when his domain ends.
  const gone = once(lost.signal, 'abort').then(() => 'its domain has ended');
  try {
    return await Promise.race([drive(options, lost, ends), gone]);
  } catch (error) {
    if (lost.signal.aborted) return 'its domain has ended';
    return error instanceof Error ? error.message : String(error);
  } finally {
    // What is on its way fails, as it does for one that has lost its domain.
    for (const end of ends.reverse()) end();
  }
}

/** `ends`: takes back what was begun, the last first. */
async function drive(
  { token, ready, log }: BulkOptions,
  lost: AbortController,
  ends: (() => void)[],
): Promise<string> {
  const platform = simPlatform({ token, onLost: () => lost.abort() });
  ends.push(() => platform.close());
  const store = await connect({ connector: ownRing(platform), signal: lost.signal });
  ends.push(() => void store.close().catch(() => {}));
  const waited = new Set(await devices(store));
  const settled = (path?: string): void => {
    if (path !== undefined && !waited.delete(path)) return;
    if (waited.size === 0) ready();
  };
  const fronts = bulkFronts({
    evtchn: platform.openEvtchn(),
    gntshr: platform.openGntshr(),
    onConnected: settled,
  });
  if (waited.size === 0) settled();
  for (const front of fronts) {
    const driven = await runFrontends(front, { store, log });
    ends.push(() => void driven.close().catch(() => {}));
  }
  await store.write('control/feature-poweroff', '1');
  const reason = await told(store, lost.signal);
  if (reason === undefined) return 'its domain has ended';
  platform.guest.shutdown(reason);
  return 'it shut down';
}

/** `device/vbd/51712`: what it has at the beginning. */
async function devices(store: Client): Promise<string[]> {
  const paths: string[] = [];
  for (const kind of kinds) {
    const root = `device/${kind}`;
    const ids = (await store.exists(root)) ? await store.directory(root) : [];
    paths.push(...ids.map((id) => `${root}/${id}`));
  }
  return paths;
}

/** What control/shutdown says, once it says something that can be done; undefined: the domain has ended. */
async function told(store: Client, signal: AbortSignal): Promise<number | undefined> {
  for await (const _ of store.watch('control/shutdown', { signal })) {
    const wanted = (await store.findText('control/shutdown')) ?? '';
    if (wanted === '') continue;
    await store.write('control/shutdown', '');
    if (reasons[wanted] !== undefined) return reasons[wanted];
  }
  return undefined;
}
