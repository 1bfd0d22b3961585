/** Which machine a service runs on, where its user does not say. Loads that one alone; knows neither. */
import type { SimPlatform } from './sim/platform.ts';
import type { XenPlatform } from './xen/platform.ts';

/** `name` tells which. */
export type Machine = SimPlatform | XenPlatform;

/**
 * What was asked for (a flag's word), else the simulated one whose hypervisor is in the host's run directory, else real Xen. Throws an Error of one
 * line for another word; whether a hypervisor answers is not looked at.
 */
export async function openMachine(wanted: string | undefined, run: string): Promise<Machine> {
  if (wanted !== undefined && wanted !== 'xen' && wanted !== 'sim')
    throw new Error(`--platform ${wanted}: neither xen nor sim`);
  const { simIsThere, simPlatform } = await import('./sim/client.ts');
  if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) return simPlatform({ run });
  return (await import('./xen/platform.ts')).xenPlatform();
}
