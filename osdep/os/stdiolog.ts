/** Xen's default logger on this process's own streams. Knows no level and no layout. */
import type { WriteStream } from 'node:tty';
import { type LogStream, StdioLogger, type StdioLoggerOptions } from '../toollog.ts';

/** To standard error, from PROGRESS on, unless told otherwise. */
export function stdioLogger(
  options: StdioLoggerOptions = {},
  stream: NodeJS.WriteStream = process.stderr,
): StdioLogger {
  const out: LogStream = {
    write: (text) => {
      stream.write(text);
    },
    isTerminal: (stream as WriteStream).isTTY === true,
    pid: process.pid,
    localTime,
  };
  return new StdioLogger(out, options);
}

function localTime(): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  const zone = new Intl.DateTimeFormat('en', { timeZoneName: 'short' })
    .formatToParts(now)
    .find((part) => part.type === 'timeZoneName');
  return `${day} ${time} ${zone?.value ?? 'UTC'}`;
}
