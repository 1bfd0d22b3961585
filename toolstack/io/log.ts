/**
 * The log of a host: what its toolstack did and why, one JSON object a line in `logs/stubdom0.log`. Knows no terminal.
 */
import { join } from 'node:path';
import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** Written at once: the log is most wanted when what writes it is about to end. */
export function openLog(folder: string): Log {
  return pino({ base: null }, destination({ dest: join(folder, 'stubdom0.log'), sync: true }));
}
