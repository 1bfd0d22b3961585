/**
 * A guest of which there are many in one process: it takes its devices to Connected, and ends when it is told to. Knows nothing of the others.
 */
import { ShutdownReason } from '../../osdep/ctrl.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { type Driven, runFrontends } from '../../xenstored/client/frontend.ts';
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
export async function runBulk({ token, ready, log }: BulkOptions): Promise<string> {
  const lost = new AbortController();
  const ending = lost.signal;
  let end = (): void => {};
  try {
    const platform = simPlatform({ token, onLost: () => lost.abort() });
    end = () => platform.close();
    const store = await connect({ connector: ownRing(platform), signal: ending });
    const driven: Driven[] = [];
    end = () => {
      // What is on its way fails, as it does for one that has lost its domain.
      for (const one of driven) void one.close().catch(() => {});
      void store.close().catch(() => {});
      platform.close();
    };
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
    for (const front of fronts) driven.push(await runFrontends(front, { store, log }));
    await store.write('control/feature-poweroff', '1');
    const reason = await told(store, ending);
    if (reason === undefined) return 'its domain has ended';
    platform.guest.shutdown(reason);
    return 'it shut down';
  } catch (error) {
    if (ending.aborted) return 'its domain has ended';
    return error instanceof Error ? error.message : String(error);
  } finally {
    end();
  }
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
