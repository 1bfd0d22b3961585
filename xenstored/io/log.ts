/**
 * Where the daemon's own words go: stderr in the foreground, syslog in the background, as with the C daemon. Knows no file.
 */
import { sendDatagram } from '../../osdep/os/sock.ts';
import { PROGRAM } from './options.ts';

export type Level = 'crit' | 'warn' | 'info';

export type Log = (level: Level, text: string) => void;

export const logToStderr: Log = (_level, text) => void process.stderr.write(`${PROGRAM}: ${text}\n`);

const SYSLOG = '/dev/log';
const LOG_DAEMON = 3 << 3;
/** Priorities of syslog(3). */
const priorities: Readonly<Record<Level, number>> = { crit: 2, warn: 4, info: 6 };

/** Without a syslog the words are lost: there is nobody in the background to hear them. */
export const logToSyslog: Log = (level, text) => {
  const line = `<${LOG_DAEMON | priorities[level]}>${PROGRAM}[${process.pid}]: ${text}`;
  sendDatagram(SYSLOG, Buffer.from(line));
};
