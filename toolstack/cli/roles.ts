/**
 * What somebody must be to run a command. At a shell everybody is `admin`: there the files of the run directory decide. Over SSH a key has a role.
 */
import type { Role } from './session.ts';

/** `console` is beside the others: whoever has it has one guest's console and nothing else. */
export type Rank = Exclude<Role, 'console'>;

const ranks: readonly Rank[] = ['read-only', 'operator', 'admin'];

/** Looking; keeping going what is there; changing what there is. */
export const neededRole: Readonly<Record<string, Rank>> = {
  help: 'read-only',
  list: 'read-only',
  'vm-list': 'read-only',
  'vcpu-list': 'read-only',
  uptime: 'read-only',
  info: 'read-only',
  domid: 'read-only',
  domname: 'read-only',
  dmesg: 'read-only',
  'block-list': 'read-only',
  'network-list': 'read-only',
  'sockets-list': 'read-only',
  console: 'operator',
  shutdown: 'operator',
  reboot: 'operator',
  pause: 'operator',
  unpause: 'operator',
  sysrq: 'operator',
  destroy: 'operator',
  create: 'admin',
  rename: 'admin',
  'block-attach': 'admin',
  'block-detach': 'admin',
  'network-attach': 'admin',
  'network-detach': 'admin',
  'sockets-attach': 'admin',
  'sockets-detach': 'admin',
  gc: 'admin',
};

export function mayRun(role: Role, verb: string): boolean {
  if (role === 'console') return verb === 'console';
  const needed = neededRole[verb];
  return needed !== undefined && atLeast(role, needed);
}

export function atLeast(role: Role, needed: Rank): boolean {
  return role !== 'console' && ranks.indexOf(role) >= ranks.indexOf(needed);
}
