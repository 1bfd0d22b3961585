/** What a small guest can be asked at its terminals: how long it has been up, what its devices are doing, to say something, to end. */
import type { Clock } from '../../osdep/clock.ts';
import type { Client } from '../../xenstored/client/index.ts';
import type { ShellCommand } from './consoleshell.ts';

export interface CommandsOptions {
  readonly store: Client;
  readonly clock: Pick<Clock, 'now'>;
}

const states = [
  'absent',
  'Initialising',
  'InitWait',
  'Initialised',
  'Connected',
  'Closing',
  'Closed',
  'Reconfiguring',
  'Reconfigured',
];

export function guestCommands({ store, clock }: CommandsOptions): Readonly<Record<string, ShellCommand>> {
  const since = clock.now();
  // As the toolstack asks, and the guest sees it in the same way.
  const end = (how: string) => async (): Promise<string[]> => {
    await store.write('control/shutdown', how);
    return [];
  };
  return {
    help: { help: 'shows this', run: () => [] },
    uptime: { help: 'how long this guest has been up', run: () => [`up ${duration(clock.now() - since)}`] },
    devices: { help: 'its devices, and how far each is', run: () => devices(store) },
    echo: { help: 'says what you say', run: (words) => [words] },
    shutdown: { help: 'ends this guest', run: end('poweroff') },
    reboot: { help: 'ends it, to be started again', run: end('reboot') },
  };
}

async function devices(store: Client): Promise<string[]> {
  const lines: string[] = [];
  for (const kind of await store.directory('device').catch(() => [])) {
    for (const id of await store.directory(`device/${kind}`)) {
      const state = Number((await store.findText(`device/${kind}/${id}/state`)) ?? Number.NaN);
      if (!Number.isNaN(state)) lines.push(`${kind} ${id}: ${states[state] ?? state}`);
    }
  }
  return lines.length > 0 ? lines : ['none'];
}

/** `1 day, 2:03:04` */
function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => `${value}`.padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const time = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days === 0 ? time : `${days} ${days === 1 ? 'day' : 'days'}, ${time}`;
}
