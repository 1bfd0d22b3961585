/**
 * Our xensock in dom0: started, until it is ready, and killed; and the address by which its guests reach this dom0, whose 127.0.0.1 they
 * never see. Knows no socket.
 */
import type { Lab } from '../lab/scenario.ts';
import { type Backend, backendSaid, startBackend } from './backend.ts';

/** dom0's address for guests. */
export const DOM0 = '10.53.0.1';
/** The line of xl.cfg. */
export const PVCALLS = 'pvcalls=["backend=0"]';

/** What all of them in this boot have said. */
export function xensockSaid(): string {
  return backendSaid('xensock');
}

async function addressed(lab: Lab): Promise<void> {
  await lab.sh(`ip addr show dev lo | grep -q ' ${DOM0}/' || ip addr add ${DOM0}/32 dev lo`);
}

/** Linux's own backend, instead; resolves to what takes it away again, once its devices are gone. */
export async function loadLinuxBackend(lab: Lab): Promise<() => Promise<void>> {
  await addressed(lab);
  await lab.exec('insmod', ['/app/guest/pvcalls-back.ko']);
  const removed = async (): Promise<boolean> =>
    (await lab.exec('rmmod', ['pvcalls_back'], { mayFail: true })).status === 0;
  return () => lab.until("Linux's backend is gone", removed, 20);
}

/** Resolves when it is ready; dom0 has its address then. */
export async function startXensock(lab: Lab, ...flags: readonly string[]): Promise<Backend> {
  await addressed(lab);
  return await startBackend(lab, 'xensock', 'netback/xensock/main.js', flags);
}
