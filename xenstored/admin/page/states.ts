/**
 * The states of a device's ends as people see them: Xen's names, a colour class, and what one means in words. Knows no device.
 */
import type { XenbusState } from '../../xenbus/state.ts';
import type { Device } from './types.ts';

type StateName = keyof typeof XenbusState;

const names: readonly StateName[] = [
  'Unknown',
  'Initialising',
  'InitWait',
  'Initialised',
  'Connected',
  'Closing',
  'Closed',
  'Reconfiguring',
  'Reconfigured',
];

export function stateName(state: number): string {
  return state === 0 ? 'no state' : (names[state] ?? 'no state');
}

/** What each end goes through, in the order of a handshake. 7 and 8 appear only where they happen. */
export const walk: readonly number[] = [1, 2, 3, 4, 5, 6];

const backendMeaning: Readonly<Record<number, string>> = {
  1: 'made by the toolstack',
  2: 'features are told, the frontend is awaited',
  3: 'almost there',
  4: 'serving',
  5: 'letting go',
  6: 'nothing is shared',
  7: 'asked to change',
  8: 'changed',
};
const frontendMeaning: Readonly<Record<number, string>> = {
  1: 'made by the toolstack',
  2: 'the backend is awaited',
  3: 'rings and event channel are told',
  4: 'in use',
  5: 'letting go',
  6: 'nothing is shared',
  7: 'asks for a change',
  8: 'the change is made',
};

export function meaning(end: 'frontend' | 'backend', state: number): string {
  return (end === 'frontend' ? frontendMeaning : backendMeaning)[state] ?? 'no state node';
}

export type Tone = 'good' | 'busy' | 'ending' | 'none';

/** What a state means for whoever looks at it from far away. */
export function tone(state: number): Tone {
  if (state === 4) return 'good';
  if (state === 5 || state === 6) return 'ending';
  return state === 0 ? 'none' : 'busy';
}

/**
 * A domain's first console shakes no hands: its frontend has no state, its backend's stays as the toolstack wrote it. It is served once its
 * terminal is told.
 */
export function isStateless({ kind, frontend }: Device): boolean {
  return kind === 'console' && frontend.state === 0 && frontend.there !== false;
}

/** Of a whole device: as good as its worse end. */
export function deviceTone(device: Device): Tone {
  const { frontend, backend } = device;
  if (isStateless(device)) return isServed(device) ? 'good' : 'busy';
  const tones = [tone(frontend.state), tone(backend.state)];
  for (const worst of ['ending', 'none', 'busy'] as const) if (tones.includes(worst)) return worst;
  return 'good';
}

function isServed({ frontend }: Device): boolean {
  return Boolean(frontend.keys?.tty);
}

/** How one end of a device is, in a word or two; '' where there is nothing to say. */
export function endWords(device: Device, end: 'frontend' | 'backend'): string {
  if (!isStateless(device)) return stateName(device[end].state);
  return end === 'frontend' ? '' : isServed(device) ? 'served' : 'not served yet';
}

/** The same as a colour. */
export function endTone(device: Device, end: 'frontend' | 'backend'): Tone {
  return isStateless(device) ? deviceTone(device) : tone(device[end].state);
}
