/**
 * Logs, one JSON object a line: a host's, of what was done to it and why, in `logs/stubdom0.log`; and a service's. Knows no terminal.
 */
import { join } from 'node:path';
import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** Written at once: the log is most wanted when what writes it is about to end. */
export function openLog(folder: string): Log {
  return pino({ base: null }, destination({ dest: join(folder, 'stubdom0.log'), sync: true }));
}

/** Of a service whose output is kept by whoever started it. */
export function logToOutput(): Log {
  return pino({ base: null }, destination({ dest: 1, sync: true }));
}
