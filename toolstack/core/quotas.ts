/**
 * What a backend's domain may have in the store beyond what any domain may: its devices' directories belong to it, and it looks at each one's
 * other end. Without that the thirty-seventh disk of a host would be refused for want of nodes. Knows no store.
 */

/** More of each quota for each device; 40 nodes are more than any kind has, its error node included. */
const forDevice: Readonly<Record<string, number>> = {
  nodes: 40,
  watches: 1,
  memory: 16_384,
  'soft-memory': 16_384,
};

/** Of so many devices: by the names of SET_QUOTA. `usual`: what any domain may have; 0: as much as it likes. */
export function quotaOf(name: string, usual: number, devices: number): number {
  return usual === 0 ? 0 : usual + (forDevice[name] ?? 0) * devices;
}

/** Those that depend on devices. */
export const deviceQuotas: readonly string[] = Object.keys(forDevice);
