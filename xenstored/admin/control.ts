/**
 * Which of a daemon's control commands are passed on. The others write files of the daemon's choosing of ours, exchange the daemon, or are of
 * a kind that nobody here has looked at; a flag allows them by name.
 */
import { AdminError } from './errors.ts';

/** Of the C daemon, of ours, of oxenstored. */
export const controlCommands: readonly string[] = [
  'help',
  'check',
  'log',
  'print',
  'quota',
  'quota-soft',
  'connections',
  'watches',
  'transactions',
  'rings',
  'trace',
  'refusals',
  'statistics',
  'work',
];

/** Throws control_not_allowed. */
export function checkCommand(command: string, more: readonly string[]): void {
  if (controlCommands.includes(command) || more.includes(command)) return;
  throw new AdminError('control_not_allowed', 'this command is passed on only with --allow-control');
}
